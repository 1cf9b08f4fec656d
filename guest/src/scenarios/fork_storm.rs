// SPDX-License-Identifier: MIT OR Apache-2.0
//! `fork-storm`: each task forks children that write to the pages they share with it and then wait.
//!
//! A fork charges kernel memory (stack, `task_struct`, page tables); the child's first writes,
//! `rseq` on its way to user mode among them, charge user pages. Where a user fault cannot be
//! served the child dies of SIGSEGV or faults for ever. What a child does is the call `child` of
//! its parent: it fails with `EFAULT` when a signal ended the child, and with `ETIMEDOUT` when the
//! child has not written to its pages after `child_ms` milliseconds.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::{Part, Plan, Run, Terms, Workload};
use crate::clock::{self, Deadline};
use crate::lane::Lane;
use crate::shared;
use crate::tally::Failure;
use crate::{boot, process};

pub(super) const FORK_STORM: Workload = Workload {
    name: "fork-storm",
    params: &[("child_pages", 4), ("child_ms", 1000), ("failures_max", 20)],
    on_scratch: false,
    plan,
};

const FORK: usize = 0;
const CHILD: usize = 1;

/// How often the parent looks after its child, microseconds.
const LOOK_US: u64 = 200;

/// Pages that a child writes to, at most.
const CHILD_PAGES_MAX: u64 = 1024;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let child_pages = terms.param("child_pages");
    ensure!((1..=CHILD_PAGES_MAX).contains(&child_pages), "child_pages is {child_pages}");
    let child_ms = terms.param("child_ms");
    let actor = Part {
        ops: &["fork", "child"],
        setup: Box::new(move |_| {
            let page_bytes = boot::page_bytes() as usize;
            let mut inherited = vec![1_u8; child_pages as usize * page_bytes];
            let born: &'static AtomicU32 = shared::map_one().context("map the children's count")?;
            Ok(Box::new(move |lane: &Lane| {
                while lane.goes_on() {
                    let before = born.load(Ordering::SeqCst);
                    let live = || {
                        for page in inherited.chunks_mut(page_bytes) {
                            // Volatile: nobody reads it.
                            // SAFETY: the byte is the first of a live slice.
                            unsafe { page.as_mut_ptr().write_volatile(2) };
                        }
                        born.fetch_add(1, Ordering::SeqCst);
                        lane.await_release();
                    };
                    if let Some(child) = lane.call(FORK, || fork_once(live)) {
                        lane.call(CHILD, || await_child(child, born, before, child_ms));
                    }
                }
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: None, failures_max: terms.param("failures_max") })
}

/// Forks a child that lives its life and ends, without returning to where its parent's calls are
/// counted. It dies with its parent, so that none is left behind.
fn fork_once(live: impl FnOnce()) -> Result<Pid, Failure> {
    // SAFETY: a workload's process has a single thread, so no lock can be held by one that the
    // child lacks.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // SAFETY: plain numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            live();
            process::exit_now(0)
        }
    }
}

/// Waits until the child has written to its pages.
fn await_child(child: Pid, born: &AtomicU32, before: u32, child_ms: u64) -> Result<(), Failure> {
    let deadline = Deadline::in_ms(child_ms);
    loop {
        if born.load(Ordering::SeqCst) != before {
            return Ok(());
        }
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {}
            _ => return Err(Errno::EFAULT.into()),
        }
        if deadline.passed() {
            return Err(Errno::ETIMEDOUT.into());
        }
        clock::sleep_us(LOOK_US);
    }
}
