// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask run-matrix`: plan, kernels, VMs, verdicts, results, report. The main job.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use super::attempts::Runner;
use super::parts::{self, Record, Work};
use super::past::Past;
use super::{Folders, bootable, own, rig, stop_on_signals, style};
use crate::chance;
use crate::cli::{self, Places};
use crate::config::{Config, Matrix, Scenario};
use crate::exit::Exit;
use crate::outcome::{CellResult, Manifest, RunResult, SCHEMA_VERSION, ScenarioNote, Totals};
use crate::plan::Selection;
use crate::progress::{note, print};
use crate::report;
use crate::results::RunFolder;
use crate::verdict::{Judged, compare};

/// Runs the command.
///
/// # Errors
/// Configuration, kernels and host, each with its code; what a cell does is no error.
pub(crate) fn run(places: &Places, args: &cli::RunMatrix) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    let work = Work::of(&folders, args)?;
    let Work { config, matrix, seed, cells, record } = &work;
    if args.dry_run {
        cells.iter().try_for_each(|cell| print(format_args!("{}\n", cell.id)))?;
        return Ok(Exit::Ok);
    }
    let begun = Instant::now();
    let stop = stop_on_signals()?;
    rig::provide(args.build.install)?;
    let names = cells.iter().map(|cell| &cell.kernel).collect();
    let cli::Vms { images, accel, .. } = &args.vms;
    let kernels = bootable::planned(&folders, config, &names, &work.keys(), images, &args.build)?;
    let first = &kernels[&cells[0].kernel].bzimage;
    let ready = rig::prepare(&folders, first, *accel, &stop)?;
    let jobs = rig::jobs(args.vms.jobs, cells);

    let started = jiff::Timestamp::now();
    let folder = RunFolder::begin(&work.results(&folders), started)?;
    own::keep(config, &folder)?;
    let mut manifest = bootable::manifest(&ready, &kernels, &matrix.name, *seed, jobs, started)?;
    folder.write_manifest(&manifest)?;

    let snapshots = !args.vms.no_snapshot;
    let mut runner = Runner::new(config, &kernels, &ready.rig, &folder, &stop, snapshots);
    if let Some(record) = record {
        folder.write_text(parts::RECORD, &serde_json::to_string_pretty(record)?)?;
        runner.past = Past::of_part(record.part());
    }
    let ran = runner.run(cells, jobs)?;
    manifest.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    manifest.interrupted = stop.asked();
    folder.write_manifest(&manifest)?;
    let result = result(config, matrix, &folder.id, manifest, ran, cells.len());
    let exit = conclude(&folder, &folders.cache, &result)?;
    if let Some(Record { part, plan }) = record {
        let count = plan.count();
        note(&format!("part {part} of {count}: `cargo xtask merge` makes one run of all parts"));
    }
    Ok(exit)
}

/// Stores and prints the result; gives the exit code it means.
pub(super) fn conclude(
    folder: &RunFolder,
    cache: &Path,
    result: &RunResult,
) -> anyhow::Result<Exit> {
    let shown = shown(folder.dir());
    folder.write_result(result, &report::run(result, &shown, report::Style::default()))?;
    super::report::write(folder, cache, result)?;
    print(report::run(result, &shown, style(std::io::stdout())))?;
    Ok(if result.manifest.interrupted {
        Exit::Interrupted
    } else if result.totals.good() {
        Exit::Ok
    } else {
        Exit::Unexpected
    })
}

/// A path below the current folder is shown relative to it.
pub(super) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

pub(super) fn selection(select: &cli::Select) -> Selection {
    let cli::Select { filter, repetitions, confidence, seed } = select;
    Selection {
        filters: filter.clone(),
        repetitions: repetitions.or(confidence.map(|percent| chance::repetitions(percent / 100.0))),
        run_seed: *seed,
        ..Selection::default()
    }
}

pub(super) fn result(
    config: &Config,
    matrix: &Matrix,
    run: &str,
    manifest: Manifest,
    cells: Vec<CellResult>,
    planned: usize,
) -> RunResult {
    let judged: Vec<Judged<'_>> =
        cells.iter().map(|ran| Judged { cell: &ran.cell, judgement: ran.judgement() }).collect();
    let names: BTreeSet<&String> = cells.iter().map(|ran| &ran.cell.scenario).collect();
    let mut differentials = Vec::new();
    let mut scenarios = BTreeMap::new();
    for scenario in names.into_iter().map(|name| &config.scenarios[name]) {
        if let Some(baseline) = &matrix.baseline {
            differentials.extend(compare(scenario, baseline, &judged));
        }
        scenarios.insert(scenario.name.clone(), scenario_note(scenario));
    }
    RunResult {
        schema_version: SCHEMA_VERSION,
        run: run.to_owned(),
        totals: Totals::of(planned, &cells, &differentials),
        manifest,
        scenarios,
        cells,
        differentials,
    }
}

pub(super) fn scenario_note(scenario: &Scenario) -> ScenarioNote {
    ScenarioNote {
        title: scenario.title.clone(),
        about: scenario.about.clone(),
        measures: scenario.measures.clone(),
    }
}
