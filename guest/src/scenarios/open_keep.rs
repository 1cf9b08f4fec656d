// SPDX-License-Identifier: MIT OR Apache-2.0
//! `open-keep`: each task opens one tmpfs file of its own again and again and keeps every
//! descriptor.
//!
//! It charges `struct file` and nothing else: the file exists, its dentry is cached, and the
//! descriptor table was grown outside the memcg. One file per task, so that tasks meet in the
//! charge and not on a lock of the file. With `rseq = 0` the tasks have no restartable sequences:
//! glibc registers them for every task, and the kernel updates the registered area after each
//! preemption, so it takes the task through `resume_user_mode_work()` even if nothing else asked
//! for that.

use std::ffi::CString;
use std::fs::File;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

use super::{Part, Plan, Terms, Workload};
use crate::arena::{ARENA, NumberedPath};
use crate::calls::open_kept;
use crate::lane::Lane;
use crate::process;

/// Those of every workload that is made of this one.
pub(super) const PARAMS: &[(&str, u64)] = &[("failures_max", 10), ("rseq", 1), ("hogs", 1)];

pub(super) const WORKLOADS: &[Workload] = &[Workload::new("open-keep", PARAMS, plan)];

fn path_of(index: u32) -> CString {
    NumberedPath::new(&format!("{ARENA}/file-"), "").with(index).to_owned()
}

pub(super) fn plan(terms: &Terms<'_>) -> Result<Plan> {
    for index in 0..terms.cell.tasks {
        let path = path_of(index);
        File::create_new(path.to_str()?).with_context(|| format!("create {path:?}"))?;
    }
    let (files, rseq) = (terms.cell.operations, terms.param("rseq") != 0);
    let actor = Part::new(&["open"], move |index| {
        process::reserve_files(files)?;
        if !rseq {
            unregister_rseq()?;
        }
        let path = path_of(index);
        Ok(move |lane: &Lane| {
            while lane.goes_on() {
                lane.call(0, || open_kept(&path));
            }
        })
    });
    Ok(terms.plan(actor))
}

/// Takes back the registration of restartable sequences, for the calling task.
fn unregister_rseq() -> Result<()> {
    /// `RSEQ_FLAG_UNREGISTER`
    const UNREGISTER: libc::c_int = 1;
    /// What glibc registers with on x86 (`RSEQ_SIG`).
    const SIGNATURE: u32 = 0x5305_3053;
    /// Size of the area, bytes: that of the first kernels with it, which glibc registers.
    const AREA_BYTES: u32 = 32;

    unsafe extern "C" {
        /// Where glibc put the area, from the thread pointer.
        static __rseq_offset: isize;
    }

    let thread: usize;
    // SAFETY: the ABI keeps the thread pointer at offset 0 of the segment; nothing is written.
    unsafe { std::arch::asm!("mov {}, fs:0", out(reg) thread, options(nostack, readonly)) };
    // SAFETY: glibc sets it before main and never again.
    let area = thread.wrapping_add_signed(unsafe { __rseq_offset });
    // SAFETY: the kernel only compares the arguments with what was registered.
    let status = unsafe { libc::syscall(libc::SYS_rseq, area, AREA_BYTES, UNREGISTER, SIGNATURE) };
    Errno::result(status).map(drop).context("unregister restartable sequences")
}
