// SPDX-License-Identifier: MIT OR Apache-2.0
//! `owe-two` and `owe-removed`: one system call goes over the limits of two memcgs.
//!
//! A task writes to a FIFO, which charges a page of kernel memory for every page written to the
//! memcg that the task is in at that moment. When the FIFO is full the task sleeps in the call; the
//! outsider moves it to the other memcg, and the pages, with what they are charged to, into a pipe
//! of its own (`splice()`), so that the task writes on. In `owe-removed` the first memcg is the
//! second one, where nobody can be killed, and it is removed while the task still owes to it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, pipe2};

use super::brink::{Brink, Level, stay_on_cpu};
use super::cue::{Cue, state, within};
use super::owe::open_both_ways;
use super::{Part, Plan, Run, Terms, Workload};
use crate::arena::ARENA;
use crate::lane::Lane;
use crate::memcg::Memcg;
use crate::shared;
use crate::tally::Failure;

pub(super) const OWE_TWO: Workload = Workload {
    name: "owe-two",
    params: PARAMS,
    on_scratch: false,
    plan: |terms| plan(terms, false),
};

pub(super) const OWE_REMOVED: Workload = Workload {
    name: "owe-removed",
    params: PARAMS,
    on_scratch: false,
    plan: |terms| plan(terms, true),
};

const PARAMS: &[(&str, u64)] = &[("hold_ms_max", 4_500)];

const WRITE: usize = 0;

pub(super) const OUTSIDERS_OPS: &[&str] = &["owe", "move", "repay", "remove"];
const OWE: usize = 0;
const MOVE: usize = 1;
const REPAY: usize = 2;
const REMOVE: usize = 3;

/// What the FIFO holds, bytes.
const FIFO_BYTES: usize = 16 * 4096;

/// How often the FIFO is emptied for the task. The other memcg has room for a hog's margin of 16
/// pages and for what two CPUs may have had in stock, 63 pages each.
const SHIFTS: usize = 11;

/// What the task writes in all: what fills the FIFO once more is what it sleeps on at last.
const WRITE_BYTES: usize = (SHIFTS + 2) * FIFO_BYTES;

/// For the task to fill the FIFO and fall asleep, milliseconds; somebody may be killed meanwhile.
const FULL_MS: u64 = 4_000;

