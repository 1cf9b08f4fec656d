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
        let bench = bench.set(SETTLED_FILES, "/events/oom_kill", below);
        bench.set(PARENTS, "/events/oom_kill", 0).outcome("I9")
    };
    assert_eq!(killed(CgroupVersion::V1, 1), Kept);
    assert_eq!(killed(CgroupVersion::V1, 0), Broken);
    assert_eq!(killed(CgroupVersion::V2, 1), Broken, "there events are counted on every level");
}
