// SPDX-License-Identifier: MIT OR Apache-2.0
//! The wire between the harness and the guest.
//!
//! One JSON object per line over a virtio-serial port, never over the console: the console is
//! evidence, and a kernel that floods it must not be able to forge or tear a fact. The host sends
//! one [`Order`]; the guest sends [`Event`]s. Facts only: nothing here is a judgement.
//!
//! Any change of meaning raises [`VERSION`]; host and guest refuse to talk across versions.

mod charges;
mod request;
mod spread;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use charges::*;
pub use request::{CellRequest, MemcgShape, MemcgWrite};
pub use spread::{FREQUENT_MAX, Instructions, LatencyUs, SpreadBytes};

/// Version of this wire. Both sides must have the same.
pub const VERSION: u32 = 6;

/// Name of the virtio-serial port, as in `/sys/class/virtio-ports/*/name`.
pub const PORT_NAME: &str = "memcg.harness.0";

/// Start of the last line from a guest that runs one of the kernel's test programs; `exit N`,
/// `signal N` or `timeout` follows. All lines before it are the program's output.
pub const SELFTEST_END: &str = "selftest ended: ";

/// Longest line either side may send, in bytes. A longer one is a protocol error.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Workload that does nothing: the guest sends Hello and, when asked, that it has ended. Measures what
/// every cell takes.
pub const NOTHING_WORKLOAD: &str = "nothing";

/// Workload that fails each charge of some system calls in turn; in no cell of a matrix.
pub const INJECT_WORKLOAD: &str = "inject";

/// Workload that measures costs instead of running a scenario (see [`Fact::Cost`]).
pub const COST_WORKLOAD: &str = "cost";

/// Name of the measured step that is a known number of instructions and no system call.
pub const COST_KNOWN: &str = "known";

/// Instructions in [`COST_KNOWN`]: a VM that reports another number does not count them.
pub const COST_KNOWN_INSTRUCTIONS: u64 = 1000;

/// Which cgroup interface the memory controller is mounted through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupVersion {
    /// The legacy hierarchy (`memory.limit_in_bytes`).
    V1,
    /// The unified hierarchy (`memory.max`).
    V2,
}

impl std::fmt::Display for CgroupVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

/// The one line the host sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The host's wall clock, microseconds since 1970, for a guest that was restored from a snapshot:
    /// its own clock stood still. `None` after a boot.
    pub wall_clock_us: Option<u64>,
    /// What to run.
    pub request: CellRequest,
}

/// One fact, with its time and its place in the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the guest's stream, from 0 without a gap.
    pub seq: u64,
    /// Guest time since boot (`CLOCK_BOOTTIME`), microseconds.
    pub at_us: u64,
    /// The fact.
    #[serde(flatten)]
    pub fact: Fact,
}

/// When a memcg's files were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Limit and policy set, no task inside yet.
    Before,
    /// The load has just ended; its tasks may still hold what they charged.
    LoadEnd,
    /// The observer waited for usage to come down to the limit (see [`Fact::Settled`]).
    Settled,
    /// Every task has exited, files are unlinked, caches dropped.
    After,
}

/// Which memcg a reading is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemcgRole {
    /// The memcg whose limit is under test.
    Limited,
    /// A sibling with a limit, if the cell has one.
    Second,
    /// A sibling that must notice nothing.
    Bystander,
    /// The parent of all.
    Parent,
}

/// What one process was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessRole {
    /// Runs the system calls under test, inside the limited memcg.
    Actor,
    /// Fills the limited memcg and may be killed.
    Hog,
    /// Uses the same files from outside the limited memcg.
    Outsider,
    /// Sits in the bystander memcg, killable, and must be left alone until clean-up.
    Bystander,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessEnd {
    /// Called `exit` with this status.
    Exited(i32),
    /// Ended by this signal (9: OOM killer, or the guest's own clean-up, see `by_guest`).
    Signaled(i32),
    /// Was sent SIGKILL and did not end in time.
    Unkillable,
}

