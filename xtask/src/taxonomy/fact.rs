// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of facts: whose fact it is, what it counts or measures, and in which unit.
//!
//! A name is read and written as text: in the TOML of a scenario and in `result.json`. What does
//! not parse is a typing error. [`FactName::unit`] alone decides what a number is.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use protocol::{MemcgRole, ProcessRole};

/// What a fact's number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A size.
    Bytes,
    /// A time in milliseconds.
    Ms,
    /// A time in microseconds.
    Us,
    /// A number of something.
    Count,
    /// 1 for yes, 0 for no.
    Flag,
    /// A share of a whole, from 0 to 1.
    Share,
}

impl Unit {
    /// Whether a slow host makes it longer.
    pub(crate) fn is_time(self) -> bool {
        matches!(self, Self::Ms | Self::Us)
    }
}

/// An enumeration of facts, each with its word and unit.
macro_rules! facts {
    ($(#[$of:meta])* $name:ident {
        $($variant:ident $word:literal $unit:ident = $says:literal,)+
    }) => {
        $(#[$of])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum $name {
            $(#[doc = $says] $variant,)+
        }

        impl $name {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            fn unit(self) -> Unit {
                match self { $(Self::$variant => Unit::$unit,)+ }
            }

            fn of(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|fact| fact.word() == word)
            }
        }
    };
}

facts! {
    /// Facts of the cell as a whole.
    CellFact {
        LoadMs "load.ms" Ms = "From the start of the load to its end.",
        LoadComplete "load.complete" Flag =
            "1: every actor finished or was killed; 0: the load hit its time limit.",
        LoadCallInterrupts "load.call_interrupts" Count =
            "Functions that CPUs called on each other by interrupt during the load.",
        Settled "settled" Flag =
            "1: usage fell to the limit after the load; 0: not while the observer waited.",
        SettleMs "settle_ms" Ms = "How long that took or the observer waited.",
        Dying "dying" Count =
            "`nr_dying_descendants` of the root when the observer stopped waiting.",
        Removed "removed" Flag = "1: rmdir of the limited memcg worked.",
        HeartbeatGapMs "heartbeat.gap_ms" Ms = "Longest time between two beats of a task outside.",
        HeartbeatBeats "heartbeat.beats" Count = "Beats of that task.",
        ProcessesEnded "processes.ended" Count = "Processes of the workload that ended.",
        ProcessesKilled "processes.killed" Count =
            "Processes ended by a SIGKILL that the guest did not send.",
        ProcessesUnkillable "processes.unkillable" Count =
            "Processes that did not end though sent SIGKILL.",
        KillableLeft "killable.left" Count =
            "Processes in the limited memcg that could still be killed at clean-up.",
        Kills "kills" Count = "Memcg OOM kills on the console.",
        KillsInCharge "kills.in_charge" Count =
            "Of these: reported from inside a charge of kernel memory, as within open().",
        KillsInFault "kills.in_fault" Count =
            "Of these: reported from the charge of a user or page-cache page.",
        KillsOnReturn "kills.on_return" Count =
            "Of these: reported from the reconciliation on return to user mode.",
        KillsUntraced "kills.untraced" Count =
            "Of these: without a report; the kernel prints at most 10 in 5 s.",
        KillsGlobal "kills.global" Count = "OOM kills of the whole system; the cell is an ERROR, the patch REGRESSED if it alone has any.",
        OomNoVictim "oom.no_victim" Count = "Memcg OOM reports that found no task to kill.",
        OverchargesLost "overcharges.lost" Count = "Trace events of the patch that were lost.",
        ChargesFailed "charges.failed" Count =
            "Calls of try_charge_memcg() that failed while the load ran and settled.",
        ChargesEligible "charges.eligible" Count =
            "Of these: of kernel memory, and such that the patch may not let them fail.",
        ChargesLost "charges.lost" Count =
            "Calls of which the probe does not know whether they failed.",
        ProgramFailed "program.failed" Flag =
            "1: the user's program did not exit with status 0; 0: it did.",
        ProgramStatus "program.status" Count =
            "Its exit status; only if it exited. 127 is also that of one that could not start.",
        ProgramSignal "program.signal" Count = "The signal that ended it; 0 if none did, or only that of the time limit.",
        ProgramTimedOut "program.timed_out" Flag =
            "1: it hit its time limit and the guest killed it.",
        ProgramMs "program.ms" Ms = "From the start of the load to its end.",
        ProgramOutputBytes "program.output_bytes" Bytes = "Bytes that it printed.",
        HostStarved "host.starved" Share =
            "Share of the cell's time for which a vCPU waited for a CPU of the host.",
    }
}

