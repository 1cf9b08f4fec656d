// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parts and sides made by hand, on both sides of every rule.

mod comparing;
mod merging;
pub(crate) mod nights;
mod opened;
mod slowing;

use crate::outcome::{CellResult, RunResult, Totals};
use crate::plan::Cell;
use crate::verdict::tests::run::{benches, cell, result};
use crate::verdict::{Judged, compare as beside};

/// Baseline and patched, both as expected.
fn good() -> [CellResult; 2] {
    benches().map(|bench| cell(&bench))
}

/// A repetition of a cell.
fn repeated(cell: &CellResult, number: u32) -> CellResult {
    let mut repeated = cell.clone();
    repeated.cell.repetition = number;
    repeated.cell.id = format!("{}.r{number}", cell.cell.id);
    repeated
}

/// The same cell with one fact changed.
fn with(cell: &CellResult, fact: &str, value: f64) -> CellResult {
    let mut cell = cell.clone();
    cell.first.judgement.facts.insert(fact.into(), value);
    cell
}

/// The same cell, not as expected.
fn failed(cell: &CellResult) -> CellResult {
    let mut cell = cell.clone();
    let judgement = &mut cell.first.judgement;
    judgement.verdict = crate::taxonomy::Verdict::Fail;
    judgement.breaks = vec!["I3".into()];
    judgement.why = "I3: late".to_owned();
    judgement.as_expected = false;
    cell
}

/// A run of these cells.
fn run(cells: Vec<CellResult>) -> RunResult {
    let mut run = result(cells);
    let judged: Vec<Judged<'_>> = run
        .cells
        .iter()
        .map(|ran| Judged { cell: &ran.cell, judgement: ran.judgement() })
        .collect();
    run.comparisons = beside("open", "baseline", &judged);
    run.totals = Totals::of(run.cells.len(), &run.cells, &run.comparisons);
    run
}

fn planned(run: &RunResult) -> Vec<Cell> {
    run.cells.iter().map(|ran| ran.cell.clone()).collect()
}
