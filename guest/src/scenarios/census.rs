// SPDX-License-Identifier: MIT OR Apache-2.0
//! `census` and `census-disk`: how many bytes each kind of object charges, far below the limit;
//! `made-at-limit`: some of these kinds at the limit; `signals-atomic`: signals beyond it;
//! `refused`: some of these kinds again and again where each charge fails.
//!
//! Each kind has a process in the limited memcg that makes a number of objects and keeps them until
//! the cell ends: what is freed meanwhile would count against the next kind. What is read is
//! the parent's usage on one CPU with its stocks drained ([`Scale`]), so it is exact to a page or
//! two. A kind that the kernel does not have is left out.

mod disk;
mod files;
mod ipc;
mod memory;
mod nodes;

use std::fs::File;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::pipe2;
use protocol::{Census, Fact};

use super::{Part, Plan, Terms, Workload};
use crate::brink::stay_on_cpu;
use crate::calls::open_kept;
use crate::lane::Lane;
use crate::memcg::{self, Memcg};
use crate::observer::Gauge;
use crate::shared::{self, Shareable};
use crate::tally::Failure;
use crate::{arena, boot, process, release};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new("census", &[], |terms| plan_census(terms, ALL)),
    Workload::new("census-disk", &[], |terms| plan_census(terms, &[disk::KINDS])).on_scratch(),
    Workload::new("made-at-limit", &[("failures_max", 30), ("hogs", 1)], plan_at_limit),
    Workload::new("signals-atomic", &[("failures_max", 10)], plan_signals),
    Workload::new("refused", &[("attempts", 12), ("threads", 2400)], plan_refused),
];

const ALL: &[&[Kind]] = &[files::KINDS, ipc::KINDS, memory::KINDS, nodes::KINDS];

/// Kinds that are made at the limit, where each has to have something killed: none whose single
/// charge is so large that it may fail.
const AT_LIMIT: &[&str] = &[
    "open",
    "pipe",
    "pipe_page",
    "socketpair",
    "unix_message",
    "unix_rights",
    "timerfd",
    "epoll_item",
    "inotify_watch",
    "io_ring",
    "io_ring_files",
    "msgget",
    "msgsnd",
    "msgsnd_long",
    "semget",
    "shmget",
    "timer",
    "mapping",
    "task",
    "thread",
    "mkdir",
    "name_long",
    "xattr",
];

/// Makes the object of a number.
type Maker = Box<dyn FnMut(u32) -> nix::Result<()>>;

/// A kind of object.
struct Kind {
    /// Its name in facts.
    name: &'static str,
    /// How many are counted: together at least some hundred kilobytes.
    objects: u32,
    /// Prepares the process that makes them.
    prepare: fn(&Memcg) -> nix::Result<Maker>,
}

/// Objects that are made first and not counted: they meet what only the first one needs. None where
/// a few objects are all.
const WARM: u32 = 4;

impl Kind {
    const fn new(
        name: &'static str,
        objects: u32,
        prepare: fn(&Memcg) -> nix::Result<Maker>,
    ) -> Self {
        Self { name, objects, prepare }
    }

    fn warm(&self) -> u32 {
        if self.objects > 4 * WARM { WARM } else { 0 }
    }
}

/// Says that a kernel does not have this kind of object.
const UNKNOWN: &[Errno] = &[
    Errno::ENOSYS,
    Errno::EAFNOSUPPORT,
    Errno::EPROTONOSUPPORT,
    Errno::ESOCKTNOSUPPORT,
    Errno::ENODEV,
    Errno::ENXIO,
    Errno::ENOENT,
    Errno::EOPNOTSUPP,
];

/// What came of a kind.
#[repr(C)]
struct Count {
    /// 0: nothing yet; else the errno plus one.
    outcome: AtomicU64,
    /// How far usage rose, as the bits of an `i64`.
    bytes: AtomicU64,
}

// SAFETY: atomics only; all zero is: no outcome yet.
unsafe impl Shareable for Count {}

fn plan_census(terms: &Terms<'_>, families: &[&'static [Kind]]) -> Result<Plan> {
    plan(terms, families.iter().copied().flatten().collect(), true)
}

fn plan_at_limit(terms: &Terms<'_>) -> Result<Plan> {
    let kinds = ALL.iter().copied().flatten().filter(|kind| AT_LIMIT.contains(&kind.name));
    plan(terms, kinds.collect(), false)
}

