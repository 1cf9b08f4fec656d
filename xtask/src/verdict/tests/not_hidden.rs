// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a cell shows is not hidden by what else cannot be told, by a busy host, or by where it was
//! looked for.

use super::*;
use crate::config::{Caught, Comparison, Condition};
use crate::outcome::Differential;
use Outcome::{Broken, Kept, Unknown};
use protocol::Files;

const ACTOR_ENDED: Which<'_> = &[("fact", "process_ended"), ("role", "actor")];
const STAT: Which<'_> = &[("fact", "operations"), ("op", "stat")];
fn condition(fact: &str, comparison: Comparison, number: f64) -> Condition {
    Condition { fact: fact.into(), comparison, number }
}

/// A kill with its report, from there.
fn killed(function: &str) -> String {
    format!(
        "[    2.1] actor-0 invoked oom-killer: gfp_mask=0x400cc0(GFP_KERNEL_ACCOUNT), order=0\n\
         [    2.1]  out_of_memory+0x1/0x2\n[    2.1]  {function}+0x1/0x2\n\
         [    2.2] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/p/l,task_memcg=/p/l,task=a,pid=9,uid=0\n{KILL}"
    )
}

const KILL: &str =
    "[    2.2] Memory cgroup out of memory: Killed process 9 (hog) total-vm:9kB, UID:0\n";

fn losing(calls: u64) -> Bench {
    Bench::overcharge().with_hog().set(OPEN, "/succeeded", 1000 - calls).set(
        OPEN,
        "/errnos",
        serde_json::json!({ "ENOMEM": calls }),
    )
}

#[test]
fn a_broken_rule_stands_beside_one_that_cannot_be_told() {
    // 199 ms and two gaps of 2 ms, where 200 are tolerated.
    let torn_between = |bench: Bench| bench.set(USAGE, "/over_us_max", 199_000);
    assert_eq!(torn_between(losing(0)).outcome("I3"), Unknown);
    assert_eq!(torn_between(losing(0)).judge().verdict, Verdict::Error);
    let judgement = torn_between(losing(10)).judge();
    assert_eq!((judgement.verdict, judgement.as_expected), (Verdict::Fail, false));
    // What was expected to be broken takes all rules to be believed.
    let mut expected = torn_between(losing(10));
    expected.cell.expect.verdict = Verdict::Fail;
    expected.cell.expect.breaks = vec!["I1".into()];
    assert_eq!(expected.judge().verdict, Verdict::Error);
    // And what is stated of a path takes that it ran.
    let mut stated = torn_between(losing(0));
    stated.cell.expect.facts = vec![condition("open.succeeded", Comparison::Equal, 1.0)];
    assert_eq!(stated.judge().verdict, Verdict::Fail);
    stated.cell.expect.exercised = vec![condition("second.peak_bytes", Comparison::AtLeast, 1.0)];
    assert_eq!(stated.judge().verdict, Verdict::Error);
}

#[test]
fn a_peak_beyond_its_bound_stands_beside_events_that_were_lost() {
    let far = Bench::overcharge().set(SETTLED_FILES, "/peak_bytes", 64 * MIB).set(
        AFTER,
        "/peak_bytes",
        64 * MIB,
    );
    assert_eq!(far.clone().outcome("I2"), Broken);
    assert_eq!(far.set(OVERCHARGES, "/lost", 5).outcome("I2"), Broken);
}

#[test]
fn a_fault_that_cannot_be_served_is_a_lost_call() {
    let ended = |signal: i32| {
        let end = serde_json::json!({ "signaled": signal });
        Bench::overcharge().set(ACTOR_ENDED, "/end", end)
    };
    assert_eq!(ended(11).outcome("I1"), Broken);
    assert_eq!(ended(7).outcome("I1"), Broken);
    assert_eq!(ended(9).outcome("I1"), Kept, "the OOM killer's");
    assert_eq!(ended(3).outcome("I1"), Kept, "a signal that somebody sent");
    let by_guest = ended(11).set(ACTOR_ENDED, "/by_guest", true);
    assert_eq!(by_guest.outcome("I1"), Kept);
}

#[test]
fn i5_looks_at_all_memcgs_of_the_cell() {
    let second: Which<'_> = &[("stage", "after"), ("role", "second")];
    let parent: Which<'_> = &[("stage", "after"), ("role", "parent")];
    let of = |which, pages: u64| {
        Bench::overcharge().with_second().set(which, "/current_bytes", pages * PAGE).outcome("I5")
    };
    // Two CPUs of two pages; below the parent there are three memcgs.
    assert_eq!([of(second, 4), of(second, 5)], [Kept, Broken]);
    assert_eq!([of(parent, 12), of(parent, 13)], [Kept, Broken]);
}

