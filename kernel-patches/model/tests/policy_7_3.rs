// SPDX-License-Identifier: GPL-2.0-only
//! The policy of the series for 7.3 has the properties that it promises.

include!(concat!(env!("OUT_DIR"), "/policy-7.3.rs"));

mod properties;
