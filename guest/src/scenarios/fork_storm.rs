// SPDX-License-Identifier: MIT OR Apache-2.0
//! `fork-storm`: each task forks children that write to the pages they share with it and then wait.
//!
//! A fork charges kernel memory (stack, `task_struct`, page tables); the child's first writes,
//! `rseq` on its way to user mode among them, charge user pages. Where a user fault cannot be
//! served, the child dies of SIGSEGV or faults forever. The fate of a child is the call `child` of
//! its parent: it fails with `EFAULT` if a signal ended the child, and with `ETIMEDOUT` if the
//! child has not written to its pages within `child_ms` milliseconds.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Part, Plan, Terms, Workload};
use crate::clock::{self, Deadline};
use crate::lane::Lane;
use crate::{memcg, process, shared};

pub(super) const WORKLOADS: &[Workload] = &[Workload::new(
    "fork-storm",
    &[("child_pages", 4), ("child_ms", 1000), ("failures_max", 20)],
    plan,
)];

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
    let actor = Part::new(&["fork", "child"], move |_| {
        let page_bytes = memcg::page_bytes() as usize;
        let mut inherited = vec![1_u8; child_pages as usize * page_bytes];
        let born: &'static AtomicU32 = shared::map_one().context("map the children's count")?;
        Ok(move |lane: &Lane| {
            while lane.goes_on() {
                let before = born.load(Ordering::SeqCst);
                let live = || {
                    for page in inherited.chunks_mut(page_bytes) {
                        // Volatile: nothing reads it.
                        // SAFETY: the byte is the first of a live slice.
                        unsafe { page.as_mut_ptr().write_volatile(2) };
                    }
                    born.fetch_add(1, Ordering::SeqCst);
                    lane.await_release();
                    0
                };
                if let Some(child) = lane.call(FORK, || process::fork_child(live)) {
                    lane.call(CHILD, || await_child(child, born, before, child_ms));
                }
            }
        })
    });
    Ok(terms.plan(actor))
}

/// Waits until the child has written to its pages.
fn await_child(child: Pid, born: &AtomicU32, before: u32, child_ms: u64) -> nix::Result<()> {
    let deadline = Deadline::in_ms(child_ms);
    loop {
        if born.load(Ordering::SeqCst) != before {
            return Ok(());
        }
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {}
            _ => return Err(Errno::EFAULT),
        }
        if deadline.passed() {
            return Err(Errno::ETIMEDOUT);
        }
        clock::sleep_us(LOOK_US);
    }
}
