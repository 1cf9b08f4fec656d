// SPDX-License-Identifier: MIT OR Apache-2.0
//! A task that locks clean file pages of the ext4 disk in memory and unmaps them when told to:
//! memory that reclaim cannot take at one moment, and can at the next.

use std::ffi::c_void;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::super::Run;
use crate::arena::SCRATCH;
use crate::cue::Cue;
use crate::lane::Lane;

/// The tally of unmapping them.
const MUNMAP: usize = 1;

/// Size of the file, bytes: many times what a task owes after one call.
const FILE_BYTES: usize = 512 << 10;

fn path() -> String {
    format!("{SCRATCH}/locked")
}

/// What one page-table page maps, bytes.
const TABLE_BYTES: usize = 2 << 20;

/// Makes the file and drops it from memory, where it would be charged to the root memcg.
pub(super) fn prepare() -> Result<()> {
    fs::write(path(), vec![0xa5_u8; FILE_BYTES]).context("write the file to lock")?;
    nix::unistd::sync();
    let file = File::open(path())?;
    posix_fadvise(file.as_fd(), 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
        .context("drop the file from memory")
}

/// Sets up the task: inside the memcg it maps the file, which locks every page.
pub(super) fn lock_and_give_up(cue: &'static Cue) -> Result<Run> {
    let file = File::open(path())?;
    Ok(Box::new(move |lane: &Lane| {
        let mapped = map_between(&file);
        cue.ready.raise();
        cue.unlock.pass();
        lane.call(MUNMAP, || match mapped {
            // SAFETY: nothing refers to the mapping.
            Ok(start) => unsafe { munmap(start, FILE_BYTES) },
            Err(_) => Err(Errno::EFAULT),
        });
    }))
}

/// Maps the file between other mappings in the same page-table page: `munmap()` of a mapping that
/// has that page to itself would free it, and with it the very page that is owed.
fn map_between(file: &File) -> nix::Result<NonNull<c_void>> {
    let length = |bytes| NonZeroUsize::new(bytes).unwrap_or(NonZeroUsize::MIN);
    // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
    let around = unsafe {
        mmap_anonymous(None, length(2 * TABLE_BYTES), ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE)
    }?;
    let begin = (around.as_ptr() as usize).next_multiple_of(TABLE_BYTES) + TABLE_BYTES / 4;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
    // All mappings of this process are locked (`MCL_FUTURE`), so this reads the whole file.
    // SAFETY: the file takes the place of a part of the mapping above, which nothing refers to.
    unsafe {
        mmap(NonZeroUsize::new(begin), length(FILE_BYTES), ProtFlags::PROT_READ, flags, file, 0)
    }
}