facts! {
    /// Facts of one memcg. They stand without a prefix for the limited one.
    MemcgFact {
        LimitBytes "limit_bytes" Bytes = "`memory.max` in force.",
        CapBytes "cap_bytes" Bytes = "Cap of the patch in force; only where the kernel has one.",
        PeakBytes "peak_bytes" Bytes = "`memory.peak`.",
        PeakOverBytes "peak_over_bytes" Bytes = "`memory.peak` above `memory.max`.",
        OverMsMax "over_ms_max" Ms = "Longest run of samples above `memory.max`.",
        OverMsLast "over_ms_last" Ms = "Such a run that still went on at the last sample.",
        SamplesOver "samples_over" Count = "Samples above `memory.max`.",
        SamplerGapMs "sampler.gap_ms" Ms = "Longest time between two samples.",
        AfterCurrentBytes "after.current_bytes" Bytes =
            "`memory.current` after every task has exited and caches are dropped.",
        OverrunP50Bytes "overrun.p50_bytes" Bytes =
            "How far the samples above `memory.max` were above it: the median.",
        OverrunP99Bytes "overrun.p99_bytes" Bytes = "The same, 99th percentile.",
        OverrunMaxBytes "overrun.max_bytes" Bytes = "The same, the highest.",
        ReconcileOwed "reconcile.owed" Count =
            "Charges over the limit, by the patch's trace events.",
        ReconcilePaid "reconcile.paid" Count = "Of these: paid by reconciling.",
        ReconcileLapsed "reconcile.lapsed" Count = "Of these: usage came back by itself.",
        ReconcileOpen "reconcile.open" Count = "Of these: no event tells how they ended.",
        ReconcileUnattendedUs "reconcile.unattended_us" Us =
            "Longest time over the limit before an attempt to pay or a kill.",
        ReconcileDeferredUs "reconcile.deferred_us" Us =
            "Least time from a charge that was deferred to the first attempt to pay or kill.",
        ReconcileP50Us "reconcile.p50_us" Us =
            "From a charge over the limit to its payment: the median.",
        ReconcileP99Us "reconcile.p99_us" Us = "The same, 99th percentile.",
        ReconcileMaxUs "reconcile.max_us" Us = "The same, the longest.",
    }
}

facts! {
    /// Facts of one kind of call.
    CallFact {
        Attempted "attempted" Count = "Calls begun.",
        Succeeded "succeeded" Count = "Calls that did what they should.",
        Errors "errors" Count =
            "Calls that failed, by any errno; [`FactName::Errno`] counts one errno.",
        Unfinished "unfinished" Count = "Calls begun that never returned.",
        P50Us "p50_us" Us = "Time in the call: the median.",
        P99Us "p99_us" Us = "The same, 99th percentile.",
        MaxUs "max_us" Us = "The same, the longest.",
    }
}

/// Flat facts of one cell.
pub(crate) type Facts = BTreeMap<FactName, f64>;

/// The name of a fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FactName {
    /// `load.ms`
    Cell(CellFact),
    /// `parent.peak_bytes`
    Memcg(MemcgRole, MemcgFact),
    /// `events.oom_kill`: by how much a key of `memory.events` rose while the load ran and settled.
    Event(MemcgRole, String),
    /// `counters.charges`: the same of a counter of the patch.
    Counter(MemcgRole, String),
    /// `memory_stat.pgsteal`: the same of a key of `memory.stat`.
    Stat(MemcgRole, String),
    /// `outsider.create.max_us`
    Call(ProcessRole, String, CallFact),
    /// `open.ENOMEM`: calls that failed with that errno, or `SHORT` for a short read or write.
    Errno(ProcessRole, String, String),
    /// `census.open`: what the objects of a kind charged, far below the limit.
    Census(String),
    /// `left.slab`: by how much the machine holds more than before the cell.
    Left(String),
    /// `instructions.open`: the median number of instructions of a call.
    Instructions(String),
}

