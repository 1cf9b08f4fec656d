// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory that PID 1 and all its children see, and the flags and gates in it.
//!
//! Mapped and touched by PID 1, so it is charged to the root memcg and a child that writes to it
//! at its limit charges nothing. Never unmapped: the machine is powered off after one cell. Flags
//! and gates are used at the limit: they allocate nothing.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

/// Types that may live in shared memory.
///
/// # Safety
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
/// The kernel is out of memory.
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

/// Maps one zeroed value, as [`map`] does.
pub(crate) fn map_one<T: Shareable>() -> Result<&'static T> {
    Ok(&map::<T>(1)?[0])
}

/// Down at first; any process may raise it.
#[repr(transparent)]
pub(crate) struct Flag(AtomicU32);

// SAFETY: one atomic; zero is a flag that is down.
unsafe impl Shareable for Flag {}

impl Flag {
    /// Raises the flag.
    pub(crate) fn raise(&self) {
        self.0.store(1, Ordering::SeqCst);
    }

    /// Lowers the flag.
    pub(crate) fn lower(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// Whether the flag is up.
    pub(crate) fn is_up(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }
}

/// Holds processes until it is opened; never closes again.
#[repr(transparent)]
pub(crate) struct Gate(AtomicU32);

// SAFETY: one atomic; zero is a shut gate.
unsafe impl Shareable for Gate {}

impl Gate {
    /// Lets all pass, now and later.
    pub(crate) fn open(&self) {
        self.0.store(1, Ordering::SeqCst);
        self.futex(libc::FUTEX_WAKE, i32::MAX as u32);
    }

    /// Returns once the gate is open.
    pub(crate) fn pass(&self) {
        while self.0.load(Ordering::SeqCst) == 0 {
            self.futex(libc::FUTEX_WAIT, 0);
        }
    }

    fn futex(&self, operation: i32, value: u32) {
        let no_timeout = std::ptr::null::<libc::timespec>();
        // SAFETY: the word is a live, aligned u32 and both operations only read it. An early
        // return (EAGAIN, EINTR) is handled by the callers' loop.
        unsafe {
            libc::syscall(libc::SYS_futex, self.0.as_ptr(), operation, value, no_timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_gate_holds_no_process() {
        let gate: &Gate = map_one().unwrap();
        let waiter = std::thread::spawn(|| gate.pass());
        gate.open();
        waiter.join().unwrap();
        gate.pass();
    }
}
