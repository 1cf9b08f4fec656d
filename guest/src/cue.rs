// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signals between an outsider that conducts and the task that it conducts.
//!
//! Used inside the limited memcg: nothing here allocates there.

use std::fs;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::unistd::Pid;

use crate::clock;
use crate::shared::{Flag, Gate, Shareable};

/// For the task to reach its limit and fall asleep, milliseconds.
pub(crate) const ASLEEP_MS: u64 = 5_000;

/// How often the outsider looks, microseconds.
const LOOK_US: u64 = 500;

/// Shared by the outsider and the tasks.
#[repr(C)]
pub(crate) struct Cue {
    /// The task.
    pub(crate) pid: AtomicI32,
    /// It stands at its limit.
    pub(crate) at_brink: Flag,
    /// It is about to make its call.
    calling: Flag,
    /// Its call has returned.
    pub(crate) returned: Flag,
    /// A second task has done what comes first: locked its pages, or filled the memcg.
    pub(crate) ready: Flag,
    /// Opened when the second task may give up what it locked.
    pub(crate) unlock: Gate,
    /// Opened when the task may walk to its limit.
    pub(crate) drained: Gate,
    /// Opened when the task may make its call.
    pub(crate) go: Gate,
}

// SAFETY: atomics only; all zero is: flags down, gates shut.
unsafe impl Shareable for Cue {}

impl Cue {
    /// The task's walk to its limit, up to just before its call. Returns whether it got there; if
    /// not, the call is missing in the tallies.
    pub(crate) fn walk(&self, to_the_brink: impl FnOnce() -> bool) -> bool {
        self.drained.pass();
        let there = to_the_brink();
        self.at_brink.raise();
        self.go.pass();
        self.calling.raise();
        there
    }

    /// The PID of the task.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.pid.load(Ordering::SeqCst))
    }

    /// Waits until the task stands at its limit.
    pub(crate) fn await_brink(&self) -> nix::Result<()> {
        within(ASLEEP_MS, || self.at_brink.is_up())
    }

    /// Waits until the task sleeps in its call, or has come back from it.
    pub(crate) fn await_sleep(&self) -> nix::Result<()> {
        // Before that it may sleep at the gate.
        within(ASLEEP_MS, || self.calling.is_up())?;
        within(ASLEEP_MS, || self.returned.is_up() || state(self.pid()) == Some('S'))
    }
}

/// Waits until `done`, at most `ms` milliseconds; then fails with `ETIMEDOUT`.
pub(crate) fn within(ms: u64, done: impl FnMut() -> bool) -> nix::Result<()> {
    clock::within(ms, LOOK_US, done)
}

/// The state of a task in the kernel's letters: `S` sleeps and can be woken by a signal.
pub(crate) fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;
    use nix::sys::signal::{Signal, kill};

    use super::*;

    #[test]
    fn a_task_that_runs_does_not_sleep_and_one_that_is_gone_has_no_state() {
        assert_eq!(state(Pid::from_raw(i32::MAX)), None);
        let sleeper = std::process::Command::new("sleep").arg("60").spawn();
        let mut sleeper = sleeper.unwrap();
        let pid = Pid::from_raw(sleeper.id() as i32);
        assert_eq!(within(10_000, || state(pid) == Some('S')), Ok(()));
        kill(pid, Signal::SIGSTOP).unwrap();
        assert_eq!(within(10_000, || state(pid) == Some('T')), Ok(()));
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }

    #[test]
    fn what_does_not_come_is_a_timeout() {
        assert_eq!(within(1, || false), Err(Errno::ETIMEDOUT));
    }
}
