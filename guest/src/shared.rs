// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory that PID 1 and all its children see.
//!
//! Mapped and touched by PID 1, so it is charged to the root memcg and a child that writes to it
//! at its limit charges nothing. Never unmapped: the machine is powered off after one cell.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use anyhow::{Context, Result};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

/// Types that may live in shared memory.
///
/// # Safety
///
/// All bytes zero must be a valid value; no pointers, nothing to drop; every change after the
/// mapping must go through atomics.
pub(crate) unsafe trait Shareable: Sync + 'static {}

// SAFETY: an atomic integer of zero bytes is the integer 0.
unsafe impl Shareable for AtomicU8 {}
// SAFETY: as above.
unsafe impl Shareable for AtomicU32 {}
// SAFETY: as above.
unsafe impl Shareable for AtomicU64 {}

/// Maps `count` zeroed values, all pages present.
///
/// # Errors
///
/// When the kernel has no memory left.
pub(crate) fn map<T: Shareable>(count: usize) -> Result<&'static [T]> {
    let bytes = NonZeroUsize::new(count * size_of::<T>()).context("map of nothing")?;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
    let start = unsafe { mmap_anonymous(None, bytes, protection, flags) }
        .with_context(|| format!("map {bytes} bytes of shared memory"))?;
    // SAFETY: the mapping is page-aligned, zeroed, at least `count * size_of::<T>()` long and
    // lives until power-off; `Shareable` makes zeroes valid and concurrent use sound.
    Ok(unsafe { std::slice::from_raw_parts(start.cast::<T>().as_ptr(), count) })
}

/// Maps one zeroed value, all pages present.
///
/// # Errors
///
/// As [`map`].
pub(crate) fn map_one<T: Shareable>() -> Result<&'static T> {
    Ok(&map::<T>(1)?[0])
}
