// SPDX-License-Identifier: MIT OR Apache-2.0
//! Open files and what hangs on them.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, RawFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::pipe2;

use super::{Kind, Maker, keep, ok, ok_long};
use crate::arena::{ARENA, NumberedPath};
use crate::calls::open_kept;
use crate::memcg::Memcg;
use crate::{arena, process};

pub(super) const KINDS: &[Kind] = &[
    Kind::new("open", 1500, open),
    Kind::new("open_proc", 500, open_proc),
    Kind::new("pipe", 300, pipe),
    Kind::new("pipe_page", 300, pipe_page),
    Kind::new("pipe_size", 60, pipe_size),
    Kind::new("fd_table", 1, fd_table),
    Kind::new("socketpair", 300, socketpair),
    Kind::new("socket_tcp", 300, |_| socket(libc::AF_INET, libc::SOCK_STREAM)),
    Kind::new("socket_udp", 300, |_| socket(libc::AF_INET, libc::SOCK_DGRAM)),
    Kind::new("socket_netlink", 300, |_| socket(libc::AF_NETLINK, libc::SOCK_RAW)),
    Kind::new("unix_message", 200, unix_message),
    Kind::new("unix_rights", 200, unix_rights),
    Kind::new("eventfd", 1000, eventfd),
    Kind::new("timerfd", 800, timerfd),
    Kind::new("signalfd", 1000, signalfd),
    Kind::new("memfd", 300, memfd),
    Kind::new("epoll", 800, epoll),
    Kind::new("epoll_item", 1500, epoll_item),
    Kind::new("inotify", 400, inotify),
    Kind::new("inotify_watch", 1500, inotify_watch),
    Kind::new("inotify_event", 2000, inotify_event),
    Kind::new("fanotify", 200, fanotify),
    Kind::new("async_notice", 1500, async_notice),
    Kind::new("lock_posix", 500, lock_posix),
    Kind::new("lock_whole", 300, lock_whole),
    Kind::new("lease", 600, lease),
    Kind::new("io_ring", 20, io_ring),
    Kind::new("io_ring_files", 1, io_ring_files),
    Kind::new("bpf_map", 1, bpf_map),
    Kind::new("userfault", 500, userfault),
    Kind::new("perf_event", 200, perf_event),
];

/// Lifts the limits of root that the kinds would meet.
pub(super) fn allow_many() -> Result<()> {
    for file in ["max_user_instances", "max_user_watches"] {
        let path = format!("/proc/sys/fs/inotify/{file}");
        fs::write(&path, "100000").with_context(|| format!("write {path}"))?;
    }
    Ok(())
}

/// Room for so many descriptors, which would else be charged with the files.
pub(super) fn reserve(files: u64) -> nix::Result<()> {
    process::reserve_files(files).map_err(|_| Errno::EMFILE)
}

pub(super) fn file(name: &str) -> nix::Result<std::ffi::CString> {
    arena::create_file(name).map_err(|_| Errno::EIO)
}

fn open(_: &Memcg) -> nix::Result<Maker> {
    reserve(2000)?;
    let path = file("opened")?;
    Ok(Box::new(move |_| open_kept(&path).map(drop)))
}

fn open_proc(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    Ok(Box::new(|_| open_kept(c"/proc/self/status").map(drop)))
}

fn pipe(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    Ok(Box::new(|_| {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        let _kept = (keep(reader), keep(writer));
        Ok(())
    }))
}

fn pipes(count: usize) -> nix::Result<Vec<RawFd>> {
    reserve(2000)?;
    let made = (0..count).map(|_| {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        let _kept = keep(reader);
        Ok(keep(writer))
    });
    made.collect()
}

fn pipe_page(_: &Memcg) -> nix::Result<Maker> {
    let (pipes, page) = (pipes(310)?, [0xa5_u8; 4096]);
    Ok(Box::new(move |number| {
        let pipe = pipes[number as usize];
        // SAFETY: the kernel reads the page.
        let written = unsafe { libc::write(pipe, page.as_ptr().cast(), page.len()) };
        Errno::result(written).map(drop)
    }))
}

fn pipe_size(_: &Memcg) -> nix::Result<Maker> {
    let pipes = pipes(70)?;
    Ok(Box::new(move |number| {
        // SAFETY: plain numbers.
        ok(unsafe { libc::fcntl(pipes[number as usize], libc::F_SETPIPE_SZ, 1 << 20) }).map(drop)
    }))
}

/// Large enough to be in vmalloc space.
fn fd_table(_: &Memcg) -> nix::Result<Maker> {
    // SAFETY: the descriptor is not open.
    Ok(Box::new(|_| ok(unsafe { libc::dup2(0, 300_000) }).map(drop)))
}

fn pair() -> nix::Result<[RawFd; 2]> {
    let mut pair = [0; 2];
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK;
    // SAFETY: the kernel writes two descriptors.
    ok(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) })?;
    Ok(pair)
}

