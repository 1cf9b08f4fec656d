// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults by nights: the same fault in ten cells, or on ten nights, is one row.

use std::collections::BTreeMap;

use crate::outcome::RunResult;

/// A fault over the nights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FaultLine {
    /// What is the same in all its cells.
    pub(crate) identity: String,
    /// For each night, oldest first.
    pub(crate) nights: Vec<FaultNight>,
}

/// A fault on one night: in how many cells it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FaultNight {
    /// Cells that are not as expected for it.
    pub(crate) red: usize,
    /// Cells in which it is known, and does not count.
    pub(crate) known: usize,
}

impl FaultLine {
    /// Most cells of a night.
    pub(crate) fn most(&self) -> usize {
        self.nights.iter().map(|night| night.red + night.known).max().unwrap_or(0)
    }
}

/// The faults of these runs, those of the newest first, and of these the one in most cells.
pub(super) fn faults(runs: &[&RunResult]) -> Vec<FaultLine> {
    let mut lines: BTreeMap<String, Vec<FaultNight>> = BTreeMap::new();
    let empty = || vec![FaultNight::default(); runs.len()];
    for (at, run) in runs.iter().enumerate() {
        for fault in run.faults() {
            lines.entry(fault.identity).or_insert_with(empty)[at].red += fault.cells.len();
        }
        for known in run.cells.iter().flat_map(|ran| &ran.judgement().known) {
            lines.entry(known.clone()).or_insert_with(empty)[at].known += 1;
        }
    }
    let line = |(identity, nights)| FaultLine { identity, nights };
    let mut lines: Vec<FaultLine> = lines.into_iter().map(line).collect();
    let last = |line: &FaultLine| {
        line.nights.iter().rposition(|night| night.red + night.known > 0).unwrap_or(0)
    };
    lines.sort_by_key(|line| std::cmp::Reverse((last(line), line.most())));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taxonomy::Verdict;
    use crate::verdict::tests::run::{benches, cell, result};

    #[test]
    fn one_fault_in_two_cells_on_two_nights_is_one_row() {
        let run = |crashing: usize, known: bool| {
            let mut cells: Vec<_> = benches().iter().map(cell).collect();
            for ran in &mut cells[..crashing] {
                let judgement = &mut ran.first.judgement;
                (judgement.verdict, judgement.as_expected) = (Verdict::Crash, known);
                judgement.why = "WARN: here".to_owned();
                judgement.known.extend(known.then(|| "CRASH WARN: here".to_owned()));
            }
            result(cells)
        };
        let runs = [run(2, false), run(0, false), run(1, true)];
        let found = faults(&runs.iter().collect::<Vec<_>>());
        let [line] = &found[..] else { panic!("{found:?}") };
        assert_eq!(line.identity, "CRASH WARN: here");
        let nights: Vec<_> = line.nights.iter().map(|night| (night.red, night.known)).collect();
        assert_eq!(nights, [(2, 0), (0, 0), (0, 1)]);
        assert_eq!(line.most(), 2);
    }
}
