// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask compare`: what got worse, better, flaky or slower from some runs to others.

use super::{Folders, nights, print_report};
use crate::cli::{self, Places};
use crate::exit::Exit;
use crate::outcome::RunResult;
use crate::report;
use crate::runs;

/// Runs the command; [`Exit::Unexpected`] when something got worse.
///
/// # Errors
/// [`Exit::Usage`] for runs that do not exist or have no cell in common.
pub(crate) fn run(places: &Places, args: &cli::Compare) -> anyhow::Result<Exit> {
    let cli::Compare { old, new } = args;
    let folders = Folders::of(places)?;
    let new = nights::named(&folders.results, new, None)?;
    let old = nights::named(&folders.results, old, new.last())?;
    let found = runs::compare(&old, &new)?;
    let named = |runs: &[RunResult]| {
        let name = |run: &RunResult| format!("{} ({} cells)", run.run, run.totals.ran);
        runs.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    print_report(|style| report::comparison(&found, &named(&old), &named(&new), style))?;
    Ok(if found.regressed() { Exit::Unexpected } else { Exit::Ok })
}
