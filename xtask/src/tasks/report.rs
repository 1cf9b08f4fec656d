// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask report`: regenerates the HTML report of a run from what is stored of it.

use super::{Folders, html, shown};
use crate::cli::{self, Places};
use crate::exit::Exit;
use crate::outcome::RunResult;
use crate::progress::print;
use crate::results::RunFolder;

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] when there is no such run; a result that cannot be read or a report that cannot be written.
pub(crate) fn run(places: &Places, args: &cli::Report) -> anyhow::Result<Exit> {
    let cli::Report { run } = args;
    let folders = Folders::of(places)?;
    let folder = RunFolder::open(&folders.results, run)?;
    let result: RunResult = folder.read_result()?;
    html::write(&folder, &folders.cache, &result)?;
    print(format_args!("{}\n", shown(&folder.dir().join(html::REPORT))))?;
    Ok(Exit::Ok)
}
