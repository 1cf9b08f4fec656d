// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whatever is lost, repeated or bent, the cell does not pass.

use serde_json::Value;

use super::*;

fn assert_no_pass(bench: &Bench, what: &str) {
    let judgement = bench.judge();
    assert_ne!(judgement.verdict, Verdict::Pass, "{what}: {}", judgement.why);
}

#[test]
fn whole_evidence_passes_as_expected() {
    for bench in [Bench::overcharge(), Bench::mainline()] {
        let judgement = bench.judge();
        assert_eq!(judgement.verdict, Verdict::Pass, "{}", judgement.why);
        assert!(judgement.as_expected && judgement.breaks.is_empty());
    }
}

#[test]
fn each_event_is_needed_and_may_come_once() {
    let good = Bench::overcharge();
    for at in 0..good.evidence.events.len() {
        let what = format!("{:?}", good.evidence.events[at].fact);
        let mut lost = good.clone();
        lost.evidence.events.remove(at);
        assert_no_pass(&lost, &format!("with a gap, without {what}"));
        lost.renumber();
        assert_no_pass(&lost, &format!("without {what}"));
        let mut twice = good.clone();
        twice.evidence.events.insert(at, good.evidence.events[at].clone());
        twice.renumber();
        assert_no_pass(&twice, &format!("twice {what}"));
    }
}

#[test]
fn evidence_cut_anywhere_does_not_pass() {
    let good = Bench::overcharge();
    for length in 0..good.evidence.events.len() {
        let mut cut = good.clone();
        cut.evidence.events.truncate(length);
        assert_no_pass(&cut, &format!("first {length} events"));
    }
}

#[test]
fn a_process_that_ends_twice_does_not_stand_for_another() {
    let is_end = |event: &Event| matches!(event.fact, Fact::ProcessEnded(_));
    let mut bench = Bench::overcharge();
    let at = bench.evidence.events.iter().position(is_end).unwrap();
    let first = bench.evidence.events[at].clone();
    assert!(is_end(&bench.evidence.events[at + 1]));
    bench.evidence.events[at + 1] = first;
    bench.renumber();
    assert_no_pass(&bench, "the first twice, the second never");
}

#[test]
fn events_out_of_order_do_not_pass() {
    let mut bench = Bench::overcharge();
    bench.evidence.events.swap(3, 4);
    assert_no_pass(&bench, "swapped");
    bench.renumber();
    assert_no_pass(&bench, "swapped and renumbered");
}

#[test]
fn a_torn_line_or_a_lost_console_does_not_pass() {
    let mut torn = Bench::overcharge();
    torn.evidence.torn_lines.push("{\"seq\":3,\"at".to_owned());
    assert_no_pass(&torn, "torn");
    let mut dropped = Bench::overcharge();
    dropped.evidence.console_dropped_bytes = 1;
    assert_no_pass(&dropped, "dropped");
    for end in 0..CONSOLE.len() - 2 {
        let mut cut = Bench::overcharge();
        cut.evidence.console.truncate(end);
        assert_no_pass(&cut, &format!("console of {end} bytes"));
    }
}

#[test]
fn on_a_console_with_a_hole_nobody_can_count_kills() {
    let mut dropped = Bench::overcharge().set(OPEN, "/succeeded", 999);
    dropped = dropped.set(OPEN, "/errnos", serde_json::json!({ "ENOMEM": 1 }));
    dropped.evidence.console_dropped_bytes = 1;
    assert_eq!(dropped.judge().verdict, Verdict::Fail, "what the guest said stands");
    assert!(!dropped.judge().facts.contains_key(&"kills".into()));
    let none = crate::config::Condition {
        fact: "kills".into(),
        comparison: crate::config::Comparison::Equal,
        number: 0.0,
    };
    dropped.cell.expect.facts = vec![none];
    dropped = dropped.set(OPEN, "/succeeded", 1000).set(OPEN, "/errnos", serde_json::json!({}));
    assert_eq!(dropped.judge().verdict, Verdict::Error, "{}", dropped.judge().why);
}

#[test]
fn evidence_of_another_request_does_not_pass() {
    let mut bench = Bench::overcharge();
    bench.evidence.request.limit_bytes += PAGE;
    assert_no_pass(&bench, "another request");
}

#[test]
fn a_guest_whose_clock_is_faster_than_the_hosts_does_not_pass() {
    let mut bench = Bench::overcharge();
    bench.evidence.wall_ms = 500;
    assert_eq!(bench.judge().verdict, Verdict::Pass, "{}", bench.judge().why);
    bench.evidence.wall_ms = 499;
    assert_eq!(bench.judge().verdict, Verdict::Error);
    bench.cell.vm.counted = true;
    assert_eq!(bench.judge().verdict, Verdict::Pass);
}

