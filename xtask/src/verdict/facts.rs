// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was seen -> flat facts by name, for conditions of scenarios, comparisons and exports.
//!
//! A fact is there only when the guest said it or the console shows it: what is missing stays
//! missing. A doubt is a reason why the cell proves nothing: contradicting events.

use std::collections::BTreeMap;

use protocol::{LatencyUs, Ledger, MemcgRole, Operations, ProcessEnd, ProcessRole, Stage};

use super::charges;
use crate::evidence::Seen;
use crate::evidence::oom::Origin;
use crate::taxonomy::{CallFact, CellFact, FactName, Facts, MemcgFact};

/// The fact of that name. The guest lists the errnos that occurred and counts every call, so an
/// errno that is not listed for a counted call is a true zero.
pub(crate) fn get(values: &Facts, name: &FactName) -> Option<f64> {
    values.get(name).copied().or_else(|| {
        let FactName::Errno(role, op, _) = name else { return None };
        let attempted = FactName::Call(*role, op.clone(), CallFact::Attempted);
        values.contains_key(&attempted).then_some(0.0)
    })
}

/// The facts of a cell, and what makes them doubtful.
pub(crate) fn derive(seen: &Seen<'_>, whole_console: bool) -> (Facts, Vec<String>) {
    let mut found = Found::default();
    found.cell(seen);
    found.processes(seen);
    found.program(seen);
    found.charges(seen);
    for role in [MemcgRole::Limited, MemcgRole::Second, MemcgRole::Bystander, MemcgRole::Parent] {
        found.limits(seen, role);
        found.usage(seen, role);
        found.owed(seen, role);
        found.moved(seen, role);
    }
    seen.operations.iter().for_each(|calls| found.calls(calls));
    for cost in &seen.costs {
        let median = cost.instructions.median as f64;
        found.facts.insert(FactName::Instructions(cost.op.clone()), median);
    }
    for (name, more) in seen.ledger.iter().copied().flat_map(more) {
        found.count(FactName::Left(name.to_owned()), more);
    }
    for census in &seen.census {
        found.put(FactName::Census(census.kind.clone()), census.bytes as f64);
    }
    // While all objects are there.
    let whole = seen.files(Stage::LoadEnd, MemcgRole::Parent).filter(|_| !seen.census.is_empty());
    for (key, value) in whole.iter().flat_map(|files| &files.stat) {
        if STATS.contains(&key.as_str()) {
            found.count(FactName::Census(format!("stat_{key}")), *value);
        }
    }
    // What a part of the console that is missing has shown cannot be counted.
    if whole_console {
        found.kills(seen);
    }
    (found.facts, found.doubts)
}

/// By how much each amount rose.
pub(super) fn more(ledger: &Ledger) -> impl Iterator<Item = (&str, u64)> {
    ledger.after.iter().map(|(name, after)| {
        let before = ledger.before.get(name).copied().unwrap_or(0);
        (name.as_str(), after.saturating_sub(before))
    })
}

/// Of `memory.stat`: sizes that follow from what was made, whatever the kernel does meanwhile.
const STATS: [&str; 10] = [
    "anon",
    "file",
    "kernel",
    "kernel_stack",
    "pagetables",
    "percpu",
    "sock",
    "vmalloc",
    "shmem",
    "slab_unreclaimable",
];

/// Of `memory.stat`: pages that were reclaimed, whoever did it.
const RECLAIMED: &str = "pgsteal";

/// Facts while they are collected.
#[derive(Default)]
struct Found {
    facts: Facts,
    doubts: Vec<String>,
}

impl Found {
    fn put(&mut self, name: impl Into<FactName>, value: f64) {
        self.facts.insert(name.into(), value);
    }

    fn count(&mut self, name: impl Into<FactName>, value: u64) {
        self.put(name, value as f64);
    }

    fn cell(&mut self, seen: &Seen<'_>) {
        if let Some((_, load)) = seen.load_ended {
            self.put(CellFact::LoadMs, ms(load.duration_us));
            self.count(CellFact::LoadComplete, load.complete.into());
            if let Some(interrupts) = load.call_interrupts {
                self.count(CellFact::LoadCallInterrupts, interrupts);
            }
        }
        if let Some(settled) = seen.settled {
            self.count(CellFact::Settled, settled.settled.into());
            self.put(CellFact::SettleMs, ms(settled.after_us));
        }
        if let Some(removed) = seen.removed {
            self.count(CellFact::Removed, removed.removed.into());
            self.count(CellFact::Dying, removed.dying);
        }
        if let Some(heartbeat) = seen.heartbeat.filter(|heartbeat| heartbeat.beats > 0) {
            self.count(CellFact::HeartbeatBeats, heartbeat.beats);
            self.put(CellFact::HeartbeatGapMs, ms(heartbeat.gap_us_max));
        }
        if seen.evidence.wall_ms > 0 {
            let share = seen.evidence.starved_ms as f64 / seen.evidence.wall_ms as f64;
            self.put(CellFact::HostStarved, share);
        }
    }

