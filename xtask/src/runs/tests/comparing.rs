// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sets of runs compared, and nights in a row.

use super::super::compare::{RunComparison, compare};
use super::super::numbers::Change;
use super::super::trends;
use super::*;
use crate::outcome::Attempt;
use crate::outcome::Differential;

fn found(old: &[CellResult], new: &[CellResult]) -> RunComparison {
    compare(&[run(old.to_vec())], &[run(new.to_vec())]).unwrap()
}

/// `count` repetitions of the patched cell, whose fact is `from`, `from + step`, ...
fn spread(fact: &str, count: u32, from: f64, step: f64) -> Vec<CellResult> {
    let [_, patched] = good();
    let value = |number: u32| from + step * f64::from(number - 1);
    (1..=count).map(|number| with(&repeated(&patched, number), fact, value(number))).collect()
}

fn changes(comparison: &RunComparison, fact: &str) -> Vec<Change> {
    let of = comparison.numbers.iter().filter(|number| number.fact == fact);
    of.map(|number| number.change).collect()
}

#[test]
fn the_same_twice_is_no_change() {
    let same = found(&good(), &good());
    assert!(!same.regressed());
    assert_eq!(
        (same.cells, same.moved.len(), same.patches.len(), same.numbers.len()),
        (2, 0, 0, 0)
    );
    assert!(same.compared > 0 && same.provable == 0);
}

#[test]
fn verdicts_get_worse_better_flaky_or_only_different() {
    let [baseline, patched] = good();
    let bad = [baseline.clone(), failed(&patched)];
    let worse = found(&good(), &bad);
    assert!(worse.regressed());
    assert_eq!(worse.moved[0].change, Change::Worse);
    assert_eq!(
        (worse.moved[0].old.as_str(), worse.moved[0].new.as_str()),
        ("PASS", "FAIL I3 (not expected)")
    );
    assert_eq!(worse.moved[0].why, "I3: late");
    let better = found(&bad, &good());
    assert!(!better.regressed());
    assert_eq!(better.moved[0].change, Change::Better);

    let mut flaky = failed(&patched);
    flaky.again = Some(Attempt { ..patched.first.clone() });
    let flaky = [baseline.clone(), flaky];
    assert_eq!(found(&good(), &flaky).moved[0].change, Change::Flaky);
    assert!(found(&good(), &flaky).regressed());
    assert_eq!(found(&bad, &flaky).moved[0].change, Change::Better);
    assert!(found(&flaky, &flaky).moved.is_empty());

    // One of several repetitions makes a cell flaky too.
    let all: Vec<CellResult> = (1..=3).map(|number| repeated(&patched, number)).collect();
    let mut one = all.clone();
    one[1] = failed(&one[1]);
    assert_eq!(found(&all, &one).moved[0].change, Change::Flaky);

    // As bad as before, in another way.
    let mut crash = failed(&patched);
    crash.first.judgement.verdict = crate::taxonomy::Verdict::Crash;
    let other = found(&bad, &[baseline, crash]);
    assert_eq!(
        (other.moved[0].change, other.regressed()),
        (Change::Other, !other.patches.is_empty())
    );
}

#[test]
fn a_verdict_on_the_patch_that_is_lost_is_worse() {
    let [baseline, patched] = good();
    let lost = [with(&baseline, "open.ENOMEM", 0.0), patched];
    let worse = found(&good(), &lost);
    assert_eq!(worse.patches[0].change, Change::Worse);
    assert_eq!(
        (worse.patches[0].old, worse.patches[0].new.outcome),
        (Differential::Fixed, Differential::NoDifference)
    );
    assert!(worse.regressed());
    assert_eq!(found(&lost, &good()).patches[0].change, Change::Better);
    assert!(!found(&lost, &good()).regressed());
}

/// What becomes of a pair, and whether that is no success.
fn becomes(old: Differential, new: Differential) -> (Option<Change>, bool) {
    let side = |outcome: Differential| {
        let mut side = run(good().to_vec());
        side.comparisons.iter_mut().for_each(|pair| pair.outcome = outcome);
        side
    };
    let found = compare(&[side(old)], &[side(new)]).unwrap();
    (found.patches.first().map(|moved| moved.change), found.regressed())
}

