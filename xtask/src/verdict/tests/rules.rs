// SPDX-License-Identifier: MIT OR Apache-2.0
//! Both sides of every tolerance.

use serde_json::json;

use super::*;
use Outcome::{Broken, Kept, Unknown};

fn failing(bench: Bench, errno: &str, count: u64) -> Bench {
    bench.set(OPEN, "/succeeded", 1000 - count).set(OPEN, "/errnos", json!({ errno: count }))
}

#[test]
fn i1_counts_enomem_and_its_disguises() {
    for errno in ["ENOMEM", "ENFILE", "ENOSPC", "EFAULT", "E2BIG", "SHORT", "EAGAIN"] {
        for bench in [Bench::overcharge(), Bench::mainline()] {
            let judgement = failing(bench, errno, 1).judge();
            assert_eq!(judgement.breaks, ["I1"], "{errno}");
            assert_eq!(judgement.verdict, Verdict::Fail);
            assert!(judgement.why.starts_with("I1: 1 of 1000 calls failed"), "{}", judgement.why);
        }
    }
    for errno in ["ENOENT", "EMFILE", "EEXIST"] {
        assert_eq!(failing(Bench::overcharge(), errno, 1).outcome("I1"), Kept, "{errno}");
    }
}

#[test]
fn i1_leaves_out_what_is_not_eligible() {
    let renamed = |op| failing(Bench::overcharge(), "ENOMEM", 5).set(OPEN, "/op", op);
    assert_eq!(renamed("setpipe_sz").outcome("I1"), Unknown, "no eligible call was made");
    let writes = |errno| failing(Bench::overcharge(), errno, 5).set(OPEN, "/op", "write");
    assert_eq!(writes("EAGAIN").outcome("I1"), Kept, "a full pipe");
    assert_eq!(writes("SHORT").outcome("I1"), Broken);
    let outside = failing(Bench::overcharge(), "ENOMEM", 5).set(OPEN, "/role", "outsider");
    assert_eq!(outside.outcome("I1"), Unknown, "an outsider is no actor");
    let killed = Bench::overcharge().set(OPEN, "/succeeded", 999).set(OPEN, "/unfinished", 1);
    assert_eq!(killed.outcome("I1"), Kept);
}

#[test]
fn i1_takes_as_many_failures_as_charges_were_denied_at_the_cap() {
    let denied = |count: u64| {
        failing(Bench::overcharge(), "ENOMEM", 7).set(SETTLED_FILES, "/counters/denied", count)
    };
    assert_eq!(denied(7).outcome("I1"), Kept);
    assert_eq!(denied(6).outcome("I1"), Broken);
}

/// A charge that failed and that the patch may not let fail.
fn escaped() -> serde_json::Value {
    json!({
        "task": "actor-0",
        "gfp": ["IO", "FS", "DIRECT_RECLAIM", "KSWAPD_RECLAIM", "ACCOUNT"],
        "pages": 8,
        "error": -12,
        "path": ["obj_cgroup_charge_pages", "__memcg_slab_post_alloc_hook"],
        "dying": false,
        "count": 3,
    })
}

#[test]
fn i1_sees_a_failed_charge_that_no_errno_shows() {
    let failed = |bench: Bench, row| bench.set(CHARGES, "/failed", json!([row]));
    let hidden = failed(Bench::overcharge(), escaped());
    assert_eq!(hidden.judge().breaks, ["I1"]);
    assert!(hidden.judge().why.contains("3 x actor-0 in obj_cgroup_charge_pages"));
    assert_eq!(failed(Bench::mainline(), escaped()).outcome("I1"), Kept, "the limit is for that");
    let denied = |count: u64| hidden.clone().set(SETTLED_FILES, "/counters/denied", count);
    assert_eq!(denied(2).outcome("I1"), Broken);
    assert_eq!(denied(3).outcome("I1"), Kept);
    for (key, exempt) in [
        ("gfp", json!(["IO", "FS", "HIGH"])),
        ("gfp", json!(["DIRECT_RECLAIM", "NORETRY"])),
        ("gfp", json!(["DIRECT_RECLAIM", "RETRY_MAYFAIL"])),
        ("gfp", json!(["DIRECT_RECLAIM", "NOFAIL"])),
        ("pages", json!(9)),
        ("path", json!(["charge_memcg", "obj_cgroup_charge_pages"])),
        ("path", json!(["mem_cgroup_charge_skmem"])),
        ("dying", json!(true)),
    ] {
        let mut row = escaped();
        row[key] = exempt;
        assert_eq!(failed(Bench::overcharge(), row.clone()).outcome("I1"), Kept, "{row}");
    }
    let mut nameless = escaped();
    for path in [json!(["somebody_new", "do_filp_open"]), json!([])] {
        nameless["path"] = path;
        let of = |bench| failed(bench, nameless.clone()).outcome("I1");
        assert_eq!(of(Bench::overcharge()), Unknown, "it may be eligible: {nameless}");
        assert_eq!(of(Bench::mainline()), Kept);
        nameless["gfp"] = json!(["IO", "FS", "HIGH"]);
        assert_eq!(failed(Bench::overcharge(), nameless.clone()).outcome("I1"), Kept);
        nameless["gfp"] = escaped()["gfp"].clone();
    }
}