#[test]
fn i7_asks_that_no_call_of_the_bystander_fails() {
    assert_eq!(Bench::overcharge().outcome("I7"), Kept);
    let failed = Bench::overcharge().set(STAT, "/succeeded", 49).set(
        STAT,
        "/errnos",
        serde_json::json!({ "ENOMEM": 1 }),
    );
    assert_eq!(failed.outcome("I7"), Broken);
}

#[test]
fn i8_counts_kills_of_children_on_v1() {
    let of = |cgroup, oom_kills: u64| {
        let mut bench = Bench::overcharge().with_second().with_hog();
        bench.cell.request.parent = bench.cell.request.second.take();
        bench.cell.key.cgroup = cgroup;
        bench.cell.request.cgroup = cgroup;
        bench.evidence.request = bench.cell.request.clone();
        let events = std::mem::take(&mut bench.evidence.events);
        let to_parent = |event: Event| {
            let mut json = serde_json::to_value(&event).unwrap();
            if json["fact"] == "memcg" && json["role"] == "parent" {
                return None;
            }
            for key in ["role", "memcg"] {
                if json[key] == "second" {
                    json[key] = "parent".into();
                }
            }
            let kills = if json["role"] == "parent" { oom_kills } else { 1 };
            if json["fact"] == "memcg" && json["role"] != "bystander" && json["stage"] != "before" {
                json["events"]["oom_kill"] = kills.into();
            }
            if json["fact"] == "usage" {
                json["over_us_max"] = 2_500_000.into();
            }
            Some(serde_json::from_value::<Event>(json).unwrap())
        };
        bench.evidence.events = events.into_iter().filter_map(to_parent).collect();
        bench.renumber();
        bench.outcome("I8")
    };
    assert_eq!(of(CgroupVersion::V2, 1), Kept);
    assert_eq!(of(CgroupVersion::V1, 0), Kept, "v1 counts it in the child alone");
    assert_eq!(of(CgroupVersion::V2, 0), Broken, "nobody was killed for the parent");
}

#[test]
fn i10_excuses_reports_by_failures_for_want_of_memory_only() {
    let end = "[    2.2] Out of memory and no killable processes...\n";
    let report = killed("try_charge_memcg").split_once("[    2.2]").unwrap().0.to_owned() + end;
    let of = |errno: &str| {
        let mut bench = Bench::overcharge().set(OPEN, "/succeeded", 0).set(
            OPEN,
            "/errnos",
            serde_json::json!({ errno: 1000 }),
        );
        bench.logs(&report.repeat(1500));
        bench.outcome("I10")
    };
    assert_eq!([of("ENOMEM"), of("ENOENT")], [Kept, Broken]);
}

#[test]
fn a_limit_that_was_lifted_meanwhile_proves_nothing() {
    for role in ["limited", "second"] {
        let files = [("fact", "memcg"), ("stage", "settled"), ("role", role)];
        let lifted = Bench::overcharge().with_hog().with_second();
        let lifted = lifted.set(&files, "/max_bytes", Value::Null);
        assert_eq!(lifted.judge().verdict, Verdict::Error, "{role}");
    }
    let mut gone = Bench::overcharge().with_hog().with_second();
    let of_second = |event: &Event| {
        matches!(
            event.fact,
            Fact::Memcg(Files { role: MemcgRole::Second, stage: protocol::Stage::Before, .. })
        )
    };
    gone.evidence.events.retain(|event| !of_second(event));
    gone.renumber();
    assert_eq!(gone.judge().verdict, Verdict::Error);
}

/// A cell with 16 kills, ten of them with a report from the reconciler, of which its counters say
/// so many.
fn sixteen(counted: u64) -> Bench {
    let mut bench = Bench::overcharge().with_hog();
    for stage in ["settled", "after"] {
        for role in ["limited", "parent"] {
            let files = [("fact", "memcg"), ("stage", stage), ("role", role)];
            bench = bench.set(&files, "/events/oom_kill", 16);
        }
    }
    let counters = |charges: u64, kills: u64| serde_json::json!({ "charges": charges, "denied": 0, "kills": kills });
    bench = bench.set(BEFORE, "/counters", counters(0, 0));
    bench = bench.set(SETTLED_FILES, "/counters", counters(3, counted));
    let reports = killed("memcg_overcharge_reconcile").repeat(10);
    bench.logs(&(reports + &KILL.repeat(6)));
    bench.cell.expect.facts = vec![condition("kills.in_charge", Comparison::Equal, 0.0)];
    bench
}

#[test]
fn of_kills_without_a_report_nobody_knows_where_they_were() {
    assert_eq!(sixteen(16).judge().facts.get(&"kills.in_charge".into()), Some(&0.0));
    assert_eq!(sixteen(16).outcome("E"), Kept, "the counters vouch for the other six");
    assert_eq!(sixteen(15).judge().facts.get(&"kills.in_charge".into()), None);
    assert_eq!(sixteen(15).outcome("E"), Unknown);
}