/// Queues signals, each of which is an object that is charged with `GFP_ATOMIC`, and then opens a
/// file, for which somebody may be killed.
fn plan_signals(terms: &Terms<'_>) -> Result<Plan> {
    let limited = terms.memcgs.limited.clone();
    let path = arena::create_file("file")?;
    let actor = Part::new(&["sigqueue", "open"], move |_| {
        let mut queue = ipc::queued_signal(&limited)?;
        let path = path.clone();
        Ok(move |lane: &Lane| {
            for number in (0..).take_while(|_| lane.goes_on()) {
                lane.call(0, || queue(number));
            }
            for _ in 0..OPENED {
                lane.call(1, || open_kept(&path));
            }
        })
    });
    Ok(terms.plan(actor))
}

/// More than a page has room for.
const OPENED: u32 = 64;

/// Room that is left for an object, pages: from none to more than any of these kinds needs.
const ROOM_PAGES_MAX: u64 = 12;

/// Of threads: those of a stack, and one for the rest.
const ROOM_OF_THREADS: u64 = 5;

/// Tries to make objects of some kinds where the limit is a few pages above usage, one more each
/// time: a call of several charges fails at each of them in turn. What it does not give back then
/// adds up.
fn plan_refused(terms: &Terms<'_>) -> Result<Plan> {
    let (attempts, threads) = (terms.param("attempts"), terms.param("threads"));
    let (limited, limit_bytes) = (terms.memcgs.limited.clone(), terms.cell.limit_bytes);
    let actor = Part::new(&["make"], move |_| {
        stay_on_cpu(0)?;
        let kinds = ALL.iter().copied().flatten().filter(|kind| AT_LIMIT.contains(&kind.name));
        let makers = kinds.map(|kind| Ok((kind, (kind.prepare)(&limited)?)));
        let mut makers: Vec<(&Kind, Maker)> = makers.collect::<nix::Result<_>>()?;
        let mut usage = Gauge::open(&limited.usage_file())?;
        // Kept open: at the limit it could not be opened.
        let limit = File::options().write(true).open(limited.path("memory.limit_in_bytes"))?;
        let limit_to = move |bytes: u64| limit.write_at(bytes.to_string().as_bytes(), 0);
        Ok(move |lane: &Lane| {
            for (kind, make) in &mut makers {
                let (attempts, rooms) = match kind.name {
                    "thread" => (threads, ROOM_OF_THREADS),
                    _ => (attempts, ROOM_PAGES_MAX),
                };
                let numbers = (0..kind.objects).cycle().zip((0..rooms).cycle());
                for (number, room_pages) in numbers.take(attempts as usize) {
                    if lane.stopped() {
                        break;
                    }
                    let used_bytes = usage.bytes().unwrap_or(limit_bytes);
                    let _ = limit_to(used_bytes + room_pages * memcg::page_bytes());
                    lane.call(0, || make(number));
                }
            }
            let _ = limit_to(limit_bytes);
        })
    });
    let findings = || {
        ipc::remove_all();
        Vec::new()
    };
    Ok(Plan { findings: Some(Box::new(findings)), ..terms.plan(actor) })
}

/// Makes the objects of these kinds, and counts what they charge.
fn plan(terms: &Terms<'_>, kinds: Vec<&'static Kind>, counted: bool) -> Result<Plan> {
    files::allow_many()?;
    nodes::mount_terminals()?;
    let counts: &'static [Count] = shared::map(kinds.len())?;
    let (parent, cpus) = (terms.memcgs.parent.clone(), boot::cpus()?.len());
    let (reported, emptied) = (kinds.clone(), parent.clone());
    let actor = Part::new(&["count"], move |_| {
        stay_on_cpu(0)?;
        let (kinds, parent) = (kinds.clone(), parent.clone());
        let mut scale = counted.then(|| Scale::of(&parent, cpus)).transpose()?;
        Ok(move |lane: &Lane| {
            for (kind, count) in kinds.iter().zip(counts).take_while(|_| lane.goes_on()) {
                lane.call(0, || -> Result<(), Failure> {
                    process::fork_child(|| count_one(kind, &parent, scale.as_mut(), count, lane))?;
                    lane.wait_until(|| count.outcome.load(Ordering::SeqCst) != 0);
                    match count.errno() {
                        Some(Errno::UnknownErrno) => Ok(()),
                        Some(errno) if UNKNOWN.contains(&errno) => Ok(()),
                        Some(errno) => Err(errno.into()),
                        None => Err(Failure::Short),
                    }
                });
            }
            if counted && let Err(errno) = memory::force_statistics() {
                lane.call(0, || Err::<(), _>(errno));
            }
        })
    });
    let findings = move || {
        ipc::remove_all();
        nodes::remove_children(&emptied);
        let made = reported.iter().zip(counts).filter(|_| counted);
        made.filter(|(_, count)| count.errno() == Some(Errno::UnknownErrno))
            .map(|(kind, count)| {
                Fact::Census(Census {
                    kind: kind.name.to_owned(),
                    objects: u64::from(kind.objects),
                    bytes: count.bytes.load(Ordering::SeqCst) as i64,
                })
            })
            .collect()
    };
    Ok(Plan { findings: Some(Box::new(findings)), ..terms.plan(actor) })
}

