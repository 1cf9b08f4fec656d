// SPDX-License-Identifier: MIT OR Apache-2.0
//! `pipes`: each task makes pipes, writes `pipe_bytes` to each in one call and keeps them; last it
//! asks for one pipe of `setpipe_bytes`. With `timer_us` a timer interrupts it with a signal, so
//! often after it has handled the last one (`signals`).
//!
//! It charges pages of kernel memory one by one. Failures are disguised: `pipe2` fails with
//! `ENFILE`, a write at the limit is short. The array of the large pipe is a charge of a costly
//! order, which may fail under every policy.
//!
//! `pipe-sizes`: each task fills the memcg with pipes, and then asks for pipes whose array is a
//! charge of exactly 1, 2, 4, 8 and 16 pages. The last one is of a costly order.

use std::ptr::null_mut;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::pipe2;

use super::{Part, Plan, Terms, Workload};
use crate::calls::{PIPE_BYTES, keep_pipe};
use crate::lane::Lane;
use crate::{memcg, process};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new(
        "pipes",
        &[
            ("pipe_bytes", PIPE_BYTES as u64),
            ("setpipe_bytes", 16 << 20),
            ("timer_us", 0),
            ("failures_max", 10),
        ],
        plan,
    ),
    Workload::new("pipe-sizes", &[("failures_max", 10)], plan_sizes),
];

/// Calls of `pipe-sizes`.
const SIZES_OPS: [&str; 7] =
    ["pipe2", "write", "pages_1", "pages_2", "pages_4", "pages_8", "setpipe_sz"];

/// Slots of the pipes that it asks for, in the same order. A slot is a `struct pipe_buffer` of 40
/// bytes; `kcalloc()` rounds up to a power of two.
const SLOTS: [i32; 5] = [64, 128, 256, 512, 1024];

const SETPIPE_SZ: usize = 2;
const SIGNALS: usize = 3;

/// The largest pipe (`/proc/sys/fs/pipe-max-size`), bytes.
const PIPE_BYTES_MAX: u64 = 1 << 20;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let pipes = terms.cell.operations;
    let pipe_bytes = terms.param("pipe_bytes");
    ensure!((1..=PIPE_BYTES_MAX).contains(&pipe_bytes), "pipe_bytes is {pipe_bytes}");
    let setpipe_bytes = i32::try_from(terms.param("setpipe_bytes")).context("setpipe_bytes")?;
    let timer_us = i64::try_from(terms.param("timer_us"))?;
    let actor = Part::new(&["pipe2", "write", "setpipe_sz", "signals"], move |_| {
        process::reserve_files(2 * pipes + 2)?;
        process::catch(Signal::SIGALRM)?;
        let filling = vec![0xa5_u8; pipe_bytes as usize];
        let (_reader, grown) = pipe2(OFlag::O_NONBLOCK).context("make the pipe to grow")?;
        Ok(move |lane: &Lane| {
            if interrupt_every(timer_us).is_err() {
                return;
            }
            while lane.goes_on() {
                keep_pipe(lane, &filling);
                for _ in 0..process::caught() {
                    lane.call(SIGNALS, || nix::Result::Ok(()));
                }
            }
            lane.call(SETPIPE_SZ, || fcntl(&grown, FcntlArg::F_SETPIPE_SZ(setpipe_bytes)));
        })
    });
    Ok(terms.plan(actor))
}

/// Sends the caller a SIGALRM again and again; not at all at 0.
fn interrupt_every(us: i64) -> nix::Result<()> {
    let period = libc::timeval { tv_sec: 0, tv_usec: us };
    let timer = libc::itimerval { it_interval: period, it_value: period };
    // SAFETY: the timer is a live value, and nothing is to be written back.
    let status = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, null_mut()) };
    Errno::result(status).map(drop)
}

fn plan_sizes(terms: &Terms<'_>) -> Result<Plan> {
    let pipes = terms.cell.operations;
    let page_bytes = i32::try_from(memcg::page_bytes())?;
    let actor = Part::new(&SIZES_OPS, move |_| {
        process::reserve_files(2 * pipes + 2 * SLOTS.len() as u64)?;
        let filling = vec![0xa5_u8; PIPE_BYTES];
        let grown = SLOTS.map(|_| pipe2(OFlag::O_NONBLOCK));
        let grown = grown.into_iter().collect::<nix::Result<Vec<_>>>().context("pipes to grow")?;
        Ok(move |lane: &Lane| {
            while lane.goes_on() {
                keep_pipe(lane, &filling);
            }
            for (at, (slots, (_, end))) in SLOTS.iter().zip(&grown).enumerate() {
                lane.call(2 + at, || fcntl(end, FcntlArg::F_SETPIPE_SZ(slots * page_bytes)));
            }
        })
    });
    Ok(terms.plan(actor))
}
