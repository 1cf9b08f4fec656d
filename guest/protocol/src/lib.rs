// SPDX-License-Identifier: MIT OR Apache-2.0
//! The wire between the harness and the guest.
//!
//! One JSON object per line over a virtio-serial port, never over the console: the console is
//! evidence, and a kernel that floods it must not be able to forge or tear a fact. The host sends
//! one [`Order`]; the guest sends [`Event`]s. Facts only: nothing here is a judgement.
//!
//! Any change of meaning raises [`VERSION`]; host and guest refuse to talk across versions.

mod charges;
mod facts;
mod request;
mod spread;

use serde::{Deserialize, Serialize};

pub use charges::*;
pub use facts::*;
pub use request::{CellRequest, MemcgShape, MemcgWrite, Program};
pub use spread::{FREQUENT_MAX, Instructions, LatencyUs, SpreadBytes};

/// Version of this wire. Both sides must have the same.
pub const VERSION: u32 = 9;

/// Name of the virtio-serial port, as in `/sys/class/virtio-ports/*/name`.
pub const PORT_NAME: &str = "memcg.harness.0";

/// Start of the last line from a guest that runs one of the kernel's test programs; `exit N`,
/// `signal N` or `timeout` follows, then [`SELFTEST_TAINT`]. All lines before it are the program's
/// output.
pub const SELFTEST_END: &str = "selftest ended: ";

/// Comes before the number in `/proc/sys/kernel/tainted`, when the program has ended.
pub const SELFTEST_TAINT: &str = ", tainted ";

/// Longest line either side may send, in bytes. A longer one is a protocol error.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Workload that does nothing: the guest sends Hello and, when asked, that it has ended. Measures
/// what every cell takes.
pub const NOTHING_WORKLOAD: &str = "nothing";

/// Workload that fails each charge of some system calls in turn; in no cell of a matrix.
pub const INJECT_WORKLOAD: &str = "inject";

/// Workload that measures costs instead of running a scenario (see [`Fact::Cost`]).
pub const COST_WORKLOAD: &str = "cost";

/// Workload that runs a program of the user, [`CellRequest::program`].
pub const PROGRAM_WORKLOAD: &str = "program";

/// Folder of the guest with the user's program.
pub const PROGRAM_FOLDER: &str = "/exec";

/// File of the guest that tells which files were packed: [`Program::files_sha256`].
pub const PROGRAM_ID: &str = "/exec/.files.sha256";

/// Exit status of a program that could not be started, as shells have it.
pub const NOT_STARTED_STATUS: i32 = 127;

/// Name of the measured step that is a known number of instructions and no system call.
pub const COST_KNOWN: &str = "known";

/// Instructions in [`COST_KNOWN`]: a VM that reports another number does not count them.
pub const COST_KNOWN_INSTRUCTIONS: u64 = 1000;

/// What the host sends after the order, at its deadline: the guest's watchdog then prints the state
/// of every memcg to the console.
pub const LOOK: &str = "look\n";

/// File of the guest with its order. Where it exists, in a VM that is recorded, the port is the
/// second serial port, and only sends: QEMU cannot go back in time with a virtio one.
pub const ORDER: &str = "/order.json";

/// Folder of the guest with the request of each cell that its shell can run, `ID.json`. Where it
/// exists, PID 1 gives a shell.
pub const SHELL_CELLS: &str = "/cells";

/// File of the guest with the request whose memcgs the shell finds set up.
pub const SHELL_CELL: &str = "/cell.json";

/// Which cgroup interface the memory controller is mounted through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The host's wall clock, microseconds since 1970, for a guest that was restored from a
    /// snapshot: its own clock stood still. `None` after a boot.
    pub wall_clock_us: Option<u64>,
    /// For the marks of this cell in the kernel's log, see [`KernelLog`].
    pub nonce: u64,
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    Hello(Hello),
    /// A stated requirement is missing; nothing was run.
    Unsupported {
        /// What is missing, for people.
        missing: String,
    },
    /// A memcg is set up; one event for each that has a limit.
    Setup(Setup),
    /// The workload begins.
    Started(Started),
    /// What all tasks of one role did with one system call.
    Operations(Operations),
    /// A process of the workload ended.
    ProcessEnded(ProcessEnded),
    /// The load is over.
    LoadEnded(LoadEnded),
    /// What the usage sampler saw between `Started` and `Settled`.
    Usage(Usage),
    /// The observer waited for usage to fall to the limit after the load.
    Settled(Settled),
    /// Files of one memcg.
    Memcg(Files),
    /// What the charge function returned, see [`Charges`].
    Charges(Charges),
    /// What the patch's trace events show, see [`Overcharges`].
    Overcharges(Overcharges),
    /// One charge of one call that was made to fail, see [`Injected`].
    Injected(Injected),
    /// What the program of [`CellRequest::program`] printed, see [`Transcript`].
    Transcript(Transcript),
    /// After the memcg was removed.
    Removed(Removed),
    /// What the machine held before and after.
    Ledger(Ledger),
    /// A bystander in the root memcg that only sleeps and wakes.
    Heartbeat(Heartbeat),
    /// What one kind of system call costs; only from the workload [`COST_WORKLOAD`].
    Cost(CallCost),
    /// What objects of one kind charge.
    Census(Census),
    /// What the kernel logged meanwhile, see [`KernelLog`].
    KernelLog(KernelLog),
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
        let event = Event {
            seq: 3,
            at_us: 17,
            fact: Fact::Settled(Settled { settled: true, after_us: 5 }),
        };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"seq":3,"at_us":17,"fact":"settled","settled":true,"after_us":5}"#);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