    fn processes(&mut self, seen: &Seen<'_>) {
        self.count(CellFact::ProcessesEnded, seen.ends.len() as u64);
        let killed = seen.signaled().filter(|(_, signal)| *signal == 9).count() as u64;
        self.count(CellFact::ProcessesKilled, killed);
        self.count(CellFact::ProcessesUnkillable, unkillable(seen));
        self.count(CellFact::KillableLeft, seen.killable_left());
    }

    /// How the user's program ended, which is the only actor.
    fn program(&mut self, seen: &Seen<'_>) {
        let Some(transcript) = seen.transcript else { return };
        self.count(CellFact::ProgramOutputBytes, transcript.bytes);
        let Some(end) = seen.ends.iter().find(|end| end.role == ProcessRole::Actor) else { return };
        self.put(CellFact::ProgramMs, ms(end.after_us));
        self.count(CellFact::ProgramFailed, (end.end != ProcessEnd::Exited(0)).into());
        let timed_out = end.by_guest || end.end == ProcessEnd::Unkillable;
        self.count(CellFact::ProgramTimedOut, timed_out.into());
        let signal = match end.end {
            ProcessEnd::Signaled(signal) if !timed_out => signal,
            _ => 0,
        };
        self.put(CellFact::ProgramSignal, signal.into());
        if let ProcessEnd::Exited(status) = end.end {
            self.put(CellFact::ProgramStatus, status.into());
        }
    }

    fn charges(&mut self, seen: &Seen<'_>) {
        if let Some(charges) = seen.charges.filter(|charges| charges.blind.is_none()) {
            self.count(CellFact::ChargesFailed, charges::count(charges, |_| true));
            self.count(CellFact::ChargesEligible, charges::count(charges, charges::is_eligible));
            self.count(CellFact::ChargesLost, charges.lost);
        }
        if let Some(overcharges) = seen.traced() {
            self.count(CellFact::OverchargesLost, overcharges.lost);
        }
    }

    fn limits(&mut self, seen: &Seen<'_>, role: MemcgRole) {
        let setup = seen.setups.get(&role);
        let after = seen.files(Stage::After, role).filter(|_| seen.peak_bytes(role).is_some());
        for (fact, value) in [
            (MemcgFact::LimitBytes, setup.map(|setup| setup.limit_bytes)),
            (MemcgFact::CapBytes, setup.and_then(|setup| setup.cap_bytes)),
            (MemcgFact::PeakBytes, seen.peak_bytes(role)),
            (MemcgFact::PeakOverBytes, seen.peak_over_bytes(role)),
            (MemcgFact::AfterCurrentBytes, after.map(|files| files.current_bytes)),
        ] {
            if let Some(bytes) = value {
                self.count(FactName::Memcg(role, fact), bytes);
            }
        }
    }

    /// No sample is no knowledge, not a usage of nothing.
    fn usage(&mut self, seen: &Seen<'_>, role: MemcgRole) {
        let Some(usage) = seen.usage(role) else { return };
        for (fact, value) in [
            (MemcgFact::OverMsMax, ms(usage.over_us_max)),
            (MemcgFact::OverMsLast, ms(usage.over_us_last)),
            (MemcgFact::SamplesOver, usage.samples_over as f64),
            (MemcgFact::SamplerGapMs, ms(usage.gap_us_max)),
            (MemcgFact::OverrunP50Bytes, usage.over_bytes.p50 as f64),
            (MemcgFact::OverrunP99Bytes, usage.over_bytes.p99 as f64),
            (MemcgFact::OverrunMaxBytes, usage.over_bytes.max as f64),
        ] {
            self.put(FactName::Memcg(role, fact), value);
        }
    }

