// SPDX-License-Identifier: MIT OR Apache-2.0
//! `lock-storm`: each task puts record locks on every other byte of a file of its own.
//!
//! A control: file locks are kernel memory that is charged to nobody.

use std::fs::File;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

use super::{Part, Plan, Run, Terms, Workload};
use crate::arena::ARENA;
use crate::lane::Lane;
use crate::tally::Failure;

pub(super) const LOCK_STORM: Workload =
    Workload { name: "lock-storm", params: &[("failures_max", 10)], on_scratch: false, plan };

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let actor = Part {
        ops: &["setlk"],
        setup: Box::new(move |index| {
            let path = format!("{ARENA}/locked-{index}");
            let file = File::create_new(&path).with_context(|| format!("create {path}"))?;
            Ok(Box::new(move |lane: &Lane| {
                let mut start = 0;
                while lane.goes_on() {
                    lane.call(0, || lock_byte(&file, start));
                    start += 2;
                }
                // Closing the file would give up all its locks.
                std::mem::forget(file);
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: None, failures_max: terms.param("failures_max") })
}

fn lock_byte(file: &File, start: i64) -> Result<(), Failure> {
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: the kernel reads one `flock`.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) })?;
    Ok(())
}