#[test]
fn a_starved_host_catches_no_mutant_and_shows_no_problem() {
    let mut mutant = Bench::overcharge().with_hog().set(USAGE, "/over_us_max", 900_000);
    mutant.cell.expect.verdict = Verdict::Fail;
    mutant.cell.expect.breaks = vec!["I3".into()];
    mutant.cell.expect.or_more = true;
    let wanted = Caught {
        scenario: "open".to_owned(),
        cgroup: CgroupVersion::V2,
        policy: "overcharge".to_owned(),
        rule: "I3".into(),
        fact: None,
        verdict: Verdict::Fail,
    };
    let control = Bench::overcharge().with_hog().judge();
    let scored = |mutant: &Bench| {
        let judgement = mutant.judge();
        let ran = |judgement| Some(Ran { judgement, flaky: false });
        score(&wanted, ran(&judgement), ran(&control))
    };
    assert_eq!(scored(&mutant), Score::Caught);
    mutant.evidence.starved_ms = mutant.evidence.wall_ms / 2;
    assert_eq!(scored(&mutant), Score::NoVerdict);

    let mut here = Bench::overcharge();
    let mut pair = |starved_ms: u64| {
        let mut base = Bench::mainline();
        base.evidence.starved_ms = starved_ms;
        let (before, after) = (base.judge(), here.judge());
        let ms = before.facts[&"load.ms".into()];
        here.cell.note.problem = vec![condition("load.ms", Comparison::AtLeast, ms)];
        let judged = [
            Judged { cell: &base.cell, judgement: &before },
            Judged { cell: &here.cell, judgement: &after },
        ];
        compare("open", "baseline", &judged)[0].outcome
    };
    assert_eq!(pair(0), Differential::NotFixed);
    assert_eq!(pair(1_799), Differential::NotFixed);
    assert_eq!(pair(1_800), Differential::Unknown, "three quarters of the 2,400 ms");
}

/// A hog that may be killed, on the unpatched kernel and on one of which nothing is stated, which
/// loses so many calls and kills or does not.
fn beside_the_baseline(before: u64, lost: u64, kills: bool) -> (Judgement, Differential) {
    let with_kill = |bench: Bench| {
        let mut bench = bench;
        for role in ["limited", "parent"] {
            for stage in ["settled", "after"] {
                let files = [("fact", "memcg"), ("stage", stage), ("role", role)];
                bench = bench.set(&files, "/events/oom_kill", 1);
            }
        }
        bench.logs(
            &killed("try_charge_memcg")
                .replace("[    2.2] oom", "[    2.1]  obj_cgroup_charge+0x1/0x2\n[    2.2] oom"),
        );
        bench
    };
    let losing = |bench: Bench, lost: u64| {
        bench.set(OPEN, "/succeeded", 1000 - lost).set(
            OPEN,
            "/errnos",
            serde_json::json!({ "ENOMEM": lost }),
        )
    };
    let mut base = with_kill(losing(Bench::mainline().with_hog(), before));
    base.cell.expect.may_break = vec!["I1".into()];
    base.cell.expect.exercised = vec![condition("events.oom_kill", Comparison::AtLeast, 1.0)];
    let mut here = Bench::mainline().with_hog();
    here.cell.key.kernel = "series".to_owned();
    here.cell.expect = base.cell.expect.clone();
    here.cell.expect.or_better = true;
    here = losing(here, lost);
    if kills {
        here = with_kill(here);
    }
    here.cell.note.problem = vec![condition("kills.in_charge", Comparison::AtLeast, 1.0)];
    let (before, after) = (base.judge(), here.judge());
    assert!(before.as_expected, "{}", before.why);
    let judged = [
        Judged { cell: &base.cell, judgement: &before },
        Judged { cell: &here.cell, judgement: &after },
    ];
    let outcome = compare("open", "baseline", &judged)[0].outcome;
    (after, outcome)
}

#[test]
fn who_fails_instead_of_killing_has_fixed_nothing() {
    let (judgement, outcome) = beside_the_baseline(0, 1000, false);
    assert!(!judgement.as_expected, "the path that the scenario is about never ran");
    assert_eq!(outcome, Differential::Regressed);
    // The unpatched kernel loses a call now and then, too; ten where it lost none is no chance.
    let (judgement, outcome) = beside_the_baseline(0, 9, true);
    assert!(judgement.as_expected, "{}", judgement.why);
    assert_eq!(outcome, Differential::Same);
    assert_eq!(beside_the_baseline(0, 10, true).1, Differential::Regressed);
    assert_eq!(beside_the_baseline(1, 10, true).1, Differential::Same);
    assert_eq!(beside_the_baseline(1, 1000, true).1, Differential::Regressed, "one is no excuse");
}
