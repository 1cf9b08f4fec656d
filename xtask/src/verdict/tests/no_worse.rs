// SPDX-License-Identifier: MIT OR Apache-2.0
//! A patched kernel of which nothing is stated, compared with the baseline.

use super::*;
use crate::config::{Comparison, Condition};
use crate::outcome::{Comparison as Compared, Difference, Differential};
use Differential::{Changed, Fixed, Regressed, Same, Unknown};

/// A baseline that loses five opens, as expected of it, and the same of a kernel with somebody's
/// patches.
fn pair() -> [(Cell, Judgement); 2] {
    let bench = Bench::mainline();
    let mut judgement = bench.judge();
    judgement.verdict = Verdict::Fail;
    judgement.breaks = vec!["I1".into()];
    judgement.facts.insert("open.ENOMEM".into(), 5.0);
    judgement.facts.insert("kills".into(), 0.0);
    let mut base = bench.cell.clone();
    base.expect.verdict = Verdict::Fail;
    base.expect.breaks = vec!["I1".into()];
    let mut cell = bench.cell;
    cell.key.kernel = "series".to_owned();
    cell.expect.may_break = vec!["I1".into()];
    cell.expect.or_better = true;
    [(base, judgement.clone()), (cell, judgement)]
}

fn compared(pair: &[(Cell, Judgement); 2]) -> Compared {
    let all: Vec<Judged<'_>> =
        pair.iter().map(|(cell, judgement)| Judged { cell, judgement }).collect();
    compare("open", "baseline", &all).remove(0)
}

fn changed(change: impl FnOnce(&mut [(Cell, Judgement); 2])) -> Compared {
    let mut pair = pair();
    change(&mut pair);
    compared(&pair)
}

#[test]
fn the_same_is_the_same_and_better_is_fixed() {
    let same = changed(|_| {});
    assert_eq!(same.outcome, Same);
    assert_eq!(same.differences, []);
    let fixed = changed(|[_, (_, here)]| {
        here.verdict = Verdict::Pass;
        here.breaks.clear();
        here.facts.insert("open.ENOMEM".into(), 0.0);
    });
    assert_eq!(fixed.outcome, Fixed);
    assert_eq!(fixed.differences, [Difference::Kept { rule: "I1".into() }]);
}

#[test]
fn worse_is_a_regression() {
    let crash = changed(|[_, (_, here)]| here.verdict = Verdict::Crash);
    assert_eq!(crash.outcome, Regressed);
    let hang = changed(|[_, (_, here)]| here.verdict = Verdict::Hang);
    assert_eq!(hang.outcome, Regressed);
    let rule = changed(|[_, (_, here)]| here.breaks.push("I5".into()));
    assert_eq!(rule.outcome, Regressed);
    let shows = changed(|[(_, base), (_, here)]| {
        base.facts.insert("open.ENOMEM".into(), 0.0);
        base.verdict = Verdict::Pass;
        base.breaks.clear();
        // I1 may be broken where the unpatched kernel is known to; that it is, is worse all the
        // same.
        here.verdict = Verdict::Fail;
    });
    assert_eq!(shows.outcome, Regressed);
}

#[test]
fn other_is_changed_and_says_in_what() {
    let kills = changed(|[_, (_, here)]| {
        here.facts.insert("kills".into(), 12.0);
    });
    assert_eq!(kills.outcome, Changed);
    let (fact, baseline, patched) = ("kills".into(), 0.0, 12.0);
    assert_eq!(kills.differences, [Difference::Count { fact, baseline, patched }]);
    let stated = changed(|[(base, _), (_, here)]| {
        let condition =
            Condition { fact: "kills".into(), comparison: Comparison::Equal, number: 0.0 };
        base.expect.facts = vec![condition];
        here.facts.insert("kills".into(), 1.0);
    });
    assert_eq!(stated.outcome, Regressed, "one kill may be chance, what was stated is not");
    let (fact, baseline, patched) = ("kills".into(), vec![0.0], vec![1.0]);
    let worse = true;
    assert_eq!(stated.differences, [Difference::Stated { fact, baseline, patched, worse }]);
}

#[test]
fn of_what_is_stated_only_harm_is_worse() {
    let stated = |fact: &str, comparison: Comparison, base_value: f64, value: f64| {
        let found = changed(|[(base, was), (_, here)]| {
            base.expect.facts =
                vec![Condition { fact: fact.into(), comparison, number: base_value }];
            was.facts.insert(fact.into(), base_value);
            here.facts.insert(fact.into(), value);
        });
        found.outcome
    };
    assert_eq!(stated("load.complete", Comparison::Equal, 1.0, 0.0), Regressed);
    assert_eq!(stated("outsider.raise.succeeded", Comparison::Equal, 2.0, 1.0), Regressed);
    assert_eq!(stated("outsider.raise.succeeded", Comparison::Equal, 0.0, 1.0), Changed);
    assert_eq!(stated("parent.events.oom_group_kill", Comparison::Equal, 0.0, 1.0), Regressed);
    assert_eq!(stated("kills", Comparison::AtLeast, 2.0, 1.0), Changed);
    assert_eq!(stated("parent.events.max", Comparison::Equal, 0.0, 1.0), Changed);
}

