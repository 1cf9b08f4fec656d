// SPDX-License-Identifier: MIT OR Apache-2.0
//! Both sides of the tolerances of I7, I10 and I11: bystanders, progress, and a policy that is off.

use serde_json::json;

use super::super::i10_progress::{PROCESS_BYTES, REPORT_BYTES};
use super::super::i11_off_is_mainline::differences;
use super::*;
use Outcome::{Broken, Kept, NotApplicable, Unknown};

const CONTROL: Which<'_> = &[("role", "bystander"), ("op", "control")];
const STAT: Which<'_> = &[("role", "bystander"), ("op", "stat")];
const ACTOR_ENDED: Which<'_> = &[("fact", "process_ended"), ("role", "actor")];

#[test]
fn i7_holds_the_bystanders_calls_beside_those_before_the_load() {
    // A control of 400 us, and a sleeper that was up to 15 ms late.
    let longest = |us: u64| Bench::overcharge().set(STAT, "/latency/max", us).outcome("I7");
    assert_eq!(longest(45_400), Kept);
    assert_eq!(longest(45_401), Broken);
    let slow = Bench::overcharge().set(STAT, "/latency/max", 45_401);
    assert_eq!(slow.clone().set(CONTROL, "/latency/max", 401).outcome("I7"), Kept);
    assert_eq!(slow.set(HEARTBEAT, "/gap_us_max", 15_001).outcome("I7"), Kept);
    for which in [CONTROL, STAT] {
        let renamed = Bench::overcharge().set(which, "/op", "other");
        assert_eq!(renamed.outcome("I7"), Unknown, "who made no call proves nothing");
    }
}

#[test]
fn i7_wants_no_event_and_no_end_outside() {
    const BYSTANDERS: Which<'_> = &[("stage", "after"), ("role", "bystander")];
    for key in ["max", "oom", "oom_kill"] {
        let moved = Bench::overcharge().set(BYSTANDERS, &format!("/events/{key}"), 1);
        assert_eq!(moved.outcome("I7"), Broken, "{key}");
    }
    let bystander: Which<'_> = &[("fact", "process_ended"), ("role", "bystander")];
    assert_eq!(Bench::overcharge().set(bystander, "/by_guest", false).outcome("I7"), Broken);
    assert_eq!(Bench::mainline().outcome("I7"), Kept);
}

fn without_oom_killer(mut bench: Bench) -> Bench {
    let file = "memory.oom_control".to_owned();
    bench.cell.request.writes = vec![protocol::MemcgWrite { file, value: "1".to_owned() }];
    bench.evidence.request = bench.cell.request.clone();
    bench
}

#[test]
fn nobody_is_late_who_waits_for_user_space_to_kill() {
    let long = || {
        let bench = Bench::overcharge().with_hog().set(USAGE, "/over_us_max", 6_000_000);
        bench.set(OPEN, "/latency/max", 6_000_000)
    };
    assert_eq!([long().outcome("I3"), long().outcome("I6")], [Broken; 2]);
    let waits = without_oom_killer(long());
    assert_eq!([waits.outcome("I3"), waits.outcome("I6")], [NotApplicable, Kept]);
    // Who may not go over the limit waits for nobody.
    let mut refused = without_oom_killer(long());
    let cap = refused.cell.request.cap_file.clone().expect("a file with the cap");
    refused.cell.request.policy.retain(|write| write.file != cap);
    refused.cell.request.policy.push(protocol::MemcgWrite { file: cap, value: "0".to_owned() });
    refused.evidence.request = refused.cell.request.clone();
    assert_eq!(refused.outcome("I6"), Broken);
}

#[test]
fn i10_wants_calls_to_return_where_something_was_reconciled() {
    let stuck = |count: u64| {
        let bench = Bench::overcharge().set(OPEN, "/succeeded", 1000 - count);
        bench.set(OPEN, "/unfinished", count)
    };
    let killed = |bench: Bench| bench.set(ACTOR_ENDED, "/end", json!({ "signaled": 9 }));
    assert_eq!(stuck(0).outcome("I10"), Kept);
    assert_eq!(stuck(1).outcome("I10"), Broken);
    assert_eq!(killed(stuck(1)).outcome("I10"), Kept, "one call of one that was killed");
    assert_eq!(killed(stuck(2)).outcome("I10"), Broken);
    let by_guest = killed(stuck(1)).set(ACTOR_ENDED, "/by_guest", true);
    assert_eq!(by_guest.outcome("I10"), Broken, "only the clean-up could end it");
    let mut off = stuck(1);
    off.cell.expects_as = MAINLINE.to_owned();
    assert_eq!(off.outcome("I10"), Kept);
    let by_user = without_oom_killer(stuck(1));
    assert_eq!(by_user.outcome("I10"), Kept, "the call waits for user space to make room");
    let nothing_over = stuck(1).set(SETTLED_FILES, "/counters/charges", 0);
    assert_eq!(nothing_over.outcome("I10"), Kept, "what the policy leaves alone is mainline's");
}

