// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a run: its result, the reports in the run folder and on the terminal, the exit code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{html, shown, style};
use crate::config::{Config, Matrix, Scenario};
use crate::exit::Exit;
use crate::outcome::{CellResult, Manifest, RunResult, SCHEMA_VERSION, ScenarioNote, Totals};
use crate::progress::print;
use crate::report::{self, Style};
use crate::results::RunFolder;
use crate::verdict::{Judged, compare};

/// All that a run found; `planned` is the number of cells that were selected.
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
    let names: BTreeSet<&String> = cells.iter().map(|ran| &ran.cell.key.scenario).collect();
    let mut comparisons = Vec::new();
    let mut scenarios = BTreeMap::new();
    for scenario in names.into_iter().map(|name| &config.scenarios[name]) {
        if let Some(baseline) = &matrix.baseline {
            comparisons.extend(compare(scenario, baseline, &judged));
        }
        scenarios.insert(scenario.name.clone(), scenario_note(scenario));
    }
    RunResult {
        schema_version: SCHEMA_VERSION,
        run: run.to_owned(),
        totals: Totals::of(planned, &cells, &comparisons),
        manifest,
        scenarios,
        cells,
        comparisons,
    }
}

/// What reports say of a scenario.
pub(super) fn scenario_note(scenario: &Scenario) -> ScenarioNote {
    ScenarioNote {
        title: scenario.title.clone(),
        about: scenario.about.clone(),
        measures: scenario.measures.clone(),
    }
}

/// Stores and prints the result of a matrix; gives the exit code it means.
///
/// # Errors
/// A run folder or a standard output that cannot be written to.
pub(super) fn matrix(folder: &RunFolder, cache: &Path, result: &RunResult) -> anyhow::Result<Exit> {
    folder.write_result(result)?;
    html::write(folder, cache, result)?;
    report(folder, |place, style| report::run(result, place, style))?;
    Ok(exit(result.manifest.interrupted, result.totals.good()))
}

/// Stores a report and prints it; `text` gets the path of the run folder as people read it. It comes
/// last: a folder with a report is whole.
///
/// # Errors
/// A run folder or a standard output that cannot be written to.
pub(super) fn report(
    folder: &RunFolder,
    text: impl Fn(&str, Style) -> String,
) -> anyhow::Result<()> {
    let place = shown(folder.dir());
    folder.write_report(&text(&place, Style::default()))?;
    print(text(&place, style(std::io::stdout())))
}

/// The exit code of a run: being stopped comes before what was found.
pub(super) fn exit(interrupted: bool, good: bool) -> Exit {
    match (interrupted, good) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Ok,
        (false, false) => Exit::Unexpected,
    }
}
