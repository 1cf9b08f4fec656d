// SPDX-License-Identifier: MIT OR Apache-2.0
//! `lookup-missing`: tasks look for names on ext4 that do not exist, each name once.
//!
//! Every lookup leaves a negative dentry with its 255-byte name: kernel memory that no task uses
//! and that reclaim can free. On ext4, because tmpfs keeps no negative dentries.

use std::ffi::CStr;
use std::fs;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::stat::stat;

use super::{Part, Plan, Terms, Workload};
use crate::arena::{NumberedPath, SCRATCH};
use crate::lane::Lane;

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("lookup-missing", &[("failures_max", 10)], plan).on_scratch()];

/// Bytes of a name after its eight digits. ext4 takes no longer name.
const SUFFIX_BYTES: usize = 255 - 8;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    for index in 0..terms.cell.tasks {
        let folder = folder(index);
        fs::create_dir(&folder).with_context(|| format!("create {folder}"))?;
    }
    let seed = terms.cell.seed;
    let actor = Part::new(&["stat"], move |index| {
        let prefix = format!("{}/", folder(index));
        let mut path = NumberedPath::new(&prefix, &"n".repeat(SUFFIX_BYTES));
        Ok(move |lane: &Lane| {
            // The seed decides where the names fall in the dentry hash.
            let mut number = seed as u32;
            while lane.goes_on() {
                let missing = path.with(number);
                lane.call(0, || find_nothing(missing));
                number = number.wrapping_add(1);
            }
        })
    });
    Ok(terms.plan(actor))
}

fn folder(index: u32) -> String {
    format!("{SCRATCH}/missing-{index}")
}

fn find_nothing(path: &CStr) -> nix::Result<()> {
    match stat(path) {
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
        Ok(_) => Err(Errno::EEXIST),
    }
}
