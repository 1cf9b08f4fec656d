// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which functions a series changes, and which of them ran: two `vmlinux` and addresses in,
//! functions out.
//!
//! Compiled functions are compared, not source: so inlined functions, macros and headers count, and
//! comments do not. A function that only moved is the same. In the order of use: [`changes`] finds
//! the functions, [`watched`] says which code has to be watched for them, and [`reached`] which of
//! them ran.
//!
//! Contract: this room decides and touches nothing. It is not told what the compiler meant: a
//! function whose instructions differ counts as changed.

mod changes;
mod code;
mod image;
mod map;
mod near;
mod ran;
mod remarks;

pub(crate) use changes::changes;
pub(crate) use map::{Candidate, Map, Wanted};
pub(crate) use near::near;
pub(crate) use ran::{reached, watched};
pub(crate) use remarks::{Touched, remark};
