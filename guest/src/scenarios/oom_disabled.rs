// SPDX-License-Identifier: MIT OR Apache-2.0
//! `open-waits`: what a task does at the limit of a memcg whose OOM killer is disabled (v1), and
//! what wakes it: a sibling that closes its files, and a limit that is raised.
//!
//! Task 0 opens files without end, task 1 holds files until it is told to close them. The outsider
//! sees task 0 come to a halt (`sleeps`), lets task 1 close (`close`), sees it go on and come to a
//! halt again (`sleeps`), raises the limit (`raise`), sees it go on, and puts everything back. A
//! step fails with `ETIMEDOUT` when what should follow does not. Where calls fail instead of
//! sleeping, task 0 ends after `failures_max` of them and the first step is the last.

use std::fs::File;
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::{Part, Plan, Run, Terms, Workload};
use crate::arena::ARENA;
use crate::clock::{self, Deadline};
use crate::lane::Lane;
use crate::shared::Shareable;
use crate::tally::Failure;
use crate::{process, shared};

pub(super) const OPEN_WAITS: Workload = Workload {
    name: "open-waits",
    params: &[("held", 4000), ("raise_bytes", 1 << 20), ("failures_max", 20)],
    on_scratch: false,
    plan,
};

const SLEEPS: usize = 0;
const CLOSE: usize = 1;
const RAISE: usize = 2;

/// A task that makes no call for so long sleeps in one, milliseconds.
const HALT_MS: u64 = 1_000;

/// For the halt to come, or to end, milliseconds: the kernel polls at intervals below a second.
const STEP_MS: u64 = 9_000;

/// What the tasks and the outsider tell each other.
#[repr(C)]
struct Talk {
    /// Files that task 0 has opened.
    opened: AtomicU64,
    /// Not zero while task 0 is in a call.
    calling: AtomicU32,
    /// Not zero when task 1 has opened what it holds.
    holding: AtomicU32,
    /// Not zero when task 1 is to close its files.
    close: AtomicU32,
    /// Not zero when task 0 is to close its files and end.
    end: AtomicU32,
    /// Not zero when task 0 has ended.
    ended: AtomicU32,
}

// SAFETY: atomics only; all zero is: nothing opened, nothing asked for.
unsafe impl Shareable for Talk {}

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    ensure!(terms.cell.tasks == 2, "one task opens, one holds: {} tasks", terms.cell.tasks);
    let talk: &'static Talk = shared::map_one()?;
    let path = format!("{ARENA}/file");
    File::create_new(&path).with_context(|| format!("create {path}"))?;
    let (held, opened_max) = (terms.param("held"), terms.cell.operations);
    let actor = Part {
        ops: &["open"],
        setup: Box::new(move |index| {
            let most = if index == 0 { opened_max } else { held };
            process::reserve_files(most)?;
            let mut files = Vec::with_capacity(most as usize);
            let path = path.clone();
            Ok(Box::new(move |lane: &Lane| match index {
                0 => open_until_told(lane, talk, &path, &mut files),
                _ => hold_until_told(lane, talk, &path, &mut files, held),
            }) as Run)
        }),
    };
    let (limited, limit_bytes) = (terms.memcgs.limited.clone(), terms.cell.limit_bytes);
    let raised_bytes = limit_bytes + terms.param("raise_bytes");
    let outsider = Part {
        ops: &["sleeps", "close", "raise"],
        setup: Box::new(move |_| {
            let limited = limited.clone();
            Ok(Box::new(move |lane: &Lane| {
                if lane.call(SLEEPS, || halts(talk)).is_some() {
                    talk.close.store(1, Ordering::SeqCst);
                    lane.call(CLOSE, || goes_on(talk));
                    lane.call(SLEEPS, || halts(talk));
                    let raised = limited.limit_to(raised_bytes);
                    lane.call(RAISE, || {
                        raised.map_err(|_| Failure::from(Errno::EBUSY)).and_then(|()| goes_on(talk))
                    });
                }
                talk.close.store(1, Ordering::SeqCst);
                talk.end.store(1, Ordering::SeqCst);
                // The limit in force must be that of the request again before the load ends.
                let back = || Ok(limited.limit_to(limit_bytes).is_ok());
                let _ = clock::poll(Deadline::in_ms(STEP_MS), 10_000, back);
                talk.ended.store(1, Ordering::SeqCst);
            }) as Run)
        }),
    };
    let failures_max = terms.param("failures_max");
    Ok(Plan { actor, outsider: Some(outsider), failures_max })
}

fn open_until_told(lane: &Lane, talk: &Talk, path: &str, files: &mut Vec<RawFd>) {
    while talk.holding.load(Ordering::SeqCst) == 0 && !lane.stopped() {
        clock::sleep_us(1000);
    }
    while talk.end.load(Ordering::SeqCst) == 0 && lane.goes_on() {
        talk.calling.store(1, Ordering::SeqCst);
        let file = open_one(lane, path);
        talk.calling.store(0, Ordering::SeqCst);
        if let Some(file) = file {
            files.push(file);
            talk.opened.fetch_add(1, Ordering::SeqCst);
        }
    }
    close_all(files);
    // Not before the limit is back: the load ends with the last actor.
    while talk.ended.load(Ordering::SeqCst) == 0 && !lane.stopped() {
        clock::sleep_us(1000);
    }
}

fn hold_until_told(lane: &Lane, talk: &Talk, path: &str, files: &mut Vec<RawFd>, held: u64) {
    for _ in 0..held {
        files.extend(open_one(lane, path));
    }
    talk.holding.store(1, Ordering::SeqCst);
    while talk.close.load(Ordering::SeqCst) == 0 && !lane.stopped() {
        clock::sleep_us(1000);
    }
    close_all(files);
}

fn open_one(lane: &Lane, path: &str) -> Option<RawFd> {
    lane.call(0, || {
        open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
            .map(IntoRawFd::into_raw_fd)
            .map_err(Failure::from)
    })
}

fn close_all(files: &mut Vec<RawFd>) {
    for file in files.drain(..) {
        let _closed = nix::unistd::close(file);
    }
}

/// Waits until task 0 stands still in the middle of a call.
fn halts(talk: &Talk) -> Result<(), Failure> {
    let deadline = Deadline::in_ms(STEP_MS);
    let (mut seen, mut halt) = (0, Deadline::in_ms(HALT_MS));
    while !deadline.passed() {
        let opened = talk.opened.load(Ordering::SeqCst);
        let calling = talk.calling.load(Ordering::SeqCst) != 0;
        if opened != seen || !calling {
            (seen, halt) = (opened, Deadline::in_ms(HALT_MS));
        } else if halt.passed() {
            return Ok(());
        }
        clock::sleep_us(1000);
    }
    Err(Errno::ETIMEDOUT.into())
}

/// Waits until task 0 makes progress.
fn goes_on(talk: &Talk) -> Result<(), Failure> {
    let seen = talk.opened.load(Ordering::SeqCst);
    let moved = || Ok(talk.opened.load(Ordering::SeqCst) != seen);
    match clock::poll(Deadline::in_ms(STEP_MS), 1000, moved) {
        Ok(true) => Ok(()),
        _ => Err(Errno::ETIMEDOUT.into()),
    }
}