const EVENTS: &str = "events.";
const COUNTERS: &str = "counters.";
const CENSUS: &str = "census.";
const LEFT: &str = "left.";
const STAT: &str = "memory_stat.";
const INSTRUCTIONS: &str = "instructions.";

impl FactName {
    /// What its number is: the one place that says so.
    pub(crate) fn unit(&self) -> Unit {
        match self {
            Self::Cell(fact) => fact.unit(),
            Self::Memcg(_, fact) => fact.unit(),
            Self::Call(.., fact) => fact.unit(),
            Self::Left(name) if matches!(name.as_str(), "files" | "tasks") => Unit::Count,
            Self::Census(_) | Self::Left(_) => Unit::Bytes,
            Self::Event(..)
            | Self::Counter(..)
            | Self::Stat(..)
            | Self::Errno(..)
            | Self::Instructions(_) => Unit::Count,
        }
    }

    /// The facts whose whole name is known, for the hint of a mistyped one.
    pub(crate) fn known() -> impl Iterator<Item = Self> {
        let cell = CellFact::ALL.iter().map(|fact| Self::from(*fact));
        cell.chain(MemcgFact::ALL.iter().map(|fact| Self::from(*fact)))
    }

    /// Its text in pieces.
    fn pieces(&self) -> [&str; 4] {
        match self {
            Self::Cell(fact) => [fact.word(), "", "", ""],
            Self::Memcg(role, fact) => [prefix(&MEMCGS, *role), fact.word(), "", ""],
            Self::Event(role, key) => [prefix(&MEMCGS, *role), EVENTS, key, ""],
            Self::Counter(role, key) => [prefix(&MEMCGS, *role), COUNTERS, key, ""],
            Self::Stat(role, key) => [prefix(&MEMCGS, *role), STAT, key, ""],
            Self::Call(role, op, fact) => [prefix(&PROCESSES, *role), op, ".", fact.word()],
            Self::Errno(role, op, errno) => [prefix(&PROCESSES, *role), op, ".", errno],
            Self::Census(kind) => [CENSUS, kind, "", ""],
            Self::Left(name) => [LEFT, name, "", ""],
            Self::Instructions(op) => [INSTRUCTIONS, op, "", ""],
        }
    }

    fn read(text: &str) -> Option<Self> {
        if let Some(fact) = CellFact::of(text) {
            return Some(fact.into());
        }
        if let Some(op) = text.strip_prefix(INSTRUCTIONS) {
            return op.split('.').all(is_word).then(|| Self::Instructions(op.to_owned()));
        }
        if let Some(kind) = text.strip_prefix(CENSUS) {
            return is_word(kind).then(|| Self::Census(kind.to_owned()));
        }
        if let Some(name) = text.strip_prefix(LEFT) {
            return is_word(name).then(|| Self::Left(name.to_owned()));
        }
        let (role, rest) = split(text, &MEMCGS);
        if let Some(fact) = MemcgFact::of(rest) {
            return Some(Self::Memcg(role, fact));
        }
        let key = |prefix| rest.strip_prefix(prefix).filter(|key| is_word(key)).map(str::to_owned);
        if let Some(key) = key(EVENTS) {
            return Some(Self::Event(role, key));
        }
        if let Some(key) = key(COUNTERS) {
            return Some(Self::Counter(role, key));
        }
        if let Some(key) = key(STAT) {
            return Some(Self::Stat(role, key));
        }
        let (role, rest) = split(text, &PROCESSES);
        let (op, last) = rest.split_once('.').filter(|(op, _)| is_word(op))?;
        match CallFact::of(last) {
            Some(fact) => Some(Self::Call(role, op.to_owned(), fact)),
            None if is_errno(last) => Some(Self::Errno(role, op.to_owned(), last.to_owned())),
            None => None,
        }
    }
}

/// What stands before the facts of a memcg.
const MEMCGS: [(MemcgRole, &str); 4] = [
    (MemcgRole::Limited, ""),
    (MemcgRole::Second, "second."),
    (MemcgRole::Parent, "parent."),
    (MemcgRole::Bystander, "bystander."),
];