#[test]
fn i1_does_not_take_a_kernel_that_was_not_watched_for_a_good_one() {
    let of = |bench: &Bench| (bench.outcome("I1"), bench.judge().verdict);
    for bench in [Bench::overcharge(), Bench::mainline()] {
        for (pointer, value) in [
            ("/blind", json!("no symbol")),
            ("/proof", json!([["charge_memcg"]])),
            ("/proof", json!([["obj_cgroup_charge_pages"]])),
            ("/charges", json!(0)),
        ] {
            let bent = bench.clone().set(CHARGES, pointer, value.clone());
            assert_eq!(of(&bent), (Unknown, Verdict::Error), "{pointer} {value}");
        }
    }
    let nothing = Bench::overcharge().set(CHARGES, "/charges", 0);
    let nothing = nothing.set(SETTLED_FILES, "/peak_bytes", 0).set(AFTER, "/peak_bytes", 0);
    assert_eq!(nothing.outcome("I1"), Kept, "a load that is charged to nobody");
    let lost = |bench: Bench| bench.set(CHARGES, "/lost", 1);
    assert_eq!(of(&lost(Bench::overcharge())), (Unknown, Verdict::Error));
    assert_eq!(lost(Bench::mainline()).outcome("I1"), Kept, "its errnos tell");
    let known = failing(lost(Bench::overcharge()), "ENOMEM", 1);
    assert_eq!(known.outcome("I1"), Broken, "what is known stands");
}

#[test]
fn i2_bounds_the_peak_by_the_cap_and_what_races_past_it() {
    let peak = |bench: Bench, bytes: u64| {
        let bench = bench.set(SETTLED_FILES, "/peak_bytes", bytes).set(AFTER, "/peak_bytes", bytes);
        bench.set(USAGE, "/sampled_bytes_max", 4 * MIB).outcome("I2")
    };
    // Two CPUs: a charge of 8 pages and a batch of 64 pages each.
    let bound = 4 * MIB + MIB + 2 * (8 + 64) * PAGE;
    assert_eq!(peak(Bench::overcharge(), bound), Kept);
    assert_eq!(peak(Bench::overcharge(), bound + 1), Broken);
    assert_eq!(peak(Bench::mainline(), 4 * MIB), Kept);
    assert_eq!(peak(Bench::mainline(), 4 * MIB + 1), Broken);
    let mut forced = Bench::mainline();
    forced.cell.forced_bytes = 10 * PAGE;
    assert_eq!(peak(forced.clone(), 4 * MIB + (10 + 2 * 64) * PAGE), Kept);
    assert_eq!(peak(forced, 4 * MIB + (10 + 2 * 64) * PAGE + 1), Broken);
    let mut forced = Bench::overcharge();
    forced.cell.forced_bytes = 10 * PAGE;
    assert_eq!(peak(forced.clone(), bound + 10 * PAGE), Kept);
    assert_eq!(peak(forced, bound + 10 * PAGE + 1), Broken);
}

