// SPDX-License-Identifier: MIT OR Apache-2.0
//! `lookup-missing`: tasks look for names on ext4 that do not exist, each name once.
//!
//! Every look leaves a negative dentry with its 255-byte name: kernel memory that nobody uses and
//! reclaim can free. On ext4, because tmpfs keeps no negative dentries.

use std::ffi::CStr;
use std::fs;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::stat::stat;

use super::{Part, Plan, Run, Terms, Workload};
use crate::arena::SCRATCH;
use crate::lane::Lane;
use crate::names::NumberedPath;
use crate::tally::Failure;

pub(super) const LOOKUP_MISSING: Workload =
    Workload { name: "lookup-missing", params: &[("failures_max", 10)], on_scratch: true, plan };

/// Bytes of a name after its eight digits: with them the longest that ext4 takes.
const SUFFIX_BYTES: usize = 255 - 8;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    for index in 0..terms.cell.tasks {
        let folder = folder(index);
        fs::create_dir(&folder).with_context(|| format!("create {folder}"))?;
    }
    let seed = terms.cell.seed;
    let actor = Part {
        ops: &["stat"],
        setup: Box::new(move |index| {
            let prefix = format!("{}/", folder(index));
            let mut path = NumberedPath::new(&prefix, &"n".repeat(SUFFIX_BYTES));
            Ok(Box::new(move |lane: &Lane| {
                // Where the names fall in the dentry hash is the seed's.
                let mut number = seed as u32;
                while lane.goes_on() {
                    let missing = path.with(number);
                    lane.call(0, || find_nothing(missing));
                    number = number.wrapping_add(1);
                }
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: None, failures_max: terms.param("failures_max") })
}

fn folder(index: u32) -> String {
    format!("{SCRATCH}/missing-{index}")
}

fn find_nothing(path: &CStr) -> Result<(), Failure> {
    match stat(path) {
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
        Ok(_) => Err(Errno::EEXIST.into()),
    }
}
