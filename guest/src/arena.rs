// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file systems that workloads use, a tmpfs and the ext4 scratch disk, and paths in them.
//!
//! Mounted for one cell and detached after it: tmpfs files outlive the tasks that made them, so
//! without that they would stay charged.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::{Missing, clock, patience};

/// Where a workload's tmpfs is.
pub(crate) const ARENA: &str = "/arena";

/// Where the ext4 scratch disk is.
pub(crate) const SCRATCH: &str = "/scratch";

const SCRATCH_DEVICE: &str = "/dev/vda";

/// Mounts the tmpfs, without a limit on the number of files.
pub(crate) fn mount_tmpfs() -> Result<()> {
    fs::create_dir_all(ARENA).context("create the arena's folder")?;
    mount(Some("tmpfs"), ARENA, Some("tmpfs"), MsFlags::empty(), Some("nr_inodes=0"))
        .context("mount tmpfs for the workload")
}

/// Mounts the scratch disk.
///
/// # Errors
/// [`Missing`] if there is none; or it has no ext4.
pub(crate) fn mount_scratch() -> Result<()> {
    clock::within(patience::DISK_MS, 1000, || Path::new(SCRATCH_DEVICE).exists())
        .map_err(|_| Missing("ext4 scratch disk".to_owned()))?;
    fs::create_dir_all(SCRATCH).context("create the scratch folder")?;
    // Access times would dirty inodes, and dirty inodes cannot be dropped from the cache.
    mount(Some(SCRATCH_DEVICE), SCRATCH, Some("ext4"), MsFlags::MS_NOATIME, None::<&str>)
        .context("mount the scratch disk as ext4")
}

/// Detaches both; what is still in use goes with its last user.
pub(crate) fn unmount(scratch: bool) -> Result<()> {
    umount2(ARENA, MntFlags::MNT_DETACH).context("unmount the workload's tmpfs")?;
    if scratch {
        umount2(SCRATCH, MntFlags::MNT_DETACH).context("unmount the scratch disk")?;
    }
    Ok(())
}

/// Creates a file in the tmpfs.
pub(crate) fn create_file(name: &str) -> Result<CString> {
    let path = format!("{ARENA}/{name}");
    File::create(&path).with_context(|| format!("create {path}"))?;
    Ok(CString::new(path)?)
}

/// Hexadecimal digits of the number in a [`NumberedPath`].
const DIGITS: usize = 8;

/// A path with room for a number, which is set without allocating: a task at its limit must not
/// build strings.
pub(crate) struct NumberedPath {
    bytes: Vec<u8>,
    digits_at: usize,
}

impl NumberedPath {
    /// `prefix`, eight digits, `suffix`.
    ///
    /// # Panics
    /// Either has a NUL byte, which no name of a workload has.
    pub(crate) fn new(prefix: &str, suffix: &str) -> Self {
        assert!(!prefix.contains('\0') && !suffix.contains('\0'), "a path has a NUL byte");
        let bytes = format!("{prefix}{}{suffix}\0", "0".repeat(DIGITS)).into_bytes();
        Self { bytes, digits_at: prefix.len() }
    }

    /// The path with this number.
    pub(crate) fn with(&mut self, number: u32) -> &CStr {
        for place in 0..DIGITS {
            let nibble = (number >> (4 * (DIGITS - 1 - place))) & 0xf;
            self.bytes[self.digits_at + place] = b"0123456789abcdef"[nibble as usize];
        }
        // Digits are no NUL, so the only NUL is the last byte.
        CStr::from_bytes_with_nul(&self.bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_each_other() {
        let mut path = NumberedPath::new("/arena/a-", ".txt");
        assert_eq!(path.with(0), c"/arena/a-00000000.txt");
        assert_eq!(path.with(0xdead_beef), c"/arena/a-deadbeef.txt");
        assert_eq!(path.with(10), c"/arena/a-0000000a.txt");
    }
}