#[test]
fn a_clock_that_jumped_when_the_vm_was_restored_does_not_pass() {
    let jump = |by_us: u64| {
        let mut bench = Bench::overcharge();
        bench.evidence.events[1..].iter_mut().for_each(|event| event.at_us += by_us);
        bench.judge()
    };
    let (up_us, wall_ms) = {
        let bench = Bench::overcharge();
        let seen = Seen::of(&bench.evidence);
        (seen.started.unwrap().0 - seen.hello.unwrap().0, bench.evidence.wall_ms)
    };
    let longest_us = (wall_ms + 2_000) * 1000 - up_us;
    assert_eq!(jump(longest_us).verdict, Verdict::Pass, "{}", jump(longest_us).why);
    let jumped = jump(longest_us + 1);
    assert_eq!(jumped.verdict, Verdict::Error, "{}", jumped.why);
    assert!(jumped.why.contains("a clock that jumped"), "{}", jumped.why);
}

#[test]
fn no_cell_begins_from_a_boot_whose_clock_is_faster_than_the_hosts() {
    let mut boot = Bench::overcharge().evidence;
    boot.events.truncate(1);
    boot.events[0].at_us = 2_400_000;
    assert_eq!((boot.wall_ms, super::super::wrong_clock(&Seen::of(&boot))), (2400, None));
    boot.events[0].at_us += 1;
    assert!(super::super::wrong_clock(&Seen::of(&boot)).is_some());
}

/// What a PASS of this cell does not rest on: context for people, and readings between the first
/// and the last. The files of the other memcgs are left out: of them only kills are asked for (I4).
const DECORATION: [&str; 34] = [
    "at_us",
    "heartbeat/period_us",
    "hello/memory_bytes",
    // Whether the kernel has counters, and what it was tainted with by its boot.
    "kernel_log/after",
    "kernel_log/before",
    // Counts where records were lost.
    "kernel_log/records",
    // The number of open files: a sum to which CPUs have not added yet.
    "ledger/after",
    "ledger/before",
    "load_ended/call_interrupts",
    "memcg/after/limited/counters",
    "memcg/after/limited/current_bytes",
    "memcg/after/limited/events",
    "memcg/after/limited/stat",
    "memcg/before/limited/current_bytes",
    "memcg/before/limited/peak_bytes",
    "memcg/before/limited/stat",
    "memcg/load_end/limited/counters",
    "memcg/load_end/limited/current_bytes",
    "memcg/load_end/limited/events",
    "memcg/load_end/limited/stat",
    // This cell asks for no event; with `events.max` among its conditions it would.
    "memcg/settled/limited/events",
    "operations/actor/latency",
    "overcharges/memcgs",
    "process_ended/actor/after_us",
    "process_ended/actor/pid",
    "removed/after_us",
    "settled/after_us",
    "setup/limited/sample_period_us",
    "usage/limited/line",
    "usage/limited/over_bytes",
    "usage/limited/over_us_max",
    "usage/limited/period_us",
    "usage/limited/sampled_bytes_max",
    "usage/limited/samples_over",
];

#[test]
fn a_number_that_is_zero_or_gone_is_seen_or_is_decoration() {
    let good = Bench::overcharge();
    let mut unseen = std::collections::BTreeSet::new();
    for at in 0..good.evidence.events.len() {
        let json = serde_json::to_value(&good.evidence.events[at]).unwrap();
        let kind = json["fact"].as_str().unwrap().to_owned();
        let mut pointers = Vec::new();
        leaves(&json, String::new(), &mut pointers);
        // The tag itself: serde takes 0 for the first kind of fact.
        pointers.retain(|pointer| pointer != "/fact");
        for pointer in pointers {
            for wrong in [Value::from(0), Value::Null] {
                let mut bent = json.clone();
                let place = bent.pointer_mut(&pointer).unwrap();
                if *place == wrong {
                    continue;
                }
                *place = wrong;
                // What does not parse never becomes an event: it is a torn line.
                let Ok(event) = serde_json::from_value(bent) else { continue };
                let mut bench = good.clone();
                bench.evidence.events[at] = event;
                if bench.judge().verdict == Verdict::Pass {
                    let key = pointer.trim_start_matches('/').split('/').next().unwrap().to_owned();
                    let of = |key: &str| json[key].as_str().map(|word| format!("{word}/"));
                    let of = ["stage", "role", "memcg"]
                        .map(of)
                        .into_iter()
                        .flatten()
                        .collect::<String>();
                    unseen.insert(if key == "at_us" { key } else { format!("{kind}/{of}{key}") });
                }
            }
        }
    }
    unseen.retain(|name: &String| !name.contains("/bystander/") && !name.contains("/parent/"));
    let unseen: Vec<&str> = unseen.iter().map(String::as_str).collect();
    assert_eq!(unseen, DECORATION, "left: what a PASS does not rest on; right: what it need not");
}

