// SPDX-License-Identifier: MIT OR Apache-2.0
//! Evidence -> flat facts by name, and doubts about the evidence itself.
//!
//! A fact is there only when the guest said it or the console shows it: what is missing stays
//! missing. [`FactName`] has the names. A doubt is a reason why the cell proves nothing:
//! lost, repeated or contradicting events.

use std::collections::BTreeMap;

use protocol::{
    CallCost, Event, Fact, Files, Heartbeat, LatencyUs, LoadEnded, MemcgRole, Operations,
    Overcharged, ProcessEnd, ProcessEnded, ProcessRole, Removed, Settled, Setup, Stage, Usage,
};

use super::charges;
use crate::evidence::Evidence;
use crate::evidence::oom::{Ooms, Origin};
use crate::taxonomy::{self, CallFact, FactName};

/// Flat facts while they are collected.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    values: taxonomy::Facts,
}

impl Facts {
    /// The fact of that name, see [`get`].
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        get(&self.values, &name.parse().ok()?)
    }

    /// All of them.
    pub(crate) fn into_values(self) -> taxonomy::Facts {
        self.values
    }

    fn put(&mut self, name: &str, value: f64) {
        self.values.extend(name.parse().ok().map(|name: FactName| (name, value)));
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.put(name, if value { 1.0 } else { 0.0 });
    }
}

/// The fact of that name. The guest lists the errnos that occurred and counts every call, so an
/// errno that is not listed for a counted call is a true zero.
pub(crate) fn get(values: &taxonomy::Facts, name: &FactName) -> Option<f64> {
    values.get(name).copied().or_else(|| {
        let FactName::Errno(role, op, _) = name else { return None };
        let attempted = FactName::Call(*role, op.clone(), CallFact::Attempted);
        values.contains_key(&attempted).then_some(0.0)
    })
}

/// One memcg's files at one time.
struct Reading<'a> {
    current_bytes: u64,
    peak_bytes: u64,
    events: &'a BTreeMap<String, u64>,
    counters: Option<&'a BTreeMap<String, u64>>,
}

/// The facts of a cell, and what makes them doubtful.
pub(crate) fn derive(evidence: &Evidence, ooms: &Ooms) -> (Facts, Vec<String>) {
    let (mut facts, mut doubts) = (Facts::default(), Vec::new());
    let mut once = Once::default();
    for Event { fact, .. } in &evidence.events {
        once.note(fact, &mut doubts);
        one(fact, &mut facts, &mut doubts);
    }
    if evidence.wall_ms > 0 {
        facts.put("host.starved", evidence.starved_ms as f64 / evidence.wall_ms as f64);
    }
    processes(evidence, &mut facts);
    for role in [MemcgRole::Limited, MemcgRole::Second, MemcgRole::Bystander, MemcgRole::Parent] {
        memcg(evidence, role, &mut facts, &mut doubts);
    }
    // A part of the console is missing: what it shows no more, nobody can count.
    if evidence.console_dropped_bytes == 0 {
        kills(ooms, &mut facts);
        facts.put("kills.global", ooms.global_kills as f64);
        facts.put("oom.no_victim", ooms.no_victim as f64);
    }
    (facts, doubts)
}

/// Kills, and from where. The kernel prints 10 reports in 5 s; of a kill without one nobody knows where it was, unless the
/// patch's counters say that its reconciler made so many. Where one stays unknown, "none in charge" is not known either.
fn kills(ooms: &Ooms, facts: &mut Facts) {
    let (untraced, on_return) = (ooms.untraced(), ooms.kills_from(Origin::Return));
    let reconcilers =
        ["", "second.", "parent."].map(|of| facts.get(&format!("{of}counters.kills")));
    let reconcilers: f64 = reconcilers.into_iter().flatten().sum();
    facts.put("kills", ooms.kills as f64);
    facts.put("kills.on_return", on_return as f64);
    facts.put("kills.untraced", untraced as f64);
    if untraced == 0 || (on_return + untraced) as f64 <= reconcilers {
        facts.put("kills.in_charge", ooms.kills_from(Origin::Charge) as f64);
        facts.put("kills.in_fault", ooms.kills_from(Origin::Fault) as f64);
    }
}