fn socketpair(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    Ok(Box::new(|_| pair().map(drop)))
}

fn socket(family: libc::c_int, kind: libc::c_int) -> nix::Result<Maker> {
    reserve(1000)?;
    // SAFETY: plain numbers.
    Ok(Box::new(move |_| ok(unsafe { libc::socket(family, kind, 0) }).map(drop)))
}

/// A pair of sockets takes some messages of a few kilobytes until its buffer is full.
fn unix_message(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    let pairs: Vec<[RawFd; 2]> = (0..210).map(|_| pair()).collect::<nix::Result<_>>()?;
    let text = [0xa5_u8; 3000];
    Ok(Box::new(move |number| {
        let [from, _] = pairs[number as usize];
        // SAFETY: the kernel reads the text.
        Errno::result(unsafe { libc::send(from, text.as_ptr().cast(), text.len(), 0) }).map(drop)
    }))
}

fn unix_rights(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    let pairs: Vec<[RawFd; 2]> = (0..210).map(|_| pair()).collect::<nix::Result<_>>()?;
    Ok(Box::new(move |number| {
        let [from, _] = pairs[number as usize];
        let mut text = [1_u8];
        let mut piece = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: 1 };
        let mut control = [0_u64; 4];
        // SAFETY: all zero is an empty message.
        let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut piece, 1);
        message.msg_control = control.as_mut_ptr().cast();
        // SAFETY: the control buffer is aligned and has room for the header and a descriptor.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(4) as usize;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
            libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(0);
            Errno::result(libc::sendmsg(from, &raw const message, 0)).map(drop)
        }
    }))
}

fn eventfd(_: &Memcg) -> nix::Result<Maker> {
    reserve(2000)?;
    // SAFETY: plain numbers.
    Ok(Box::new(|_| ok(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) }).map(drop)))
}

fn timerfd(_: &Memcg) -> nix::Result<Maker> {
    reserve(2000)?;
    // SAFETY: plain numbers.
    Ok(Box::new(|_| ok(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) }).map(drop)))
}

fn signalfd(_: &Memcg) -> nix::Result<Maker> {
    reserve(2000)?;
    let signals = nix::sys::signal::SigSet::empty();
    // SAFETY: the kernel reads the set.
    Ok(Box::new(move |_| ok(unsafe { libc::signalfd(-1, signals.as_ref(), 0) }).map(drop)))
}

fn memfd(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    // SAFETY: the name ends with NUL.
    Ok(Box::new(|_| ok(unsafe { libc::memfd_create(c"counted".as_ptr(), 0) }).map(drop)))
}

fn epoll(_: &Memcg) -> nix::Result<Maker> {
    reserve(2000)?;
    // SAFETY: plain numbers.
    Ok(Box::new(|_| ok(unsafe { libc::epoll_create1(0) }).map(drop)))
}

fn epoll_item(_: &Memcg) -> nix::Result<Maker> {
    reserve(5000)?;
    // SAFETY: plain numbers.
    let (epoll, first) = unsafe { (ok(libc::epoll_create1(0))?, ok(libc::eventfd(0, 0))?) };
    for number in 0..1600 {
        // SAFETY: nothing else is open above.
        ok(unsafe { libc::dup2(first, 1000 + number) })?;
    }
    Ok(Box::new(move |number| {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        let file = 1000 + number as RawFd;
        // SAFETY: the kernel reads one event.
        let added = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, file, &raw mut event) };
        ok(added).map(drop)
    }))
}

fn inotify(_: &Memcg) -> nix::Result<Maker> {
    reserve(2000)?;
    // SAFETY: plain numbers.
    Ok(Box::new(|_| ok(unsafe { libc::inotify_init1(0) }).map(drop)))
}

fn inotify_watch(_: &Memcg) -> nix::Result<Maker> {
    let mut path = NumberedPath::new(&format!("{ARENA}/watched-"), "");
    for number in 0..1600 {
        let path = path.with(number).to_str().map_err(|_| Errno::EINVAL)?;
        fs::File::create(path).map_err(|_| Errno::EIO)?;
    }
    // SAFETY: plain numbers.
    let inotify = ok(unsafe { libc::inotify_init1(0) })?;
    Ok(Box::new(move |number| {
        let path = path.with(number);
        // SAFETY: the path ends with NUL.
        ok(unsafe { libc::inotify_add_watch(inotify, path.as_ptr(), libc::IN_MODIFY) }).map(drop)
    }))
}

/// Opening and closing gives two events that are not merged.
fn inotify_event(_: &Memcg) -> nix::Result<Maker> {
    let path = file("noticed")?;
    // SAFETY: the path ends with NUL.
    unsafe {
        let inotify = ok(libc::inotify_init1(0))?;
        let what = libc::IN_OPEN | libc::IN_CLOSE_NOWRITE;
        ok(libc::inotify_add_watch(inotify, path.as_ptr(), what))?;
    }
    // SAFETY: the descriptor has just been opened.
    Ok(Box::new(move |_| ok(unsafe { libc::close(open_kept(&path)?) }).map(drop)))
}

