// SPDX-License-Identifier: MIT OR Apache-2.0
//! `objects`: each round makes one of many kinds of small kernel objects and keeps it: an epoll
//! item, an inotify watch, a timer, a message queue with a message, a set of semaphores, an
//! extended attribute.
//!
//! System V objects belong to no process; the outsider removes them when the tasks release.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};

use super::{Part, Plan, Terms, Workload};
use crate::arena::{ARENA, NumberedPath};
use crate::lane::Lane;
use crate::{process, shared};

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("objects", &[("failures_max", 30)], plan)];

const OPS: &[&str; 7] =
    &["epoll_ctl", "inotify_add_watch", "timer_create", "msgget", "msgsnd", "semget", "setxattr"];
const EPOLL_CTL: usize = 0;
const INOTIFY_ADD_WATCH: usize = 1;
const TIMER_CREATE: usize = 2;
const MSGGET: usize = 3;
const MSGSND: usize = 4;
const SEMGET: usize = 5;
const SETXATTR: usize = 6;

/// Bytes of a message and of an attribute.
const PAYLOAD_BYTES: usize = 600;

/// Semaphores in a set: about a page.
const SEMAPHORES: i32 = 64;

/// What `msgsnd` reads.
#[repr(C)]
struct Message {
    kind: libc::c_long,
    text: [u8; PAYLOAD_BYTES],
}

/// Ids of System V objects, plus one, so that 0 is none; by task and round.
struct Made {
    queues: &'static [AtomicU32],
    sets: &'static [AtomicU32],
}

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let (tasks, rounds) = (u64::from(terms.cell.tasks), terms.cell.operations);
    let most = (tasks * rounds).to_string();
    std::fs::write("/proc/sys/fs/inotify/max_user_watches", &most).context("allow watches")?;
    let places = (tasks * rounds) as usize;
    let (queues, sets) = (shared::map(places)?, shared::map(places)?);
    for index in 0..terms.cell.tasks {
        let mut path = watched(index);
        for number in 0..rounds as u32 {
            let path = path.with(number).to_str()?;
            File::create_new(path).with_context(|| format!("create {path}"))?;
        }
    }
    let actor = Part::new(OPS, move |index| {
        let first = (u64::from(index) * rounds) as usize;
        let mut maker = Maker::new(index, rounds, Made { queues, sets })?;
        Ok(move |lane: &Lane| {
            for round in (0..rounds as u32).take_while(|_| lane.goes_on()) {
                maker.make_each(lane, round, first + round as usize);
            }
        })
    });
    let outsider = Part::new(&["remove"], move |_| {
        Ok(move |lane: &Lane| {
            lane.await_release();
            lane.call(0, || remove_all(queues, sets));
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}

fn watched(index: u32) -> NumberedPath {
    NumberedPath::new(&format!("{ARENA}/watched-{index}-"), "")
}

/// What one task needs to make objects, all of it made in the root memcg.
struct Maker {
    epoll: RawFd,
    /// The first of as many descriptors of one file as there are rounds: an epoll item each.
    polled: RawFd,
    inotify: RawFd,
    watched: NumberedPath,
    message: Box<Message>,
    queue: Option<i32>,
    attributed: CString,
    attribute: NumberedPath,
    made: Made,
}

impl Maker {
    fn new(index: u32, rounds: u64, made: Made) -> Result<Self> {
        // Each timer comes with room for its signal (`sigqueue_alloc()`).
        setrlimit(Resource::RLIMIT_SIGPENDING, 1 << 20, 1 << 20).context("allow timers")?;
        process::reserve_files(rounds + 3)?;
        let path = format!("{ARENA}/attributed-{index}");
        File::create_new(&path).with_context(|| format!("create {path}"))?;
        // SAFETY: plain numbers.
        let epoll = Errno::result(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: as above.
        let inotify = Errno::result(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) })?;
        // SAFETY: as above.
        let polled = Errno::result(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })?;
        for next in 1..rounds as RawFd {
            // SAFETY: nothing else is open above the lowest free descriptor.
            Errno::result(unsafe { libc::dup2(polled, polled + next) })?;
        }
        Ok(Self {
            epoll,
            polled,
            inotify,
            watched: watched(index),
            message: Box::new(Message { kind: 1, text: [0xa5; PAYLOAD_BYTES] }),
            queue: None,
            attributed: CString::new(path)?,
            attribute: NumberedPath::new("trusted.", ""),
            made,
        })
    }

    fn make_each(&mut self, lane: &Lane, round: u32, place: usize) {
        lane.call(EPOLL_CTL, || self.epoll_ctl(round));
        let path = self.watched.with(round);
        lane.call(INOTIFY_ADD_WATCH, || inotify_add_watch(self.inotify, path));
        lane.call(TIMER_CREATE, timer_create);
        // Without a new queue the last one takes the message: it has room for some twenty.
        self.queue = lane.call(MSGGET, || msgget(&self.made.queues[place])).or(self.queue);
        if let Some(queue) = self.queue {
            lane.call(MSGSND, || msgsnd(queue, &self.message));
        }
        lane.call(SEMGET, || semget(&self.made.sets[place]));
        let name = self.attribute.with(round);
        lane.call(SETXATTR, || setxattr(&self.attributed, name, &self.message.text));
    }

    fn epoll_ctl(&self, round: u32) -> nix::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        let file = self.polled + round as RawFd;
        // SAFETY: the kernel reads one event.
        let status =
            unsafe { libc::epoll_ctl(self.epoll, libc::EPOLL_CTL_ADD, file, &raw mut event) };
        done(status)
    }
}

