// SPDX-License-Identifier: MIT OR Apache-2.0
//! A task that holds clean file pages of the ext4 disk locked in memory, and gives them up when
//! told to: memory that reclaim cannot take at one moment, and can at the next.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::Run;
use super::cue::Cue;
use crate::arena::SCRATCH;
use crate::lane::Lane;
use crate::tally::Failure;

/// The tally of giving them up.
const MUNMAP: usize = 1;

/// Size of the file, bytes: many times what a task owes after one call.
const FILE_BYTES: usize = 512 << 10;

fn path() -> String {
    format!("{SCRATCH}/locked")
}

/// Makes the file, and sees to it that none of it is in memory, charged to the root memcg.
pub(super) fn prepare() -> Result<()> {
    fs::write(path(), vec![0xa5_u8; FILE_BYTES]).context("write the file to lock")?;
    nix::unistd::sync();
    let file = File::open(path())?;
    posix_fadvise(file.as_fd(), 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
        .context("drop the file from memory")
}

/// Sets up the task: it maps the file, and with it locks every page, inside the memcg.
pub(super) fn lock_and_give_up(cue: &'static Cue) -> Result<Run> {
    let file = File::open(path())?;
    Ok(Box::new(move |lane: &Lane| {
        let length = NonZeroUsize::new(FILE_BYTES).unwrap_or(NonZeroUsize::MIN);
        let (protection, flags) = (ProtFlags::PROT_READ, MapFlags::MAP_SHARED);
        // All mappings of this process are locked (`MCL_FUTURE`), so this reads the whole file.
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let mapped = unsafe { mmap(None, length, protection, flags, &file, 0) };
        cue.ready.store(1, Ordering::SeqCst);
        cue.unlock.pass();
        lane.call(MUNMAP, || match mapped {
            // SAFETY: nothing refers to the mapping.
            Ok(start) => unsafe { munmap(start, FILE_BYTES) }.map_err(Failure::from),
            Err(_) => Err(Errno::EFAULT.into()),
        });
    }))
}