/// Facts that one event holds by itself.
fn one(fact: &Fact, facts: &mut Facts, doubts: &mut Vec<String>) {
    match fact {
        Fact::Setup(Setup { memcg, limit_bytes, cap_bytes, .. }) => {
            let of = of(*memcg);
            facts.put(&format!("{of}limit_bytes"), *limit_bytes as f64);
            if let Some(cap_bytes) = cap_bytes {
                facts.put(&format!("{of}cap_bytes"), *cap_bytes as f64);
            }
        }
        Fact::Operations(Operations {
            role,
            op,
            attempted,
            succeeded,
            errnos,
            latency,
            unfinished,
        }) => {
            let errors: u64 = errnos.values().sum();
            if *attempted != succeeded + errors + unfinished {
                doubts.push(format!(
                    "{op}: {attempted} calls are not {succeeded} successes + {errors} errors + {unfinished} unfinished"
                ));
            }
            let op = format!("{}{op}", prefix(*role));
            operation(facts, &op, [*attempted, *succeeded, errors, *unfinished], latency);
            for (errno, count) in errnos {
                facts.put(&format!("{op}.{errno}"), *count as f64);
            }
        }
        Fact::LoadEnded(LoadEnded { duration_us, complete }) => {
            facts.put("load.ms", ms(*duration_us));
            facts.flag("load.complete", *complete);
        }
        Fact::Usage(_) => usage(fact, facts),
        Fact::Settled(Settled { settled, after_us }) => {
            facts.flag("settled", *settled);
            facts.put("settle_ms", ms(*after_us));
        }
        Fact::Removed(Removed { removed, dying, .. }) => {
            facts.flag("removed", *removed);
            facts.put("dying", *dying as f64);
        }
        Fact::Heartbeat(Heartbeat { beats, gap_us_max, .. }) => {
            if *beats > 0 {
                facts.put("heartbeat.beats", *beats as f64);
                facts.put("heartbeat.gap_ms", ms(*gap_us_max));
            }
        }
        Fact::Charges(charges) if charges.blind.is_none() => {
            facts.put("charges.failed", charges::count(charges, |_| true) as f64);
            facts.put("charges.eligible", charges::count(charges, charges::is_eligible) as f64);
            facts.put("charges.lost", charges.lost as f64);
        }
        Fact::Overcharges(overcharges) if overcharges.traced => {
            facts.put("overcharges.lost", overcharges.lost as f64);
            overcharges.memcgs.iter().for_each(|memcg| overcharged(memcg, facts));
        }
        Fact::Cost(CallCost { op, instructions, .. }) => {
            facts.put(&format!("instructions.{op}"), instructions.median as f64);
        }
        Fact::Hello(_)
        | Fact::Unsupported { .. }
        | Fact::Started(_)
        | Fact::ProcessEnded(_)
        | Fact::Memcg(_)
        | Fact::Charges(_)
        | Fact::Overcharges(_)
        | Fact::Injected(_)
        | Fact::Broken { .. }
        | Fact::Ended => {}
    }
}

/// No sample is no knowledge, not a usage of nothing.
fn usage(fact: &Fact, facts: &mut Facts) {
    let Fact::Usage(Usage { memcg, samples: 1.., gap_us_max, over_bytes, .. }) = fact else {
        return;
    };
    let Fact::Usage(Usage { over_us_last, samples_over, over_us_max, .. }) = fact else { return };
    let of = of(*memcg);
    let mut put = |name: &str, value: f64| facts.put(&format!("{of}{name}"), value);
    put("over_ms_max", ms(*over_us_max));
    put("over_ms_last", ms(*over_us_last));
    put("samples_over", *samples_over as f64);
    put("sampler.gap_ms", ms(*gap_us_max));
    put("overrun.p50_bytes", over_bytes.p50 as f64);
    put("overrun.p99_bytes", over_bytes.p99 as f64);
    put("overrun.max_bytes", over_bytes.max as f64);
}

