// SPDX-License-Identifier: MIT OR Apache-2.0
//! Holding another task at the end of a system call, as a debugger does.
//!
//! The stop at the end of a traced call (`ptrace_report_syscall_exit()`) comes before the work that
//! the kernel does on the way to user mode.

use std::mem::MaybeUninit;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::clock::{self, Deadline};

/// For the task to come to its next stop, milliseconds.
const STOP_MS: u64 = 5_000;

/// How often to look whether it has, microseconds.
const LOOK_US: u64 = 500;

/// Most stops on the way to the call.
const STOPS_MAX: u32 = 100;

/// A task that the caller traces, until this is dropped.
pub(super) struct Tracee(Pid);

impl Tracee {
    /// Attaches and stops the task.
    ///
    /// # Errors
    /// The kernel refuses, or the task does not stop.
    pub(super) fn seize(pid: Pid) -> Result<Self> {
        ptrace(libc::PTRACE_SEIZE, pid, 0, libc::PTRACE_O_TRACESYSGOOD as usize)
            .context("attach to the task")?;
        let tracee = Self(pid);
        ptrace(libc::PTRACE_INTERRUPT, pid, 0, 0).context("interrupt the task")?;
        tracee.await_stop().context("wait for the task to stop")?;
        Ok(tracee)
    }

    /// Lets the task run to the end of its next call of that number, and holds it there.
    ///
    /// # Errors
    /// The task ends or does not get there.
    pub(super) fn run_to_end_of(&mut self, call: libc::c_long) -> Result<(), Errno> {
        let mut begun = false;
        for _ in 0..STOPS_MAX {
            ptrace(libc::PTRACE_SYSCALL, self.0, 0, 0)?;
            self.await_stop()?;
            let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
            let size = size_of::<libc::ptrace_syscall_info>();
            ptrace(libc::PTRACE_GET_SYSCALL_INFO, self.0, size, info.as_mut_ptr() as usize)?;
            // SAFETY: all bytes zero are valid, and the kernel wrote no more than `size`.
            let info = unsafe { info.assume_init() };
            match info.op {
                libc::PTRACE_SYSCALL_INFO_ENTRY => {
                    // SAFETY: `op` says that this member is there.
                    begun = unsafe { info.u.entry.nr } == call as u64;
                }
                libc::PTRACE_SYSCALL_INFO_EXIT if begun => return Ok(()),
                _ => {}
            }
        }
        Err(Errno::ETIMEDOUT)
    }

    fn await_stop(&self) -> Result<(), Errno> {
        let deadline = Deadline::in_ms(STOP_MS);
        loop {
            match waitpid(self.0, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL))? {
                WaitStatus::StillAlive if deadline.passed() => return Err(Errno::ETIMEDOUT),
                WaitStatus::StillAlive => clock::sleep_us(LOOK_US),
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Err(Errno::ESRCH),
                _ => return Ok(()),
            }
        }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        // Fails for a task that is gone, which needs no detaching.
        let _ = ptrace(libc::PTRACE_DETACH, self.0, 0, 0);
    }
}

fn ptrace(request: libc::c_uint, pid: Pid, address: usize, data: usize) -> Result<(), Errno> {
    // SAFETY: where `data` is a pointer the caller gives one to a live buffer of `address` bytes.
    let status = unsafe { libc::ptrace(request, pid.as_raw(), address, data) };
    Errno::result(status).map(drop)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::cue::state;

    #[test]
    fn a_task_is_held_at_the_end_of_a_call_and_runs_on_when_let_go() {
        // It ends by itself within seconds, so that a test that fails leaves nothing running.
        let mut head = Command::new("head");
        let mut writer =
            head.args(["-c", "20G", "/dev/zero"]).stdout(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_raw(writer.id() as i32);
        let mut tracee = Tracee::seize(pid).unwrap();
        // It has to be loaded first, which takes some hundred calls.
        assert!((0..100).any(|_| tracee.run_to_end_of(libc::SYS_write).is_ok()));
        assert_eq!(state(pid), Some('t'));
        drop(tracee);
        assert_ne!(state(pid), Some('t'));
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert!(Tracee::seize(pid).is_err(), "it is gone");
    }
}