/// What stands before the calls of a process.
const PROCESSES: [(ProcessRole, &str); 4] = [
    (ProcessRole::Actor, ""),
    (ProcessRole::Hog, "hog."),
    (ProcessRole::Outsider, "outsider."),
    (ProcessRole::Bystander, "bystander."),
];

fn prefix<R: PartialEq>(roles: &[(R, &'static str); 4], role: R) -> &'static str {
    roles.iter().find(|(of, _)| *of == role).map_or("", |(_, prefix)| prefix)
}

/// The role that a name begins with, and the rest. The first role has no prefix, so it comes last.
fn split<'a, R: Copy>(text: &'a str, roles: &[(R, &str); 4]) -> (R, &'a str) {
    let begins = |(role, prefix): &(R, &str)| Some((*role, text.strip_prefix(prefix)?));
    roles.iter().rev().find_map(begins).unwrap_or((roles[0].0, text))
}

/// Whether a text can stand for a call or a key.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Whether a text is an errno (`ENOMEM`, `EIO`, `E41`) or `SHORT`.
fn is_errno(text: &str) -> bool {
    text == "SHORT"
        || (text.len() >= 3
            && text.starts_with('E')
            && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()))
}

impl From<CellFact> for FactName {
    fn from(fact: CellFact) -> Self {
        Self::Cell(fact)
    }
}

impl From<MemcgFact> for FactName {
    fn from(fact: MemcgFact) -> Self {
        Self::Memcg(MemcgRole::Limited, fact)
    }
}

impl fmt::Display for FactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.pieces().concat())
    }
}

/// As their texts.
impl Ord for FactName {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, other) = (self.pieces(), other.pieces());
        one.iter().flat_map(|piece| piece.bytes()).cmp(other.iter().flat_map(|p| p.bytes()))
    }
}

impl PartialOrd for FactName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for FactName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text).ok_or_else(|| format!("`{text}` is not a fact"))
    }
}

super::serde_as_text!(FactName);

#[cfg(test)]
impl From<&str> for FactName {
    fn from(text: &str) -> Self {
        text.parse().unwrap_or_else(|why| panic!("{why}"))
    }
}

#[cfg(test)]
impl PartialEq<&str> for FactName {
    fn eq(&self, text: &&str) -> bool {
        text.parse().as_ref() == Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let others = ["open.ENOMEM", "read.EIO", "write.SHORT", "outsider.create.max_us"]
            .into_iter()
            .chain([
                "events.oom_kill",
                "second.events.oom_kill",
                "parent.counters.charges",
                "memory_stat.pgsteal",
            ])
            .chain([
                "bystander.stat.errors",
                "bystander.peak_bytes",
                "instructions.write.stock",
                "census.open",
                "left.slab",
            ]);
        let known = FactName::known().map(|name| name.to_string());
        for name in known.chain(others.map(str::to_owned)) {
            assert_eq!(FactName::from(name.as_str()).to_string(), name);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["open", "open.enomem", "opne.max", "kills.in_chrage", "events.", "peak", ""]
            .into_iter()
            .chain(["second.open.errors", "second.kills", "third.peak_bytes", "second.events."])
            .chain([".max_us", "hog.errors", "instructions.", "open.E1"])
        {
            assert!(name.parse::<FactName>().is_err(), "{name}");
        }
    }

    #[test]
    fn names_are_ordered_as_their_texts() {
        let texts = ["events.max", "kills", "kills.in_charge", "open.ENOMEM", "open.errors"];
        let mut names = texts.map(FactName::from);
        names.reverse();
        names.sort();
        assert_eq!(names.map(|name| name.to_string()), texts);
    }

    #[test]
    fn a_unit_belongs_to_a_name_wherever_the_unit_stands_in_it() {
        for (name, unit) in [
            ("over_ms_max", Unit::Ms),
            ("second.over_ms_last", Unit::Ms),
            ("outsider.create.max_us", Unit::Us),
            ("after.current_bytes", Unit::Bytes),
            ("counters.stuck_ms", Unit::Count),
            ("settled", Unit::Flag),
            ("host.starved", Unit::Share),
        ] {
            assert_eq!(FactName::from(name).unit(), unit, "{name}");
        }
    }
}