/// Times are there only where something was paid.
fn overcharged(memcg: &Overcharged, facts: &mut Facts) {
    let of = of(memcg.memcg);
    let mut put =
        |name: &str, value: u64| facts.put(&format!("{of}reconcile.{name}"), value as f64);
    put("owed", memcg.charges);
    put("paid", memcg.paid);
    put("lapsed", memcg.lapsed);
    put("open", memcg.open);
    put("unattended_us", memcg.unattended_us_max);
    if memcg.paid > 0 {
        let LatencyUs { p50, p99, max } = memcg.paid_after_us;
        put("p50_us", p50);
        put("p99_us", p99);
        put("max_us", max);
    }
}

fn operation(facts: &mut Facts, op: &str, counts: [u64; 4], latency: &LatencyUs) {
    let times = [latency.p50, latency.p99, latency.max];
    let names = ["attempted", "succeeded", "errors", "unfinished", "p50_us", "p99_us", "max_us"];
    for (suffix, value) in names.into_iter().zip(counts.into_iter().chain(times)) {
        facts.put(&format!("{op}.{suffix}"), value as f64);
    }
}

/// What stands before the facts of a memcg; nothing for the one under test.
fn of(memcg: MemcgRole) -> &'static str {
    match memcg {
        MemcgRole::Limited => "",
        MemcgRole::Second => "second.",
        MemcgRole::Bystander => "bystander.",
        MemcgRole::Parent => "parent.",
    }
}

fn prefix(role: ProcessRole) -> &'static str {
    match role {
        ProcessRole::Actor => "",
        ProcessRole::Hog => "hog.",
        ProcessRole::Outsider => "outsider.",
        ProcessRole::Bystander => "bystander.",
    }
}

/// Processes in a limited memcg that the OOM killer could still have chosen when the guest began
/// to clean up: those that had not ended before it read the memcgs' files for that. Whoever
/// has done its work and only waits to be let go can still be killed.
fn killable_left(evidence: &Evidence) -> u64 {
    let request = &evidence.request;
    let actors = if request.killable { u64::from(request.tasks) } else { 0 };
    let second = request.second.as_ref().map_or(0, |second| second.hog_bytes);
    let hogs = request.hogs() + u64::from(second > 0);
    let killable = |role| match role {
        ProcessRole::Actor => request.killable,
        ProcessRole::Hog => true,
        ProcessRole::Outsider | ProcessRole::Bystander => false,
    };
    let until_settled = evidence.events.iter().take_while(|event| {
        !matches!(event.fact, Fact::Memcg(Files { stage: Stage::Settled, .. }))
    });
    let gone = until_settled.filter(|event| match event.fact {
        Fact::ProcessEnded(ProcessEnded { role, by_guest, .. }) => killable(role) && !by_guest,
        _ => false,
    });
    (actors + hogs).saturating_sub(gone.count() as u64)
}

fn processes(evidence: &Evidence, facts: &mut Facts) {
    let ends: Vec<(ProcessEnd, bool)> = evidence
        .events
        .iter()
        .filter_map(|event| match event.fact {
            Fact::ProcessEnded(ProcessEnded { end, by_guest, .. }) => Some((end, by_guest)),
            _ => None,
        })
        .collect();
    let count =
        |fits: fn(&(ProcessEnd, bool)) -> bool| ends.iter().filter(|end| fits(end)).count() as f64;
    facts.put("processes.ended", ends.len() as f64);
    facts.put(
        "processes.killed",
        count(|(end, by_guest)| *end == ProcessEnd::Signaled(9) && !by_guest),
    );
    facts.put("killable.left", killable_left(evidence) as f64);
    facts.put("processes.unkillable", count(|(end, _)| *end == ProcessEnd::Unkillable));
}

