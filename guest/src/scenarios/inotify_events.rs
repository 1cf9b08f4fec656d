// SPDX-License-Identifier: MIT OR Apache-2.0
//! `inotify-events`: charges that ask for no effort, by a memcg that is over its limit.
//!
//! The task watches a folder, opens files until its memcg is over the limit (or a call fails), and
//! changes the mode of files with long names. Each change allocates an event for the watching
//! memcg, with `__GFP_RETRY_MAYFAIL`. Where that fails, the queue says that events were lost
//! (`lost`).

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::libc;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::read;

use super::{Part, Plan, Terms, Workload};
use crate::arena::{self, ARENA, NumberedPath};
use crate::brink::Level;
use crate::calls::open_kept;
use crate::lane::Lane;
use crate::process;

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("inotify-events", &[("more", 200), ("failures_max", 10)], plan)];

const WATCH: usize = 0;
const OPEN: usize = 1;
const CHMOD: usize = 2;
const LOST: usize = 3;

/// Of a name: an event has room for it.
const NAME_CHARS: usize = 200;

/// What a task opens until it is over its limit, at most.
const OPENED_MAX: u64 = 20_000;

/// Of a read: more than the longest event.
const BUFFER_BYTES: usize = 64 << 10;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let (changes, more) = (terms.cell.operations as u32, terms.param("more"));
    let folder = format!("{ARENA}/watched");
    fs::create_dir(&folder).context("make a folder")?;
    let prefix = format!("{folder}/{}", "x".repeat(NAME_CHARS));
    let mut name = NumberedPath::new(&prefix, "");
    for number in 0..changes {
        let path = name.with(number).to_owned();
        fs::File::create_new(path.to_str()?).with_context(|| format!("create {path:?}"))?;
    }
    let opened = arena::create_file("opened")?;
    let (folder, limited) = (CString::new(folder)?, terms.memcgs.limited.clone());
    let actor = Part::new(&["watch", "open", "chmod", "lost"], move |_| {
        process::reserve_files(OPENED_MAX)?;
        let mut level = Level::of(&limited)?;
        let mut name = NumberedPath::new(&prefix, "");
        let (folder, opened) = (folder.clone(), opened.clone());
        let mut buffer = vec![0_u8; BUFFER_BYTES];
        Ok(move |lane: &Lane| {
            let Some(watch) = lane.call(WATCH, || watch(&folder)) else { return };
            let mut left = OPENED_MAX;
            while left > 0 && lane.call(OPEN, || open_kept(&opened)).is_some() {
                let is_over = level.is_over() == Some(true);
                left = if is_over { left.min(more) } else { left } - 1;
            }
            let mode = Mode::S_IRUSR | Mode::S_IWUSR;
            for number in (0..changes).take_while(|_| !lane.stopped()) {
                let path = name.with(number);
                lane.call(CHMOD, || fchmodat(AT_FDCWD, path, mode, FchmodatFlags::FollowSymlink));
            }
            lane.call(LOST, || says_lost(&watch, &mut buffer));
        })
    });
    Ok(terms.plan(actor))
}

fn watch(folder: &CString) -> nix::Result<OwnedFd> {
    // SAFETY: plain numbers.
    let made = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
    // SAFETY: it was just made and belongs to nobody else.
    let made = Errno::result(made).map(|made| unsafe { OwnedFd::from_raw_fd(made) })?;
    // SAFETY: the path ends with NUL.
    let added =
        unsafe { libc::inotify_add_watch(made.as_raw_fd(), folder.as_ptr(), libc::IN_ATTRIB) };
    Errno::result(added).map(|_| made)
}

/// Whether the queue lost events. `ENOENT` if it has them all.
fn says_lost(watch: &OwnedFd, buffer: &mut [u8]) -> nix::Result<()> {
    const HEAD_BYTES: usize = size_of::<libc::inotify_event>();
    loop {
        let filled = match read(watch, buffer) {
            Ok(0) | Err(Errno::EAGAIN) => return Err(Errno::ENOENT),
            filled => filled?,
        };
        let mut at = 0;
        while at + HEAD_BYTES <= filled {
            // SAFETY: a whole head is there, of plain numbers, at whatever alignment.
            let event: libc::inotify_event =
                unsafe { buffer.as_ptr().add(at).cast::<libc::inotify_event>().read_unaligned() };
            if event.mask & libc::IN_Q_OVERFLOW != 0 {
                return Ok(());
            }
            at += HEAD_BYTES + event.len as usize;
        }
    }
}
