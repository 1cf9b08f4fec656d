// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask show`: judges stored evidence again and prints what the verdict rests on.
//!
//! It needs only what was written during the run, so it works for a run that was killed.

use std::path::Path;

use super::attempts::judged;
use super::{Folders, past, print_report, symbols};
use crate::cli::{self, Places};
use crate::evidence::Seen;
use crate::exit::{Exit, Fault};
use crate::outcome::{CellResult, Manifest};
use crate::progress::note;
use crate::report;
use crate::results::RunFolder;

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] if no run, or not exactly one cell, has that name; files that cannot be read.
pub(crate) fn run(places: &Places, args: &cli::Show) -> anyhow::Result<Exit> {
    let cli::Show { cell, run } = args;
    let folders = Folders::of(places)?;
    let folder = RunFolder::open(&folders.results, run)?;
    let manifest: Manifest = folder.read_manifest()?;
    // One in progress is not sealed yet.
    if folder.is_sealed()
        && let Err(error) = folder.check_run()
    {
        note(&format!("note: this run is not whole: {error:#}"));
    }
    let id = past::one_cell(&folder, cell)?;
    let cell = past::cell(&folder, &id)?;
    let mut attempts = Vec::new();
    for dir in folder.attempts(&id) {
        let evidence = past::evidence(&folder, &dir)?;
        let place = dir.display().to_string();
        attempts.push((judged(&cell, &evidence, &manifest, place), evidence));
    }
    let mut attempts = attempts.into_iter();
    let Some((first, first_evidence)) = attempts.next() else {
        return Err(Fault::new(Exit::Usage, format!("{id} was planned but never started")).into());
    };
    let (again, again_evidence) = attempts.next().unzip();
    let found = CellResult { cell, first, again };
    // The evidence of the attempt that counts.
    let (shown, evidence) = match (&found.again, again_evidence) {
        (Some(again), Some(evidence)) if found.first_says_nothing() => (&again.folder, evidence),
        _ => (&found.first.folder, first_evidence),
    };
    let place = past::place(Path::new(shown), &id);
    let series = folder.series();
    let kernel = &found.cell.key.kernel;
    symbols::if_wanted(&folders.cache, &manifest, kernel, &Seen::of(&evidence), |symbols| {
        print_report(|style| {
            report::show(&manifest, &found, &evidence, symbols, (&place, series.as_deref()), style)
        })
    })?;
    Ok(Exit::Ok)
}
