// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask mutants`: builds the series with one bug at a time, runs each in the cell that must
//! catch it, beside the series itself in the same cells, and keeps the score.

use std::time::Instant;

use super::attempts::Runner;
use super::{Folders, bootable, inputs, rig, run_matrix, stop_on_signals, style};
use crate::cli::{self, Places};
use crate::config::Trap;
use crate::exit::Exit;
use crate::outcome::CellResult;
use crate::outcome::RunResult;
use crate::plan::{self, Trial};
use crate::progress::print;
use crate::report::{self, MutantRow, Style};
use crate::results::RunFolder;
use crate::verdict::{Ran, Score, score};

/// Runs the command.
///
/// # Errors
/// As `run-matrix`; what a cell does is no error.
pub(crate) fn run(places: &Places, args: &cli::Mutants) -> anyhow::Result<Exit> {
    let cli::Mutants { names, kernel, seed, vms, dry_run, build } = args;
    let cli::Vms { accel, jobs, no_snapshot, images } = vms;
    let folders = Folders::of(places)?;
    let config = inputs::read(&folders.configs)?;
    let mutants = config.mutants(kernel)?;
    let (cells, trials) = plan::mutants(&config, mutants, names, *seed)?;
    if *dry_run {
        cells.iter().try_for_each(|cell| print(format_args!("{}\n", cell.id)))?;
        return Ok(Exit::Ok);
    }
    let begun = Instant::now();
    let stop = stop_on_signals()?;
    rig::provide(build.install)?;
    let names = cells.iter().map(|cell| &cell.kernel).collect();
    let kernels = bootable::kernels(&folders, &config, &names, images, build)?;
    let ready = rig::prepare(&folders, &kernels[&cells[0].kernel].bzimage, *accel, &stop)?;
    let jobs = rig::jobs(*jobs, &cells);

    let started = jiff::Timestamp::now();
    let folder = RunFolder::begin(&folders.results, started)?;
    let mut manifest =
        bootable::manifest(&ready, &kernels, &mutants.matrix.name, *seed, jobs, started)?;
    folder.write_manifest(&manifest)?;
    let mut runner = Runner::new(&config, &kernels, &ready.rig, &folder, &stop, !no_snapshot);
    let ran = runner.run(&cells, jobs)?;
    manifest.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    manifest.interrupted = stop.asked();
    folder.write_manifest(&manifest)?;
    let result =
        run_matrix::result(&config, &mutants.matrix, &folder.id, manifest, ran, cells.len());
    conclude(&folder, &result, &trials)
}

fn conclude(folder: &RunFolder, result: &RunResult, trials: &[Trial]) -> anyhow::Result<Exit> {
    let rows: Vec<MutantRow<'_>> = trials.iter().map(|trial| row(trial, result)).collect();
    let shown = run_matrix::shown(folder.dir());
    let text = |style| report::mutants(result, &rows, &shown, style);
    folder.write_result(result, &text(Style::default()))?;
    print(text(style(std::io::stdout())))?;
    Ok(if result.manifest.interrupted {
        Exit::Interrupted
    } else if report::all_caught(&rows) {
        Exit::Ok
    } else {
        Exit::Unexpected
    })
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