/// What a memcg's files say, and how they moved while the load ran and settled.
fn memcg(evidence: &Evidence, role: MemcgRole, facts: &mut Facts, doubts: &mut Vec<String>) {
    let (at, of) = (|stage| reading(&evidence.events, stage, role), of(role));
    if let (Some(settled), Some(after)) = (at(Stage::Settled), at(Stage::After)) {
        let peak_bytes = settled.peak_bytes.max(after.peak_bytes);
        facts.put(&format!("{of}peak_bytes"), peak_bytes as f64);
        if let Some(limit_bytes) = facts.get(&format!("{of}limit_bytes")) {
            let over_bytes = (peak_bytes as f64 - limit_bytes).max(0.0);
            facts.put(&format!("{of}peak_over_bytes"), over_bytes);
        }
        facts.put(&format!("{of}after.current_bytes"), after.current_bytes as f64);
    }
    let (Some(before), Some(settled)) = (at(Stage::Before), at(Stage::Settled)) else { return };
    deltas(&format!("{of}events"), before.events, settled.events, facts, doubts);
    match (before.counters, settled.counters) {
        (Some(before), Some(settled)) => {
            deltas(&format!("{of}counters"), before, settled, facts, doubts);
        }
        (None, None) => {}
        _ => doubts.push("the patch's counters were read only once".to_owned()),
    }
}

fn deltas(
    kind: &str,
    before: &BTreeMap<String, u64>,
    later: &BTreeMap<String, u64>,
    facts: &mut Facts,
    doubts: &mut Vec<String>,
) {
    for (key, later) in later {
        match before.get(key).and_then(|before| later.checked_sub(*before)) {
            Some(delta) => facts.put(&format!("{kind}.{key}"), delta as f64),
            None => doubts
                .push(format!("{kind}.{key}: was not there before the load, or went backwards")),
        }
    }
}

fn reading(events: &[Event], wanted: Stage, of: MemcgRole) -> Option<Reading<'_>> {
    events.iter().find_map(|event| match &event.fact {
        Fact::Memcg(Files { stage, role, current_bytes, peak_bytes, events, counters, .. })
            if *stage == wanted && *role == of =>
        {
            let (current_bytes, peak_bytes) = (*current_bytes, *peak_bytes);
            Some(Reading { current_bytes, peak_bytes, events, counters: counters.as_ref() })
        }
        _ => None,
    })
}

/// Sees that what is said once is not said twice: two answers to one question are none.
#[derive(Default)]
struct Once(Vec<String>);

impl Once {
    fn note(&mut self, fact: &Fact, doubts: &mut Vec<String>) {
        let name = match fact {
            Fact::ProcessEnded(_) => return,
            Fact::Operations(Operations { role, op, .. }) => format!("{}{op}", prefix(*role)),
            Fact::Usage(Usage { memcg, .. }) => format!("usage of {memcg:?}"),
            Fact::Memcg(Files { stage, role, .. }) => format!("files of {role:?} at {stage:?}"),
            Fact::Hello(_) => "hello".to_owned(),
            Fact::Unsupported { .. } => "unsupported".to_owned(),
            Fact::Setup(Setup { memcg, .. }) => format!("set-up of {memcg:?}"),
            Fact::Started(_) => "start".to_owned(),
            Fact::LoadEnded(_) => "end of the load".to_owned(),
            Fact::Settled(_) => "settling".to_owned(),
            Fact::Removed(_) => "removal".to_owned(),
            Fact::Heartbeat(_) => "heartbeat".to_owned(),
            Fact::Charges(_) => "charges".to_owned(),
            Fact::Overcharges(_) => "overcharges".to_owned(),
            Fact::Injected(injected) => format!("{} {}", injected.call, injected.nth),
            Fact::Cost(CallCost { op, .. }) => format!("cost of {op}"),
            Fact::Broken { .. } => "broken".to_owned(),
            Fact::Ended => "end".to_owned(),
        };
        if self.0.contains(&name) {
            doubts.push(format!("{name} is reported twice"));
        }
        self.0.push(name);
    }
}

fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}