#[test]
fn a_series_of_which_nothing_is_stated_loses_its_fix_when_it_only_does_as_the_baseline_does() {
    use Differential::{Changed, Fixed, Inert, NoDifference, NotFixed, Regressed, Same, Unknown};
    for lost in [Same, Changed, NoDifference, NotFixed, Unknown, Regressed] {
        assert_eq!(becomes(Fixed, lost), (Some(Change::Worse), true), "FIXED -> {lost:?}");
        assert_eq!(becomes(lost, Fixed), (Some(Change::Better), false), "{lost:?} -> FIXED");
    }
    for (one, other) in [(Same, Changed), (Changed, Same), (Same, NoDifference), (Inert, Fixed)] {
        assert_eq!(becomes(one, other), (Some(Change::Other), false), "{one:?} -> {other:?}");
    }
    assert_eq!(becomes(Same, Regressed), (Some(Change::Worse), true));
    // A policy that is off has nothing better to do.
    assert_eq!(becomes(Inert, Inert), (None, false));
    assert_eq!(becomes(Regressed, Inert), (Some(Change::Better), false));
    assert_eq!(becomes(Inert, Regressed), (Some(Change::Worse), true));
}

#[test]
fn slower_is_what_chance_does_not_explain() {
    // Wholly apart, seven of each: 1 in 3432, and the bound is 1 in 100 for each of the few
    // numbers.
    let (old, new) = (spread("load.ms", 7, 400.0, 1.0), spread("load.ms", 7, 500.0, 1.0));
    let slower = found(&old, &new);
    assert_eq!(changes(&slower, "load.ms"), [Change::Worse]);
    assert!(slower.regressed() && slower.provable > 0);
    assert_eq!(changes(&found(&new, &old), "load.ms"), [Change::Better]);
    assert!(!found(&new, &old).regressed());
    // The same growth of values that lie between each other.
    let (old, new) = (spread("load.ms", 7, 100.0, 100.0), spread("load.ms", 7, 160.0, 100.0));
    assert_eq!(changes(&found(&old, &new), "load.ms"), []);
    // Apart, but by less than a tenth; and by a tenth of next to nothing.
    let (old, new) = (spread("load.ms", 7, 1000.0, 1.0), spread("load.ms", 7, 1090.0, 1.0));
    assert_eq!(changes(&found(&old, &new), "load.ms"), []);
    let (old, new) = (spread("load.ms", 7, 4.0, 0.1), spread("load.ms", 7, 7.0, 0.1));
    assert_eq!(changes(&found(&old, &new), "load.ms"), []);
}

#[test]
fn few_values_prove_nothing_and_a_multiple_is_named() {
    let (old, new) = (spread("load.ms", 1, 400.0, 0.0), spread("load.ms", 1, 801.0, 0.0));
    let unproven = found(&old, &new);
    assert_eq!(changes(&unproven, "load.ms"), [Change::Other]);
    assert!(!unproven.regressed());
    let less = spread("load.ms", 1, 799.0, 0.0);
    assert_eq!(changes(&found(&old, &less), "load.ms"), []);
    let (old, new) = (spread("load.ms", 1, 10.0, 0.0), spread("load.ms", 1, 100.0, 0.0));
    assert_eq!(changes(&found(&old, &new), "load.ms"), []);
}

#[test]
fn runs_of_a_side_count_together() {
    let side = |from: f64| -> Vec<RunResult> {
        (0..7).map(|night| run(spread("load.ms", 1, from + f64::from(night), 0.0))).collect()
    };
    let slower = compare(&side(400.0), &side(500.0)).unwrap();
    assert_eq!(changes(&slower, "load.ms"), [Change::Worse]);
    let number = slower.numbers.iter().find(|number| number.fact == "load.ms").unwrap();
    assert_eq!(
        (number.old.count, number.old.min, number.old.median, number.old.max),
        (7, 400.0, 403.0, 406.0)
    );
}

