// SPDX-License-Identifier: MIT OR Apache-2.0
//! Restartable sequences (`rseq`), which the C library registers for every task.
//!
//! The kernel has to update the registered area after each preemption, so it takes the task through
//! `resume_user_mode_work()` then, whoever else asked for that or forgot to.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

/// `RSEQ_FLAG_UNREGISTER`
const UNREGISTER: libc::c_int = 1;

/// What glibc registers with on x86 (`RSEQ_SIG`).
const SIGNATURE: u32 = 0x5305_3053;

/// Size of the area as the kernel knew it first; glibc registers that.
const AREA_BYTES: u32 = 32;

unsafe extern "C" {
    /// Where glibc put the area, from the thread pointer.
    static __rseq_offset: isize;
}

/// Takes the registration back, for the calling task.
///
/// # Errors
///
/// When the kernel knows of no such registration.
pub(crate) fn unregister() -> Result<()> {
    let thread: usize;
    // SAFETY: the ABI keeps the thread pointer at offset 0 of the segment; nothing is written.
    unsafe { std::arch::asm!("mov {}, fs:0", out(reg) thread, options(nostack, readonly)) };
    // SAFETY: glibc sets it before main and never again.
    let area = thread.wrapping_add_signed(unsafe { __rseq_offset });
    // SAFETY: the kernel only compares the arguments with what was registered.
    let status = unsafe { libc::syscall(libc::SYS_rseq, area, AREA_BYTES, UNREGISTER, SIGNATURE) };
    Errno::result(status).map(drop).context("unregister restartable sequences")
}
