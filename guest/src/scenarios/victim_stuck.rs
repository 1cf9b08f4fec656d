// SPDX-License-Identifier: MIT OR Apache-2.0
//! `victim-stuck`: a victim that never gets through its exit.
//!
//! Task 1, the first to be killed, holds the last reference on a file without a name of a file
//! system that the outsider freezes. Task 2 can be killed too and holds pipes that fill the memcg.
//! Task 0 goes over the limit in a write to a FIFO and sleeps in it, until usage is back at the
//! limit (`repay`). The outsider thaws the file system in the end.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::unistd::{getpid, read};

use super::owe::{make_fifo, open_both_ways};
use super::owe_left::open_to_empty;
use super::{Part, Plan, Run, Terms, Workload};
use crate::arena::SCRATCH;
use crate::brink::Level;
use crate::calls::{PIPE_BYTES, keep_pipe, write_whole};
use crate::cue::{Cue, state, within};
use crate::lane::Lane;
use crate::memcg::Memcg;
use crate::process;
use crate::shared::{self, Flag};

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("victim-stuck", &[("repay_ms_max", 7_000)], plan).on_scratch()];

/// What a FIFO holds, bytes.
const FIFO_BYTES: usize = 512 << 10;

/// What is left below the limit before the FIFO is written to, bytes.
const ROOM_BYTES: u64 = 128 << 10;

/// Pipes that fill the memcg, at most.
const PIPES_MAX: u64 = 1000;

const WRITE: usize = 1;

const FREEZE: usize = 0;
const REPAY: usize = 1;
const THAW: usize = 2;

/// `_IOWR('X', 119, int)`
const FIFREEZE: libc::c_ulong = 0xc004_5877;
/// `_IOWR('X', 120, int)`
const FITHAW: libc::c_ulong = 0xc004_5878;

/// What the tasks tell each other.
#[derive(Clone, Copy)]
struct Flags {
    written: &'static Flag,
    holds: &'static Flag,
    full: &'static Flag,
    frozen: &'static Flag,
}

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    ensure!(terms.cell.tasks == 3, "one task writes, two are victims: {} tasks", terms.cell.tasks);
    let (path, cue): (_, &'static Cue) = (make_fifo()?, shared::map_one()?);
    let all: &'static [Flag] = shared::map(4)?;
    let flags = Flags { written: &all[0], holds: &all[1], full: &all[2], frozen: &all[3] };
    let (actors_path, actors) = (path.clone(), terms.memcgs.limited.clone());
    let limit_bytes = terms.cell.limit_bytes as usize;
    let actor = Part::new(&["pipe2", "write"], move |index| match index {
        0 => writer(flags, cue, &actors_path),
        1 => stuck(flags, limit_bytes),
        _ => filler(flags, &actors),
    });
    let limited = terms.memcgs.limited.clone();
    let repay_ms_max = terms.param("repay_ms_max");
    let outsider = Part::new(&["freeze", "repay", "thaw"], move |_| {
        let mut level = Level::of(&limited)?;
        let fifo = open_to_empty(&path)?;
        let root = File::open(SCRATCH)?;
        let mut sink = vec![0; 2 * FIFO_BYTES];
        Ok(move |lane: &Lane| {
            lane.wait_until(|| flags.holds.is_up() && flags.full.is_up());
            lane.call(FREEZE, || control(&root, FIFREEZE));
            flags.frozen.raise();
            lane.call(REPAY, || {
                let asleep = || state(cue.pid()) == Some('S');
                within(repay_ms_max, || level.is_over() == Some(true) && asleep())?;
                within(repay_ms_max, || level.is_over() == Some(false))
            });
            lane.call(THAW, || control(&root, FITHAW));
            lane.wait_until(|| {
                while matches!(read(&fifo, &mut sink), Ok(1..)) {}
                flags.written.is_up()
            });
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}

fn writer(flags: Flags, cue: &'static Cue, path: &CString) -> Result<Run> {
    cue.pid.store(getpid().as_raw(), Ordering::SeqCst);
    let fifo = open_both_ways(path)?;
    fcntl(&fifo, FcntlArg::F_SETPIPE_SZ(FIFO_BYTES as i32)).context("grow a FIFO")?;
    let filling = vec![0xa5_u8; 2 * FIFO_BYTES];
    Ok(Box::new(move |lane: &Lane| {
        lane.wait_until(|| flags.frozen.is_up());
        lane.call(WRITE, || write_whole(&fifo, &filling));
        flags.written.raise();
    }))
}

fn stuck(flags: Flags, limit_bytes: usize) -> Result<Run> {
    std::fs::write("/proc/self/oom_score_adj", "1000").context("be the victim")?;
    let name = format!("{SCRATCH}/stuck");
    let file = File::create_new(&name).context("make a file")?;
    std::fs::remove_file(&name).context("take its name")?;
    // Charged to the root, but it makes this one the worst.
    let weight = vec![0xa5_u8; limit_bytes];
    Ok(Box::new(move |lane: &Lane| {
        let _kept = (&file, &weight);
        flags.holds.raise();
        lane.wait_until(|| flags.written.is_up());
    }))
}

fn filler(flags: Flags, limited: &Memcg) -> Result<Run> {
    std::fs::write("/proc/self/oom_score_adj", "0").context("be killable")?;
    process::reserve_files(2 * PIPES_MAX)?;
    let mut level = Level::of(limited)?;
    let filling = vec![0xa5_u8; PIPE_BYTES];
    Ok(Box::new(move |lane: &Lane| {
        let mut has_room = || level.room_bytes().is_some_and(|left| left > ROOM_BYTES);
        for _ in 0..PIPES_MAX {
            if !has_room() || !keep_pipe(lane, &filling) {
                break;
            }
        }
        flags.full.raise();
        lane.wait_until(|| flags.written.is_up());
    }))
}

/// Asks a file system to do something to itself.
fn control(root: &File, what: libc::c_ulong) -> nix::Result<()> {
    // SAFETY: neither request reads or writes its argument.
    let status = unsafe { libc::ioctl(root.as_raw_fd(), what as _, 0) };
    Errno::result(status).map(drop)
}