#[test]
fn i2_lets_only_eligible_charges_over_the_limit() {
    let asked = |gfp: &[&str], pages: u32| {
        let way = serde_json::json!([{ "gfp": gfp, "pages": pages, "count": 1 }]);
        Bench::overcharge().set(OVERCHARGES, "/memcgs/0/asked", way)
    };
    assert_eq!(asked(&["GFP_KERNEL_ACCOUNT"], 8).outcome("I2"), Kept);
    assert_eq!(asked(&["GFP_KERNEL_ACCOUNT"], 9).outcome("I2"), Broken);
    assert_eq!(asked(&["GFP_NOWAIT"], 1).outcome("I2"), Broken);
    assert_eq!(asked(&["__GFP_DIRECT_RECLAIM", "__GFP_ACCOUNT"], 1).outcome("I2"), Kept);
    for exempt in ["__GFP_NORETRY", "__GFP_RETRY_MAYFAIL", "__GFP_NOFAIL"] {
        assert_eq!(asked(&["GFP_KERNEL_ACCOUNT", exempt], 1).outcome("I2"), Broken);
    }
    let lost = asked(&["GFP_KERNEL"], 1).set(OVERCHARGES, "/lost", 1);
    assert_eq!(lost.outcome("I2"), Unknown);
    let lost = asked(&["GFP_ATOMIC"], 1).set(OVERCHARGES, "/lost", 1);
    assert_eq!(lost.outcome("I2"), Broken, "what was seen was seen");
}

#[test]
fn i2_needs_the_cap_in_force_where_the_policy_overcharges() {
    let setup: Which<'_> = &[("fact", "setup")];
    let no_cap = Bench::overcharge().set(setup, "/cap_bytes", serde_json::Value::Null);
    assert_eq!(no_cap.outcome("I2"), Unknown);
    // Policy `off` of the same kernel has a cap too, but must not use it.
    let mut off = Bench::overcharge();
    off.cell.expects_as = MAINLINE.to_owned();
    assert_eq!(off.outcome("I2"), Broken);
}

#[test]
fn i2_and_i3_are_asked_of_a_second_limited_memcg_too() {
    const SECOND: Which<'_> = &[("stage", "settled"), ("role", "second")];
    const SECOND_AFTER: Which<'_> = &[("stage", "after"), ("role", "second")];
    const SECOND_USAGE: Which<'_> = &[("fact", "usage"), ("memcg", "second")];
    let good = || Bench::overcharge().with_hog().with_second();
    assert_eq!(good().judge().verdict, Verdict::Pass, "{}", good().judge().why);
    let peak = |bytes: u64| {
        let bench =
            good().set(SECOND, "/peak_bytes", bytes).set(SECOND_AFTER, "/peak_bytes", bytes);
        bench.outcome("I2")
    };
    let bound = 4 * MIB + MIB + 2 * (8 + 64) * PAGE;
    assert_eq!(peak(bound), Kept);
    assert_eq!(peak(bound + 1), Broken);
    let over = |ms: u64| good().set(SECOND_USAGE, "/over_us_max", ms * 1000).outcome("I3");
    assert_eq!(over(196), Kept);
    assert_eq!(over(201), Broken);
    let first_only = good().set(USAGE, "/over_us_max", 201_000);
    assert_eq!(first_only.outcome("I3"), Broken, "the second does not excuse the first");
    let mut empty = good().set(SECOND_USAGE, "/over_us_max", 900_000);
    empty.cell.request.second.as_mut().unwrap().hog_bytes = 0;
    assert_eq!(empty.outcome("I3"), Kept, "nothing there can be killed");
}

#[test]
fn a_second_memcg_that_is_asked_for_must_be_seen() {
    for missing in ["setup", "usage"] {
        let mut bench = Bench::overcharge().with_hog().with_second();
        bench.evidence.events.retain(|event| {
            let json = serde_json::to_value(event).unwrap();
            !(json["fact"] == missing && json["memcg"] == "second")
        });
        bench.renumber();
        assert_eq!(bench.judge().verdict, Verdict::Error, "{missing}");
    }
    // Removed by the workload: of its files there is the first reading only.
    let mut removed = Bench::overcharge().with_hog().with_second();
    removed.cell.request.second.as_mut().unwrap().hog_bytes = 0;
    removed.evidence.request = removed.cell.request.clone();
    removed.evidence.events.retain(|event| {
        let json = serde_json::to_value(event).unwrap();
        !(json["role"] == "second" && json["stage"] != "before")
    });
    removed.renumber();
    assert_eq!(removed.judge().verdict, Verdict::Pass, "{}", removed.judge().why);
}

