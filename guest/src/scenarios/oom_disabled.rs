// SPDX-License-Identifier: MIT OR Apache-2.0
//! `open-waits`: what a task does at the limit of a memcg whose OOM killer is disabled (v1), and
//! what wakes it: a sibling that closes its files, and a limit that is raised.
//!
//! Task 0 opens files endlessly, task 1 holds files until it is told to close them. The outsider
//! sees task 0 come to a halt (`sleeps`), lets task 1 close (`close`), sees it go on and come to
//! a halt again (`sleeps`), raises the limit (`raise`), sees it go on, and puts everything back.
//! While it sleeps the memcg says so (`marked`) and user space was told by an eventfd (`told`); in
//! the end it does not say so any more (`unmarked`). A step fails with `ETIMEDOUT` when what should
//! follow does not. Where calls fail instead of sleeping, task 0 ends after `failures_max` of them
//! and the first step is the last.
//!
//! `open-waits-long`: the task sleeps longer than the kernel looks for a victim in one go. A signal
//! that does not kill must leave it asleep (`quiet`). Then user space enables the OOM killer, and
//! usage must come back below the limit although the task makes no other call (`enable`).
//!
//! `touch-waits`: a task sleeps in a page fault, and only a limit that is raised wakes it
//! (`raise`).

use std::ffi::CStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};

use super::{Part, Plan, Terms, Workload};
use crate::calls::open_kept;
use crate::clock::{self, Deadline};
use crate::lane::Lane;
use crate::memcg::{Memcg, page_bytes};
use crate::pages::Pages;
use crate::shared::{self, Flag, Shareable};
use crate::tally::Failure;
use crate::{arena, process};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new(
        "open-waits",
        &[("held", 4000), ("raise_bytes", 1 << 20), ("failures_max", 20)],
        plan,
    ),
    Workload::new("touch-waits", &[("raise_bytes", 1 << 20)], plan_touch),
    Workload::new("open-waits-long", &[("asleep_ms", 5_000), ("failures_max", 20)], plan_long),
];

const SLEEPS: usize = 0;
const CLOSE: usize = 1;
/// The same of `touch-waits`.
const LOWER: usize = 1;
const RAISE: usize = 2;
const MARKED: usize = 3;
const TOLD: usize = 4;
const UNMARKED: usize = 5;

/// Calls of the outsider of `open-waits-long`, beside [`SLEEPS`].
const QUIET: usize = 1;
const ENABLE: usize = 2;

const CONTROL: &str = "memory.oom_control";

/// A task that makes no call for so long sleeps in one, milliseconds.
const HALT_MS: u64 = 1_000;

/// How long a task that got a signal is watched, and what it may run meanwhile: milliseconds.
const WATCHED_MS: u64 = 600;
const QUIET_MS: u64 = 100;

/// For a victim to be found and to free enough once it is allowed, milliseconds.
const ENABLED_MS: u64 = 4_500;

/// Of `/proc/PID/stat`.
const TICK_MS: u64 = 10;

/// For the halt to begin or to end, milliseconds: the kernel polls at intervals below a second.
const STEP_MS: u64 = 9_000;

/// What the tasks and the outsider tell each other.
#[repr(C)]
struct Talk {
    /// Files that task 0 has opened.
    opened: AtomicU64,
    /// Task 0.
    pid: AtomicI32,
    /// Up while task 0 is in a call.
    calling: Flag,
    /// Task 1 has opened what it holds.
    holding: Flag,
    /// Task 1 must close its files.
    close: Flag,
    /// Task 0 must close its files and end.
    end: Flag,
    /// The limit is back; task 0 may end.
    ended: Flag,
}