#[test]
fn times_of_unlike_machines_prove_nothing_and_sizes_do() {
    let (old, mut new) =
        (run(spread("load.ms", 7, 400.0, 1.0)), run(spread("load.ms", 7, 900.0, 1.0)));
    new.manifest.host.cpus += 2;
    let unlike = compare(&[old], &[new]).unwrap();
    assert_eq!(changes(&unlike, "load.ms"), [Change::Other]);
    assert_eq!(unlike.times_unlike.as_deref(), Some("CPUs: 2 -> 4"));
    assert_eq!(unlike.unlike, ["CPUs: 2 -> 4"]);
    let fact = "peak_over_bytes";
    let (old, mut new) = (run(spread(fact, 7, 400e3, 1.0)), run(spread(fact, 7, 900e3, 1.0)));
    new.manifest.host.cpus += 2;
    assert_eq!(changes(&compare(&[old], &[new]).unwrap(), fact), [Change::Worse]);
}

/// Loads of these many milliseconds, the longest `timed_out` of which did not end there.
fn loads(count: u32, from: f64, step: f64, timed_out: usize) -> Vec<CellResult> {
    let mut cells = spread("load.ms", count, from, step);
    for cell in cells.iter_mut().rev().take(timed_out) {
        *cell = with(cell, "load.complete", 0.0);
    }
    cells
}

#[test]
fn a_load_that_times_out_now_is_slower_and_never_faster() {
    let whole = loads(10, 900.0, 1.0, 0);
    let cut = loads(10, 6000.0, 1.0, 10);
    let slower = found(&whole, &cut);
    assert_eq!(changes(&slower, "load.ms"), [Change::Worse]);
    assert!(slower.regressed());
    let number = slower.numbers.iter().find(|number| number.fact == "load.ms").unwrap();
    assert_eq!((number.old.timed_out, number.new.timed_out, number.new.median), (0, 10, 6004.5));
    // With so short a limit it may have taken any time.
    assert_eq!(changes(&found(&cut, &loads(10, 100.0, 1.0, 10)), "load.ms"), []);
    assert_eq!(changes(&found(&whole, &loads(10, 100.0, 1.0, 10)), "load.ms"), []);
    // Of a few the others can tell, of most not.
    assert_eq!(changes(&found(&whole, &loads(10, 100.0, 1.0, 6)), "load.ms"), []);
    assert_eq!(changes(&found(&whole, &loads(10, 100.0, 1.0, 1)), "load.ms"), [Change::Better]);
    // A single one is named, as any number that has doubled.
    let one = found(&loads(1, 900.0, 0.0, 0), &loads(1, 6000.0, 0.0, 1));
    assert_eq!((changes(&one, "load.ms"), one.regressed()), (vec![Change::Other], false));
}

#[test]
fn a_load_that_timed_out_before_is_no_reason_to_call_another_slower() {
    let cut = loads(10, 900.0, 1.0, 10);
    let worse = found(&cut, &loads(10, 6000.0, 1.0, 0));
    assert_eq!(changes(&worse, "load.ms"), []);
    assert!(!worse.regressed());
    assert_eq!(changes(&found(&cut, &loads(10, 6000.0, 1.0, 10)), "load.ms"), []);
    let better = found(&loads(10, 6000.0, 1.0, 10), &loads(10, 900.0, 1.0, 0));
    assert_eq!(changes(&better, "load.ms"), [Change::Better]);
    assert!(!better.regressed());
    // Most of them have ended, so that their median is known.
    let mostly = found(&loads(10, 900.0, 1.0, 1), &loads(10, 6000.0, 1.0, 0));
    assert_eq!(changes(&mostly, "load.ms"), [Change::Worse]);
}

#[test]
fn loads_that_timed_out_on_both_sides_are_not_compared() {
    let (whole, cut) = (loads(7, 6000.0, 1.0, 0), loads(7, 6000.0, 1.0, 7));
    assert_eq!(found(&cut, &cut).compared + 1, found(&whole, &cut).compared);
}