/// As many failed calls, and as many reports on the console, the last of them longer by that.
fn printing(failed: u64, reports: u64, more_bytes: usize) -> Bench {
    let mut bench = Bench::mainline().set(OPEN, "/succeeded", 1000 - failed);
    if failed > 0 {
        bench = bench.set(OPEN, "/errnos", json!({ "ENOMEM": failed }));
    }
    const END: &str = "[    0.9] Out of memory and no killable processes...\n";
    let mut text = String::new();
    for _ in 0..reports {
        text.push_str(
            "[    0.8] actor-0 invoked oom-killer: gfp_mask=0x400cc0(GFP_KERNEL_ACCOUNT), order=0\n",
        );
        text.push_str(END);
    }
    text.push_str(&"x".repeat(more_bytes));
    bench.logs(&text);
    bench
}

#[test]
fn i10_bounds_reports_by_what_failed() {
    assert_eq!(printing(0, 0, 0).outcome("I10"), Kept);
    assert_eq!(printing(0, 1, 0).outcome("I10"), Broken);
    assert_eq!(printing(3, 6, 0).outcome("I10"), Kept, "an allocation may be tried twice");
    assert_eq!(printing(3, 7, 0).outcome("I10"), Broken);
    let one_stuck = printing(0, 1, 0).set(OPEN, "/succeeded", 999).set(OPEN, "/unfinished", 1);
    assert_eq!(one_stuck.outcome("I10"), Kept);
    let for_ever = printing(0, 2, 0).set(OPEN, "/succeeded", 999).set(OPEN, "/unfinished", 1);
    assert_eq!(for_ever.outcome("I10"), Broken);
    let lowered = |reports| printing(0, reports, 0).set(STAT, "/op", "lower");
    assert_eq!(lowered(50).outcome("I10"), Kept, "a limit below what is in use is a report each");
    assert_eq!(lowered(51).outcome("I10"), Broken);
    let mut dropped = printing(0, 1, 0);
    dropped.evidence.console_dropped_bytes = 1;
    assert_eq!(dropped.outcome("I10"), Unknown);
}

#[test]
fn i10_bounds_the_bytes_of_reports() {
    // Two tries of one call; one task and the bystander are listed.
    let bound = (2 * (REPORT_BYTES + 2 * PROCESS_BYTES)) as usize;
    let printed = |bench: &Bench| {
        let lines = bench.evidence.console.lines().skip_while(|line| !line.contains("actor-0"));
        let kernels = lines.filter(|line| !line.starts_with("<14>"));
        kernels.map(|line| line.len() - "<4>".len() + 1).sum::<usize>()
    };
    let room = bound - printed(&printing(1, 1, 1)) + 1;
    assert_eq!(printed(&printing(1, 1, room)), bound);
    assert_eq!(printing(1, 1, room).outcome("I10"), Kept);
    assert_eq!(printing(1, 1, room + 1).outcome("I10"), Broken);
}

fn off() -> Bench {
    let mut bench = Bench::overcharge();
    bench.cell.expects_as = MAINLINE.to_owned();
    bench.set(SETTLED_FILES, "/counters/charges", 0).set(AFTER, "/counters/charges", 0)
}

#[test]
fn i11_wants_no_trace_of_the_patch_where_it_is_off() {
    assert_eq!(off().outcome("I11"), Kept);
    assert_eq!(off().set(SETTLED_FILES, "/counters/charges", 1).outcome("I11"), Broken);
    assert_eq!(off().set(SETTLED_FILES, "/counters/denied", 1).outcome("I11"), Broken);
    assert_eq!(off().set(AFTER, "/counters/charges", 99).outcome("I11"), Broken, "when settled");
    let silent = off().set(AFTER, "/counters", serde_json::json!({}));
    assert_eq!(silent.outcome("I11"), Unknown, "nobody knows what moved later");
    let mut reconciled = off();
    reconciled.logs(
        "[    0.8] actor-0 invoked oom-killer: gfp_mask=0x400cc0(GFP_KERNEL_ACCOUNT), order=0\n\
         [    0.8]  mem_cgroup_overcharge_reconcile+0x5/0x6\n\
         [    0.8] Memory cgroup out of memory: Killed process 70 (hog) total-vm:9kB, UID:0\n",
    );
    assert_eq!(reconciled.outcome("I11"), Broken);
    assert_eq!(Bench::overcharge().outcome("I11"), NotApplicable);
    assert_eq!(Bench::mainline().outcome("I11"), NotApplicable);
    let none = off().set(SETTLED_FILES, "/counters", Value::Null);
    assert_eq!(none.outcome("I11"), Unknown);
}

