// SPDX-License-Identifier: MIT OR Apache-2.0
//! `pipes`: each task makes pipes, writes `pipe_bytes` to each at once and keeps them; last it asks
//! for one pipe of `setpipe_bytes`.
//!
//! It charges pages of kernel memory one by one. Failures are in disguise: `pipe2` says `ENFILE`, a
//! write at the limit is short. The array of the large pipe is a charge of a costly order, which
//! may fail under every policy.

use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, write};

use super::{Part, Plan, Run, Terms, Workload};
use crate::lane::Lane;
use crate::process;
use crate::tally::Failure;

pub(super) const PIPES: Workload = Workload {
    name: "pipes",
    params: &[("pipe_bytes", PIPE_BYTES_MAX), ("setpipe_bytes", 16 << 20), ("failures_max", 10)],
    on_scratch: false,
    plan,
};

pub(super) const OPS: &[&str] = &["pipe2", "write", "setpipe_sz"];
const PIPE2: usize = 0;
const WRITE: usize = 1;
const SETPIPE_SZ: usize = 2;

/// What a new pipe holds, bytes: 16 pages, for a task that is not bound by `pipe-user-pages-soft`.
/// More would end short on every kernel.
const PIPE_BYTES_MAX: u64 = 64 << 10;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let pipes = terms.cell.operations;
    let pipe_bytes = terms.param("pipe_bytes");
    ensure!((1..=PIPE_BYTES_MAX).contains(&pipe_bytes), "pipe_bytes is {pipe_bytes}");
    let setpipe_bytes = i32::try_from(terms.param("setpipe_bytes")).context("setpipe_bytes")?;
    let actor = Part {
        ops: OPS,
        setup: Box::new(move |_| {
            process::reserve_files(2 * pipes + 2)?;
            let filling = vec![0xa5_u8; pipe_bytes as usize];
            let (_reader, grown) = pipe2(OFlag::O_NONBLOCK).context("make the pipe to grow")?;
            Ok(Box::new(move |lane: &Lane| {
                while lane.goes_on() {
                    fill_one(lane, &filling);
                }
                lane.call(SETPIPE_SZ, || {
                    fcntl(&grown, FcntlArg::F_SETPIPE_SZ(setpipe_bytes)).map_err(Failure::from)
                });
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: None, failures_max: terms.param("failures_max") })
}

/// Makes one pipe, fills it and leaves it open.
fn fill_one(lane: &Lane, filling: &[u8]) {
    let made = lane.call(PIPE2, || pipe2(OFlag::O_NONBLOCK).map_err(Failure::from));
    let Some((reader, writer)) = made else { return };
    lane.call(WRITE, || write_whole(writer.as_fd(), filling));
    let _kept_open = (reader.into_raw_fd(), writer.into_raw_fd());
}

fn write_whole(writer: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Failure> {
    if write(writer, bytes)? == bytes.len() { Ok(()) } else { Err(Failure::Short) }
}
