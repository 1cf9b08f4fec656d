// SPDX-License-Identifier: MIT OR Apache-2.0
//! What counts as a mutant that was caught, and what does not.

use super::*;
use crate::config::Caught;
use std::collections::BTreeMap;

fn judged(verdict: Verdict, breaks: &[&str], as_expected: bool) -> Judgement {
    Judgement {
        verdict,
        breaks: breaks.iter().map(|&rule| rule.into()).collect(),
        why: String::new(),
        as_expected,
        checks: Vec::new(),
        facts: BTreeMap::new(),
        cause: None,
        frames: Vec::new(),
        known: Vec::new(),
    }
}

fn wanted(rule: &str, verdict: Verdict) -> Caught {
    Caught {
        scenario: "open".to_owned(),
        cgroup: protocol::CgroupVersion::V2,
        policy: "overcharge".to_owned(),
        rule: rule.into(),
        fact: None,
        verdict,
    }
}

fn ran(judgement: &Judgement) -> Option<Ran<'_>> {
    Some(Ran { judgement, flaky: false })
}

/// A mutant that I5 must catch, beside a kernel that passes.
fn of(verdict: Verdict, breaks: &[&str]) -> Score {
    let (mutant, control) = (judged(verdict, breaks, true), judged(Verdict::Pass, &[], true));
    score(&wanted("I5", Verdict::Fail), ran(&mutant), ran(&control))
}

#[test]
fn the_rule_named_catches_and_no_other_one() {
    assert_eq!(of(Verdict::Fail, &["I5"]), Score::Caught);
    assert_eq!(of(Verdict::Fail, &["I1", "I5", "E"]), Score::Caught);
    assert_eq!(of(Verdict::Fail, &["I1", "E"]), Score::Otherwise);
    assert_eq!(of(Verdict::Crash, &["I1"]), Score::Otherwise);
    assert_eq!(of(Verdict::Pass, &[]), Score::Survived);
    assert_eq!(of(Verdict::Inconclusive, &["I5"]), Score::Survived);
}

#[test]
fn a_crash_counts_where_the_kernel_itself_sees_it_and_only_there() {
    let control = judged(Verdict::Pass, &[], true);
    let crash = |wanted: &Caught, verdict, breaks: &[&str]| {
        score(wanted, ran(&judged(verdict, breaks, true)), ran(&control))
    };
    let seen = wanted("I5", Verdict::Crash);
    assert_eq!(crash(&seen, Verdict::Crash, &["I5"]), Score::Caught);
    assert_eq!(crash(&seen, Verdict::Crash, &[]), Score::Caught);
    assert_eq!(crash(&seen, Verdict::Crash, &["I1"]), Score::Otherwise);
    assert_eq!(crash(&seen, Verdict::Fail, &["I5"]), Score::Otherwise);
    assert_eq!(crash(&wanted("I5", Verdict::Fail), Verdict::Crash, &["I5"]), Score::Otherwise);
}

#[test]
fn time_that_was_up_catches_nothing() {
    assert_eq!(of(Verdict::Hang, &["I5", "I6"]), Score::OnlyTime);
    let (mutant, control) =
        (judged(Verdict::Hang, &["I6"], false), judged(Verdict::Pass, &[], true));
    let hang = score(&wanted("I6", Verdict::Fail), ran(&mutant), ran(&control));
    assert_eq!(hang, Score::OnlyTime);
    let hang = score(&wanted("I6", Verdict::Hang), ran(&mutant), ran(&control));
    assert_eq!(hang, Score::Caught, "the bug is a dead loop");
}

#[test]
fn the_kernel_without_the_bug_must_keep_the_rule_there() {
    let mutant = judged(Verdict::Fail, &["I5"], true);
    let beside = |verdict, breaks: &[&str], as_expected| {
        let control = judged(verdict, breaks, as_expected);
        score(&wanted("I5", Verdict::Fail), ran(&mutant), ran(&control))
    };
    assert_eq!(beside(Verdict::Pass, &[], true), Score::Caught);
    assert_eq!(beside(Verdict::Fail, &["I1"], true), Score::Caught, "known of that kernel");
    assert_eq!(beside(Verdict::Fail, &["I1"], false), Score::Control);
    assert_eq!(beside(Verdict::Fail, &["I1", "I5"], true), Score::Control);
    assert_eq!(beside(Verdict::Hang, &[], false), Score::Control);
    assert_eq!(beside(Verdict::Error, &[], false), Score::NoVerdict);
    let nothing = score(&wanted("I5", Verdict::Fail), ran(&mutant), None);
    assert_eq!(nothing, Score::NoVerdict);
}

#[test]
fn once_is_not_enough_and_no_verdict_is_none() {
    let control = judged(Verdict::Pass, &[], true);
    let flaky = |judgement: &Judgement| {
        let mutant = Some(Ran { judgement, flaky: true });
        score(&wanted("I5", Verdict::Fail), mutant, ran(&control))
    };
    assert_eq!(flaky(&judged(Verdict::Pass, &[], false)), Score::Flaky);
    assert_eq!(flaky(&judged(Verdict::Fail, &["I1"], false)), Score::Flaky);
    for verdict in [Verdict::Error, Verdict::Skip] {
        assert_eq!(of(verdict, &["I5"]), Score::NoVerdict);
    }
    assert_eq!(score(&wanted("I5", Verdict::Fail), None, ran(&control)), Score::NoVerdict);
}
