// SPDX-License-Identifier: GPL-2.0-only
//! The policy of the series for 6.12 has the properties that it promises.

include!(concat!(env!("OUT_DIR"), "/policy-6.12.rs"));

mod properties;
