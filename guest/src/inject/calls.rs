// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls, each with what makes it charge as much as possible: cold names on ext4, new
//! files, a descriptor table that has to grow.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::IntoRawFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, open, openat2};
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::{Mode, stat};
use nix::unistd::{mkdir, pipe2};

use crate::arena::{ARENA, SCRATCH};
use crate::calls;

/// Longest name that ext4 takes, bytes: longer than what a dentry has room for.
const NAME_BYTES: usize = 255;

/// A descriptor that the smallest tables have no room for.
const FAR_DESCRIPTOR: i32 = 5000;

/// What the guest's own program exits with when it is not PID 1.
const NOT_PID_1: i32 = 2;

/// What the task runs when it is armed.
pub(super) type Run = Box<dyn FnOnce() -> Result<(), Errno>>;

/// One system call.
pub(super) struct Call {
    /// Its name.
    pub(super) name: &'static str,
    /// Makes what it needs; runs in the task, before it enters the memcg.
    pub(super) setup: fn() -> Result<Run>,
    /// For a call that does not come back when it succeeds: what the task exits with then.
    pub(super) leaves_with: Option<i32>,
}

const fn returns(name: &'static str, setup: fn() -> Result<Run>) -> Call {
    Call { name, setup, leaves_with: None }
}

/// All of them.
pub(super) const CALLS: &[Call] = &[
    returns("open", || {
        let path = fresh("opened")?;
        Ok(Box::new(move || open(path.as_c_str(), created(), Mode::S_IRUSR).map(keep)))
    }),
    returns("openat2", || {
        let path = cold()?;
        let how = OpenHow::new().flags(OFlag::O_RDONLY);
        Ok(Box::new(move || openat2(AT_FDCWD, path.as_c_str(), how).map(keep)))
    }),
    returns("stat", || {
        let path = cold()?;
        Ok(Box::new(move || stat(path.as_c_str()).map(drop)))
    }),
    returns("statx", || {
        let path = cold()?;
        Ok(Box::new(move || calls::statx(&path, libc::STATX_BASIC_STATS)))
    }),
    returns("mkdir", || {
        let path = fresh("made")?;
        Ok(Box::new(move || mkdir(path.as_c_str(), Mode::S_IRWXU)))
    }),
    returns("pipe2", || {
        Ok(Box::new(|| pipe2(OFlag::O_CLOEXEC).map(|(r, w)| (keep(r), keep(w))).map(drop)))
    }),
    returns("socketpair", || {
        Ok(Box::new(|| {
            let (family, kind) = (AddressFamily::Unix, SockType::Stream);
            socketpair(family, kind, None, SockFlag::empty())
                .map(|(a, b)| (keep(a), keep(b)))
                .map(drop)
        }))
    }),
    returns("dup2", || {
        // SAFETY: the descriptor is not open: this process opens the lowest ones only.
        Ok(Box::new(|| Errno::result(unsafe { libc::dup2(0, FAR_DESCRIPTOR) }).map(drop)))
    }),
    Call {
        name: "execve",
        setup: || {
            let program = CString::new("/init")?;
            Ok(Box::new(move || Err(calls::execve(&program))))
        },
        leaves_with: Some(NOT_PID_1),
    },
];

/// Makes the file behind the cold names, which each task looks up again.
pub(super) fn prepare() -> Result<()> {
    std::fs::create_dir(folder()).context("make a folder on the scratch disk")?;
    File::create_new(cold()?.to_str()?).context("make a file on the scratch disk")?;
    Ok(())
}

fn folder() -> String {
    format!("{SCRATCH}/{}", "d".repeat(NAME_BYTES))
}

/// An existing file, under names that were not looked up since caches were dropped.
fn cold() -> Result<CString> {
    Ok(CString::new(format!("{}/{}", folder(), "f".repeat(NAME_BYTES)))?)
}

/// A name that does not exist, another one for each task.
fn fresh(kind: &str) -> Result<CString> {
    let tail = "n".repeat(100);
    Ok(CString::new(format!("{ARENA}/{kind}-{}-{tail}", std::process::id()))?)
}

fn created() -> OFlag {
    OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR
}

/// Leaves a descriptor open until the task ends.
fn keep(descriptor: impl IntoRawFd) {
    let _ = descriptor.into_raw_fd();
}