/// A kill on the console and in the events of the victim's memcg and its parent.
fn killing(bench: Bench, over: &str, victims: &str, pid: i32) -> Bench {
    killing_among(bench, over, victims, pid, "")
}

pub(super) const PARENT_AFTER: Which<'_> = &[("stage", "after"), ("role", "parent")];

/// The same; its report has these lines of tasks.
pub(super) fn killing_among(
    bench: Bench,
    over: &str,
    victims: &str,
    pid: i32,
    tasks: &str,
) -> Bench {
    let mut bench = bench.set(PARENT_AFTER, "/events/oom_kill", 1);
    bench.logs(
        &format!(
            "[    0.8] actor-0 invoked oom-killer: gfp_mask=0x400cc0(GFP_KERNEL_ACCOUNT), order=0\n\
             [    0.8]  mem_cgroup_overcharge_reconcile+0x5/0x6\n\
             {tasks}\
             [    0.8] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg={over},task_memcg={victims},task=hog,pid={pid},uid=0\n\
             [    0.8] Memory cgroup out of memory: Killed process {pid} (hog) total-vm:9kB, UID:0\n"
        ),
    );
    bench
}

#[test]
fn i4_wants_the_victim_below_the_memcg_that_was_over() {
    let victim = |over, victims| killing(Bench::overcharge(), over, victims, 500).outcome("I4");
    assert_eq!(victim("/parent/limited", "/parent/limited"), Kept);
    assert_eq!(victim("/parent", "/parent/limited"), Kept);
    assert_eq!(victim("/parent/limited", "/parent/second"), Broken);
    assert_eq!(victim("/parent/limited", "/parent"), Broken);
    assert_eq!(victim("/parent/limit", "/parent/limited"), Broken, "a longer name is no child");
    let of_another = |gfp: &str| {
        let mut bench = killing(Bench::overcharge(), "/parent/limited", "/parent/limited", 500);
        bench.evidence.console = bench.evidence.console.replace("GFP_KERNEL_ACCOUNT", gfp);
        bench.outcome("I4")
    };
    assert_eq!(of_another("GFP_KERNEL"), Broken, "no charge over the limit asked like that");
    let nameless = |mut bench: Bench| {
        bench.evidence.console = bench.evidence.console.replace("oom-kill:", "oom-kill ");
        bench.outcome("I4")
    };
    assert_eq!(nameless(killing(Bench::mainline(), "/parent", "/parent", 500)), Broken);
}

#[test]
fn i4_wants_the_worst_of_those_that_are_listed() {
    // A kill of 500 that lists these: pid, pages, oom_score_adj.
    let of_program = |any: bool, earlier: &[&str], rows: &[(i32, u64, i32)]| {
        let mut bench = Bench::overcharge();
        bench.cell.expect.any = any;
        earlier.iter().for_each(|line| bench.logs(line));
        let row = |(pid, rss, adj): &(i32, u64, i32)| {
            format!(
                "[    0.8] [{pid:>7}]     0 {pid:>5}  797 {rss:>8} 64 0 689 40960 0 {adj:>5} hog\n"
            )
        };
        let rows: String = rows.iter().map(row).collect();
        let bench = killing_among(bench, "/parent/limited", "/parent/limited", 500, &rows);
        let kills = 1 + earlier.iter().filter(|line| line.contains("Killed")).count() as u64;
        bench.set(PARENT_AFTER, "/events/oom_kill", kills).outcome("I4")
    };
    let listing = |earlier: &[&str], rows: &[(i32, u64, i32)]| of_program(false, earlier, rows);
    let alone = |rows: &[(i32, u64, i32)]| listing(&[], rows);
    assert_eq!(of_program(true, &[], &[(500, 100, 0), (7, 9_000, 0)]), Kept, "it may have shrunk");
    assert_eq!(alone(&[(500, 100, 0), (7, 50, 0)]), Kept);
    assert_eq!(alone(&[(500, 800, 0), (7, 960, 0)]), Kept, "both go on while it is printed");
    assert_eq!(alone(&[(500, 800, 0), (7, 990, 0)]), Broken);
    assert_eq!(alone(&[(500, 100, 0), (7, 9_000, -1000)]), Kept, "it must not be killed");
    assert_eq!(alone(&[(500, 100, 0), (7, 9_000, -1)]), Kept, "it depends on the limit");
    assert_eq!(alone(&[(500, 100, 0), (7, 9_000, 500)]), Broken);
    let killed = "[    0.7] Memory cgroup out of memory: Killed process 7 (hog) total-vm:9kB\n";
    let reaped = "[    0.8] oom_reaper: reaped process 7 (hog), now anon-rss:0kB\n";
    let given_up = "[    0.8] oom_reaper: unable to reap pid:7 (hog)\n";
    let both = [(500, 100, 0), (7, 9_000, 0)];
    assert_eq!(listing(&[killed], &both[..1]), Kept, "it has exited");
    assert_eq!(listing(&[killed], &both), Broken, "one kill would have done");
    assert_eq!(listing(&[killed, reaped], &both), Kept);
    assert_eq!(listing(&[killed, given_up], &both), Kept);
}

