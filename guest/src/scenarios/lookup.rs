// SPDX-License-Identifier: MIT OR Apache-2.0
//! `lookup`: tasks look up cold, deep and long names on ext4 with `openat2`, `stat` and `statx`.
//!
//! Each first look at a name charges a dentry, its 255-byte name and an inode, all reclaimable;
//! with `keep_open` 1 what `openat2` opened stays open and pins them. On ext4, because tmpfs keeps
//! its dentries forever and never looks anything up on a disk.

use std::ffi::CStr;
use std::os::fd::{IntoRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::libc;
use nix::sys::stat::{Mode, mkdirat, stat};

use super::{Part, Plan, Terms, Workload};
use crate::arena::{NumberedPath, SCRATCH};
use crate::lane::Lane;
use crate::random::Random;
use crate::{calls, process};

pub(super) const WORKLOADS: &[Workload] = &[Workload::new(
    "lookup",
    &[("depth", 8), ("files", 1500), ("keep_open", 0), ("failures_max", 10)],
    plan,
)
.on_scratch()];

const OPS: &[&str; 3] = &["openat2", "stat", "statx"];
const OPENAT2: usize = 0;
const STAT: usize = 1;
const STATX: usize = 2;

/// Longest name that ext4 takes, bytes.
const NAME_BYTES: usize = 255;

/// Folders of 255 bytes that fit into a path of 4096 bytes together with a file's name.
const DEPTH_MAX: u64 = 14;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let depth = terms.param("depth");
    ensure!((1..=DEPTH_MAX).contains(&depth), "depth is {depth}, not 1 to {DEPTH_MAX}");
    let files = u32::try_from(terms.param("files")).context("files")?;
    ensure!(files > 0, "files is 0");
    let folder = "d".repeat(NAME_BYTES);
    grow_tree(&folder, depth, files)?;
    let prefix = format!("{SCRATCH}/{}f", format!("{folder}/").repeat(depth as usize));
    let seed = terms.cell.seed;
    let kept = if terms.param("keep_open") == 0 { 0 } else { terms.cell.operations };
    let actor = Part::new(OPS, move |index| {
        process::reserve_files(kept)?;
        let mut path = NumberedPath::new(&prefix, &leaf_suffix());
        let order = Random::new(seed, index).order(files);
        Ok(move |lane: &Lane| {
            // Not openat2 first: it begins with the charge of a file, before any lookup.
            for (turn, number) in (STAT..).zip(order.iter().cycle()) {
                if !lane.goes_on() {
                    break;
                }
                look_up(lane, turn % OPS.len(), path.with(*number), kept > 0);
            }
        })
    });
    Ok(terms.plan(actor))
}

/// What follows `f` and eight digits in a leaf's name, to make it as long as possible.
fn leaf_suffix() -> String {
    "n".repeat(NAME_BYTES - "f00000000".len())
}

/// Makes the chain of folders and the files in the last of them.
fn grow_tree(folder: &str, depth: u64, files: u32) -> Result<()> {
    let at = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut deepest = open(SCRATCH, at, Mode::empty()).context("open the scratch disk")?;
    for level in 0..depth {
        mkdirat(&deepest, folder, Mode::S_IRWXU)
            .with_context(|| format!("make folder {level} on the scratch disk"))?;
        deepest = openat(&deepest, folder, at, Mode::empty()).context("open the folder")?;
    }
    let mut name = NumberedPath::new("f", &leaf_suffix());
    for number in 0..files {
        openat(&deepest, name.with(number), OFlag::O_CREAT | OFlag::O_EXCL, Mode::S_IRUSR)
            .with_context(|| format!("make file {number} on the scratch disk"))?;
    }
    Ok(())
}

fn look_up(lane: &Lane, op: usize, path: &CStr, keep: bool) {
    match op {
        OPENAT2 => {
            let opened = lane.call(OPENAT2, || open_beneath(path));
            if let Some(file) = opened.filter(|_| keep) {
                let _kept_open = file.into_raw_fd();
            }
        }
        STAT => {
            lane.call(STAT, || stat(path));
        }
        _ => {
            lane.call(STATX, || calls::statx(path, libc::STATX_ALL));
        }
    }
}

fn open_beneath(path: &CStr) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(AT_FDCWD, path, how)
}

const _: () = assert!(STATX == 2, "the last arm of look_up is statx");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_fits() {
        let folders = (NAME_BYTES + 1) * DEPTH_MAX as usize;
        assert!(SCRATCH.len() + 1 + folders + NAME_BYTES < libc::PATH_MAX as usize);
        assert_eq!(NumberedPath::new("f", &leaf_suffix()).with(0).count_bytes(), NAME_BYTES);
    }
}
