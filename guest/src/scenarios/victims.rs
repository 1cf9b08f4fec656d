// SPDX-License-Identifier: MIT OR Apache-2.0
//! `victims-hold`: a victim frees its memory later than it dies.
//!
//! Tasks 1 and 2 hold open files without a name and can be killed: an inode and a dentry each,
//! which RCU frees. Task 0 opens files until only `room_bytes` are left below the limit, and writes
//! to a pipe in one call, far over it. One of the two has enough for that, but less than a third of
//! it is free when it has just died.

use std::ffi::CString;
use std::os::fd::{AsFd as _, IntoRawFd as _};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::unistd::pipe2;

use super::{Part, Plan, Run, Terms, Workload};
use crate::arena::ARENA;
use crate::brink::Level;
use crate::calls::{open_kept, write_whole};
use crate::lane::Lane;
use crate::memcg::Memcg;
use crate::shared::{self, Flag};
use crate::{arena, process};

pub(super) const WORKLOADS: &[Workload] = &[Workload::new(
    "victims-hold",
    &[("held", 2000), ("write_bytes", 2 << 20), ("room_bytes", 512 << 10)],
    plan,
)];

/// Files that the writer opens at most: some 20 share a page.
const FILES_MAX: u64 = 12_000;

const OPEN: usize = 0;
const WRITE: usize = 1;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    ensure!(terms.cell.tasks == 3, "one task writes, two hold files: {} tasks", terms.cell.tasks);
    let (held, write_bytes) = (terms.param("held"), terms.param("write_bytes"));
    let (room_bytes, limited) = (terms.param("room_bytes"), terms.memcgs.limited.clone());
    let flags: &'static [Flag] = shared::map(3)?;
    let actor = Part::new(&["open", "write"], move |index| match index {
        0 => writer(&limited, flags, room_bytes, write_bytes),
        _ => holder(flags, index as usize, held),
    });
    Ok(terms.plan(actor))
}

fn writer(
    limited: &Memcg,
    flags: &'static [Flag],
    room_bytes: u64,
    write_bytes: u64,
) -> Result<Run> {
    process::reserve_files(FILES_MAX)?;
    let mut level = Level::of(limited)?;
    let path = arena::create_file("filling")?;
    let (reader, writer) = pipe2(OFlag::O_NONBLOCK).context("make a pipe")?;
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(i32::try_from(write_bytes)?)).context("grow a pipe")?;
    let filling = vec![0xa5_u8; write_bytes as usize];
    Ok(Box::new(move |lane: &Lane| {
        let _kept = &reader;
        lane.wait_until(|| flags[1..].iter().all(Flag::is_up));
        let mut has_room = |_: &u64| level.room_bytes().is_some_and(|left| left > room_bytes);
        for _ in (0..FILES_MAX).take_while(&mut has_room) {
            lane.call(OPEN, || open_kept(&path));
        }
        if !has_room(&FILES_MAX) {
            lane.call(WRITE, || write_whole(writer.as_fd(), &filling));
        }
        flags[0].raise();
    }))
}

fn holder(flags: &'static [Flag], index: usize, held: u64) -> Result<Run> {
    process::reserve_files(held)?;
    std::fs::write("/proc/self/oom_score_adj", "0").context("be killable")?;
    let folder = CString::new(ARENA)?;
    Ok(Box::new(move |lane: &Lane| {
        let nameless = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        for _ in 0..held {
            let file = || open(folder.as_c_str(), nameless, Mode::S_IRUSR);
            let _kept = lane.call(OPEN, file).map(|file| file.into_raw_fd());
        }
        flags[index].raise();
        // One is killed here.
        lane.wait_until(|| flags[0].is_up());
    }))
}
