// SPDX-License-Identifier: MIT OR Apache-2.0
//! `uring-async` and `uring-sqpoll`: files are opened for a task by kernel threads of its process.
//!
//! With `IOSQE_ASYNC` a worker of io-wq opens, with `IORING_SETUP_SQPOLL` the thread that polls the
//! submission queue does, while the task itself sleeps. Both threads are `PF_USER_WORKER`: they
//! charge the memcg of the process and never return to user mode. Every file stays open.

use std::ffi::CString;

use anyhow::{Context, Result, ensure};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use nix::errno::Errno;
use nix::libc;

use super::{Part, Plan, Terms, Workload};
use crate::lane::Lane;
use crate::{arena, clock, process};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new("uring-async", PARAMS, |terms| plan(terms, false)),
    Workload::new("uring-sqpoll", PARAMS, |terms| plan(terms, true)),
];

const PARAMS: &[(&str, u64)] = &[("batch", 32), ("failures_max", 10)];

/// For a batch to complete, milliseconds; a task may be killed meanwhile.
const BATCH_MS: u64 = 4_500;

/// How often the sleeping owner looks for completions, microseconds.
const LOOK_US: u64 = 2_000;

/// The polling thread goes to sleep when nothing was submitted for this long, milliseconds.
const IDLE_MS: u32 = 1_000;

fn plan(terms: &Terms<'_>, sqpoll: bool) -> Result<Plan> {
    let path = arena::create_file("file")?;
    let files = terms.cell.operations;
    let batch = u32::try_from(terms.param("batch")).context("batch")?;
    ensure!(batch.is_power_of_two() && batch <= 4096, "batch is {batch}, no power of two");
    let actor = Part::new(&["openat"], move |_| {
        process::reserve_files(files)?;
        let mut ring = ring(batch, sqpoll)?;
        // This creates the workers, in the root memcg: their stacks are not under test.
        open_batch(&mut ring, &path, 1, sqpoll, |_| ())
            .context("open one file through the ring")?;
        let path = path.clone();
        Ok(move |lane: &Lane| {
            loop {
                let count = (0..batch).take_while(|_| lane.goes_on()).count();
                let tally = |outcome| {
                    lane.call(0, || outcome);
                };
                if count == 0 || open_batch(&mut ring, &path, count, sqpoll, tally).is_err() {
                    break;
                }
            }
            // The ring stays, as its files do: the process ends with both.
            std::mem::forget(ring);
        })
    });
    Ok(terms.plan(actor))
}

fn ring(entries: u32, sqpoll: bool) -> Result<IoUring> {
    let mut builder = IoUring::builder();
    if sqpoll {
        builder.setup_sqpoll(IDLE_MS);
    }
    builder.build(entries).context("set up io_uring")
}

/// Has `count` files opened and reports each outcome. The caller sleeps until all are open.
fn open_batch(
    ring: &mut IoUring,
    path: &CString,
    count: usize,
    sqpoll: bool,
    mut tell: impl FnMut(nix::Result<()>),
) -> nix::Result<()> {
    let how = if sqpoll { squeue::Flags::empty() } else { squeue::Flags::ASYNC };
    for _ in 0..count {
        let entry = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr())
            .flags(libc::O_RDONLY | libc::O_CLOEXEC)
            .build()
            .flags(how);
        // The polling thread gives back the places of a batch after the whole of it, when its
        // completions may have been seen already.
        clock::within(BATCH_MS, LOOK_US, || !ring.submission().is_full())?;
        // SAFETY: the path lives until the entry has completed: this function returns earlier only
        // after a deadline, which ends the task's work and leaves ring and path as they are.
        unsafe { ring.submission().push(&entry) }.map_err(|_| Errno::EBUSY)?;
    }
    ring.submit().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    let mut missing = count;
    clock::within(BATCH_MS, LOOK_US, || {
        for entry in ring.completion() {
            tell(outcome(&entry));
            missing = missing.saturating_sub(1);
        }
        missing == 0
    })
}

fn outcome(entry: &cqueue::Entry) -> nix::Result<()> {
    match entry.result() {
        errno @ ..0 => Err(Errno::from_raw(-errno)),
        _kept_open => Ok(()),
    }
}
