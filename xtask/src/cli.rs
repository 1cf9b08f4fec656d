// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.
use crate::exit::Exit;
/// Parses the arguments and calls one task.
pub fn run() -> anyhow::Result<Exit> {
    Ok(Exit::Ok)
}
