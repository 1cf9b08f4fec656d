// SPDX-License-Identifier: MIT OR Apache-2.0
//! `uring-async` and `uring-sqpoll`: files are opened for a task by kernel threads of its process.
//!
//! With `IOSQE_ASYNC` a worker of io-wq opens, with `IORING_SETUP_SQPOLL` the thread that polls the
//! submission queue does, while the task itself sleeps. Both threads are `PF_USER_WORKER`: they
//! charge the memcg of the process and never return to user mode. Every file stays open.

use std::ffi::CString;
use std::fs::File;

use anyhow::{Context, Result, ensure};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use nix::errno::Errno;
use nix::libc;

use super::{Part, Plan, Run, Terms, Workload};
use crate::arena::ARENA;
use crate::clock::{self, Deadline};
use crate::lane::Lane;
use crate::process;
use crate::tally::Failure;

pub(super) const URING_ASYNC: Workload = Workload {
    name: "uring-async",
    params: PARAMS,
    on_scratch: false,
    plan: |terms| plan(terms, false),
};

pub(super) const URING_SQPOLL: Workload = Workload {
    name: "uring-sqpoll",
    params: PARAMS,
    on_scratch: false,
    plan: |terms| plan(terms, true),
};

const PARAMS: &[(&str, u64)] = &[("batch", 32), ("failures_max", 10)];

const OPENAT: usize = 0;

/// For a batch to complete, milliseconds; somebody may be killed meanwhile.
const BATCH_MS: u64 = 4_500;

/// How often the sleeping owner looks for completions, microseconds.
const LOOK_US: u64 = 2_000;

/// The polling thread goes to sleep when nothing was submitted for this long, milliseconds.
const IDLE_MS: u32 = 1_000;

fn plan(terms: &Terms<'_>, sqpoll: bool) -> Result<Plan> {
    let path = CString::new(format!("{ARENA}/file"))?;
    File::create(path.to_str()?).context("create the file to open")?;
    let files = terms.cell.operations;
    let batch = u32::try_from(terms.param("batch")).context("batch")?;
    ensure!(batch.is_power_of_two() && batch <= 4096, "batch is {batch}, no power of two");
    let actor = Part {
        ops: &["openat"],
        setup: Box::new(move |_| {
            process::reserve_files(files)?;
            let mut ring = ring(batch, sqpoll)?;
            // The workers are made now, in the root memcg: their stacks are not what is asked about.
            open_batch(&mut ring, &path, 1, sqpoll, |_| ())
                .map_err(|errno| anyhow::anyhow!("open one file through the ring: {errno}"))?;
            let path = path.clone();
            Ok(Box::new(move |lane: &Lane| {
                loop {
                    let count = (0..batch).take_while(|_| lane.goes_on()).count();
                    let tally = |outcome| {
                        lane.call(OPENAT, || outcome);
                    };
                    if count == 0 || open_batch(&mut ring, &path, count, sqpoll, tally).is_err() {
                        break;
                    }
                }
                // The ring stays, as its files do: the process ends with both.
                std::mem::forget(ring);
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: None, failures_max: terms.param("failures_max") })
}

fn ring(entries: u32, sqpoll: bool) -> Result<IoUring> {
    let mut builder = IoUring::builder();
    if sqpoll {
        builder.setup_sqpoll(IDLE_MS);
    }
    builder.build(entries).context("set up io_uring")
}

/// Has `count` files opened and tells each outcome. The caller sleeps until all are there.
fn open_batch(
    ring: &mut IoUring,
    path: &CString,
    count: usize,
    sqpoll: bool,
    mut tell: impl FnMut(Result<(), Failure>),
) -> Result<(), Errno> {
    let how = if sqpoll { squeue::Flags::empty() } else { squeue::Flags::ASYNC };
    for _ in 0..count {
        let entry = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr())
            .flags(libc::O_RDONLY | libc::O_CLOEXEC)
            .build()
            .flags(how);
        // The polling thread gives the places of a batch back after all of it, when its completions
        // may have been seen already.
        let room =
            clock::poll(Deadline::in_ms(BATCH_MS), LOOK_US, || Ok(!ring.submission().is_full()));
        if !matches!(room, Ok(true)) {
            return Err(Errno::ETIMEDOUT);
        }
        // SAFETY: the path lives until the entry has completed: nobody leaves this function before,
        // but after a deadline that ends the task's work and leaves ring and path as they are.
        unsafe { ring.submission().push(&entry) }.map_err(|_| Errno::EBUSY)?;
    }
    ring.submit().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    let mut missing = count;
    let all = clock::poll(Deadline::in_ms(BATCH_MS), LOOK_US, || {
        for entry in ring.completion() {
            tell(outcome(&entry));
            missing = missing.saturating_sub(1);
        }
        Ok(missing == 0)
    });
    if matches!(all, Ok(true)) { Ok(()) } else { Err(Errno::ETIMEDOUT) }
}

fn outcome(entry: &cqueue::Entry) -> Result<(), Failure> {
    match entry.result() {
        errno @ ..0 => Err(Errno::from_raw(-errno).into()),
        _kept_open => Ok(()),
    }
}
