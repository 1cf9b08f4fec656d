// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls that several workloads make, and what counts as their failure.
//!
//! Used at the limit: nothing here allocates.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, IntoRawFd, RawFd};
use std::ptr::null;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::{pipe2, write};

use crate::lane::Lane;
use crate::tally::Failure;

/// Opens a file for reading and leaves it open.
pub(crate) fn open_kept(path: &CStr) -> nix::Result<RawFd> {
    open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map(IntoRawFd::into_raw_fd)
}

/// Writes all bytes; a part of them is [`Failure::Short`].
pub(crate) fn write_whole(to: impl AsFd, bytes: &[u8]) -> Result<(), Failure> {
    if write(to, bytes)? == bytes.len() { Ok(()) } else { Err(Failure::Short) }
}

/// What a new pipe holds, bytes: 16 pages, for a task that is not bound by `pipe-user-pages-soft`.
pub(crate) const PIPE_BYTES: usize = 64 << 10;

/// Makes a pipe for as much (tally 0), writes to it (tally 1) and leaves it open. Returns whether
/// both worked.
pub(crate) fn keep_pipe(lane: &Lane, filling: &[u8]) -> bool {
    let made = lane.call(0, || -> nix::Result<_> {
        let (reader, writer) = pipe2(OFlag::O_NONBLOCK)?;
        if filling.len() > PIPE_BYTES {
            fcntl(&writer, FcntlArg::F_SETPIPE_SZ(filling.len() as i32))?;
        }
        Ok((reader, writer))
    });
    let Some((reader, writer)) = made else { return false };
    let written = lane.call(1, || write_whole(&writer, filling));
    let _kept_open = (reader.into_raw_fd(), writer.into_raw_fd());
    written.is_some()
}

/// Asks for some fields (`STATX_*`) of a path and drops the answer.
pub(crate) fn statx(path: &CStr, fields: u32) -> nix::Result<()> {
    let mut found = MaybeUninit::<libc::statx>::uninit();
    // SAFETY: the path ends with NUL and the buffer has the size of the structure.
    let status =
        unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), 0, fields, found.as_mut_ptr()) };
    Errno::result(status).map(drop)
}

/// Starts a program without environment in place of the caller; returns only if that fails.
pub(crate) fn execve(path: &CStr) -> Errno {
    let (arguments, environment) = ([path.as_ptr(), null()], [null()]);
    // SAFETY: strings and arrays end with a null and outlive the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Errno::last()
}
