// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long the guest waits for anything, milliseconds of guest time, and why.
//!
//! The limits hold under emulation with debugging kernels, some ten times slower than real
//! machines; a wait that ends early costs nothing.

/// For the virtio port to appear: its driver probes it while PID 1 already runs.
pub(crate) const DEVICE_MS: u64 = 10_000;

/// For the host to send its request. It does so immediately unless it died.
pub(crate) const REQUEST_MS: u64 = 60_000;

/// For the scratch disk, once there is a request: its driver has probed long before, or never will.
pub(crate) const DISK_MS: u64 = 1_000;

/// For the workload's own preparation: 10,000 files on the scratch disk take 4 s under emulation.
pub(crate) const PREPARE_MS: u64 = 30_000;

/// For every process to be forked, locked in memory and waiting; 64 take 0.3 s under emulation.
pub(crate) const READY_MS: u64 = 10_000;

/// For the hog to fill the memcg; 64 MiB take 1 s under emulation.
pub(crate) const FILL_MS: u64 = 15_000;

/// For usage to fall to the limit after the load, if there are tasks to kill: 2 s until the OOM
/// reaper gives up on a victim plus its ten attempts of 0.1 s, and one more second as a margin.
pub(crate) const SETTLE_MS: u64 = 4_000;

/// The same with no task left to kill: only an RCU grace period and a work item can bring usage
/// down, and waiting longer would only make each such cell slow.
pub(crate) const SETTLE_UNKILLABLE_MS: u64 = 1_000;

/// For usage to stand still after that, while a victim is torn down.
pub(crate) const REST_MS: u64 = 1_000;

/// For what is freed late, by RCU and work items, to come back: some grace periods.
pub(crate) const LEDGER_MS: u64 = 1_000;

/// For an observer to hand over its findings; it wakes every few milliseconds.
pub(crate) const OBSERVER_MS: u64 = 2_000;

/// For a process to end when released. One that is stuck in a call does not notice.
pub(crate) const LEAVE_MS: u64 = 1_000;

/// For a process to end after SIGKILL: closing 100,000 files takes 1 s under emulation, and all
/// tasks queue for two CPUs.
pub(crate) const EXIT_MS: u64 = 5_000;

/// For usage to fall once everything was released: some RCU grace periods and work items, and on a
/// busy host the exits of a hundred processes that have just been killed.
pub(crate) const EMPTY_MS: u64 = 6_000;

/// For the removed memcg to be freed: its css goes through RCU grace periods and work items, and a
/// victim of the OOM killer keeps its memcg until the OOM reaper has looked at it, up to 2 s after
/// the kill plus ten times 0.1 s.
pub(crate) const DYING_MS: u64 = 4_000;

/// For kmemleak: 5.5 s until an object is old enough, and three scans of all memory, each 1.5 s
/// under emulation and several times that on a busy host.
pub(crate) const LEAKS_MS: u64 = 30_000;

/// Added to the limits of a step before the watchdog calls it stuck: reading files, printing a
/// flood of reports to the console, one more round of a poll.
pub(crate) const SLACK_MS: u64 = 5_000;