fn plan(terms: &Terms<'_>, removed: bool) -> Result<Plan> {
    let path = format!("{ARENA}/fifo");
    mkfifo(path.as_str(), Mode::S_IRUSR | Mode::S_IWUSR).context("make the FIFO")?;
    let cue: &'static Cue = shared::map_one()?;
    let hold_ms_max = terms.param("hold_ms_max");
    let limited = terms.memcgs.limited.clone();
    let second = terms.memcgs.second.clone().context("the cell has no second memcg")?;
    let (first, other) = if removed { (second, limited) } else { (limited, second) };
    let (actors_path, actors_first) = (path.clone(), first.clone());
    let actor = Part {
        ops: &["write"],
        setup: Box::new(move |_| {
            stay_on_cpu(0)?;
            let mut brink = Brink::of(&actors_first, "first")?;
            cue.pid.store(nix::unistd::getpid().as_raw(), Ordering::SeqCst);
            let fifo = open_both_ways(&actors_path)?;
            let filling = vec![0xa5_u8; WRITE_BYTES];
            Ok(Box::new(move |lane: &Lane| {
                if cue.walk(|| brink.approach(4).map(drop)) {
                    lane.call(WRITE, || write_whole(&fifo, &filling));
                }
                cue.returned.store(1, Ordering::SeqCst);
            }) as Run)
        }),
    };
    let outsider = Part {
        ops: OUTSIDERS_OPS,
        setup: Box::new(move |_| {
            let mut conductor = Conductor {
                cue,
                hold_ms_max,
                first_level: Level::of(&first)?,
                other_level: Level::of(&other)?,
                first: first.clone(),
                other: other.clone(),
                removed,
                fifo: open_both_ways(&path)?,
                store: store()?,
            };
            Ok(Box::new(move |lane: &Lane| {
                // What goes wrong is seen in the tallies: the operations after it are missing.
                conductor.conduct(lane);
                conductor.let_go();
                // The pages stay charged until the process ends.
                std::mem::forget(conductor);
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: Some(outsider), failures_max: 1 })
}

struct Conductor {
    cue: &'static Cue,
    hold_ms_max: u64,
    first: Memcg,
    first_level: Level,
    other: Memcg,
    other_level: Level,
    removed: bool,
    fifo: OwnedFd,
    store: (OwnedFd, OwnedFd),
}

impl Conductor {
    fn conduct(&mut self, lane: &Lane) -> Option<()> {
        self.first.drain().and_then(|()| self.other.drain()).ok()?;
        self.cue.drained.open();
        self.cue.await_brink().ok()?;
        self.cue.go.open();
        lane.call(OWE, || {
            self.await_full()?;
            if self.first_level.is_over() == Some(true) {
                Ok(())
            } else {
                Err(Errno::ENODATA.into())
            }
        });
        if self.cue.has_returned() {
            return None;
        }
        // On a kernel that lets nothing over the limit too: there somebody was killed instead.
        lane.call(MOVE, || self.other.admit(self.cue.pid()).map_err(|_| Errno::EPERM.into()))?;
        for _ in 0..SHIFTS {
            self.shift().ok()?;
            self.await_full().ok()?;
        }
        if self.removed {
            lane.call(REMOVE, || match self.cue.has_returned() {
                // Who has come back owes nothing any more.
                true => Err(Errno::ESRCH.into()),
                false if self.first.remove() => Ok(()),
                false => Err(Errno::EBUSY.into()),
            });
        }
        let (hold_ms_max, removed) = (self.hold_ms_max, self.removed);
        lane.call(REPAY, || {
            within(hold_ms_max, || {
                (removed || self.first_level.is_over() == Some(false))
                    && self.other_level.is_over() == Some(false)
            })
        });
        Some(())
    }

    fn let_go(&mut self) {
        self.cue.drained.open();
        self.cue.go.open();
        let _ = within(FULL_MS, || {
            let _ = self.shift();
            self.cue.has_returned()
        });
    }

    /// Waits until the task sleeps before a full FIFO, or has come back.
    fn await_full(&self) -> Result<(), Failure> {
        within(FULL_MS, || {
            self.cue.has_returned()
                || (unread_bytes(&self.fifo) >= FIFO_BYTES && state(self.cue.pid()) == Some('S'))
        })
    }

    /// Makes room in the FIFO and keeps the pages.
    fn shift(&self) -> nix::Result<usize> {
        let (into, flags) = (self.store.1.as_fd(), SpliceFFlags::SPLICE_F_NONBLOCK);
        splice(self.fifo.as_fd(), None, into, None, FIFO_BYTES, flags)
    }
}

/// A pipe with room for everything that the task writes.
fn store() -> Result<(OwnedFd, OwnedFd)> {
    let ends = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).context("make a pipe")?;
    let bytes = WRITE_BYTES.next_power_of_two() as i32;
    fcntl(&ends.1, FcntlArg::F_SETPIPE_SZ(bytes)).context("make the pipe large")?;
    Ok(ends)
}

fn unread_bytes(fifo: &OwnedFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, to a live one.
    unsafe { libc::ioctl(fifo.as_raw_fd(), libc::FIONREAD, &mut bytes) };
    bytes.max(0) as usize
}

fn write_whole(fifo: &OwnedFd, bytes: &[u8]) -> Result<(), Failure> {
    if nix::unistd::write(fifo, bytes)? == bytes.len() { Ok(()) } else { Err(Failure::Short) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_tells_what_it_holds_and_the_store_holds_everything() {
        let (reader, writer) = store().unwrap();
        assert_eq!(unread_bytes(&reader), 0);
        assert_eq!(write_whole(&writer, &[1; 1000]), Ok(()));
        assert_eq!(unread_bytes(&reader), 1000);
        let room = vec![1; WRITE_BYTES];
        assert_eq!(write_whole(&writer, &room), Ok(()));
    }
}
