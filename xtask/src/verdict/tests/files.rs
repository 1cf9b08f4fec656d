// SPDX-License-Identifier: MIT OR Apache-2.0
//! Both sides of the tolerances of I8 and I9: what files of memcgs say.

use protocol::{CgroupVersion, Files, MemcgShape, Setup, Usage};

use serde_json::json;

use super::*;
use Outcome::{Broken, Kept, NotApplicable, Unknown};

/// The parent has a limit of 8 MiB and a cap of 1 MiB; its peak is so far above, and it stayed
/// above the limit for so long.
fn with_parent(bench: Bench, over_bytes: u64, over_us: u64) -> Bench {
    let mut bench = bench;
    let shape = MemcgShape {
        limit_bytes: 8 * MIB,
        hog_bytes: 0,
        tasks: 0,
        writes: Vec::new(),
        policy: Vec::new(),
    };
    bench.cell.request.parent = Some(shape);
    bench.evidence.request = bench.cell.request.clone();
    for event in &mut bench.evidence.events {
        if let Fact::Memcg(Files {
            role: MemcgRole::Parent, max_bytes, peak_bytes, stage, ..
        }) = &mut event.fact
        {
            *max_bytes = Some(8 * MIB);
            let later = matches!(stage, Stage::Settled | Stage::After);
            *peak_bytes = if later { 8 * MIB + over_bytes } else { 0 };
        }
    }
    let find = |bench: &Bench, fits: fn(&Fact) -> bool| {
        bench.evidence.events.iter().position(|event| fits(&event.fact)).unwrap()
    };
    let at = find(&bench, |fact| matches!(fact, Fact::Setup(_)));
    let mut setup = bench.evidence.events[at].clone();
    if let Fact::Setup(Setup { memcg, limit_bytes, policy, .. }) = &mut setup.fact {
        (*memcg, *limit_bytes) = (MemcgRole::Parent, 8 * MIB);
        policy.clear();
    }
    bench.evidence.events.insert(at + 1, setup);
    let at = find(&bench, |fact| matches!(fact, Fact::Usage(_)));
    let mut usage = bench.evidence.events[at].clone();
    if let Fact::Usage(Usage { memcg, over_us_max, over_us_last, sampled_bytes_max, .. }) =
        &mut usage.fact
    {
        (*memcg, *over_us_max, *over_us_last) = (MemcgRole::Parent, over_us, 0);
        *sampled_bytes_max = 8 * MIB;
    }
    bench.evidence.events.insert(at + 1, usage);
    bench.renumber();
    bench
}

#[test]
fn i8_is_asked_where_the_parent_has_a_limit() {
    assert_eq!(Bench::overcharge().outcome("I8"), NotApplicable);
    assert_eq!(with_parent(Bench::overcharge(), 0, 0).outcome("I8"), Kept);
}

#[test]
fn i8_bounds_the_parents_peak_by_the_parents_cap() {
    let bound = MIB + 2 * (8 + 64) * PAGE;
    assert_eq!(with_parent(Bench::overcharge(), bound, 0).outcome("I8"), Kept);
    let past = with_parent(Bench::overcharge(), bound + 1, 0);
    assert_eq!(past.outcome("I8"), Broken);
    assert_eq!(past.outcome("I2"), Kept, "the child itself is within its bound");
    assert_eq!(with_parent(Bench::mainline(), 0, 0).outcome("I8"), Kept);
    assert_eq!(with_parent(Bench::mainline(), 1, 0).outcome("I8"), Broken);
}

#[test]
fn i8_wants_the_parent_back_in_time() {
    // A grace period and the backstop, 100 ms each, less the samples' gaps of 2 ms on either side.
    let over = |ms: u64| with_parent(Bench::overcharge().with_hog(), 0, ms * 1000).outcome("I8");
    assert_eq!(over(190), Kept);
    assert_eq!(over(199), Unknown, "the gaps could carry it over");
    assert_eq!(over(201), Broken);
}

#[test]
fn i9_wants_the_parts_to_make_the_whole() {
    let kernel =
        |bytes: u64| Bench::overcharge().set(SETTLED_FILES, "/stat/kernel", bytes).outcome("I9");
    let bound = 2 * 64 * 2 * PAGE;
    assert_eq!(kernel(4 * MIB - bound), Kept);
    assert_eq!(kernel(4 * MIB - bound - 1), Broken);
    assert_eq!(kernel(4 * MIB + bound), Kept);
    assert_eq!(kernel(4 * MIB + bound + 1), Broken);
}

