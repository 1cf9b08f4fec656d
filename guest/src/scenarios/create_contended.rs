// SPDX-License-Identifier: MIT OR Apache-2.0
//! `create-contended`: all tasks create files in one tmpfs directory, and so does an outsider in
//! the root memcg.
//!
//! A created file costs a dentry and an inode that nobody can reclaim and that outlive their
//! creator, so killing frees next to nothing and the load ends when every task has been killed or
//! has made all its files. Where the kernel kills under the directory's lock, victims and the
//! outsider wait for the very task that waits for them to die.

use std::ffi::CStr;
use std::fs;

use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::unlink;

use super::{Part, Plan, Run, Terms, Workload};
use crate::arena::ARENA;
use crate::clock;
use crate::lane::Lane;
use crate::names::NumberedPath;
use crate::tally::Failure;

pub(super) const CREATE_CONTENDED: Workload = Workload {
    name: "create-contended",
    params: &[("failures_max", u64::MAX), ("outsider_period_ms", 10)],
    on_scratch: false,
    plan,
};

const CREATE: usize = 0;
const UNLINK: usize = 1;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let folder = format!("{ARENA}/contended");
    fs::create_dir(&folder).with_context(|| format!("create {folder}"))?;
    let period_us = terms.param("outsider_period_ms") * 1000;
    let outsiders_prefix = format!("{folder}/outsider-");
    let actor = Part {
        ops: &["create"],
        setup: Box::new(move |index| {
            let mut path = NumberedPath::new(&format!("{folder}/{index}-"), "");
            Ok(Box::new(move |lane: &Lane| {
                for number in (0..=u32::MAX).take_while(|_| lane.goes_on()) {
                    let path = path.with(number);
                    lane.call(CREATE, || create(path));
                }
            }) as Run)
        }),
    };
    let outsider = Part {
        ops: &["create", "unlink"],
        setup: Box::new(move |_| {
            let mut path = NumberedPath::new(&outsiders_prefix, "");
            Ok(Box::new(move |lane: &Lane| {
                for number in (0..=u32::MAX).take_while(|_| lane.goes_on()) {
                    let path = path.with(number);
                    if lane.call(CREATE, || create(path)).is_some() {
                        lane.call(UNLINK, || unlink(path).map_err(Failure::from));
                    }
                    clock::sleep_us(period_us);
                }
            }) as Run)
        }),
    };
    let failures_max = terms.param("failures_max");
    Ok(Plan { actor, outsider: Some(outsider), failures_max })
}

/// Creates a file; its descriptor is closed again, outside of what is tallied as the call.
fn create(path: &CStr) -> Result<std::os::fd::OwnedFd, Failure> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    open(path, flags, Mode::from_bits_truncate(0o600)).map_err(Failure::from)
}
