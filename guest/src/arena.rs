// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file systems that workloads use: a tmpfs of their own and the ext4 scratch disk.
//!
//! Mounted for one cell and detached after it: tmpfs files outlive the tasks that made them, so
//! without that nothing would be given back.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::clock::{self, Deadline};
use crate::patience;

/// Where a workload's tmpfs is.
pub(crate) const ARENA: &str = "/arena";

/// Where the ext4 scratch disk is.
pub(crate) const SCRATCH: &str = "/scratch";

const SCRATCH_DEVICE: &str = "/dev/vda";

/// Mounts the tmpfs, without a limit of its own on the number of files.
///
/// # Errors
///
/// When the kernel refuses.
pub(crate) fn mount_tmpfs() -> Result<()> {
    fs::create_dir_all(ARENA).context("create the arena's folder")?;
    mount(Some("tmpfs"), ARENA, Some("tmpfs"), MsFlags::empty(), Some("nr_inodes=0"))
        .context("mount tmpfs for the workload")
}

/// Mounts the scratch disk; `false` when there is none.
///
/// # Errors
///
/// When there is a disk, but not with ext4 on it.
pub(crate) fn mount_scratch() -> Result<bool> {
    let there = clock::poll(Deadline::in_ms(patience::DISK_MS), 1000, || {
        Ok(Path::new(SCRATCH_DEVICE).exists())
    })?;
    if there {
        fs::create_dir_all(SCRATCH).context("create the scratch folder")?;
        // Access times would dirty inodes, and dirty inodes cannot be dropped from the cache.
        mount(Some(SCRATCH_DEVICE), SCRATCH, Some("ext4"), MsFlags::MS_NOATIME, None::<&str>)
            .context("mount the scratch disk as ext4")?;
    }
    Ok(there)
}

/// Detaches both; what is still in use goes with its last user.
///
/// # Errors
///
/// When the kernel refuses.
pub(crate) fn unmount(scratch: bool) -> Result<()> {
    umount2(ARENA, MntFlags::MNT_DETACH).context("unmount the workload's tmpfs")?;
    if scratch {
        umount2(SCRATCH, MntFlags::MNT_DETACH).context("unmount the scratch disk")?;
    }
    Ok(())
}