// SAFETY: atomics only; all zero is: nothing opened, no flag up.
unsafe impl Shareable for Talk {}

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    ensure!(terms.cell.tasks == 2, "one task opens, one holds: {} tasks", terms.cell.tasks);
    let talk: &'static Talk = shared::map_one()?;
    let path = arena::create_file("file")?;
    let (held, opened_max) = (terms.param("held"), terms.cell.operations);
    let actor = Part::new(&["open"], move |index| {
        let most = if index == 0 { opened_max } else { held };
        process::reserve_files(most)?;
        let mut files = Vec::with_capacity(most as usize);
        let path = path.clone();
        Ok(move |lane: &Lane| match index {
            0 => open_until_told(lane, talk, &path, &mut files),
            _ => hold_until_told(lane, talk, &path, &mut files, held),
        })
    });
    let (limited, limit_bytes) = (terms.memcgs.limited.clone(), terms.cell.limit_bytes);
    let raised_bytes = limit_bytes + terms.param("raise_bytes");
    let ops = &["sleeps", "close", "raise", "marked", "told", "unmarked"];
    let outsider = Part::new(ops, move |_| {
        let limited = limited.clone();
        let notices = notices_of(&limited)?;
        Ok(move |lane: &Lane| {
            if lane.call(SLEEPS, || halts(talk)).is_some() {
                lane.call(MARKED, || says_under_oom(&limited, 1));
                lane.call(TOLD, || take(&notices));
                talk.close.raise();
                lane.call(CLOSE, || goes_on(talk));
                lane.call(SLEEPS, || halts(talk));
                lane.call(RAISE, || goes_on_with(talk, &limited, raised_bytes));
            }
            talk.close.raise();
            talk.end.raise();
            // The limit in force must be that of the request again before the load ends.
            let _ = clock::within(STEP_MS, 10_000, || limited.limit_to(limit_bytes).is_ok());
            talk.ended.raise();
            lane.call(UNMARKED, || says_under_oom(&limited, 0));
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}

fn open_until_told(lane: &Lane, talk: &Talk, path: &CStr, files: &mut Vec<RawFd>) {
    lane.wait_until(|| talk.holding.is_up());
    while !talk.end.is_up() && lane.goes_on() {
        talk.calling.raise();
        let file = lane.call(0, || open_kept(path));
        talk.calling.lower();
        if let Some(file) = file {
            files.push(file);
            talk.opened.fetch_add(1, Ordering::SeqCst);
        }
    }
    close_all(files);
    // Not before the limit is back: the load ends with the last actor.
    lane.wait_until(|| talk.ended.is_up());
}

fn plan_long(terms: &Terms<'_>) -> Result<Plan> {
    ensure!(terms.cell.tasks == 1, "one task opens: {} tasks", terms.cell.tasks);
    let talk: &'static Talk = shared::map_one()?;
    let path = arena::create_file("file")?;
    let opened_max = terms.cell.operations;
    let actor = Part::new(&["open"], move |_| {
        process::reserve_files(opened_max)?;
        process::catch(Signal::SIGUSR1)?;
        talk.pid.store(getpid().as_raw(), Ordering::SeqCst);
        let path = path.clone();
        Ok(move |lane: &Lane| {
            while !talk.end.is_up() && lane.goes_on() {
                talk.calling.raise();
                if lane.call(0, || open_kept(&path)).is_some() {
                    talk.opened.fetch_add(1, Ordering::SeqCst);
                }
                talk.calling.lower();
            }
            // It keeps the files: only a kill makes room.
            lane.wait_until(|| talk.ended.is_up());
        })
    });
    let (limited, limit_bytes) = (terms.memcgs.limited.clone(), terms.cell.limit_bytes);
    let asleep_ms = terms.param("asleep_ms");
    let outsider = Part::new(&["sleeps", "quiet", "enable"], move |_| {
        let limited = limited.clone();
        Ok(move |lane: &Lane| {
            if lane.call(SLEEPS, || halts(talk)).is_some() {
                talk.end.raise();
                lane.call(QUIET, || stays_quiet(Pid::from_raw(talk.pid.load(Ordering::SeqCst))));
                clock::sleep_us(asleep_ms * 1000);
                let enabled = limited.write(CONTROL, "0");
                let fits = || limited.current_bytes().is_ok_and(|bytes| bytes <= limit_bytes);
                lane.call(ENABLE, || match enabled {
                    Ok(()) => clock::within(ENABLED_MS, 10_000, fits),
                    Err(_) => Err(Errno::EBUSY),
                });
            }
            talk.ended.raise();
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}

fn plan_touch(terms: &Terms<'_>) -> Result<Plan> {
    ensure!(terms.cell.tasks == 1, "one task touches: {} tasks", terms.cell.tasks);
    let talk: &'static Talk = shared::map_one()?;
    let (limited, limit_bytes) = (terms.memcgs.limited.clone(), terms.cell.limit_bytes);
    let pages_max = limit_bytes / page_bytes();
    let actor = Part::new(&["touch"], move |_| {
        Ok(move |lane: &Lane| {
            lane.wait_until(|| talk.holding.is_up());
            let Ok(pages) = Pages::map(pages_max) else { return };
            let mut page = 0;
            while !talk.end.is_up() && page < pages_max && lane.goes_on() {
                talk.calling.raise();
                lane.call(0, || pages.touch(page));
                talk.calling.lower();
                page += 1;
                talk.opened.store(page, Ordering::SeqCst);
            }
            drop(pages);
            // Not before the limit is back: the load ends with the last actor.
            lane.wait_until(|| talk.ended.is_up());
        })
    });
    // The limit of the request is the highest: no page is ever over it.
    let raised_bytes = limit_bytes / 2 + terms.param("raise_bytes");
    let ops = &["sleeps", "lower", "raise", "marked", "told", "unmarked"];
    let outsider = Part::new(ops, move |_| {
        let limited = limited.clone();
        let notices = notices_of(&limited)?;
        Ok(move |lane: &Lane| {
            let raise = |bytes: u64| {
                lane.call(RAISE, || goes_on_with(talk, &limited, bytes));
            };
            // A notice that is refused must not hold the memcg.
            refused_notice(&limited);
            lane.call(LOWER, || limited.limit_to(limit_bytes / 2).map_err(|_| Errno::EBUSY));
            talk.holding.raise();
            if lane.call(SLEEPS, || halts(talk)).is_some() {
                lane.call(MARKED, || says_under_oom(&limited, 1));
                lane.call(TOLD, || take(&notices));
                raise(raised_bytes);
                lane.call(SLEEPS, || halts(talk));
            }
            talk.end.raise();
            raise(limit_bytes);
            talk.ended.raise();
            lane.call(UNMARKED, || says_under_oom(&limited, 0));
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}

/// Sends a sleeping task a signal that it has a handler for. `EAGAIN` if it runs on.
fn stays_quiet(pid: Pid) -> nix::Result<()> {
    let before_ms = ran_ms(pid)?;
    kill(pid, Signal::SIGUSR1)?;
    clock::sleep_us(WATCHED_MS * 1000);
    if ran_ms(pid)? <= before_ms + QUIET_MS { Ok(()) } else { Err(Errno::EAGAIN) }
}

/// How long a task has run, in user mode and in the kernel.
fn ran_ms(pid: Pid) -> nix::Result<u64> {
    /// `utime` and `stime`, from the state, which follows the name.
    const TIMES: std::ops::Range<usize> = 11..13;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|_| Errno::ESRCH)?;
    let (_, fields) = stat.rsplit_once(") ").ok_or(Errno::EIO)?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let times = fields.get(TIMES).ok_or(Errno::EIO)?;
    let ticks = times.iter().map(|field| field.parse::<u64>());
    Ok(ticks.sum::<Result<u64, _>>().map_err(|_| Errno::EIO)? * TICK_MS)
}

fn hold_until_told(lane: &Lane, talk: &Talk, path: &CStr, files: &mut Vec<RawFd>, held: u64) {
    for _ in 0..held {
        files.extend(lane.call(0, || open_kept(path)));
    }
    talk.holding.raise();
    lane.wait_until(|| talk.close.is_up());
    close_all(files);
}

fn close_all(files: &mut Vec<RawFd>) {
    for file in files.drain(..) {
        let _closed = nix::unistd::close(file);
    }
}

/// Waits until task 0 stands still inside a call.
fn halts(talk: &Talk) -> nix::Result<()> {
    let deadline = Deadline::in_ms(STEP_MS);
    let (mut seen, mut halt) = (0, Deadline::in_ms(HALT_MS));
    while !deadline.passed() {
        let opened = talk.opened.load(Ordering::SeqCst);
        if opened != seen || !talk.calling.is_up() {
            (seen, halt) = (opened, Deadline::in_ms(HALT_MS));
        } else if halt.passed() {
            return Ok(());
        }
        clock::sleep_us(1000);
    }
    Err(Errno::ETIMEDOUT)
}

/// Waits until task 0 makes progress.
fn goes_on(talk: &Talk) -> nix::Result<()> {
    let seen = talk.opened.load(Ordering::SeqCst);
    clock::within(STEP_MS, 1000, || talk.opened.load(Ordering::SeqCst) != seen)
}

/// Raises the limit, and waits until task 0 has made progress since before.
fn goes_on_with(talk: &Talk, memcg: &Memcg, limit_bytes: u64) -> nix::Result<()> {
    let seen = talk.opened.load(Ordering::SeqCst);
    memcg.limit_to(limit_bytes).map_err(|_| Errno::EBUSY)?;
    clock::within(STEP_MS, 1000, || talk.opened.load(Ordering::SeqCst) != seen)
}

/// An eventfd that is told when the memcg runs out of memory (`mem_cgroup_oom_register_event()`).
fn notices_of(memcg: &Memcg) -> Result<File> {
    // SAFETY: plain numbers.
    let made = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    let made = Errno::result(made).context("make an eventfd")?;
    // SAFETY: it was just made and belongs to nobody else.
    let notices = unsafe { File::from_raw_fd(made) };
    let control = File::open(memcg.path(CONTROL)).context("open memory.oom_control")?;
    memcg.write("cgroup.event_control", &format!("{made} {}", control.as_raw_fd()))?;
    Ok(notices)
}

/// Asks for a notice in words that the kernel does not know.
fn refused_notice(memcg: &Memcg) {
    // SAFETY: plain numbers.
    let made = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if let (Ok(made), Ok(usage)) = (Errno::result(made), File::open(memcg.usage_file())) {
        let _ =
            memcg.write("cgroup.event_control", &format!("{made} {} no-size", usage.as_raw_fd()));
        let _ = nix::unistd::close(made);
    }
}

/// Takes what an eventfd was told; `EAGAIN` if nothing.
fn take(mut notices: &File) -> Result<(), Failure> {
    Ok(notices.read_exact(&mut [0; 8])?)
}

/// Waits until the memcg says that a task waits for user space (1), or that none does (0).
fn says_under_oom(memcg: &Memcg, wanted: u32) -> nix::Result<()> {
    let wanted = format!("under_oom {wanted}");
    let says = || memcg.read(CONTROL).is_ok_and(|text| text.lines().any(|line| line == wanted));
    clock::within(STEP_MS, 10_000, says)
}