#[test]
fn a_useless_verdict_has_no_numbers() {
    let (old, mut new) = (spread("load.ms", 7, 400.0, 1.0), spread("load.ms", 7, 6000.0, 1.0));
    new.iter_mut().for_each(|ran| ran.first.judgement.verdict = crate::taxonomy::Verdict::Error);
    assert_eq!(changes(&found(&old, &new), "load.ms"), []);
}

#[test]
fn what_did_not_run_is_named_and_a_run_that_is_not_whole_proves_nothing() {
    let [baseline, patched] = good();
    let fewer = found(&good(), std::slice::from_ref(&patched));
    assert_eq!((fewer.gone.as_slice(), fewer.added.len()), (&[baseline.cell.key.clone()][..], 0));
    assert!(!fewer.regressed());
    assert_eq!(found(std::slice::from_ref(&patched), &good()).added, fewer.gone);
    let mut torn = run(vec![patched.clone()]);
    torn.totals.planned = 2;
    let torn = compare(&[run(vec![patched.clone()])], &[torn]).unwrap();
    assert_eq!(torn.incomplete, ["2026-01-31T04-00-00Z ran 1 of 2 cells"]);
    assert!(torn.regressed());
    let fault = compare(&[run(vec![baseline])], &[run(vec![patched])]).unwrap_err();
    assert_eq!(fault.what, "the two sides have no cell in common");
}

#[test]
fn nights_of_a_matrix_make_lines_with_gaps() {
    let night = |name: &str, cells: Vec<CellResult>| {
        let mut night = run(cells);
        night.run = name.to_owned();
        night
    };
    let [baseline, patched] = good();
    let mut other = night("other", vec![patched.clone()]);
    other.manifest.matrix = "full".to_owned();
    let mut rebuilt = night("c", vec![baseline.clone(), failed(&patched)]);
    rebuilt.manifest.kernels.get_mut("baseline").unwrap().image_sha256 = "1".repeat(64);
    let nights = [
        night("a", good().to_vec()),
        other,
        night("b", vec![with(&baseline, "load.ms", 700.0)]),
        rebuilt,
    ];
    let all = trends(&nights, 10);
    assert_eq!(all.iter().map(|t| t.matrix.as_str()).collect::<Vec<_>>(), ["default", "full"]);
    let default = &all[0];
    assert_eq!(default.nights[2].changes, ["open.v2.patched.overcharge: PASS -> FAIL I3"]);
    assert!(default.nights[1].changes.is_empty());
    assert_eq!(default.nights.iter().map(|n| n.rebuilt.len()).collect::<Vec<_>>(), [0, 0, 1]);
    let medians = |id: &str, fact: &str| -> Vec<Option<f64>> {
        let line = default
            .lines
            .iter()
            .find(|line| line.of.to_string() == id && line.fact == trends::Trend::Fact(fact.into()))
            .unwrap();
        line.points.iter().map(|point| point.map(|side| side.median)).collect()
    };
    assert_eq!(medians("open.v2.patched.overcharge", "load.ms")[1], None);
    assert_eq!(medians("open.v2.baseline.mainline", "load.ms")[1], Some(700.0));
    // Only what every night has stands for a kernel: the patched cell is missing from one.
    assert!(default.overall.iter().all(|line| line.of.to_string() == "baseline.mainline"));
    assert!(!default.overall.is_empty());
    assert_eq!(trends(&nights, 1)[0].nights.len(), 1);

    let mut few = nights.to_vec();
    few.retain(|night| night.manifest.matrix == "default");
    few[1].totals.ran = 1;
    few[0].totals.ran = 3;
    let gap = &trends(&few, 10)[0];
    assert!(
        gap.overall.iter().any(|line| line.of.to_string() == "patched.overcharge"),
        "the night of few cells counts"
    );
    assert!(gap.overall.iter().all(|line| line.points[1].is_none() && line.points[0].is_some()));

    few[2].cells[0].cell.round = Some(1);
    let names: Vec<String> = trends(&few, 10).into_iter().map(|trends| trends.matrix).collect();
    assert_eq!(names, ["default", "default, soak"]);
}
