// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the guest reports about a cell, one structure for each kind of [`Fact`](crate::Fact).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Instructions, LatencyUs, MemcgRole, MemcgWrite, ProcessEnd, ProcessRole, SpreadBytes, Stage,
};

/// First event: the guest is up and waits for its cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`](crate::VERSION) of the guest.
    pub protocol: u32,
    /// `uname -r`.
    pub kernel_release: String,
    /// Online CPUs.
    pub cpus: u32,
    /// `MemTotal`, bytes.
    pub memory_bytes: u64,
    /// Page size, bytes.
    pub page_bytes: u64,
    /// Workloads this guest can run.
    pub workloads: Vec<String>,
}

/// A memcg is set up; one for each that has a limit. Read back from the kernel, not from the
/// request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Which memcg.
    pub memcg: MemcgRole,
    /// Limit in force, bytes.
    pub limit_bytes: u64,
    /// Cap in force, bytes, if the kernel has one.
    pub cap_bytes: Option<u64>,
    /// Sampler period, microseconds.
    pub sample_period_us: u64,
    /// Each policy file as read back after the write.
    pub policy: Vec<MemcgWrite>,
}

/// The workload begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its name.
    pub workload: String,
    /// Processes created, actors first.
    pub processes: u32,
}

/// What all tasks of one role did with one system call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operations {
    /// Role of the tasks.
    pub role: ProcessRole,
    /// System call or step (`open`, `pipe2`, `write`, …).
    pub op: String,
    /// Calls begun.
    pub attempted: u64,
    /// Calls that did what they should.
    pub succeeded: u64,
    /// Failures by errno name; `SHORT` for a short read or write.
    pub errnos: BTreeMap<String, u64>,
    /// Time in the call.
    pub latency: LatencyUs,
    /// Calls that began before the load ended but never returned (task killed in it or stuck).
    pub unfinished: u64,
}

/// A process of the workload ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEnded {
    /// What it was for.
    pub role: ProcessRole,
    /// Its pid, as the console names it.
    pub pid: i32,
    /// How.
    pub end: ProcessEnd,
    /// Whether the guest itself sent the SIGKILL, at clean-up.
    pub by_guest: bool,
    /// When, since the load began, microseconds.
    pub after_us: u64,
}

/// The load is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadEnded {
    /// From `Started` to here, microseconds.
    pub duration_us: u64,
    /// Whether every actor finished its work or was killed; `false` if the load timed out at
    /// `load_ms_max`.
    pub complete: bool,
    /// Functions that CPUs called on each other by interrupt meanwhile (`CAL` of
    /// `/proc/interrupts`); not those that flush a TLB.
    #[serde(default)]
    pub call_interrupts: Option<u64>,
}

/// What the usage sampler saw between `Started` and `Settled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Which memcg.
    pub memcg: MemcgRole,
    /// Period asked for, microseconds.
    pub period_us: u64,
    /// Samples taken.
    pub samples: u64,
    /// Longest time between two samples, microseconds.
    pub gap_us_max: u64,
    /// Highest usage sampled, bytes, without charges that are about to be refused.
    pub sampled_bytes_max: u64,
    /// Samples with usage above the limit.
    pub samples_over: u64,
    /// Longest run of samples above the limit, to the first one that is not, microseconds.
    pub over_us_max: u64,
    /// Run of samples above the limit that had not ended at the last sample, microseconds.
    pub over_us_last: u64,
    /// How far above the limit the samples above it were.
    pub over_bytes: SpreadBytes,
    /// Thinned time line: microseconds since `Started`, bytes; at most 500 points.
    pub line: Vec<(u64, u64)>,
}

/// The observer waited for usage to fall to the limit after the load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Whether it fell.
    pub settled: bool,
    /// Time until then, or until the observer gave up, microseconds.
    pub after_us: u64,
}