/// A fact the guest reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// First event: the guest is up and waits for its cell.
    Hello {
        /// [`VERSION`] of the guest.
        protocol: u32,
        /// `uname -r`.
        kernel_release: String,
        /// Online CPUs.
        cpus: u32,
        /// `MemTotal`, bytes.
        memory_bytes: u64,
        /// Page size, bytes.
        page_bytes: u64,
        /// Workloads this guest can run.
        workloads: Vec<String>,
    },
    /// A stated requirement is missing; nothing was run.
    Unsupported {
        /// What is missing, for people.
        missing: String,
    },
    /// A memcg is set up; one for each that has a limit. Read back from the kernel, not from the
    /// request.
    Setup {
        /// Which memcg.
        memcg: MemcgRole,
        /// Limit in force, bytes.
        limit_bytes: u64,
        /// Cap in force, bytes, if the kernel has one.
        cap_bytes: Option<u64>,
        /// Sampler period, microseconds.
        sample_period_us: u64,
        /// Each policy file as read back after the write.
        policy: Vec<MemcgWrite>,
    },
    /// The workload begins.
    Started {
        /// Its name.
        workload: String,
        /// Processes created, actors first.
        processes: u32,
    },
    /// What all tasks of one role did with one system call.
    Operations {
        /// Role of the tasks.
        role: ProcessRole,
        /// System call or step (`open`, `pipe2`, `write`, …).
        op: String,
        /// Calls begun.
        attempted: u64,
        /// Calls that did what they should.
        succeeded: u64,
        /// Failures by errno name; `SHORT` for a short read or write.
        errnos: BTreeMap<String, u64>,
        /// Time in the call.
        latency: LatencyUs,
        /// Calls that began before the load ended but never returned (task killed in it or stuck).
        unfinished: u64,
    },
    /// A process of the workload ended.
    ProcessEnded {
        /// What it was for.
        role: ProcessRole,
        /// Its pid, as the console names it.
        pid: i32,
        /// How.
        end: ProcessEnd,
        /// Whether the guest itself sent the SIGKILL, at clean-up.
        by_guest: bool,
        /// When, since the load began, microseconds.
        after_us: u64,
    },
    /// The load is over.
    LoadEnded {
        /// From `Started` to here, microseconds.
        duration_us: u64,
        /// Whether every actor finished its work or was killed; `false` if the load timed out at
        /// `load_ms_max`.
        complete: bool,
    },
    /// What the usage sampler saw between `Started` and `Settled`.
    Usage {
        /// Which memcg.
        memcg: MemcgRole,
        /// Period asked for, microseconds.
        period_us: u64,
        /// Samples taken.
        samples: u64,
        /// Longest time between two samples, microseconds.
        gap_us_max: u64,
        /// Highest usage sampled, bytes, without charges that are about to be refused.
        sampled_bytes_max: u64,
        /// Samples with usage above the limit.
        samples_over: u64,
        /// Longest run of samples above the limit, to the first one that is not, microseconds.
        over_us_max: u64,
        /// Run of samples above the limit that had not ended at the last sample, microseconds.
        over_us_last: u64,
        /// How far above the limit the samples above it were.
        over_bytes: SpreadBytes,
        /// Thinned time line: microseconds since `Started`, bytes; at most 500 points.
        line: Vec<(u64, u64)>,
    },
    /// The observer waited for usage to fall to the limit after the load.
    Settled {
        /// Whether it fell.
        settled: bool,
        /// Time until then, or until the observer gave up, microseconds.
        after_us: u64,
    },
    /// Files of one memcg.
    Memcg {
        /// When they were read.
        stage: Stage,
        /// Of which memcg.
        role: MemcgRole,
        /// `memory.current`, bytes.
        current_bytes: u64,
        /// `memory.peak`, bytes.
        peak_bytes: u64,
        /// `memory.max`, bytes; `None` for no limit.
        max_bytes: Option<u64>,
        /// `memory.events`; on v1 `failcnt` and `oom_kill` under their v2 names `max` and `oom_kill`.
        events: BTreeMap<String, u64>,
        /// `memory.stat`.
        stat: BTreeMap<String, u64>,
        /// The patch's counters, if the kernel has them.
        counters: Option<BTreeMap<String, u64>>,
    },
    /// What the charge function returned, see [`Charges`].
    Charges(Charges),
    /// What the patch's trace events show, see [`Overcharges`].
    Overcharges(Overcharges),
    /// One charge of one call that was made to fail, see [`Injected`].
    Injected(Injected),
    /// After the memcg was removed.
    Removed {
        /// Whether `rmdir` worked.
        removed: bool,
        /// `nr_dying_descendants` of the root when the observer stopped waiting.
        dying: u64,
        /// How long it waited for that, microseconds.
        after_us: u64,
    },
    /// A bystander in the root memcg that only sleeps and wakes.
    Heartbeat {
        /// Period asked for, microseconds.
        period_us: u64,
        /// Beats.
        beats: u64,
        /// Longest time between two beats, microseconds.
        gap_us_max: u64,
    },
    /// What one kind of system call costs; only from the workload [`COST_WORKLOAD`].
    Cost {
        /// System call (`open`); with a suffix if its charges are separated by where they came from
        /// (`write.stock`).
        op: String,
        /// Calls measured; each did what it should.
        calls: u64,
        /// Executed instructions, from before the system call's instruction to after it.
        instructions: Instructions,
    },
    /// The guest itself failed; the cell shows nothing about the kernel.
    Broken {
        /// What happened, for people.
        why: String,
    },
    /// Last event: everything was reported; the guest powers off.
    Ended,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_line() {
        let event = Event { seq: 3, at_us: 17, fact: Fact::Settled { settled: true, after_us: 5 } };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"seq":3,"at_us":17,"fact":"settled","settled":true,"after_us":5}"#);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