#[test]
fn i4_counts_every_kill_twice() {
    assert_eq!(Bench::overcharge().outcome("I4"), Kept);
    let parent: Which<'_> = &[("stage", "after"), ("role", "parent")];
    let silent = Bench::overcharge().set(parent, "/events/oom_kill", 1);
    assert_eq!(silent.outcome("I4"), Broken, "counted and not printed");
    let kept = killing(Bench::overcharge(), "/parent/limited", "/parent/limited", 500);
    let uncounted = kept.clone().set(parent, "/events/oom_kill", 0);
    assert_eq!(uncounted.outcome("I4"), Broken, "printed and not counted");
    let ooms = |count: u64| {
        let mut bench = kept.clone();
        for event in &mut bench.evidence.events {
            if let Fact::Memcg(Files { role: MemcgRole::Parent, events, stage, .. }) =
                &mut event.fact
            {
                let now = if *stage == Stage::Before { 0 } else { count };
                events.insert("oom".to_owned(), now);
            }
        }
        bench.outcome("I4")
    };
    assert_eq!([ooms(1), ooms(2), ooms(0)], [Kept, Kept, Broken], "a report without an event");
    let mut dropped = kept;
    dropped.evidence.console_dropped_bytes = 1;
    assert_eq!(dropped.outcome("I4"), Unknown);
    assert_eq!(dropped.judge().verdict, Verdict::Error);
}

#[test]
fn i4_protects_who_is_to_be_left_alone() {
    let bystander: Which<'_> = &[("fact", "process_ended"), ("role", "bystander")];
    let killed = killing(Bench::overcharge(), "/parent", "/parent/bystander", 99);
    assert_eq!(killed.clone().set(bystander, "/pid", 98).outcome("I4"), Kept);
    assert_eq!(killed.set(bystander, "/pid", 99).outcome("I4"), Broken);
}

#[test]
fn i4_asks_no_count_of_a_v1_memcg_that_is_gone() {
    let gone = |from: Bench| {
        let mut bench = from.with_second();
        bench.cell.key.cgroup = CgroupVersion::V1;
        bench.evidence.events.retain(|event| {
            let json = serde_json::to_value(event).unwrap();
            !(json["role"] == "second" && json["stage"] != "before")
        });
        bench.renumber();
        bench
    };
    assert_eq!(gone(Bench::overcharge()).outcome("I4"), Kept);
    let killed = killing(Bench::overcharge(), "/parent/second", "/parent/second", 500);
    assert_eq!(gone(killed.clone()).outcome("I4"), Unknown, "it may have been counted there");
    let limited: Which<'_> = &[("stage", "after"), ("role", "limited")];
    assert_eq!(gone(killed.set(limited, "/events/oom_kill", 2)).outcome("I4"), Broken);
}