fn fanotify(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    // SAFETY: plain numbers.
    Ok(Box::new(|_| ok(unsafe { libc::fanotify_init(libc::FAN_UNLIMITED_MARKS, 0) }).map(drop)))
}

fn async_notice(_: &Memcg) -> nix::Result<Maker> {
    reserve(7000)?;
    let sockets: Vec<[RawFd; 2]> = (0..760).map(|_| pair()).collect::<nix::Result<_>>()?;
    Ok(Box::new(move |number| {
        let file = sockets[number as usize / 2][number as usize % 2];
        // SAFETY: plain numbers.
        ok(unsafe { libc::fcntl(file, libc::F_SETFL, libc::O_ASYNC) }).map(drop)
    }))
}

fn lock_posix(_: &Memcg) -> nix::Result<Maker> {
    let file = fs::File::options().write(true).open(file("locked")?.to_str().unwrap_or_default());
    let file = file.map_err(|_| Errno::EIO)?;
    Ok(Box::new(move |number| {
        // Every second byte: neighbours would become one lock.
        let lock = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 2 * i64::from(number),
            l_len: 1,
            l_pid: 0,
        };
        // SAFETY: the kernel reads the lock.
        ok(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) }).map(drop)
    }))
}

fn opened(count: usize) -> nix::Result<Vec<RawFd>> {
    reserve(2000)?;
    let mut path = NumberedPath::new(&format!("{ARENA}/held-{}-", std::process::id()), "");
    let made = (0..count as u32).map(|number| {
        let path = path.with(number);
        // SAFETY: the path ends with NUL.
        ok(unsafe { libc::open(path.as_ptr(), libc::O_CREAT | libc::O_RDONLY, 0o600) })
    });
    made.collect()
}

fn lock_whole(_: &Memcg) -> nix::Result<Maker> {
    let files = opened(1010)?;
    Ok(Box::new(move |number| {
        // SAFETY: plain numbers.
        ok(unsafe { libc::flock(files[number as usize], libc::LOCK_EX) }).map(drop)
    }))
}

fn lease(_: &Memcg) -> nix::Result<Maker> {
    let files = opened(1010)?;
    Ok(Box::new(move |number| {
        // SAFETY: plain numbers.
        let leased = unsafe {
            libc::fcntl(
                files[number as usize],
                libc::F_SETLEASE,
                libc::c_int::from(libc::F_RDLCK as u8),
            )
        };
        ok(leased).map(drop)
    }))
}

fn io_ring(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    Ok(Box::new(|_| {
        let mut params = [0_u64; 32];
        // SAFETY: the structure has 120 bytes.
        let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 512, params.as_mut_ptr()) };
        ok_long(ring).map(drop)
    }))
}

fn io_ring_files(_: &Memcg) -> nix::Result<Maker> {
    let mut params = [0_u64; 32];
    // SAFETY: the structure has 120 bytes.
    let ring = ok_long(unsafe { libc::syscall(libc::SYS_io_uring_setup, 8, params.as_mut_ptr()) })?;
    let files = vec![-1_i32; 30_000];
    Ok(Box::new(move |_| {
        const REGISTER_FILES: libc::c_int = 2;
        let (files, count) = (files.as_ptr(), files.len());
        // SAFETY: the kernel reads so many numbers.
        let done = unsafe {
            libc::syscall(libc::SYS_io_uring_register, ring, REGISTER_FILES, files, count)
        };
        ok_long(done).map(drop)
    }))
}

fn bpf_map(_: &Memcg) -> nix::Result<Maker> {
    Ok(Box::new(|_| {
        const MAP_CREATE: libc::c_int = 0;
        const HASH: u32 = 1;
        // Kind, bytes of a key, bytes of a value, entries.
        let mut attributes = [0_u32; 32];
        attributes[..4].copy_from_slice(&[HASH, 8, 64, 10_000]);
        // SAFETY: the kernel reads so many bytes.
        let map = unsafe { libc::syscall(libc::SYS_bpf, MAP_CREATE, attributes.as_ptr(), 72) };
        ok_long(map).map(drop)
    }))
}

fn userfault(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    // SAFETY: plain numbers.
    Ok(Box::new(|_| ok_long(unsafe { libc::syscall(libc::SYS_userfaultfd, 0) }).map(drop)))
}

fn perf_event(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    Ok(Box::new(|_| {
        const SOFTWARE: u32 = 1;
        let mut attributes = [0_u32; 32];
        // Kind, size of the structure; the event is the CPU clock.
        attributes[..2].copy_from_slice(&[SOFTWARE, 128]);
        // SAFETY: the kernel reads the structure.
        let event =
            unsafe { libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0) };
        ok_long(event).map(drop)
    }))
}
