// SPDX-License-Identifier: MIT OR Apache-2.0
//! `dup-far`: one call that charges a lot: `dup2` to a high number grows the table of descriptors.
//!
//! The table is `kvmalloc`ed: one try with `__GFP_NORETRY` for the whole of it, then page by page
//! (`vmalloc`), each page a charge of its own. So one task can go over the limit by as much as it
//! is let, within a single system call.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::Mode;

use super::{Part, Plan, Run, Terms, Workload};
use crate::lane::Lane;
use crate::tally::Failure;

pub(super) const DUP_FAR: Workload = Workload {
    name: "dup-far",
    params: &[("descriptor", 400_000), ("failures_max", 10)],
    on_scratch: false,
    plan,
};

const DUP2: usize = 0;
const OPEN: usize = 1;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let descriptor = i32::try_from(terms.param("descriptor")).context("descriptor")?;
    let actor = Part {
        ops: &["dup2", "open"],
        setup: Box::new(move |_| {
            Ok(Box::new(move |lane: &Lane| {
                while lane.goes_on() {
                    lane.call(DUP2, || dup_to(descriptor));
                    // One small charge after it: is there any room left for others?
                    lane.call(OPEN, || {
                        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
                        open("/", flags, Mode::empty()).map_err(Failure::from)
                    });
                }
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: None, failures_max: terms.param("failures_max") })
}

fn dup_to(descriptor: i32) -> Result<(), Failure> {
    // SAFETY: no descriptor of this process is as high as that, so nothing is closed behind
    // anybody's back.
    Errno::result(unsafe { libc::dup2(0, descriptor) })?;
    Ok(nix::unistd::close(descriptor)?)
}