/// Files of one memcg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// When they were read.
    pub stage: Stage,
    /// Of which memcg.
    pub role: MemcgRole,
    /// `memory.current`, bytes.
    pub current_bytes: u64,
    /// `memory.peak`, bytes.
    pub peak_bytes: u64,
    /// `memory.max`, bytes; `None` for no limit.
    pub max_bytes: Option<u64>,
    /// `memory.events`; on v1 `failcnt` and `oom_kill` under their v2 names `max` and `oom_kill`.
    pub events: BTreeMap<String, u64>,
    /// `memory.stat`.
    pub stat: BTreeMap<String, u64>,
    /// The patch's counters, if the kernel has them.
    pub counters: Option<BTreeMap<String, u64>>,
}

/// What a program of the user printed. How it ended is in [`ProcessEnded`] of the only actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// Name of the errno of `execve()`, if the program could not be started.
    pub not_started: Option<String>,
    /// Bytes printed to standard output and standard error.
    pub bytes: u64,
    /// The first of them.
    pub head: String,
    /// The last of them, without what is in `head`.
    pub tail: String,
}

/// After the memcg was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Whether `rmdir` worked.
    pub removed: bool,
    /// `nr_dying_descendants` of the root when the observer stopped waiting.
    pub dying: u64,
    /// How long it waited for that, microseconds.
    pub after_us: u64,
}

/// What the whole machine held before the load, and when the memcg was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// By name: bytes, or a number of files or tasks.
    pub before: BTreeMap<String, u64>,
    /// The same names.
    pub after: BTreeMap<String, u64>,
}

/// A bystander in the root memcg that only sleeps and wakes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Period asked for, microseconds.
    pub period_us: u64,
    /// Beats.
    pub beats: u64,
    /// Longest time between two beats, microseconds.
    pub gap_us_max: u64,
}

/// What one kind of system call costs; only from the workload
/// [`COST_WORKLOAD`](crate::COST_WORKLOAD).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCost {
    /// System call (`open`); with a suffix if its charges are separated by where they came from
    /// (`write.stock`).
    pub op: String,
    /// Calls measured; each did what it should.
    pub calls: u64,
    /// Executed instructions, from before the system call's instruction to after it.
    pub instructions: Instructions,
}

/// What objects of one kind charge, far below the limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// The kind.
    pub kind: String,
    /// Objects that were made and kept.
    pub objects: u64,
    /// By how much usage rose, without what CPUs had charged in advance.
    pub bytes: i64,
}

/// What the kernel's log holds between two records that the guest wrote into it: [`log_mark`] of
/// this nonce, before anything of the request was done and when all of it was done. What the
/// console shows between the two can be compared with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelLog {
    /// [`Order::nonce`](crate::Order::nonce): nothing else in the guest knows it.
    pub nonce: u64,
    /// Records between the two, the kernel's and those of user space.
    pub records: u64,
    /// Records between the two that were overwritten before the guest read them.
    pub lost: u64,
    /// Lines of the kernel's own records that were read, of [`LOG_MARK_LEVEL`] or more severe.
    pub kernel_lines: u64,
    /// What the kernel says of its own state at the first record.
    pub before: Health,
    /// The same at the second.
    pub after: Health,
}

/// What the kernel counts of its own faults, on the console or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `/proc/sys/kernel/tainted`: bits of `TAINT_*`.
    pub tainted: u64,
    /// `/sys/kernel/warn_count`, where the kernel has one.
    pub warnings: Option<u64>,
    /// `/sys/kernel/oops_count`, where the kernel has one.
    pub oopses: Option<u64>,
}

/// Level of [`log_mark`]: KERN_INFO, the lowest at which the kernel prints a fault (kmemleak) or a
/// part of an OOM report.
pub const LOG_MARK_LEVEL: u8 = 6;

/// The text of the record before (`false`) or after (`true`) what was asked for.
#[must_use]
pub fn log_mark(nonce: u64, after: bool) -> String {
    format!("memcg harness: {nonce:016x} {}", if after { "ends" } else { "begins" })
}