fn inotify_add_watch(inotify: RawFd, path: &CStr) -> nix::Result<()> {
    // SAFETY: the path ends with NUL.
    done(unsafe { libc::inotify_add_watch(inotify, path.as_ptr(), libc::IN_MODIFY) })
}

fn timer_create() -> nix::Result<()> {
    // SAFETY: all bytes zero are a valid description.
    let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
    event.sigev_notify = libc::SIGEV_NONE;
    let mut timer = 0_i32;
    // Not the C library's: that may allocate.
    // SAFETY: the kernel reads one `sigevent` and writes one number.
    let status = unsafe {
        libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer)
    };
    done(status as i32)
}

fn msgget(place: &AtomicU32) -> nix::Result<i32> {
    // SAFETY: plain numbers.
    let queue = Errno::result(unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) })?;
    place.store(queue as u32 + 1, Ordering::SeqCst);
    Ok(queue)
}

fn msgsnd(queue: i32, message: &Message) -> nix::Result<()> {
    let message = std::ptr::from_ref(message).cast();
    // SAFETY: the kernel reads a kind and as many bytes as the text has.
    done(unsafe { libc::msgsnd(queue, message, PAYLOAD_BYTES, libc::IPC_NOWAIT) })
}

fn semget(place: &AtomicU32) -> nix::Result<()> {
    // SAFETY: plain numbers.
    let set = Errno::result(unsafe { libc::semget(libc::IPC_PRIVATE, SEMAPHORES, 0o600) })?;
    place.store(set as u32 + 1, Ordering::SeqCst);
    Ok(())
}

fn setxattr(path: &CStr, name: &CStr, value: &[u8]) -> nix::Result<()> {
    let (bytes, value) = (value.len(), value.as_ptr().cast());
    // SAFETY: path and name end with NUL, and the value has that many bytes.
    done(unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value, bytes, libc::XATTR_CREATE) })
}

fn done(status: i32) -> nix::Result<()> {
    Errno::result(status).map(drop)
}

fn remove_all(queues: &[AtomicU32], sets: &[AtomicU32]) -> nix::Result<()> {
    for queue in queues.iter().filter_map(id) {
        // SAFETY: removal takes no buffer.
        Errno::result(unsafe { libc::msgctl(queue, libc::IPC_RMID, std::ptr::null_mut()) })?;
    }
    for set in sets.iter().filter_map(id) {
        // SAFETY: removal takes no argument.
        Errno::result(unsafe { libc::semctl(set, 0, libc::IPC_RMID) })?;
    }
    Ok(())
}

fn id(place: &AtomicU32) -> Option<i32> {
    place.load(Ordering::SeqCst).checked_sub(1).map(|id| id as i32)
}
