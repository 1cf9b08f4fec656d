// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nodes of file systems, attributes, mounts, terminals, and memcgs themselves.

use std::ffi::{CStr, CString};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};

use super::files::{file, reserve};
use super::{Kind, Maker, ok, ok_long};
use crate::arena::{ARENA, NumberedPath};
use crate::memcg::Memcg;

pub(super) const KINDS: &[Kind] = &[
    Kind::new("mknod", 500, |_| in_folder("nodes", "", make_node)),
    Kind::new("mkdir", 500, |_| in_folder("folders", "", make_folder)),
    Kind::new("symlink", 500, |_| in_folder("links", "", make_link)),
    // The name is an object of its own if it is long.
    Kind::new("name_long", 500, |_| in_folder("names", LONG, make_node)),
    Kind::new("hard_link", 500, |_| in_folder("hard", "", make_hard_link)),
    Kind::new("xattr", 500, xattr),
    Kind::new("proc_node", 500, proc_node),
    Kind::new("mount", 100, mount_tmpfs),
    Kind::new("mount_bind", 500, mount_bind),
    Kind::new("fs_context", 200, fs_context),
    Kind::new("terminal", 100, terminal),
    Kind::new("memcg", CHILDREN, child_memcg),
];

/// With the number before it, a name of 200 bytes.
const LONG: &str = "-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name\
    -long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name";

const TERMINALS: &str = "/dev/pts";

/// Mounts the file system of terminals, if the kernel has one.
pub(super) fn mount_terminals() -> Result<()> {
    fs::create_dir_all(TERMINALS).context("create a folder for terminals")?;
    match mount(Some("devpts"), TERMINALS, Some("devpts"), MsFlags::empty(), Some("ptmxmode=666")) {
        Ok(()) | Err(Errno::ENODEV | Errno::EBUSY) => Ok(()),
        Err(errno) => Err(errno).context("mount devpts"),
    }
}

/// Makes numbered nodes in a folder of tmpfs.
fn in_folder(name: &str, suffix: &str, make: fn(&CStr) -> nix::Result<()>) -> nix::Result<Maker> {
    let folder = format!("{ARENA}/{name}");
    fs::create_dir(&folder).map_err(|_| Errno::EIO)?;
    let mut path = NumberedPath::new(&format!("{folder}/"), suffix);
    Ok(Box::new(move |number| make(path.with(number))))
}

fn make_node(path: &CStr) -> nix::Result<()> {
    // SAFETY: the path ends with NUL.
    ok(unsafe { libc::mknod(path.as_ptr(), libc::S_IFREG | 0o600, 0) }).map(drop)
}

fn make_folder(path: &CStr) -> nix::Result<()> {
    // SAFETY: the path ends with NUL.
    ok(unsafe { libc::mkdir(path.as_ptr(), 0o700) }).map(drop)
}

fn make_link(path: &CStr) -> nix::Result<()> {
    // SAFETY: both end with NUL.
    ok(unsafe { libc::symlink(c"a/target/that/does/not/exist".as_ptr(), path.as_ptr()) }).map(drop)
}

fn make_hard_link(path: &CStr) -> nix::Result<()> {
    // Made by the first of them.
    // SAFETY: both end with NUL.
    unsafe {
        let target = c"/arena/hard/target";
        let made = libc::mknod(target.as_ptr(), libc::S_IFREG | 0o600, 0);
        match ok(made) {
            Ok(_) | Err(Errno::EEXIST) => ok(libc::link(target.as_ptr(), path.as_ptr())).map(drop),
            Err(errno) => Err(errno),
        }
    }
}

fn xattr(_: &Memcg) -> nix::Result<Maker> {
    let (path, value) = (file("attributed")?, [0xa5_u8; 1000]);
    let mut name = NumberedPath::new("trusted.", "");
    Ok(Box::new(move |number| {
        let (name, text) = (name.with(number).as_ptr(), value.as_ptr().cast());
        // SAFETY: strings end with NUL, and the kernel reads so many bytes.
        ok(unsafe { libc::setxattr(path.as_ptr(), name, text, value.len(), 0) }).map(drop)
    }))
}

/// Files of processes that are kept open: a dentry and an inode each.
fn proc_node(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    let mut paths = Vec::with_capacity(600);
    // No name comes twice: a task's folder has some dozen files.
    for process in fs::read_dir("/proc").map_err(|_| Errno::EIO)?.flatten() {
        let is_process = process.file_name().to_string_lossy().parse::<u32>().is_ok();
        for name in ["stat", "statm", "maps", "cmdline", "limits", "wchan", "comm", "auxv"] {
            let path = process.path().join(name).to_string_lossy().into_owned();
            if is_process && let Ok(path) = CString::new(path) {
                paths.push(path);
            }
        }
    }
    Ok(Box::new(move |number| {
        let path = paths.get(number as usize).ok_or(Errno::ENOENT)?;
        // SAFETY: the path ends with NUL. With O_PATH nothing but the node is needed.
        ok(unsafe { libc::open(path.as_ptr(), libc::O_PATH) }).map(drop)
    }))
}

/// A name space of mounts of its own, which ends with the process.
fn alone() -> nix::Result<PathBuf> {
    // SAFETY: plain numbers.
    ok(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let folder = PathBuf::from(format!("{ARENA}/mounts-{}", std::process::id()));
    fs::create_dir(&folder).map_err(|_| Errno::EIO)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_PRIVATE | MsFlags::MS_REC, None::<&str>)?;
    Ok(folder)
}

fn mount_tmpfs(_: &Memcg) -> nix::Result<Maker> {
    let folder = alone()?;
    Ok(Box::new(move |_| {
        mount(Some("counted"), &folder, Some("tmpfs"), MsFlags::empty(), None::<&str>)
    }))
}

fn mount_bind(_: &Memcg) -> nix::Result<Maker> {
    let folder = alone()?;
    Ok(Box::new(move |_| {
        mount(Some("/tmp"), &folder, None::<&str>, MsFlags::MS_BIND, None::<&str>)
    }))
}

fn fs_context(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    Ok(Box::new(|_| {
        // SAFETY: the name ends with NUL.
        ok_long(unsafe { libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), 0) }).map(drop)
    }))
}

fn terminal(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    // SAFETY: the path ends with NUL.
    Ok(Box::new(move |_| ok(unsafe { libc::open(c"/dev/pts/ptmx".as_ptr(), flags) }).map(drop)))
}

/// Memcgs below the parent, of these numbers.
const CHILDREN: u32 = 15;

fn child_path(parent: &Memcg, number: u32) -> nix::Result<CString> {
    let path = parent.path(&format!("counted-{number}"));
    CString::new(path.into_os_string().into_encoded_bytes()).map_err(|_| Errno::EINVAL)
}

/// The parent is charged for them, whoever makes them.
fn child_memcg(parent: &Memcg) -> nix::Result<Maker> {
    let paths = (0..CHILDREN).map(|number| child_path(parent, number));
    let paths: Vec<CString> = paths.collect::<nix::Result<_>>()?;
    Ok(Box::new(move |number| {
        // SAFETY: the path ends with NUL.
        ok(unsafe { libc::mkdir(paths[number as usize].as_ptr(), 0o700) }).map(drop)
    }))
}

/// Removes them.
pub(super) fn remove_children(parent: &Memcg) {
    for path in (0..CHILDREN).filter_map(|number| child_path(parent, number).ok()) {
        // SAFETY: the path ends with NUL.
        unsafe { libc::rmdir(path.as_ptr()) };
    }
}