    /// Times are there only where something was paid.
    fn owed(&mut self, seen: &Seen<'_>, role: MemcgRole) {
        let Some(owed) = seen.overcharged(role) else { return };
        for (fact, value) in [
            (MemcgFact::ReconcileOwed, owed.charges),
            (MemcgFact::ReconcilePaid, owed.paid),
            (MemcgFact::ReconcileLapsed, owed.lapsed),
            (MemcgFact::ReconcileOpen, owed.open),
            (MemcgFact::ReconcileUnattendedUs, owed.unattended_us_max),
        ] {
            self.count(FactName::Memcg(role, fact), value);
        }
        if let Some(us) = owed.deferred_us_min {
            self.count(FactName::Memcg(role, MemcgFact::ReconcileDeferredUs), us);
        }
        if owed.paid > 0 {
            let LatencyUs { p50, p99, max } = owed.paid_after_us;
            self.count(FactName::Memcg(role, MemcgFact::ReconcileP50Us), p50);
            self.count(FactName::Memcg(role, MemcgFact::ReconcileP99Us), p99);
            self.count(FactName::Memcg(role, MemcgFact::ReconcileMaxUs), max);
        }
    }

    /// How events and counters moved while the load ran and settled.
    fn moved(&mut self, seen: &Seen<'_>, role: MemcgRole) {
        let at = |stage| seen.files(stage, role);
        let (Some(before), Some(settled)) = (at(Stage::Before), at(Stage::Settled)) else { return };
        for key in settled.events.keys() {
            self.delta(FactName::Event(role, key.clone()), seen.event(role, key));
        }
        // Pages reclaimed: what else `memory.stat` has goes up and down.
        if let Some(pages) = seen.stat(role, RECLAIMED) {
            self.count(FactName::Stat(role, RECLAIMED.to_owned()), pages);
        }
        if before.counters.is_some() != settled.counters.is_some() {
            self.doubts.push("the patch's counters were read only once".to_owned());
            return;
        }
        for key in settled.counters.iter().flat_map(BTreeMap::keys) {
            self.delta(FactName::Counter(role, key.clone()), seen.counter(role, key));
        }
    }

    fn delta(&mut self, name: FactName, rose: Option<u64>) {
        match rose {
            Some(rose) => self.count(name, rose),
            None => self.doubts.push(format!("{name}: not there before the load, or it fell")),
        }
    }

    fn calls(&mut self, calls: &Operations) {
        let Operations { role, op, attempted, succeeded, errnos, latency, unfinished } = calls;
        let errors: u64 = errnos.values().sum();
        if *attempted != succeeded + errors + unfinished {
            self.doubts.push(format!(
                "{op}: {attempted} calls are not {succeeded} successes + {errors} errors + \
                 {unfinished} unfinished"
            ));
        }
        for (fact, value) in [
            (CallFact::Attempted, *attempted),
            (CallFact::Succeeded, *succeeded),
            (CallFact::Errors, errors),
            (CallFact::Unfinished, *unfinished),
            (CallFact::P50Us, latency.p50),
            (CallFact::P99Us, latency.p99),
            (CallFact::MaxUs, latency.max),
        ] {
            self.count(FactName::Call(*role, op.clone(), fact), value);
        }
        for (errno, count) in errnos {
            self.count(FactName::Errno(*role, op.clone(), errno.clone()), *count);
        }
    }

    /// Kills, and from where. A kill without a report may have been anywhere, unless the patch's
    /// counters say that its reconciler made so many. Then "none in charge" is unknown too.
    fn kills(&mut self, seen: &Seen<'_>) {
        let ooms = &seen.ooms;
        let (untraced, on_return) = (ooms.untraced(), ooms.kills_from(Origin::Return));
        let reconcilers = [MemcgRole::Limited, MemcgRole::Second, MemcgRole::Parent]
            .map(|role| seen.counter(role, "kills").unwrap_or(0));
        for (fact, value) in [
            (CellFact::Kills, ooms.kills),
            (CellFact::KillsOnReturn, on_return),
            (CellFact::KillsUntraced, untraced),
            (CellFact::KillsGlobal, ooms.global_kills),
            (CellFact::OomNoVictim, ooms.no_victim),
        ] {
            self.count(fact, value);
        }
        if untraced == 0 || on_return + untraced <= reconcilers.iter().sum() {
            self.count(CellFact::KillsInCharge, ooms.kills_from(Origin::Charge));
            self.count(CellFact::KillsInFault, ooms.kills_from(Origin::Fault));
        }
    }
}

/// Processes that did not end though sent SIGKILL.
pub(super) fn unkillable(seen: &Seen<'_>) -> u64 {
    seen.ends.iter().filter(|end| end.end == ProcessEnd::Unkillable).count() as u64
}

fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}
