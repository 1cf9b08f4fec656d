// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nodes and pages of a file system on a disk.

use std::fs::{self, File};

use nix::errno::Errno;
use nix::libc;

use super::{Kind, Maker, ok};
use crate::arena::{NumberedPath, SCRATCH};
use crate::memcg::Memcg;

pub(super) const KINDS: &[Kind] = &[
    Kind::new("disk_page", 300, page),
    Kind::new("disk_page_read", 300, page_read),
    Kind::new("disk_node", 300, node),
    Kind::new("disk_missing", 1000, missing),
];

const PAGE: usize = 4096;

fn folder(name: &str) -> nix::Result<String> {
    let folder = format!("{SCRATCH}/{name}-{}", std::process::id());
    fs::create_dir(&folder).map_err(|_| Errno::EIO)?;
    Ok(folder)
}

fn page(_: &Memcg) -> nix::Result<Maker> {
    let file = File::create(folder("written")? + "/file").map_err(|_| Errno::EIO)?;
    Ok(Box::new(move |_| nix::unistd::write(&file, &[0xa5; PAGE]).map(drop)))
}

/// Pages that are read: written before, and dropped.
fn page_read(_: &Memcg) -> nix::Result<Maker> {
    let path = folder("read")? + "/file";
    fs::write(&path, vec![0xa5; 310 * PAGE]).map_err(|_| Errno::EIO)?;
    let file = File::open(&path).map_err(|_| Errno::EIO)?;
    file.sync_all().map_err(|_| Errno::EIO)?;
    // No page beyond the one asked for.
    nix::fcntl::posix_fadvise(&file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    nix::fcntl::posix_fadvise(&file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_RANDOM)?;
    let mut buffer = [0; PAGE];
    Ok(Box::new(move |_| nix::unistd::read(&file, &mut buffer).map(drop)))
}

fn node(_: &Memcg) -> nix::Result<Maker> {
    let mut path = NumberedPath::new(&(folder("nodes")? + "/"), "");
    Ok(Box::new(move |number| {
        // SAFETY: the path ends with NUL.
        ok(unsafe { libc::mknod(path.with(number).as_ptr(), libc::S_IFREG | 0o600, 0) }).map(drop)
    }))
}

/// Names that are not there are remembered.
fn missing(_: &Memcg) -> nix::Result<Maker> {
    let mut path = NumberedPath::new(&(folder("missing")? + "/"), "");
    Ok(Box::new(move |number| {
        // SAFETY: the path ends with NUL.
        match ok(unsafe { libc::access(path.with(number).as_ptr(), libc::F_OK) }) {
            Err(Errno::ENOENT) => Ok(()),
            other => other.map(drop),
        }
    }))
}
