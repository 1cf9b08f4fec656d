// SPDX-License-Identifier: MIT OR Apache-2.0
//! Anonymous pages of a process's own, touched one by one.

use std::num::NonZeroUsize;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munlockall, munmap};

use crate::memcg::page_bytes;

/// A mapping whose pages are touched one by one.
pub(crate) struct Pages {
    start: NonNull<libc::c_void>,
    bytes: usize,
}

impl Pages {
    /// Call it when memory is locked: these pages must not be.
    pub(crate) fn map(pages: u64) -> nix::Result<Self> {
        munlockall()?;
        let bytes = NonZeroUsize::new((pages * page_bytes()) as usize).ok_or(Errno::EINVAL)?;
        let (rights, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE);
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let start = unsafe { mmap_anonymous(None, bytes, rights, flags) }?;
        Ok(Self { start, bytes: bytes.get() })
    }

    /// Touches the page of this number, from 0.
    pub(crate) fn touch(&self, page: u64) -> nix::Result<()> {
        let offset = (page * page_bytes()) as usize;
        // SAFETY: inside the mapping.
        unsafe { self.start.cast::<u8>().as_ptr().add(offset).write_volatile(1) };
        Ok(())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is its own, and nobody else has its address.
        let _ = unsafe { munmap(self.start, self.bytes) };
    }
}

/// Touches pages and lets them go.
pub(crate) fn touch_for_a_while(count: u64) -> nix::Result<()> {
    touch_and_look(count, || Some(0)).map(drop)
}

/// What `look` sees while so many fresh pages are there.
pub(crate) fn touch_and_look(count: u64, look: impl FnOnce() -> Option<u64>) -> nix::Result<u64> {
    let pages = Pages::map(count)?;
    (0..count).try_for_each(|page| pages.touch(page))?;
    look().ok_or(Errno::EIO)
}