#[test]
fn i5_allows_the_stocks_of_each_cpu() {
    let left = |bytes: u64| Bench::overcharge().set(AFTER, "/current_bytes", bytes).outcome("I5");
    assert_eq!(left(2 * 2 * PAGE), Kept);
    assert_eq!(left(2 * 2 * PAGE + 1), Broken);
    let removed: Which<'_> = &[("fact", "removed")];
    assert_eq!(Bench::overcharge().set(removed, "/removed", false).outcome("I5"), Broken);
    assert_eq!(Bench::overcharge().set(removed, "/dying", 1).outcome("I5"), Broken);
    let mut underflow = Bench::overcharge();
    underflow.logs(
        "[    0.9] ------------[ cut here ]------------\n[    0.9] page_counter underflow: -3 nr_pages=64\n\
         [    0.9] WARNING: CPU: 0 PID: 9 at mm/page_counter.c:60 page_counter_cancel+0x5/0x6\n",
    );
    let judgement = underflow.judge();
    assert_eq!((judgement.verdict, judgement.breaks), (Verdict::Crash, vec!["I5".into()]));
    let mut references = Bench::overcharge();
    references.logs(
        "[    0.9] ------------[ cut here ]------------\n\
         [    0.9] percpu ref (css_release) <= 0 (-1) after switching to atomic\n\
         [    0.9] WARNING: CPU: 1 PID: 0 at lib/percpu-refcount.c:197 percpu_ref_switch_to_atomic_rcu+0x5/0x6\n",
    );
    let judgement = references.judge();
    assert_eq!((judgement.verdict, judgement.breaks), (Verdict::Crash, vec!["I5".into()]));
    assert!(judgement.why.contains("reference underflow"), "{}", judgement.why);
}

#[test]
fn i6_wants_a_heartbeat_and_tasks_that_die() {
    let late = |gap_us: u64, slowdown| {
        let mut bench = Bench::overcharge().set(HEARTBEAT, "/gap_us_max", gap_us);
        bench.pace.slowdown = slowdown;
        bench.outcome("I6")
    };
    assert_eq!(late(1_000_000, 1), Kept);
    assert_eq!(late(1_000_001, 1), Broken);
    assert_eq!(late(4_000_000, 4), Kept);
    assert_eq!(late(4_000_001, 4), Broken);
    let actor: Which<'_> = &[("fact", "process_ended"), ("role", "actor")];
    assert_eq!(Bench::overcharge().set(actor, "/end", "unkillable").outcome("I6"), Broken);
    let bystander: Which<'_> = &[("fact", "process_ended"), ("role", "bystander")];
    assert_eq!(Bench::overcharge().set(bystander, "/by_guest", false).outcome("I6"), Broken);
    let quick = |max_us: u64| Bench::overcharge().set(OPEN, "/latency/max", max_us).outcome("I6");
    assert_eq!([quick(1_000_000), quick(1_000_001)], [Kept, Broken], "nothing was killed");
    let kills = killing(Bench::overcharge(), "/parent/limited", "/parent/limited", 500);
    assert_eq!(kills.clone().set(OPEN, "/latency/max", 5_000_000).outcome("I6"), Kept);
    assert_eq!(kills.clone().set(OPEN, "/latency/max", 5_000_001).outcome("I6"), Broken);
    assert_eq!(Bench::mainline().set(OPEN, "/latency/max", 5_000_001).outcome("I6"), Kept);
    let mut debugging = kills.set(OPEN, "/latency/max", 15_000_000);
    debugging.cell.slowdown = 3;
    assert_eq!(debugging.outcome("I6"), Kept);
    assert_eq!(debugging.set(OPEN, "/latency/max", 15_000_001).outcome("I6"), Broken);
}

#[test]
fn what_may_break_is_no_surprise_and_nothing_else_may() {
    let mut bench = failing(Bench::overcharge(), "ENOMEM", 1);
    assert_eq!(bench.judge().breaks, ["I1"]);
    assert!(!bench.judge().as_expected);
    bench.cell.expect.may_break = vec!["I1".into()];
    assert_eq!(bench.judge().verdict, Verdict::Fail, "it is told all the same");
    assert!(bench.judge().as_expected);
    let leaks_too = bench.clone().set(AFTER, "/current_bytes", MIB);
    assert!(!leaks_too.judge().as_expected);
}

#[test]
fn a_mutant_may_break_more_than_it_must() {
    let mut bench = failing(Bench::overcharge(), "ENOMEM", 1).set(AFTER, "/current_bytes", MIB);
    bench.cell.expect.verdict = Verdict::Fail;
    bench.cell.expect.breaks = vec!["I5".into()];
    assert_eq!(bench.judge().breaks, ["I1", "I5"]);
    assert!(!bench.judge().as_expected);
    bench.cell.expect.or_more = true;
    assert!(bench.judge().as_expected);
    bench.cell.expect.breaks = vec!["I2".into()];
    assert!(!bench.judge().as_expected);
}
