// SPDX-License-Identifier: MIT OR Apache-2.0
//! `create-contended`: all tasks create files in one tmpfs directory, and so does an outsider in
//! the root memcg.
//!
//! A created file costs a dentry and an inode that cannot be reclaimed and that outlive their
//! creator. So a kill frees next to nothing, and the load ends when every task has been killed or
//! has made all its files. Where the kernel kills under the directory's lock, victims and the
//! outsider wait for the very task that waits for them to die.

use std::ffi::CStr;
use std::fs;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::unlink;

use super::{Part, Plan, Terms, Workload};
use crate::arena::{ARENA, NumberedPath};
use crate::clock;
use crate::lane::Lane;

pub(super) const WORKLOADS: &[Workload] = &[Workload::new(
    "create-contended",
    &[("failures_max", u64::MAX), ("outsider_period_ms", 10)],
    plan,
)];

const CREATE: usize = 0;
const UNLINK: usize = 1;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let folder = format!("{ARENA}/contended");
    fs::create_dir(&folder).with_context(|| format!("create {folder}"))?;
    let period_us = terms.param("outsider_period_ms") * 1000;
    let outsiders_prefix = format!("{folder}/outsider-");
    let actor = Part::new(&["create"], move |index| {
        let mut path = NumberedPath::new(&format!("{folder}/{index}-"), "");
        Ok(move |lane: &Lane| {
            for number in (0..=u32::MAX).take_while(|_| lane.goes_on()) {
                let path = path.with(number);
                lane.call(CREATE, || create(path));
            }
        })
    });
    let outsider = Part::new(&["create", "unlink"], move |_| {
        let mut path = NumberedPath::new(&outsiders_prefix, "");
        Ok(move |lane: &Lane| {
            for number in (0..=u32::MAX).take_while(|_| lane.goes_on()) {
                let path = path.with(number);
                if lane.call(CREATE, || create(path)).is_some() {
                    lane.call(UNLINK, || unlink(path));
                }
                clock::sleep_us(period_us);
            }
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}

/// Creates a file. The caller drops, so closes, it outside of what is tallied as the call.
fn create(path: &CStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    open(path, flags, Mode::from_bits_truncate(0o600))
}