#[test]
fn i11_and_i2_hold_each_memcg_to_its_own_policy() {
    let beside = |role| {
        let mut bench = Bench::overcharge().with_second();
        bench.cell.off = vec![role];
        bench
    };
    let second = Bench::overcharge().with_second();
    assert_eq!([second.outcome("I2"), second.outcome("I11")], [Kept, NotApplicable]);
    // Both memcgs of the bench went over their limits, and counted that.
    for role in [MemcgRole::Limited, MemcgRole::Second] {
        assert_eq!(beside(role).outcome("I2"), Broken, "{role:?}");
        assert_eq!(beside(role).outcome("I11"), Broken, "{role:?}");
    }
    let still: Which<'_> = &[("stage", "settled"), ("role", "second")];
    let still = beside(MemcgRole::Second)
        .set(still, "/peak_bytes", 4 * MIB)
        .set(&[("stage", "after"), ("role", "second")], "/peak_bytes", 4 * MIB)
        .set(still, "/counters/charges", 0);
    assert_eq!(still.outcome("I2"), Kept);
}

/// What `beside` finds when a kind occurs so often on each side, in so many cells.
fn apart(name: &str, base: &[f64], off: &[f64], may_break: bool) -> usize {
    let cells = |bench: &Bench, counts: &[f64]| -> Vec<(Cell, Judgement)> {
        let one = |count: &f64| {
            let (mut cell, mut judgement) = (bench.cell.clone(), bench.judge());
            if may_break {
                cell.expect.may_break = vec!["I1".into()];
            }
            judgement.facts.retain(|fact, _| *fact == "load.ms");
            if *count > 0.0 {
                judgement.facts.insert(name.into(), *count);
            }
            (cell, judgement)
        };
        counts.iter().map(one).collect()
    };
    let (before, now) = (cells(&Bench::mainline(), base), cells(&self::off(), off));
    fn judged(cells: &[(Cell, Judgement)]) -> Vec<Judged<'_>> {
        cells.iter().map(|(cell, judgement)| Judged { cell, judgement }).collect()
    }
    differences(&judged(&before), &judged(&now)).len()
}

#[test]
fn i11_finds_kinds_that_one_side_alone_shows() {
    for kind in ["open.ENOMEM", "write.SHORT", "kills.in_charge", "events.oom", "oom.no_victim"] {
        assert_eq!(apart(kind, &[10.0], &[0.0], false), 1, "{kind}");
        assert_eq!(apart(kind, &[0.0], &[10.0], false), 1, "{kind}");
        assert_eq!(apart(kind, &[9.0], &[0.0], false), 0, "{kind}: 1 in 512 may be chance");
        assert_eq!(apart(kind, &[500.0], &[1.0], false), 0, "{kind}: numbers are not compared");
    }
    // Of three cells two are the baseline's: what occurs there alone may be chance for longer.
    assert_eq!(apart("open.ENOMEM", &[17.0, 0.0], &[0.0], false), 0);
    assert_eq!(apart("open.ENOMEM", &[18.0, 0.0], &[0.0], false), 1);
    assert_eq!(apart("open.ENOMEM", &[0.0, 0.0], &[7.0], false), 1);
    assert_eq!(apart("open.ENOMEM", &[0.0, 0.0], &[6.0], false), 0);
    assert_eq!(
        apart("open.ENOMEM", &[99.0], &[0.0], true),
        0,
        "the baseline loses calls now and then"
    );
    assert_eq!(apart("kills", &[99.0], &[0.0], true), 1);
    assert_eq!(apart("load.ms", &[99.0], &[0.0], false), 0, "no kind of error, kill or event");
}

#[test]
fn i12_wants_no_stranger_to_reconcile() {
    assert_eq!(Bench::overcharge().outcome("I12"), Kept);
    let paid_by = |pid: i32| {
        Bench::overcharge().set(OVERCHARGES, "/memcgs/0/payers", serde_json::json!([1, pid]))
    };
    assert_eq!(paid_by(70).outcome("I12"), Kept, "an actor");
    assert_eq!(paid_by(71).outcome("I12"), Broken, "the bystander");
    assert_eq!(paid_by(71).set(OVERCHARGES, "/lost", 1).outcome("I12"), Broken);
    let lost = Bench::overcharge().set(OVERCHARGES, "/lost", 1);
    assert_eq!(lost.outcome("I12"), Unknown, "a stranger may be among the lost");
    let silent = Bench::overcharge().set(OVERCHARGES, "/traced", false);
    assert_eq!(silent.outcome("I12"), Unknown);
    assert_eq!(Bench::mainline().outcome("I12"), NotApplicable);
}