#[test]
fn a_limit_that_only_the_baseline_meets_is_a_change() {
    let met = |verdict: Verdict, times: f64| {
        changed(|[(base, was), (_, here)]| {
            let at_least = Comparison::AtLeast;
            let fact = "events.max".into();
            base.expect.exercised = vec![Condition { fact, comparison: at_least, number: 1.0 }];
            was.facts.insert("events.max".into(), 3.0);
            here.facts.insert("events.max".into(), times);
            here.verdict = verdict;
        })
    };
    let never = met(Verdict::Inconclusive, 0.0);
    assert_eq!(never.outcome, Changed);
    let (fact, baseline, patched) = ("events.max".into(), vec![3.0], vec![0.0]);
    assert_eq!(never.differences, [Difference::Stated { fact, baseline, patched, worse: false }]);
    assert_eq!(met(Verdict::Inconclusive, 1.0).outcome, Unknown, "something else was not reached");
    assert_eq!(met(Verdict::Error, 0.0).outcome, Unknown);
}

#[test]
fn what_objects_charge_is_held_against_the_baseline() {
    let charge = |bytes: &[Option<f64>; 2]| {
        changed(|pair| {
            for ((_, judgement), bytes) in pair.iter_mut().zip(bytes) {
                judgement.facts.extend(bytes.map(|bytes| ("census.open".into(), bytes)));
            }
        })
    };
    let tolerance = 16_384.0 + 20_000.0;
    for (bytes, outcome) in [
        ([Some(1e6), Some(1e6 - tolerance)], Same),
        ([Some(1e6), Some(1e6 - tolerance - 1.0)], Regressed),
        ([Some(1e6), Some(1e6 + tolerance)], Same),
        ([Some(1e6), Some(1e6 + tolerance + 1.0)], Changed),
        ([Some(1e6), None], Regressed),
        ([None, Some(1e6)], Changed),
    ] {
        let compared = charge(&bytes);
        assert_eq!(compared.outcome, outcome, "{bytes:?}");
        assert_eq!(compared.differences.is_empty(), outcome == Same, "{bytes:?}");
    }
    let both = changed(|pair| {
        pair[0].1.facts.insert("census.open".into(), 1e6);
        pair[1].1.facts.insert("census.open".into(), 0.0);
        pair[1].1.verdict = Verdict::Inconclusive;
    });
    assert_eq!(both.outcome, Unknown);
}

#[test]
fn what_the_machine_keeps_is_held_against_the_baseline() {
    let kept = |name: &str, baseline: f64, here: f64| {
        let compared = changed(|pair| {
            pair[0].1.facts.insert(name.into(), baseline);
            pair[1].1.facts.insert(name.into(), here);
        });
        compared.outcome
    };
    // Half of 6 MiB, of 256 files.
    let vmalloc = |here: u32| kept("left.vmalloc", 4096.0, 4096.0 + f64::from(here));
    assert_eq!([vmalloc(3 << 20), vmalloc((3 << 20) + 1)], [Same, Regressed]);
    let files = |here: f64| kept("left.files", 32.0, here);
    assert_eq!([files(160.0), files(161.0)], [Same, Regressed]);
    assert_eq!(kept("left.vmalloc", 1e8, 0.0), Same, "less is no leak");
}

#[test]
fn a_control_is_compared_too() {
    let mut pair = pair();
    pair[1].0.note.problem.clear();
    assert_eq!(compared(&pair).outcome, Same);
    pair[1].1.verdict = Verdict::Pass;
    pair[1].1.breaks.clear();
    assert_eq!(compared(&pair).outcome, Changed);
}

#[test]
fn a_kill_of_the_whole_system_is_worse_where_the_baseline_has_none() {
    let globally = |[base, here]: [f64; 2]| {
        changed(|pair| {
            for ((_, judgement), kills) in pair.iter_mut().zip([base, here]) {
                judgement.facts.insert("kills.global".into(), kills);
            }
            pair[1].1.verdict = Verdict::Error;
        })
    };
    assert_eq!(globally([0.0, 1.0]).outcome, Regressed);
    assert_eq!(globally([1.0, 1.0]).outcome, Unknown);
    assert_eq!(globally([0.0, 0.0]).outcome, Unknown);
}

#[test]
fn a_side_without_a_verdict_says_nothing() {
    assert_eq!(changed(|[(_, base), _]| base.verdict = Verdict::Error).outcome, Unknown);
    assert_eq!(changed(|[_, (_, here)]| here.verdict = Verdict::Inconclusive).outcome, Unknown);
}

/// The outcome where the first `base` of ten repetitions show the problem on the baseline, and the
/// first `here` of ten here.
fn repeated(base: usize, here: usize) -> Differential {
    let [one, other] = pair();
    let ten = |(cell, judgement): (Cell, Judgement), shows: usize| {
        (0..10).map(move |at| {
            let mut judgement = judgement.clone();
            judgement.facts.insert("open.ENOMEM".into(), if at < shows { 5.0 } else { 0.0 });
            (cell.clone(), judgement)
        })
    };
    let cells: Vec<(Cell, Judgement)> = ten(one, base).chain(ten(other, here)).collect();
    let all: Vec<Judged<'_>> =
        cells.iter().map(|(cell, judgement)| Judged { cell, judgement }).collect();
    compare("open", "baseline", &all).remove(0).outcome
}

#[test]
fn with_repetitions_chance_is_neither_better_nor_worse() {
    let table = [
        (10, 10, Same),
        (0, 0, Same),
        (5, 6, Same),
        (10, 0, Fixed),
        (9, 0, Fixed),
        (10, 3, Changed),
        (3, 10, Regressed),
        (0, 10, Regressed),
        (0, 1, Unknown),
        (1, 0, Unknown),
    ];
    for (base, here, outcome) in table {
        assert_eq!(repeated(base, here), outcome, "{base} and {here} of 10");
    }
}
