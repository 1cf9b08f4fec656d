// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program of the user as the load: nothing is stated of it.

use serde_json::json;

use super::*;
use crate::outcome::Differential;
use crate::taxonomy::Verdict::{Crash, Error, Fail, Inconclusive, Pass};

/// The mainline bench with a program in place of its calls, which exited so.
fn program(kernel: &str, exit: i32) -> Bench {
    let mut bench = Bench::mainline();
    bench.cell.key.kernel = kernel.to_owned();
    bench.cell.expect.any = true;
    bench.cell.expect.or_better = kernel != "baseline";
    bench.cell.note.problem = vec![crate::config::Condition {
        fact: "program.failed".into(),
        comparison: crate::config::Comparison::AtLeast,
        number: 1.0,
    }];
    let said = json!({ "argv": ["/exec/a"], "env": [], "files_sha256": "f" });
    bench.cell.request.program = serde_json::from_value(said).unwrap();
    bench.evidence.request = bench.cell.request.clone();
    let actor = |operations: &Operations| operations.role == ProcessRole::Actor;
    let fact = |event: &Event| !matches!(&event.fact, Fact::Operations(of) if actor(of));
    bench.evidence.events.retain(fact);
    for event in &mut bench.evidence.events {
        if let Fact::ProcessEnded(end) = &mut event.fact
            && end.role == ProcessRole::Actor
        {
            (end.end, end.by_guest) = (ProcessEnd::Exited(exit), false);
        }
    }
    let at = bench.evidence.events.len() - 1;
    let printed = protocol::Transcript {
        not_started: None,
        bytes: 3,
        head: "abc".to_owned(),
        tail: String::new(),
    };
    let at_us = bench.evidence.events[at].at_us;
    let event = Event { seq: 0, at_us, fact: Fact::Transcript(printed) };
    bench.evidence.events.insert(at, event);
    for (seq, event) in bench.evidence.events.iter_mut().enumerate() {
        event.seq = seq as u64;
    }
    bench
}

fn outcome(base: &Bench, here: &Bench) -> (Differential, usize) {
    let (one, other) = (base.judge(), here.judge());
    let judged = [
        Judged { cell: &base.cell, judgement: &one },
        Judged { cell: &here.cell, judgement: &other },
    ];
    let compared = compare("open", "baseline", &judged).remove(0);
    (compared.outcome, compared.differences.len())
}

#[test]
fn how_it_ended_is_a_fact_and_no_verdict() {
    let judgement = program("baseline", 3).judge();
    assert_eq!(judgement.verdict, Pass, "{}", judgement.why);
    let fact = |name: &str| judgement.facts.get(&name.into()).copied();
    assert_eq!(fact("program.failed"), Some(1.0));
    assert_eq!((fact("program.status"), fact("program.signal")), (Some(3.0), Some(0.0)));
    assert_eq!((fact("program.timed_out"), fact("program.output_bytes")), (Some(0.0), Some(3.0)));
    assert_eq!(program("baseline", 0).judge().facts[&"program.failed".into()], 0.0);
}

#[test]
fn without_its_output_nothing_is_proven() {
    let mut bench = program("baseline", 0);
    bench.evidence.events.retain(|event| !matches!(event.fact, Fact::Transcript(_)));
    for (seq, event) in bench.evidence.events.iter_mut().enumerate() {
        event.seq = seq as u64;
    }
    let judgement = bench.judge();
    assert_eq!(judgement.verdict, Error);
    assert!(judgement.why.contains("what the program printed"), "{}", judgement.why);
}

#[test]
fn whatever_the_kernel_does_is_as_expected_but_not_that_nothing_was_seen() {
    let mut crash = program("baseline", 0);
    crash.evidence.console = CONSOLE.replace("loop0: detected capacity change from 0 to 8192", "x")
        + "<1>[    0.7] BUG: kernel NULL pointer dereference, address: 0\n";
    let judgement = crash.judge();
    assert_eq!((judgement.verdict, judgement.as_expected), (Crash, true));
    let mut never = program("baseline", 0);
    never.cell.expect.exercised = vec![crate::config::Condition {
        fact: "events.max".into(),
        comparison: crate::config::Comparison::AtLeast,
        number: 1e9,
    }];
    let judgement = never.judge();
    assert_eq!((judgement.verdict, judgement.as_expected), (Inconclusive, false));
}

#[test]
fn an_eligible_charge_that_fails_breaks_i1_under_any_policy() {
    let row = json!([{
        "task": "a", "gfp": ["DIRECT_RECLAIM"], "pages": 1, "error": -12, "count": 1,
        "path": ["obj_cgroup_charge_pages"], "dying": false
    }]);
    let judgement = program("baseline", 0).set(CHARGES, "/failed", row).judge();
    assert_eq!(judgement.verdict, Fail, "{}", judgement.why);
    assert!(judgement.why.starts_with("I1: ") && judgement.as_expected, "{}", judgement.why);
}

#[test]
fn the_series_is_compared_with_what_the_baseline_did() {
    let [good, bad, other] = [0, 1, 2].map(|exit| move |kernel: &str| program(kernel, exit));
    let of = |base: Bench, here: Bench| outcome(&base, &here);
    assert_eq!(of(good("baseline"), good("series")), (Differential::Same, 0));
    assert_eq!(of(bad("baseline"), bad("series")), (Differential::Same, 0));
    assert_eq!(of(bad("baseline"), good("series")).0, Differential::Fixed);
    assert_eq!(of(good("baseline"), bad("series")).0, Differential::Regressed);
    assert_eq!(of(bad("baseline"), other("series")), (Differential::Changed, 1));
    let crashed = |kernel: &str| {
        let mut bench = program(kernel, 0);
        bench.evidence.console += "<1>[    0.7] BUG: kernel NULL pointer dereference, address: 0\n";
        bench
    };
    assert_eq!(of(crashed("baseline"), good("series")).0, Differential::Fixed);
    assert_eq!(of(crashed("baseline"), crashed("series")).0, Differential::Same);
    assert_eq!(of(good("baseline"), crashed("series")).0, Differential::Regressed);
}