fn leaves(json: &Value, at: String, pointers: &mut Vec<String>) {
    match json {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| leaves(value, format!("{at}/{key}"), pointers));
        }
        Value::Array(all) => {
            all.iter()
                .enumerate()
                .for_each(|(n, value)| leaves(value, format!("{at}/{n}"), pointers));
        }
        _ => pointers.push(at),
    }
}

#[test]
fn what_was_set_is_what_was_asked() {
    let good = Bench::overcharge;
    let hello: Which<'_> = &[("fact", "hello")];
    let setup: Which<'_> = &[("fact", "setup")];
    let started: Which<'_> = &[("fact", "started")];
    let table = [
        (good().set(hello, "/protocol", 99), "speaks protocol 99"),
        (good().set(hello, "/cpus", 1), "1 CPUs are online where 2"),
        (good().set(setup, "/limit_bytes", 8 * MIB), "the limit of Limited is 8388608"),
        (good().set(setup, "/policy/1/value", "off"), "memory.overcharge is \"off\""),
        (good().set(setup, "/policy/1/value", "[off] kmem"), "memory.overcharge is \"[off] kmem\""),
        (good().set(setup, "/policy/0/value", "524288"), "memory.overcharge.max is \"524288\""),
        (good().set(setup, "/policy/1/file", "memory.high"), "memory.overcharge was not read back"),
        (good().set(started, "/workload", "lookup"), "missing: the start of the workload"),
        (good().set(started, "/processes", 3), "3 processes started and 2 ended"),
        (good().set(OPEN, "/succeeded", 999), "1000 calls are not 999"),
        (good().set(LOAD_END, "/max_bytes", Value::Null), "not in force throughout"),
        (good().set(AFTER, "/peak_bytes", MIB), "memory.peak went down"),
        (good().set(USAGE, "/sampled_bytes_max", 8 * MIB), "was sampled"),
        (good().set(USAGE, "/samples", 5), "the sampler looked 5 times"),
        (good().set(HEARTBEAT, "/beats", 2), "the heartbeat looked 2 times"),
        (good().set(BEFORE, "/counters", Value::Null), "read only once"),
        (good().set(BEFORE, "/counters/charges", 9), "counters.charges: not there before"),
        (good().set(BEFORE, "/events/max", 99), "events.max: not there before"),
        (
            good().set(BEFORE, "/counters", Value::Null).set(
                SETTLED_FILES,
                "/counters",
                Value::Null,
            ),
            "counters.denied is missing",
        ),
    ];
    for (bench, why) in table {
        let judgement = bench.judge();
        assert_eq!(judgement.verdict, Verdict::Error, "{why}: {}", judgement.why);
        assert!(judgement.why.contains(why), "{:?} lacks {why:?}", judgement.why);
    }
    // The load of 500 ms, seen each 9.8 ms, was last looked at less than the period of 10 ms before
    // its end.
    let seen =
        |beats: u64| good().set(HEARTBEAT, "/gap_us_max", 9_800).set(HEARTBEAT, "/beats", beats);
    assert_eq!(seen(50).judge().verdict, Verdict::Pass);
    assert_eq!(seen(49).judge().verdict, Verdict::Error);
    let chosen = good().set(setup, "/policy/1/value", "off [kmem] all\n").judge();
    assert_eq!(chosen.verdict, Verdict::Pass, "the choice in force may stand in brackets");
}

#[test]
fn a_path_that_never_ran_is_inconclusive_and_a_wrong_number_a_failure() {
    let mut idle = Bench::overcharge().set(SETTLED_FILES, "/counters/charges", 0);
    idle = idle.set(OVERCHARGES, "/memcgs/0/charges", 0);
    for at in [LOAD_END, SETTLED_FILES, AFTER] {
        idle = idle.set(at, "/peak_bytes", 4 * MIB);
    }
    let idle = idle.judge();
    assert_eq!(idle.verdict, Verdict::Inconclusive, "{}", idle.why);
    assert!(idle.why.contains("counters.charges >= 1: it is 0"), "{}", idle.why);
    let mut bench = Bench::overcharge();
    let number = |text: &str, number| crate::config::Condition {
        fact: text.into(),
        comparison: crate::config::Comparison::AtLeast,
        number,
    };
    bench.cell.expect.facts = vec![number("open.succeeded", 2000.0)];
    let failed = bench.judge();
    assert_eq!((failed.verdict, failed.breaks), (Verdict::Fail, vec!["E".into()]));
    bench.cell.expect.facts = vec![number("open.ENOMEM", 1.0)];
    assert_eq!(bench.judge().verdict, Verdict::Fail, "an errno that did not occur is zero");
    bench.cell.expect.facts = vec![number("opne.ENOMEM", 0.0)];
    assert_eq!(
        bench.judge().verdict,
        Verdict::Error,
        "of a call that nobody made nothing is known"
    );
    bench.cell.expect.facts = vec![number("counters.nothing", 0.0)];
    assert_eq!(bench.judge().verdict, Verdict::Error);
}
