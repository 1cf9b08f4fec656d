// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which of the lines that a series adds have run: texts, debug information and addresses in, lines
//! out.
//!
//! In the order of use: [`added`] says which lines of a file are the series', [`LineTable::read`]
//! which addresses of the kernel they became, and [`judge`] which of them ran or are excused.
//!
//! Contract: this room decides and touches nothing. A line counts as run on evidence only; where
//! the compiler has merged it with another one, what is left to itself decides.

mod added;
mod dwarf;
mod judged;
mod line_table;

pub(crate) use added::{File, added};
pub(crate) use judged::{Coverage, FileCoverage, Line, State, judge};
pub(crate) use line_table::{Code, LineTable};
