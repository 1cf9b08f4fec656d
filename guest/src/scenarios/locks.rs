// SPDX-License-Identifier: MIT OR Apache-2.0
//! `lock-storm`: each task puts record locks on every other byte of a file of its own.
//!
//! A control: file locks are kernel memory that no memcg is charged for.

use std::fs::File;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

use super::{Part, Plan, Terms, Workload};
use crate::arena::ARENA;
use crate::lane::Lane;

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("lock-storm", &[("failures_max", 10)], plan)];

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let actor = Part::new(&["setlk"], move |index| {
        let path = format!("{ARENA}/locked-{index}");
        let file = File::create_new(&path).with_context(|| format!("create {path}"))?;
        Ok(move |lane: &Lane| {
            let mut start = 0;
            while lane.goes_on() {
                lane.call(0, || lock_byte(&file, start));
                start += 2;
            }
            // Closing the file would give up all its locks.
            std::mem::forget(file);
        })
    });
    Ok(terms.plan(actor))
}

fn lock_byte(file: &File, start: i64) -> nix::Result<()> {
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: the kernel reads one `flock`.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) })
        .map(drop)
}