impl Count {
    /// `UnknownErrno`, which is 0, for success; `None` for nothing yet.
    fn errno(&self) -> Option<Errno> {
        let outcome = self.outcome.load(Ordering::SeqCst).checked_sub(1)?;
        Some(Errno::from_raw(outcome as i32))
    }
}

/// The life of a process that makes objects of one kind.
fn count_one(
    kind: &Kind,
    parent: &Memcg,
    mut scale: Option<&mut Scale>,
    count: &Count,
    lane: &Lane,
) -> i32 {
    let counted = (kind.prepare)(parent).and_then(|mut make| {
        let warm = kind.warm();
        (0..warm).try_for_each(&mut make)?;
        if let Some(scale) = &mut scale {
            // A table that grew leaves the smaller one to be freed after a grace period.
            release::await_rcu();
            scale.come_to_rest(lane).map_err(|_| Errno::EINVAL)?;
        }
        let mut usage = || scale.as_mut().map_or(Ok(0), |scale| scale.bytes());
        let before = usage()?;
        (warm..warm + kind.objects).try_for_each(&mut make)?;
        count.bytes.store((usage()? as i64 - before as i64) as u64, Ordering::SeqCst);
        // What it needs stays until the process ends.
        Ok(make)
    });
    let errno = counted.as_ref().err().map_or(0, |errno| *errno as u64);
    count.outcome.store(errno + 1, Ordering::SeqCst);
    lane.await_release();
    0
}

/// Reads usage without what CPU 0 has charged in advance.
struct Scale {
    cpus: usize,
    usage: Gauge,
    high: File,
    /// Grown and shrunk, it gives pages back to the stock: there is something to drain, so that
    /// usage falls and nothing is reclaimed.
    pipe: (OwnedFd, OwnedFd),
}

/// Readings in a row without a change that count as rest; a millisecond lies between two.
const REST_LOOKS: u32 = 5;

const PIPE_LARGE: libc::c_int = 1 << 20;
const PIPE_SMALL: libc::c_int = 1 << 12;

impl Scale {
    fn of(memcg: &Memcg, cpus: usize) -> Result<Self> {
        let high = memcg.path("memory.high");
        Ok(Self {
            cpus,
            usage: Gauge::open(&memcg.usage_file())?,
            high: File::options().write(true).open(&high).context("open memory.high")?,
            pipe: pipe2(OFlag::O_CLOEXEC).context("make a pipe")?,
        })
    }

    /// Waits until other CPUs, too, have given back what they had charged in advance. They do that
    /// in a work item, and one that gets no time changes nothing meanwhile: so each is visited, the
    /// home of the process last.
    fn come_to_rest(&mut self, lane: &Lane) -> Result<()> {
        for cpu in (0..self.cpus).rev() {
            stay_on_cpu(cpu)?;
            let (mut last, mut looks) = (None, 0);
            lane.wait_until(|| {
                let now = self.bytes().ok();
                looks = if now == last { looks + 1 } else { 0 };
                last = now;
                looks == REST_LOOKS
            });
        }
        Ok(())
    }

    fn bytes(&mut self) -> nix::Result<u64> {
        let failed = |_| Errno::EIO;
        for bytes in [PIPE_LARGE, PIPE_SMALL] {
            // SAFETY: plain numbers.
            ok(unsafe { libc::fcntl(self.pipe.0.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) })?;
        }
        let above = self.usage.bytes().map_err(|_| Errno::EIO)? - memcg::page_bytes();
        self.high.write_at(above.to_string().as_bytes(), 0).map_err(failed)?;
        self.high.write_at(b"max", 0).map_err(failed)?;
        self.usage.bytes().map_err(|_| Errno::EIO)
    }
}

/// The number that a call returned, or its errno.
fn ok(returned: libc::c_int) -> nix::Result<libc::c_int> {
    Errno::result(returned)
}

/// The same of a call that has no wrapper.
fn ok_long(returned: libc::c_long) -> nix::Result<RawFd> {
    Errno::result(returned).map(|returned| returned as RawFd)
}

/// Keeps a file open until the process ends.
fn keep(file: OwnedFd) -> RawFd {
    file.into_raw_fd()
}
