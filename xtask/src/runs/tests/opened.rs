// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run left open.

use super::*;
use crate::outcome::{Attempt, Differential};
use crate::plan::Cell;
use crate::runs::{LeftOpen, left_open};

/// Ids of what is left open of these cells, of which all were planned; the first two did not run
/// if `stopped`.
fn open(cells: &[CellResult], stopped: bool, which: LeftOpen) -> Vec<String> {
    let planned: Vec<Cell> = cells.iter().map(|ran| ran.cell.clone()).collect();
    let mut run = run(cells[if stopped { 2 } else { 0 }..].to_vec());
    run.manifest.baseline = Some(cells[0].cell.key.kernel.clone());
    left_open(&run, &planned, which)
}

fn of_scenario(cell: &CellResult, name: &str) -> CellResult {
    let mut cell = cell.clone();
    name.clone_into(&mut cell.cell.key.scenario);
    cell.cell.id = cell.cell.key.to_string();
    cell
}

#[test]
fn what_was_not_as_expected_or_did_not_run_is_left_open_with_its_baseline() {
    let [baseline, patched] = good();
    let other = [of_scenario(&baseline, "other"), of_scenario(&patched, "other")];
    let cells = |last: CellResult| vec![baseline.clone(), patched.clone(), other[0].clone(), last];
    let id = |cell: &CellResult| cell.cell.id.clone();
    let (first, second) =
        (vec![id(&baseline), id(&patched)], other.iter().map(id).collect::<Vec<_>>());
    let all_good = cells(other[1].clone());
    assert_eq!(open(&all_good, false, LeftOpen::Unsettled), [""; 0]);
    let bad = cells(failed(&other[1]));
    assert_eq!(open(&bad, false, LeftOpen::Unsettled), second);
    assert_eq!(open(&bad, false, LeftOpen::NotRun), [""; 0]);
    assert_eq!(open(&bad, true, LeftOpen::NotRun), first);
    // A stop came in the middle of it: then the baseline's cell is needed, too.
    let mut cut = failed(&other[1]);
    cut.first.interrupted = true;
    assert_eq!(open(&cells(cut.clone()), false, LeftOpen::NotRun), second);
    let mut cut_again = failed(&other[1]);
    cut_again.again = Some(cut.first);
    assert_eq!(open(&cells(cut_again), false, LeftOpen::NotRun), second);
    assert_eq!(open(&bad, true, LeftOpen::Unsettled), [first, second.clone()].concat());
    // Good when run alone: the run ended with 1 for it.
    let mut flaky = failed(&other[1]);
    flaky.again = Some(Attempt { ..other[1].first.clone() });
    assert_eq!(open(&cells(flaky), false, LeftOpen::Unsettled), second);
}

#[test]
fn a_cell_that_did_worse_than_the_baseline_is_left_open() {
    let [baseline, patched] = good();
    let planned = [baseline.cell.clone(), patched.cell.clone()];
    let mut run = run(vec![baseline, patched]);
    run.manifest.baseline = Some(planned[0].key.kernel.clone());
    assert_eq!(left_open(&run, &planned, LeftOpen::Unsettled), [""; 0]);
    let one = run.comparisons.first_mut().expect("a comparison");
    one.outcome = Differential::Regressed;
    let ids = planned.map(|cell| cell.id);
    let cells = run.cells.iter().map(|ran| ran.cell.clone()).collect::<Vec<_>>();
    assert_eq!(left_open(&run, &cells, LeftOpen::Unsettled), ids);
    assert_eq!(left_open(&run, &cells, LeftOpen::NotRun), [""; 0]);
}