#[test]
fn i9_wants_what_went_over_the_limit_to_be_counted() {
    let bench = Bench::overcharge();
    assert_eq!(bench.outcome("I9"), Kept);
    let uncounted = bench.clone().set(SETTLED_FILES, "/counters/charges", 0);
    let uncounted = uncounted.set(OVERCHARGES, "/memcgs", json!([]));
    assert_eq!(uncounted.outcome("I9"), Broken);
    let traced = |count: u64| bench.clone().set(OVERCHARGES, "/memcgs/0/charges", count);
    assert_eq!(traced(3).outcome("I9"), Kept);
    assert_eq!(traced(2).outcome("I9"), Broken, "one was counted that no event shows");
    assert_eq!(traced(2).set(OVERCHARGES, "/lost", 1).outcome("I9"), Kept, "it was lost");
    assert_eq!(bench.clone().set(OVERCHARGES, "/memcgs", json!([])).outcome("I9"), Broken);
    let silent = bench.clone().set(OVERCHARGES, "/traced", false);
    assert_eq!([silent.outcome("I9"), silent.outcome("I2")], [Kept, Unknown]);
    assert_eq!(traced(4).outcome("I9"), Broken);
    let mut forced = uncounted;
    forced.cell.forced_bytes = MIB;
    assert_eq!(forced.outcome("I9"), Kept, "charges that may not fail are not counted");
}

#[test]
fn i9_wants_pages_and_denials_as_they_were_traced() {
    let asked = "/memcgs/0/asked/0/pages";
    let mut bench = Bench::overcharge();
    for event in &mut bench.evidence.events {
        if let Fact::Memcg(Files { counters: Some(counters), stage, .. }) = &mut event.fact {
            let pages = if *stage == Stage::Before { 0 } else { 3 };
            counters.insert("pages".to_owned(), pages);
        }
    }
    assert_eq!(bench.outcome("I9"), Kept);
    assert_eq!(bench.clone().set(OVERCHARGES, asked, 2).outcome("I9"), Broken);
    let counted = bench.clone().set(SETTLED_FILES, "/counters/pages", 6);
    assert_eq!(counted.outcome("I9"), Broken, "three pages too many");
    assert_eq!(counted.clone().set(OVERCHARGES, asked, 2).outcome("I9"), Kept);
    assert_eq!(counted.set(OVERCHARGES, "/lost", 1).outcome("I9"), Kept, "they were lost");
    let denied = bench.set(SETTLED_FILES, "/counters/denied", 2);
    assert_eq!(denied.outcome("I9"), Broken, "an excuse that no event shows");
    assert_eq!(denied.clone().set(OVERCHARGES, "/memcgs/0/denied", 2).outcome("I9"), Kept);
    assert_eq!(denied.set(OVERCHARGES, "/memcgs/0/denied", 3).outcome("I9"), Broken);
}

#[test]
fn i9_wants_every_counter_as_it_was_traced() {
    let bench = |counter: &str, [settled, after]: [u64; 2]| {
        let mut bench = Bench::overcharge();
        for event in &mut bench.evidence.events {
            if let Fact::Memcg(Files { counters: Some(counters), stage, .. }) = &mut event.fact {
                let now = match stage {
                    Stage::Before => 0,
                    Stage::After => after,
                    _ => settled,
                };
                counters.insert(counter.to_owned(), now);
            }
        }
        bench
    };
    for counter in ["user", "deferred", "reconciles", "reclaimed", "stuck"] {
        let of = |traced: u64, lost: u64, counted| {
            let traced = json!({ counter: traced });
            let bench = bench(counter, counted).set(OVERCHARGES, "/memcgs/0/counted", traced);
            bench.set(OVERCHARGES, "/lost", lost).outcome("I9")
        };
        assert_eq!(of(2, 0, [2, 2]), Kept, "{counter}");
        assert_eq!([of(1, 0, [2, 2]), of(3, 0, [2, 2])], [Broken, Broken], "{counter}");
        assert_eq!(of(3, 0, [2, 3]), Kept, "{counter}: while the tasks ended");
        assert_eq!([of(1, 1, [2, 2]), of(3, 1, [2, 2])], [Kept, Broken], "{counter}: one was lost");
    }
}

#[test]
fn i9_wants_events_that_agree_with_themselves_and_with_the_peak() {
    let odd = |what: &str, count: u64| {
        let odd = json!({ what: count });
        Bench::overcharge().set(OVERCHARGES, "/memcgs/0/odd", odd).outcome("I9")
    };
    assert_eq!(odd("paid, and something left", 1), Broken);
    assert_eq!([1, 2].map(|count| odd("stuck, and nothing left", count)), [Kept, Broken]);
    let furthest = |pages: u64| {
        Bench::overcharge().set(OVERCHARGES, "/memcgs/0/excess_pages_max", pages).outcome("I9")
    };
    // The peak is 40 pages above the limit, and another CPU may have a batch.
    assert_eq!([furthest(40 + 64), furthest(40 + 65)], [Kept, Broken]);
}

