// SPDX-License-Identifier: MIT OR Apache-2.0
//! A patched kernel compared with the baseline.

use super::*;
use crate::outcome::{Comparison, Difference, Differential, Side};
use Differential::{Fixed, Inert, NoDifference, NotFixed, Regressed, Unknown};

/// A judgement with a verdict and a number of failed opens (the problem: at least one).
fn judged(bench: &Bench, verdict: Verdict, enomem: f64) -> (Cell, Judgement) {
    let mut judgement = bench.judge();
    judgement.verdict = verdict;
    judgement.breaks = if enomem > 0.0 { vec!["I1".into()] } else { Vec::new() };
    if verdict == Verdict::Error {
        judgement.facts.clear();
    } else {
        judgement.facts.insert("open.ENOMEM".into(), enomem);
    }
    (bench.cell.clone(), judgement)
}

fn found(base: &[(Verdict, f64)], patched: &[(Verdict, f64)], policy: &str) -> Comparison {
    let mut bench = Bench::overcharge();
    bench.cell.key.policy = policy.to_owned();
    if policy == "off" {
        bench.cell.expects_as = MAINLINE.to_owned();
    }
    let cells: Vec<(Cell, Judgement)> = base
        .iter()
        .map(|(verdict, enomem)| judged(&Bench::mainline(), *verdict, *enomem))
        .chain(patched.iter().map(|(verdict, enomem)| judged(&bench, *verdict, *enomem)))
        .collect();
    let all: Vec<Judged<'_>> =
        cells.iter().map(|(cell, judgement)| Judged { cell, judgement }).collect();
    let mut outcomes = compare("open", "baseline", &all);
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

#[test]
fn every_pair_has_its_word() {
    let (pass, fail, error) = ((Verdict::Pass, 0.0), (Verdict::Fail, 5.0), (Verdict::Error, 0.0));
    let table = [
        (fail, pass, "overcharge", Fixed),
        (fail, fail, "overcharge", NotFixed),
        (pass, pass, "overcharge", NoDifference),
        (pass, fail, "overcharge", Regressed),
        (fail, (Verdict::Crash, 0.0), "overcharge", Regressed),
        (fail, (Verdict::Hang, 0.0), "overcharge", Regressed),
        (fail, error, "overcharge", Unknown),
        (error, pass, "overcharge", Unknown),
        (error, fail, "overcharge", Unknown),
        (fail, (Verdict::Inconclusive, 0.0), "overcharge", Unknown),
        (fail, fail, "off", Inert),
        (pass, pass, "off", Inert),
        (fail, pass, "off", Regressed),
        (pass, fail, "off", Regressed),
    ];
    for (base, patched, policy, outcome) in table {
        assert_eq!(
            found(&[base], &[patched], policy).outcome,
            outcome,
            "{base:?} {patched:?} {policy}"
        );
    }
}

#[test]
fn repetitions_that_disagree_tell_what_is_no_chance() {
    let (pass, fail) = ((Verdict::Pass, 0.0), (Verdict::Fail, 5.0));
    let some = |shows: usize, of: usize| [vec![fail; shows], vec![pass; of - shows]].concat();
    let of = |base: (usize, usize), here: (usize, usize), policy| {
        found(&some(base.0, base.1), &some(here.0, here.1), policy).outcome
    };
    assert_eq!(of((2, 2), (0, 2), "overcharge"), Fixed, "both sides agree with themselves");
    assert_eq!(of((1, 2), (0, 2), "overcharge"), Unknown);
    assert_eq!(of((2, 2), (1, 2), "overcharge"), NotFixed, "rarer, but there");
    assert_eq!(of((5, 10), (0, 10), "overcharge"), Unknown, "1 in 61");
    assert_eq!(of((6, 10), (0, 10), "overcharge"), Fixed, "1 in 184");
    assert_eq!(of((10, 10), (1, 10), "overcharge"), NotFixed);
    assert_eq!(of((0, 10), (1, 10), "overcharge"), Regressed, "a rule that the baseline keeps");
    assert_eq!(of((2, 10), (10, 10), "overcharge"), Regressed);
    assert_eq!(of((9, 10), (10, 10), "overcharge"), NotFixed);
    assert_eq!(of((9, 10), (10, 10), "off"), Inert);
    assert_eq!(of((1, 10), (9, 10), "off"), Regressed);
    let told = found(&some(9, 10), &some(0, 10), "overcharge");
    let shown = |side: &Side| side.shown.map(|shown| (shown.shows, shown.of));
    assert_eq!((shown(&told.baseline), shown(&told.patched)), (Some((9, 10)), Some((0, 10))));
    assert_eq!((told.baseline.flaky(), told.patched.flaky()), (vec![1], vec![]));
    assert!((1.0 / told.chance.unwrap() - 16_796.0).abs() < 0.1, "{told:?}");
}

#[test]
fn a_comparison_has_the_numbers_of_both_sides() {
    let fixed = found(&[(Verdict::Fail, 101.0)], &[(Verdict::Pass, 0.0)], "overcharge");
    let values = |side: &Side| side.repetitions[0].values.clone();
    assert_eq!(
        (values(&fixed.baseline), values(&fixed.patched)),
        (vec![Some(101.0)], vec![Some(0.0)])
    );
    assert_eq!((fixed.problem.len(), fixed.chance), (1, None));
    let error = found(&[(Verdict::Fail, 101.0)], &[(Verdict::Error, 0.0)], "overcharge");
    assert_eq!((error.patched.shown, values(&error.patched)), (None, vec![None]));
}

#[test]
fn a_new_broken_rule_is_a_regression_though_the_problem_is_gone() {
    let (base_cell, base) = judged(&Bench::mainline(), Verdict::Fail, 5.0);
    let (cell, mut patched) = judged(&Bench::overcharge(), Verdict::Fail, 0.0);
    patched.breaks = vec!["I2".into()];
    let all = [
        Judged { cell: &base_cell, judgement: &base },
        Judged { cell: &cell, judgement: &patched },
    ];
    let outcomes = compare("open", "baseline", &all);
    assert_eq!(outcomes[0].outcome, Regressed);
}

#[test]
fn what_the_baseline_breaks_now_and_then_is_no_regression() {
    let (mut base_cell, mut base) = judged(&Bench::mainline(), Verdict::Pass, 5.0);
    base.breaks.clear();
    let (mut cell, off) = judged(&Bench::overcharge(), Verdict::Fail, 5.0);
    cell.expects_as = MAINLINE.to_owned();
    let outcome = |base_cell: &Cell| {
        let all =
            [Judged { cell: base_cell, judgement: &base }, Judged { cell: &cell, judgement: &off }];
        compare("open", "baseline", &all)[0].outcome
    };
    assert_eq!(outcome(&base_cell), Regressed);
    base_cell.expect.may_break = vec!["I1".into()];
    assert_eq!(outcome(&base_cell), Inert);
}

#[test]
fn a_control_and_a_run_without_the_baseline_say_nothing() {
    let (base_cell, base) = judged(&Bench::mainline(), Verdict::Pass, 0.0);
    let (mut cell, judgement) = judged(&Bench::overcharge(), Verdict::Pass, 0.0);
    let alone = [Judged { cell: &cell, judgement: &judgement }];
    assert_eq!(compare("open", "baseline", &alone), []);
    cell.note.problem.clear();
    let base = Judged { cell: &base_cell, judgement: &base };
    let control = [base, Judged { cell: &cell, judgement: &judgement }];
    assert_eq!(compare("open", "baseline", &control), []);
}

#[test]
fn a_policy_that_is_off_is_held_beside_the_baseline_in_a_control_too() {
    let (base_cell, base) = judged(&Bench::mainline(), Verdict::Pass, 0.0);
    let (mut cell, mut off) = judged(&Bench::overcharge(), Verdict::Pass, 0.0);
    cell.note.problem.clear();
    cell.expects_as = MAINLINE.to_owned();
    let found = |off: &Judgement| {
        let all =
            [Judged { cell: &base_cell, judgement: &base }, Judged { cell: &cell, judgement: off }];
        compare("open", "baseline", &all).remove(0)
    };
    assert_eq!(found(&off).outcome, Inert);
    off.facts.insert("kills".into(), 12.0);
    let other = found(&off);
    assert_eq!(other.outcome, Regressed);
    let (fact, baseline, patched) = ("kills".into(), 0.0, 12.0);
    assert_eq!(other.differences, [Difference::Count { fact, baseline, patched }]);
    let mut silent = base.clone();
    silent.facts.remove(&"kills".into());
    let pair =
        [Judged { cell: &base_cell, judgement: &silent }, Judged { cell: &cell, judgement: &off }];
    let differences = compare("open", "baseline", &pair).remove(0).differences;
    assert!(format!("{differences:?}").contains("baseline: 0.0"), "no -0: {differences:?}");
}
