// SPDX-License-Identifier: MIT OR Apache-2.0
//! `dup-far`: one call that charges a lot: `dup2` to a high number grows the descriptor table.
//!
//! The table is `kvmalloc`ed: one attempt with `__GFP_NORETRY` for all of it, then page by page
//! (`vmalloc`), each page a charge. So one task can go over the limit as far as the kernel lets it
//! within a single system call.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::Mode;

use super::{Part, Plan, Terms, Workload};
use crate::lane::Lane;

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("dup-far", &[("descriptor", 400_000), ("failures_max", 10)], plan)];

const DUP2: usize = 0;
const OPEN: usize = 1;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let descriptor = i32::try_from(terms.param("descriptor")).context("descriptor")?;
    let actor = Part::new(&["dup2", "open"], move |_| {
        Ok(move |lane: &Lane| {
            while lane.goes_on() {
                lane.call(DUP2, || dup_to(descriptor));
                // One small charge after it: is there any room left for others?
                let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
                lane.call(OPEN, || open("/", flags, Mode::empty()));
            }
        })
    });
    Ok(terms.plan(actor))
}

fn dup_to(descriptor: i32) -> nix::Result<()> {
    // SAFETY: no descriptor of this process is that high, so none is closed by surprise.
    Errno::result(unsafe { libc::dup2(0, descriptor) })?;
    nix::unistd::close(descriptor)
}