#[test]
fn i9_wants_events_of_memory_events_for_what_was_counted() {
    const AFTER: Which<'_> = &[("stage", "after"), ("role", "limited")];
    let bench = |max: u64, oom: u64, stuck: u64| {
        let bench = Bench::overcharge().set(SETTLED_FILES, "/events/max", max);
        let bench =
            bench.set(OVERCHARGES, "/memcgs/0/reconciles", json!({ "stuck by work": stuck }));
        bench.set(AFTER, "/events/oom", oom).outcome("I9")
    };
    assert_eq!(bench(3, 0, 0), Kept);
    assert_eq!(bench(2, 0, 0), Broken, "a charge over the limit without an event");
    assert_eq!([bench(3, 2, 2), bench(3, 1, 2)], [Kept, Broken]);
}

#[test]
fn i9_wants_it_counted_where_the_limit_was() {
    let counted = |charges: u64, over_bytes: u64, tasks: u32| {
        let mut bench = with_parent(Bench::overcharge(), over_bytes, 0);
        bench.cell.request.tasks = tasks;
        bench.evidence.request = bench.cell.request.clone();
        for event in &mut bench.evidence.events {
            if let Fact::Memcg(Files { role: MemcgRole::Parent, counters, stage, .. }) =
                &mut event.fact
            {
                let now = if *stage == Stage::Before { 0 } else { charges };
                *counters =
                    Some([("charges", now), ("pages", now)].map(|(k, v)| (k.into(), v)).into());
            }
        }
        bench.trace(MemcgRole::Parent, charges);
        bench.outcome("I9")
    };
    assert_eq!(counted(1, PAGE, 1), Kept);
    assert_eq!(counted(0, 0, 1), Kept);
    assert_eq!(counted(0, PAGE, 1), Broken);
    assert_eq!(counted(0, 64 * PAGE, 2), Kept, "the batch of another task on the other CPU");
    assert_eq!(counted(0, 65 * PAGE, 2), Broken);
    assert_eq!(counted(0, 65 * PAGE, 9), Broken, "there are two CPUs");
}

#[test]
fn i9_wants_counted_kills_to_be_events_too() {
    let kills = |counted: u64| {
        let mut bench = Bench::overcharge();
        for event in &mut bench.evidence.events {
            if let Fact::Memcg(Files { counters: Some(counters), stage, .. }) = &mut event.fact {
                let later = *stage != Stage::Before;
                counters.insert("kills".to_owned(), if later { counted } else { 0 });
            }
        }
        let bench = bench.set(OVERCHARGES, "/memcgs/0/counted", json!({ "kills": counted }));
        bench.set(SETTLED_FILES, "/events/oom_kill", 1).outcome("I9")
    };
    assert_eq!(kills(1), Kept);
    assert_eq!(kills(2), Broken);
}

#[test]
fn i9_takes_the_victims_events_on_v1_for_a_kill_that_the_parent_counted() {
    const PARENTS: Which<'_> = &[("stage", "settled"), ("role", "parent")];
    let killed = |cgroup: CgroupVersion, below: u64| {
        let mut bench = with_parent(Bench::overcharge(), 0, 0);
        bench.cell.key.cgroup = cgroup;
        for event in &mut bench.evidence.events {
            if let Fact::Memcg(Files { role: MemcgRole::Parent, counters, stage, .. }) =
                &mut event.fact
            {
                let kills = u64::from(*stage != Stage::Before);
                let all = [("charges", 0), ("pages", 0), ("kills", kills)];
                *counters = Some(all.map(|(name, count)| (name.to_owned(), count)).into());
            }
        }
        bench.trace(MemcgRole::Parent, 0);
        let bench = bench.set(SETTLED_FILES, "/events/oom_kill", below);
        let bench = bench.set(OVERCHARGES, "/memcgs/1/counted", json!({ "kills": 1 }));
        bench.set(PARENTS, "/events/oom_kill", 0).outcome("I9")
    };
    assert_eq!(killed(CgroupVersion::V1, 1), Kept);
    assert_eq!(killed(CgroupVersion::V1, 0), Broken);
    assert_eq!(killed(CgroupVersion::V2, 1), Broken, "there events are counted on every level");
}

#[test]
fn i5_looks_at_what_the_whole_machine_holds() {
    let after = |name: &str, amount: u64| {
        let ledger: Which<'_> = &[("fact", "ledger")];
        Bench::overcharge().set(ledger, &format!("/after/{name}"), amount).outcome("I5")
    };
    // Before: 1 MiB of slabs, 64 files.
    assert_eq!([after("slab", 25 << 20), after("slab", (25 << 20) + 1)], [Kept, Broken]);
    assert_eq!([after("files", 320), after("files", 321)], [Kept, Broken]);
    assert_eq!([after("files", 0), after("percpu", 0)], [Kept, Outcome::Unknown]);
    let mut unsaid = Bench::overcharge();
    unsaid.evidence.events.retain(|event| !matches!(event.fact, Fact::Ledger(_)));
    unsaid.renumber();
    assert_eq!(unsaid.outcome("I5"), Outcome::Unknown);
}
