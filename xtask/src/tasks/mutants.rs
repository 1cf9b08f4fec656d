// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask mutants`: builds the series with one bug at a time, runs each in the cell that must
//! catch it, and the series without a bug in the same cells, and prints the score.

use std::collections::BTreeMap;
use std::path::Path;

use super::run::{Run, Spec, Start};
use super::{Folders, bootable, conclude, html, inputs, print_ids};
use crate::cli::{self, Places};
use crate::config::Trap;
use crate::exit::Exit;
use crate::outcome::{CellResult, RunResult};
use crate::plan::{self, Trial};
use crate::report::{self, MutantRow};
use crate::results::{self, RunFolder};
use crate::verdict::{Ran, Score, score};

/// File in the run folder: which cell must catch which mutant, as it was planned.
const TRIALS: &str = "trials.json";

/// Runs the command.
///
/// # Errors
/// As `run-matrix`; what a cell does is no error.
pub(crate) fn run(places: &Places, args: &cli::Mutants) -> anyhow::Result<Exit> {
    let cli::Mutants { names, kernel, seed, vms, dry_run, build } = args;
    let folders = Folders::of(places)?;
    let config = inputs::read(&folders.configs)?;
    let mutants = config.mutants(kernel)?;
    let (cells, trials) = plan::mutants(&config, mutants, names, *seed)?;
    if *dry_run {
        return print_ids(&cells);
    }
    let start = Start::new(build.install)?;
    let (names, keys) = (cells.iter().map(|cell| &cell.key.kernel).collect(), BTreeMap::new());
    let kernels = bootable::kernels(&folders, &config, &names, &keys, &vms.guests.images, build)?;
    let matrix = &mutants.matrix;
    let spec = Spec::of(vms, &cells, &folders.results, matrix, *seed)?;
    let mut run = Run::begin(start, &folders, &config, kernels, spec)?;
    run.folder.write_json(TRIALS, &trials)?;
    let ran = run.cells(&cells)?;
    let (folder, result) = run.result(ran, cells.len())?;
    conclude(&folder, &folders.cache, &result, &trials)
}

/// Stores and prints the score; gives the exit code it means.
///
/// # Errors
/// A run folder or a standard output that cannot be written to.
pub(super) fn conclude(
    folder: &RunFolder,
    cache: &Path,
    result: &RunResult,
    trials: &[Trial],
) -> anyhow::Result<Exit> {
    folder.write_result(result)?;
    html::write(folder, cache, result)?;
    let rows: Vec<MutantRow<'_>> = trials.iter().map(|trial| row(trial, result)).collect();
    conclude::report(folder, |place, style| report::mutants(result, &rows, place, style))?;
    Ok(conclude::exit(result.manifest.interrupted, report::all_caught(&rows)))
}

/// The trials of a stored run; `None` for a run of another command.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn trials_of(folder: &RunFolder) -> anyhow::Result<Option<Vec<Trial>>> {
    let place = folder.dir().join(TRIALS);
    place.exists().then(|| results::read_json(&place)).transpose()
}

fn row<'a>(trial: &'a Trial, result: &'a RunResult) -> MutantRow<'a> {
    let find = |id: &String| result.cells.iter().find(|cell| cell.cell.id == *id);
    let ran = trial.cells.as_ref().and_then(|(cell, _)| find(cell));
    let control = trial.cells.as_ref().and_then(|(_, control)| find(control));
    let of = |cell: &'a CellResult| Ran { judgement: cell.judgement(), flaky: cell.flaky() };
    let score = match &trial.mutant.trap {
        Trap::Set(caught) => score(caught, ran.map(of), control.map(of)),
        Trap::Equivalent(_) => Score::Equivalent,
    };
    MutantRow { trial, ran, control, score }
}
