// SPDX-License-Identifier: MIT OR Apache-2.0
//! `owe-two` and `owe-removed`: one system call goes over the limits of two memcgs.
//!
//! A task writes to a FIFO, which charges a page of kernel memory for every page written to the
//! memcg that the task is in at that moment. When the FIFO is full, the task sleeps in the call.
//! The outsider moves it to the other memcg and splices the pages, still charged where they were,
//! into another pipe, so that the task writes on. `owe-removed` starts in the second memcg, where
//! no task can be killed, and removes it while the task still owes to it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::libc;
use nix::unistd::pipe2;

use super::owe::{make_fifo, open_both_ways};
use super::{Part, Plan, Terms, Workload};
use crate::brink::{Brink, Level, stay_on_cpu};
use crate::calls::write_whole;
use crate::cue::{Cue, state, within};
use crate::lane::Lane;
use crate::memcg::Memcg;
use crate::shared;

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new("owe-two", PARAMS, |terms| plan(terms, false)),
    Workload::new("owe-removed", PARAMS, |terms| plan(terms, true)),
];

const PARAMS: &[(&str, u64)] = &[("hold_ms_max", 4_500)];

const OWE: usize = 0;
const MOVE: usize = 1;
const REPAY: usize = 2;
const REMOVE: usize = 3;

/// What the FIFO holds, bytes.
const FIFO_BYTES: usize = 16 * 4096;

/// How often the FIFO is emptied for the task. The other memcg has room for a hog's margin of 16
/// pages and for what two CPUs may have had in stock, 63 pages each.
const SHIFTS: usize = 11;

/// What the task writes in all, bytes: at the end it sleeps on filling the FIFO once more.
const WRITE_BYTES: usize = (SHIFTS + 2) * FIFO_BYTES;

/// For the task to fill the FIFO and fall asleep, milliseconds; a task may be killed meanwhile.
const FULL_MS: u64 = 4_000;

fn plan(terms: &Terms<'_>, removed: bool) -> Result<Plan> {
    let path = make_fifo()?;
    let cue: &'static Cue = shared::map_one()?;
    let hold_ms_max = terms.param("hold_ms_max");
    let limited = terms.memcgs.limited.clone();
    let second = terms.memcgs.second.clone().context("the cell has no second memcg")?;
    let (first, other) = if removed { (second, limited) } else { (limited, second) };
    let (actors_path, actors_first) = (path.clone(), first.clone());
    let actor = Part::new(&["write"], move |_| {
        stay_on_cpu(0)?;
        let mut brink = Brink::of(&actors_first, "first")?;
        cue.pid.store(nix::unistd::getpid().as_raw(), Ordering::SeqCst);
        let fifo = open_both_ways(&actors_path)?;
        let filling = vec![0xa5_u8; WRITE_BYTES];
        Ok(move |lane: &Lane| {
            if cue.walk(|| brink.approach(4).is_ok()) {
                lane.call(0, || write_whole(&fifo, &filling));
            }
            cue.returned.raise();
        })
    });
    let outsider = Part::new(&["owe", "move", "repay", "remove"], move |_| {
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
        Ok(move |lane: &Lane| {
            // An error shows in the tallies: the operations after it are missing.
            conductor.conduct(lane);
            conductor.let_go();
            // The pages stay charged until the process ends.
            std::mem::forget(conductor);
        })
    });
    Ok(Plan { failures_max: 1, ..terms.plan(actor).with_outsider(outsider) })
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
            self.first_level.must_be_over()
        });
        if self.cue.returned.is_up() {
            return None;
        }
        // Also on a kernel that lets no charge over the limit: there a task was killed instead.
        lane.call(MOVE, || self.other.admit(self.cue.pid()).map_err(|_| Errno::EPERM))?;
        for _ in 0..SHIFTS {
            self.shift().ok()?;
            self.await_full().ok()?;
        }
        if self.removed {
            lane.call(REMOVE, || match self.cue.returned.is_up() {
                // A task that has come back owes nothing any more.
                true => Err(Errno::ESRCH),
                false if self.first.remove() => Ok(()),
                false => Err(Errno::EBUSY),
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
            self.cue.returned.is_up()
        });
    }

    /// Waits until the task sleeps on a full FIFO, or has come back.
    fn await_full(&self) -> nix::Result<()> {
        within(FULL_MS, || {
            self.cue.returned.is_up()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unread_bytes_are_counted_and_the_store_holds_everything() {
        let (reader, writer) = store().unwrap();
        assert_eq!(unread_bytes(&reader), 0);
        assert_eq!(write_whole(&writer, &[1; 1000]), Ok(()));
        assert_eq!(unread_bytes(&reader), 1000);
        let room = vec![1; WRITE_BYTES];
        assert_eq!(write_whole(&writer, &room), Ok(()));
    }
}
