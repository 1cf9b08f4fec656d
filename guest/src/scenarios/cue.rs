// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an outsider that conducts and the task that it conducts tell each other.
//!
//! Used inside the limited memcg: waiting and telling allocate nothing there.

use std::fs;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use anyhow::Result;
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::board::Gate;
use crate::clock::{self, Deadline};
use crate::shared::Shareable;
use crate::tally::Failure;

/// For the task to reach its limit and fall asleep, milliseconds.
pub(super) const ASLEEP_MS: u64 = 5_000;

/// How often the outsider looks, microseconds.
const LOOK_US: u64 = 500;

/// What the outsider and the task tell each other.
#[repr(C)]
pub(super) struct Cue {
    /// The task.
    pub(super) pid: AtomicI32,
    /// Not zero when it stands at its limit.
    pub(super) at_brink: AtomicU32,
    /// Not zero when it is about to make its call.
    pub(super) calling: AtomicU32,
    /// Not zero when its call has returned.
    pub(super) returned: AtomicU32,
    /// Not zero when a second task has done what comes before: locked its pages, or filled the memcg.
    pub(super) ready: AtomicU32,
    /// Opened when it may give up what it locked.
    pub(super) unlock: Gate,
    /// Opened when it may walk to its limit.
    pub(super) drained: Gate,
    /// Opened when it may make its call.
    pub(super) go: Gate,
}

// SAFETY: atomics only; all zero is: nobody has said anything, gates shut.
unsafe impl Shareable for Cue {}

impl Cue {
    /// What the task does when the gate to its limit opens, and before its call. A failure is told
    /// by the operation that never comes to be.
    pub(super) fn walk(&self, to_the_brink: impl FnOnce() -> Result<()>) -> bool {
        self.drained.pass();
        let there = to_the_brink().is_ok();
        self.at_brink.store(1, Ordering::SeqCst);
        self.go.pass();
        self.calling.store(1, Ordering::SeqCst);
        there
    }

    /// The process id of the task.
    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(self.pid.load(Ordering::SeqCst))
    }

    /// Waits until the task stands at its limit.
    pub(super) fn await_brink(&self) -> Result<(), Failure> {
        within(ASLEEP_MS, || self.at_brink.load(Ordering::SeqCst) != 0)
    }

    /// Waits until the task sleeps in its call, or has come back from it.
    pub(super) fn await_sleep(&self) -> Result<(), Failure> {
        // Until it is about to call it may sleep at the gate.
        within(ASLEEP_MS, || self.calling.load(Ordering::SeqCst) != 0)?;
        within(ASLEEP_MS, || self.has_returned() || state(self.pid()) == Some('S'))
    }

    /// Whether the second task has done what comes before.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst) != 0
    }

    /// Whether its call has returned.
    pub(super) fn has_returned(&self) -> bool {
        self.returned.load(Ordering::SeqCst) != 0
    }
}

/// Waits for something; `ETIMEDOUT` when it does not come.
pub(super) fn within(ms: u64, mut done: impl FnMut() -> bool) -> Result<(), Failure> {
    match clock::poll(Deadline::in_ms(ms), LOOK_US, || Ok(done())) {
        Ok(true) => Ok(()),
        _ => Err(Errno::ETIMEDOUT.into()),
    }
}

/// The state of a task as the kernel names it: `S` sleeps and can be woken by a signal.
pub(crate) fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
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
        assert_eq!(within(1, || false), Err(Errno::ETIMEDOUT.into()));
    }
}
