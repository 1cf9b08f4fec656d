// SPDX-License-Identifier: MIT OR Apache-2.0
//! The terminal of a person who looks on.

use std::io::Write as _;

/// Prints to the terminal; one that is gone is no fault.
pub(crate) fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
