// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask bench`: seconds a cell beside bare QEMU on the same kernel, interleaved in one run.
use super::Folders;
use crate::cli::{Bench, Places};
use crate::exit::Exit;
/// Runs the command.
pub(crate) fn run(places: &Places, _args: &Bench) -> anyhow::Result<Exit> { let _ = Folders::of(places)?; Ok(Exit::Usage) }
