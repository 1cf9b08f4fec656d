// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long the guest waits for anything. Everything has a limit, and each limit a reason.
//!
//! Milliseconds of guest time. They hold under emulation with debugging kernels, which are some
//! ten times slower than the machines people run; a wait that ends early costs nothing.

/// For the virtio port to appear: its driver is told of it while PID 1 runs already.
pub(crate) const DEVICE_MS: u64 = 10_000;

/// For the host to send its request. The host sends it at once; a host that died never does.
pub(crate) const REQUEST_MS: u64 = 60_000;

/// For the scratch disk, once a request is here: its driver has probed long before, or never will.
pub(crate) const DISK_MS: u64 = 1_000;

/// For the workload's own preparation: 10,000 files on the scratch disk take 4 s under emulation.
pub(crate) const PREPARE_MS: u64 = 30_000;

/// For every process to be forked, locked in memory and waiting; 64 take 0.3 s under emulation.
pub(crate) const READY_MS: u64 = 10_000;

/// For the hog to fill the memcg; 64 MiB take 1 s under emulation.
pub(crate) const FILL_MS: u64 = 15_000;

/// For usage to come down to the limit after the load, with somebody to kill: 2 s until the OOM
/// reaper gives up on a victim plus its ten attempts of 0.1 s, and one more second so that "just in
/// time" is seen as in time.
pub(crate) const SETTLE_MS: u64 = 4_000;

/// The same with nobody left to kill: only an RCU grace period and a work item can bring it down,
/// and waiting longer for what cannot happen would make each such cell slow.
pub(crate) const SETTLE_UNKILLABLE_MS: u64 = 1_000;

/// For usage to stand still after that, while a victim is taken apart.
pub(crate) const REST_MS: u64 = 1_000;

/// For an observer to hand over its findings once told to stop; it wakes each few milliseconds.
pub(crate) const OBSERVER_MS: u64 = 2_000;

/// For a process to end when told to. One that is stuck in a call does not hear it.
pub(crate) const LEAVE_MS: u64 = 1_000;

/// For a process to end after SIGKILL: closing 100,000 files takes 1 s under emulation, and all
/// tasks queue for two CPUs.
pub(crate) const EXIT_MS: u64 = 5_000;

/// For usage to fall back once everything was released: some RCU grace periods and work items.
pub(crate) const EMPTY_MS: u64 = 2_000;

/// For the removed memcg to be freed: its css goes through RCU grace periods and work items, and
/// a task that the OOM killer chose is kept, with its memcg, until the OOM reaper has looked at it,
/// 2 s after the kill and ten times 0.1 s at most.
pub(crate) const DYING_MS: u64 = 4_000;

/// For kmemleak: 5.5 s until an object is old enough, and three scans of all memory, each 1.5 s under
/// emulation and several times that on a busy host.
pub(crate) const LEAKS_MS: u64 = 30_000;

/// Added to what a step may take by its own limits, before the watchdog calls it stuck: reading
/// files, printing a flood of reports to the console, one more round of a poll.
pub(crate) const SLACK_MS: u64 = 5_000;
