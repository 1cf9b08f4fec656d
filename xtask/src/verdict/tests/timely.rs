// SPDX-License-Identifier: MIT OR Apache-2.0
//! Both sides of the tolerances of I3: how long usage may stay above the limit, and a debt
//! unattended.

use protocol::{Event, Fact, ProcessEnded, ProcessRole};

use super::*;
use Outcome::{Broken, Kept, NotApplicable, Unknown};

#[test]
fn i3_allows_a_kill_its_reaper_and_no_more() {
    let over = |kills: u64, over_ms: u64, slowdown| {
        let mut bench = Bench::overcharge()
            .with_hog()
            .set(SETTLED_FILES, "/events/oom_kill", kills)
            .set(USAGE, "/over_us_max", over_ms * 1000);
        bench.pace.slowdown = slowdown;
        bench.outcome("I3")
    };
    // The samples are up to 2 ms apart on either side.
    assert_eq!(over(0, 196, 1), Kept);
    assert_eq!(over(0, 197, 1), Unknown);
    assert_eq!(over(0, 200, 1), Unknown);
    assert_eq!(over(0, 201, 1), Broken);
    assert_eq!(over(1, 3196, 1), Kept);
    assert_eq!(over(1, 3201, 1), Broken);
    assert_eq!(over(0, 496, 4), Kept, "a grace period is longer on a slow machine");
    assert_eq!(over(0, 501, 4), Broken);
}

#[test]
fn i3_does_not_let_a_late_kill_excuse_that_nobody_tried_to_pay() {
    let unattended = |us: u64, slowdown| {
        let mut bench = Bench::overcharge().with_hog().set(SETTLED_FILES, "/events/oom_kill", 1);
        bench = bench.set(OVERCHARGES, "/memcgs/0/unattended_us_max", us);
        bench.pace.slowdown = slowdown;
        bench.outcome("I3")
    };
    // The samples are up to 2 ms apart.
    assert_eq!(unattended(200_000, 1), Kept);
    assert_eq!(unattended(200_001, 1), Unknown);
    assert_eq!(unattended(202_001, 1), Broken);
    assert_eq!(unattended(400_000, 3), Kept);
    assert_eq!(unattended(402_001, 3), Broken);
}

#[test]
fn i3_gives_each_of_many_tasks_its_turn() {
    let over = |tasks: u32, over_ms: u64| {
        let mut bench = Bench::overcharge().with_hog().set(USAGE, "/over_us_max", over_ms * 1000);
        bench.cell.request.tasks = tasks;
        bench.outcome("I3")
    };
    // On two CPUs.
    assert_eq!(over(2, 201), Broken);
    assert_eq!(over(3, 206), Kept);
    assert_eq!(over(3, 211), Broken);
    assert_eq!(over(64, 506), Kept);
    assert_eq!(over(64, 511), Broken);
}

#[test]
fn i3_asks_only_where_something_can_be_killed() {
    let other = |bench: Bench| bench.set(SETTLED, "/settled", false);
    let above = |bench: Bench| bench.set(SETTLED_FILES, "/current_bytes", 1_u64 << 40);
    let stuck = |bench: Bench| above(other(bench)).outcome("I3");
    assert_eq!(stuck(Bench::overcharge()), NotApplicable);
    assert_eq!(stuck(Bench::overcharge().with_hog()), Broken);
    let within = other(Bench::overcharge().with_hog());
    assert_eq!(within.outcome("I3"), Kept, "it was another memcg that was above its limit");
    // An actor that ended without the guest's hand cannot be killed for its memory any more.
    let ended = |over_us_last: u64, early: bool| {
        let mut bench = Bench::overcharge().set(USAGE, "/over_us_max", 900_000);
        bench.cell.request.killable = true;
        bench.evidence.request.killable = true;
        if early {
            let ended = |event: &Event| {
                matches!(
                    event.fact,
                    Fact::ProcessEnded(ProcessEnded { role: ProcessRole::Actor, .. })
                )
            };
            let events = &mut bench.evidence.events;
            let at = events.iter().position(ended).unwrap();
            let end = events.remove(at);
            let load_ended = |event: &Event| matches!(event.fact, Fact::LoadEnded(_));
            let at = events.iter().position(load_ended).unwrap();
            events.insert(at, end);
            bench.renumber();
        }
        stuck(bench.set(USAGE, "/over_us_last", over_us_last))
    };
    assert_eq!(ended(900_000, true), NotApplicable);
    assert_eq!(ended(100_000, true), Broken, "an earlier run above the limit was too long");
    assert_eq!(ended(900_000, false), Broken, "who waits to be let go could have been killed");
    assert_eq!(Bench::overcharge().with_hog().outcome("I3"), Kept);
    let coarse = || Bench::overcharge().with_hog().set(USAGE, "/gap_us_max", 150_000);
    let below = |over_us: u64| {
        let bench = coarse().set(USAGE, "/over_us_max", over_us);
        let bench = bench.set(OVERCHARGES, "/memcgs/0/unattended_us_max", 0);
        let bench = bench.set(OVERCHARGES, "/memcgs/0/charges", 0);
        [LOAD_END, SETTLED_FILES, AFTER]
            .iter()
            .fold(bench, |bench, at| bench.set(at, "/peak_bytes", 4096))
    };
    assert_eq!(below(0).outcome("I3"), Kept, "no gap hides what the peak would show");
    assert_eq!(below(1).outcome("I3"), Unknown, "the sampler saw what the peak denies");
    let traced = below(0).set(OVERCHARGES, "/memcgs/0/charges", 1);
    assert_eq!(traced.outcome("I3"), Unknown, "the trace saw what the peak denies");
    let coarse = coarse();
    assert_eq!(coarse.outcome("I3"), Unknown, "a sampler that looked away proves nothing");
    assert_eq!(coarse.judge().verdict, Verdict::Error);
}

#[test]
fn what_the_host_has_stretched_breaks_nothing() {
    // Of the 2,400 ms of the cell; 200 ms are tolerated.
    let over = |ms: u64, starved_ms: u64| {
        let mut bench = Bench::overcharge().with_hog().set(USAGE, "/over_us_max", ms * 1000);
        bench.evidence.starved_ms = starved_ms;
        bench.outcome("I3")
    };
    assert_eq!([over(201, 0), over(267, 600), over(401, 1_200)], [Outcome::Broken; 3]);
    assert_eq!([over(201, 600), over(266, 600), over(400, 1_200)], [Outcome::Unknown; 3]);
    assert_eq!(over(2_001, 2_400), Outcome::Broken, "ten times at most");
    let took = |times: f64| {
        let mut bench = Bench::overcharge();
        bench.evidence.starved_ms = 1_200;
        let number = bench.judge().facts[&"load.ms".into()] / times;
        let (fact, comparison) = ("load.ms".into(), crate::config::Comparison::AtMost);
        bench.cell.expect.facts = vec![crate::config::Condition { fact, comparison, number }];
        bench.outcome("E")
    };
    assert_eq!([took(2.1), took(2.0)], [Outcome::Broken, Outcome::Unknown]);
    let cut = |starved_ms: u64| {
        let mut bench = Bench::overcharge().set(&[("fact", "load_ended")], "/complete", false);
        bench.cell.expect.facts.clear();
        bench.cell.expect.complete();
        bench.evidence.starved_ms = starved_ms;
        bench.outcome("E")
    };
    assert_eq!(
        [cut(0), cut(600), cut(1_200)],
        [Outcome::Broken, Outcome::Broken, Outcome::Unknown]
    );
}
