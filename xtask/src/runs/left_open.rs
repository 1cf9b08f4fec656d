// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run left open: its cells that are worth another run.

use std::collections::BTreeSet;

use crate::outcome::{Differential, RunResult};
use crate::plan::{Cell, CellKey};

/// Which cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOpen {
    /// Those that were not as expected at first or did not run to their end, and those of a patched
    /// kernel that did worse than the baseline.
    Unsettled,
    /// Those that did not run to their end.
    NotRun,
}

/// Ids in the matrix, of these `planned` cells of the run, and the baseline's cells that they are
/// compared with; in their order, each once.
pub(crate) fn left_open(run: &RunResult, planned: &[Cell], which: LeftOpen) -> Vec<String> {
    let regressed: BTreeSet<&CellKey> = run
        .comparisons
        .iter()
        .filter(|one| one.outcome == Differential::Regressed)
        .map(|one| &one.cell)
        .collect();
    let is_open = |cell: &&Cell| match run.cells.iter().find(|ran| ran.cell.id == cell.id) {
        None => true,
        Some(ran) if ran.interrupted() => true,
        Some(_) if which == LeftOpen::NotRun => false,
        Some(ran) => !ran.judgement().as_expected || regressed.contains(&cell.key),
    };
    let open: Vec<&Cell> = planned.iter().filter(is_open).collect();
    let same = |a: &CellKey, b: &CellKey| (&a.scenario, a.cgroup) == (&b.scenario, b.cgroup);
    let beside = |cell: &Cell| {
        let of_baseline = run.manifest.baseline.as_ref() == Some(&cell.key.kernel);
        of_baseline && open.iter().any(|open| same(&open.key, &cell.key))
    };
    let ids: BTreeSet<&str> = open.iter().map(|cell| cell.id.as_str()).collect();
    let mut seen = BTreeSet::new();
    planned
        .iter()
        .filter(|cell| ids.contains(cell.id.as_str()) || beside(cell))
        .map(Cell::id_in_matrix)
        .filter(|id| seen.insert(*id))
        .map(str::to_owned)
        .collect()
}
