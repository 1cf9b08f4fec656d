// SPDX-License-Identifier: MIT OR Apache-2.0
//! Evidence -> one typed view of it, made in one pass over the events and one over the console.
//!
//! Contract: what the guest did not say is `None`, never zero. Of a fact that it says once the
//! first one counts, and a second one is a doubt. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use protocol::{
    CallCost, Census, Charges, Event, Fact, Files, Heartbeat, Hello, Injected, KernelLog, Ledger,
    LoadEnded, MemcgRole, Operations, Overcharged, Overcharges, ProcessEnd, ProcessEnded,
    ProcessRole, Removed, Settled, Setup, Stage, Started, Transcript, Usage,
};

use super::Evidence;
use super::oom::{Ooms, ooms};

/// Why a guest did not run its cell to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped<'a> {
    /// The guest failed, for this reason.
    Broken(&'a str),
    /// This requirement is missing.
    Unsupported(&'a str),
}

/// What one cell left behind, by kind.
pub(crate) struct Seen<'a> {
    /// All of it.
    pub(crate) evidence: &'a Evidence,
    /// The guest is up, and when: microseconds since its boot.
    pub(crate) hello: Option<(u64, &'a Hello)>,
    /// Set-up of each memcg with a limit.
    pub(crate) setups: BTreeMap<MemcgRole, &'a Setup>,
    /// The workload began, and when.
    pub(crate) started: Option<(u64, &'a Started)>,
    /// Calls, one entry for each role and call.
    pub(crate) operations: Vec<&'a Operations>,
    /// Processes that ended, in order.
    pub(crate) ends: Vec<&'a ProcessEnded>,
    /// The load ended, and when.
    pub(crate) load_ended: Option<(u64, &'a LoadEnded)>,
    /// Samples of each memcg; see [`Seen::usage`].
    pub(crate) samples: BTreeMap<MemcgRole, &'a Usage>,
    /// Whether usage fell to the limit.
    pub(crate) settled: Option<&'a Settled>,
    /// Files of each memcg at each stage.
    pub(crate) files: BTreeMap<(Stage, MemcgRole), &'a Files>,
    /// What the probe on the charge saw.
    pub(crate) charges: Option<&'a Charges>,
    /// What the patch's trace events say; see [`Seen::traced`].
    pub(crate) overcharges: Option<&'a Overcharges>,
    /// Charges that were made to fail, in order.
    pub(crate) injected: Vec<&'a Injected>,
    /// Whether the memcg could be removed.
    pub(crate) removed: Option<&'a Removed>,
    /// What the machine held before and after.
    pub(crate) ledger: Option<&'a Ledger>,
    /// Beats of a task outside.
    pub(crate) heartbeat: Option<&'a Heartbeat>,
    /// Costs of calls, in order.
    pub(crate) costs: Vec<&'a CallCost>,
    /// What objects charge, one entry for each kind.
    pub(crate) census: Vec<&'a Census>,
    /// What the user's program printed.
    pub(crate) transcript: Option<&'a Transcript>,
    /// What the kernel logged meanwhile.
    pub(crate) log: Option<&'a KernelLog>,
    /// Why the guest did not run the cell to its end.
    pub(crate) stopped: Option<Stopped<'a>>,
    /// Everything was reported; see [`Seen::is_complete`].
    ended: Option<()>,
    /// Whether the first thing that the guest said is that it is up.
    pub(crate) begins_with_hello: bool,
    /// The first event that came in place of another one: the number that was due, and its own.
    pub(crate) misnumbered: Option<(u64, u64)>,
    /// Number of the first event that is older than the one before it.
    pub(crate) older: Option<u64>,
    /// OOM reports on the console.
    pub(crate) ooms: Ooms,
    /// Facts that were said twice.
    pub(crate) doubts: Vec<String>,
    /// Processes that had ended when the files were read that say that usage has settled.
    ended_before_settled: Option<usize>,
}

impl<'a> Seen<'a> {
    /// Looks at all of it.
    pub(crate) fn of(evidence: &'a Evidence) -> Self {
        let mut seen = Self {
            evidence,
            hello: None,
            setups: BTreeMap::new(),
            started: None,
            operations: Vec::new(),
            ends: Vec::new(),
            load_ended: None,
            samples: BTreeMap::new(),
            settled: None,
            files: BTreeMap::new(),
            charges: None,
            overcharges: None,
            injected: Vec::new(),
            removed: None,
            ledger: None,
            heartbeat: None,
            costs: Vec::new(),
            census: Vec::new(),
            transcript: None,
            log: None,
            stopped: None,
            ended: None,
            begins_with_hello: false,
            misnumbered: None,
            older: None,
            ooms: ooms(&evidence.console),
            doubts: Vec::new(),
            ended_before_settled: None,
        };
        let mut before = None;
        for (event, due) in evidence.events.iter().zip(0..) {
            seen.place(event, due, before);
            seen.take(event);
            before = Some(event);
        }
        seen
    }

    /// Looks at the place of an event among the others.
    fn place(&mut self, event: &Event, due: u64, before: Option<&Event>) {
        self.begins_with_hello |= due == 0 && matches!(event.fact, Fact::Hello(_));
        if event.seq != due {
            self.misnumbered.get_or_insert((due, event.seq));
        }
        if before.is_some_and(|before| event.at_us < before.at_us) {
            self.older.get_or_insert(event.seq);
        }
    }

    fn take(&mut self, event: &'a Event) {
        let at_us = event.at_us;
        let is_new = match &event.fact {
            Fact::Hello(hello) => first(&mut self.hello, (at_us, hello)),
            Fact::Unsupported { missing } => {
                first(&mut self.stopped, Stopped::Unsupported(missing))
            }
            Fact::Setup(setup) => put(&mut self.setups, setup.memcg, setup),
            Fact::Started(started) => first(&mut self.started, (at_us, started)),
            Fact::Operations(calls) => {
                let same = |known: &&Operations| known.role == calls.role && known.op == calls.op;
                let is_new = !self.operations.iter().any(same);
                self.operations.push(calls);
                is_new
            }
            Fact::ProcessEnded(end) => {
                self.ends.push(end);
                true
            }
            Fact::LoadEnded(load) => first(&mut self.load_ended, (at_us, load)),
            Fact::Usage(usage) => put(&mut self.samples, usage.memcg, usage),
            Fact::Settled(settled) => first(&mut self.settled, settled),
            Fact::Memcg(files) => {
                if files.stage == Stage::Settled {
                    self.ended_before_settled.get_or_insert(self.ends.len());
                }
                put(&mut self.files, (files.stage, files.role), files)
            }
            Fact::Charges(charges) => first(&mut self.charges, charges),
            Fact::Overcharges(overcharges) => first(&mut self.overcharges, overcharges),
            Fact::Injected(injected) => {
                let key = (&injected.call, injected.nth);
                let is_new = !self.injected.iter().any(|known| (&known.call, known.nth) == key);
                self.injected.push(injected);
                is_new
            }
            Fact::Removed(removed) => first(&mut self.removed, removed),
            Fact::Ledger(ledger) => first(&mut self.ledger, ledger),
            Fact::Heartbeat(heartbeat) => first(&mut self.heartbeat, heartbeat),
            Fact::Cost(cost) => {
                let is_new = !self.costs.iter().any(|known| known.op == cost.op);
                self.costs.push(cost);
                is_new
            }
            Fact::Census(census) => {
                let is_new = !self.census.iter().any(|known| known.kind == census.kind);
                self.census.push(census);
                is_new
            }
            Fact::Transcript(transcript) => first(&mut self.transcript, transcript),
            Fact::KernelLog(log) => first(&mut self.log, log),
            Fact::Broken { why } => first(&mut self.stopped, Stopped::Broken(why)),
            Fact::Ended => first(&mut self.ended, ()),
        };
        if !is_new {
            let said: String = format!("{:?}", event.fact).chars().take(60).collect();
            self.doubts.push(format!("event {} was said before: {said}", event.seq));
        }
    }

    /// Whether the guest said that it had reported everything.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.evidence.events.last(), Some(Event { fact: Fact::Ended, .. }))
    }

    /// Files of a memcg at a stage.
    pub(crate) fn files(&self, stage: Stage, role: MemcgRole) -> Option<&'a Files> {
        self.files.get(&(stage, role)).copied()
    }

    /// Samples of a memcg, if there is one.
    pub(crate) fn usage(&self, role: MemcgRole) -> Option<&'a Usage> {
        self.samples.get(&role).copied().filter(|usage| usage.samples > 0)
    }

    /// `memory.peak` of a memcg over the whole cell, bytes.
    pub(crate) fn peak_bytes(&self, role: MemcgRole) -> Option<u64> {
        let [settled, after] = [Stage::Settled, Stage::After].map(|stage| self.files(stage, role));
        Some(settled?.peak_bytes.max(after?.peak_bytes))
    }

    /// How far that is above the limit, bytes.
    pub(crate) fn peak_over_bytes(&self, role: MemcgRole) -> Option<u64> {
        Some(self.peak_bytes(role)?.saturating_sub(self.setups.get(&role)?.limit_bytes))
    }

    /// By how much a key of `memory.events` rose while the load ran and settled.
    pub(crate) fn event(&self, role: MemcgRole, key: &str) -> Option<u64> {
        self.rose(role, key, |files| Some(&files.events))
    }

    /// The same of a counter of the patch.
    pub(crate) fn counter(&self, role: MemcgRole, key: &str) -> Option<u64> {
        self.rose(role, key, |files| files.counters.as_ref())
    }

    /// The same of a key of `memory.stat` that only rises.
    pub(crate) fn stat(&self, role: MemcgRole, key: &str) -> Option<u64> {
        self.rose(role, key, |files| Some(&files.stat))
    }

    /// The same of a counter until every task had exited.
    pub(crate) fn counter_until_after(&self, role: MemcgRole, key: &str) -> Option<u64> {
        let at = |stage| self.files(stage, role)?.counters.as_ref()?.get(key).copied();
        at(Stage::After)?.checked_sub(at(Stage::Before)?)
    }

    fn rose(
        &self,
        role: MemcgRole,
        key: &str,
        of: fn(&Files) -> Option<&BTreeMap<String, u64>>,
    ) -> Option<u64> {
        let at = |stage| of(self.files(stage, role)?)?.get(key).copied();
        at(Stage::Settled)?.checked_sub(at(Stage::Before)?)
    }

    /// The patch's trace events; `None` of a kernel that has none.
    pub(crate) fn traced(&self) -> Option<&'a Overcharges> {
        self.overcharges.filter(|overcharges| overcharges.traced)
    }

    /// The same of one memcg, if any event is of it.
    pub(crate) fn overcharged(&self, role: MemcgRole) -> Option<&'a Overcharged> {
        self.traced()?.memcgs.iter().find(|of| of.memcg == role)
    }

    /// Processes ended by a signal that the guest did not send, with the signal.
    pub(crate) fn signaled(&self) -> impl Iterator<Item = (&'a ProcessEnded, i32)> {
        self.ends.iter().filter(|end| !end.by_guest).filter_map(|end| match end.end {
            ProcessEnd::Signaled(signal) => Some((*end, signal)),
            _ => None,
        })
    }

    /// Processes in a limited memcg that the OOM killer could still have chosen when the guest
    /// began to clean up. A task that has done its work and only waits can still be killed.
    pub(crate) fn killable_left(&self) -> u64 {
        let request = &self.evidence.request;
        let actors = if request.killable { u64::from(request.tasks) } else { 0 };
        let second = request.second.as_ref().map_or(0, |second| second.hog_bytes);
        let hogs = request.hogs() + u64::from(second > 0);
        let killable = |end: &&&ProcessEnded| match end.role {
            ProcessRole::Actor => request.killable && !end.by_guest,
            ProcessRole::Hog => !end.by_guest,
            ProcessRole::Outsider | ProcessRole::Bystander => false,
        };
        let until = self.ended_before_settled.unwrap_or(self.ends.len());
        (actors + hogs).saturating_sub(self.ends[..until].iter().filter(killable).count() as u64)
    }
}

/// Takes a value that is said once; whether it is the first one.
fn first<T>(place: &mut Option<T>, value: T) -> bool {
    let is_new = place.is_none();
    place.get_or_insert(value);
    is_new
}

/// The same of a value that is said once for each key.
fn put<K: Ord, T>(places: &mut BTreeMap<K, T>, key: K, value: T) -> bool {
    match places.entry(key) {
        Entry::Vacant(place) => {
            place.insert(value);
            true
        }
        Entry::Occupied(_) => false,
    }
}
