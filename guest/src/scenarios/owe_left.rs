// SPDX-License-Identifier: MIT OR Apache-2.0
//! `owe-left`, `owe-moved` and `owe-switched-off`: a task owes to a memcg that it leaves, and that
//! is removed while the task lives on, or stays as full as it is.
//!
//! The task is in the second memcg, which has no task that can be killed, and writes to a FIFO that
//! the outsider has open too, so that the pages stay charged. In `owe-left` they fit: the task is
//! on its way to user mode and waits there for room (cgroup v1 without OOM killer). It must come
//! back (`return`) once the memcg is gone, and in `owe-moved` once it is in another one. In
//! `owe-switched-off` they do not fit: the task sleeps in the call while the policy is switched off
//! everywhere (`off`). Then it comes back and leaves for the root memcg. Nothing of the memcg may
//! be left while the task lives (`freed`).

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::read;

use super::owe::{make_fifo, open_both_ways};
use super::{Part, Plan, Terms, Workload};
use crate::brink::{Brink, Level, stay_on_cpu};
use crate::calls::write_whole;
use crate::clock;
use crate::cue::{Cue, state, within};
use crate::lane::Lane;
use crate::memcg::{Memcg, flat_keyed};
use crate::release::{Dropped, drop_caches};
use crate::shared;
use crate::tally::Failure;

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new("owe-left", &[], |terms| plan(terms, How::Left)),
    Workload::new("owe-moved", &[], |terms| plan(terms, How::Moved)),
    Workload::new("owe-switched-off", &[], |terms| plan(terms, How::SwitchedOff)),
];

/// What keeps the task from paying.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Left,
    Moved,
    SwitchedOff,
}

const OWE: usize = 0;
const OFF: usize = 1;
const MOVE: usize = 2;
const REMOVE: usize = 3;
const RETURN: usize = 4;
const FREED: usize = 5;

const POLICY: &str = "memory.overcharge";

/// What the FIFO holds, bytes.
const FIFO_BYTES: usize = 16 * 4096;

/// For each step, milliseconds. A memcg is freed after some RCU grace periods.
const STEP_MS: u64 = 5_000;

/// A task that sleeps for so long is not between two calls, microseconds.
const ASLEEP_US: u64 = 200_000;

fn plan(terms: &Terms<'_>, how: How) -> Result<Plan> {
    let path = make_fifo()?;
    let cue: &'static Cue = shared::map_one()?;
    let memcgs = terms.memcgs;
    let second = memcgs.second.clone().context("the cell has no second memcg")?;
    let (actors_path, actors) = (path.clone(), second.clone());
    let bytes = if how == How::SwitchedOff { FIFO_BYTES + 4096 } else { FIFO_BYTES };
    let actor = Part::new(&["write"], move |_| {
        stay_on_cpu(0)?;
        let mut brink = Brink::of(&actors, "actor")?;
        cue.pid.store(nix::unistd::getpid().as_raw(), Ordering::SeqCst);
        let fifo = open_both_ways(&actors_path)?;
        let filling = vec![0xa5_u8; bytes];
        Ok(move |lane: &Lane| {
            if cue.walk(|| brink.approach(4).is_ok()) {
                lane.call(0, || write_whole(&fifo, &filling));
            }
            cue.returned.raise();
            lane.wait_until(|| cue.ready.is_up());
        })
    });
    let (root, limited) = (memcgs.root.clone(), memcgs.limited.clone());
    let steps = &["owe", "off", "move", "remove", "return", "freed"];
    let outsider = Part::new(steps, move |_| {
        let (root, limited) = (root.clone(), limited.clone());
        let level = Level::of(&second)?;
        let fifo = open_to_empty(&path)?;
        let mut conductor = Conductor { cue, how, root, limited, second: second.clone(), level };
        Ok(move |lane: &Lane| {
            // An error shows in the tallies: the steps after it are missing.
            conductor.conduct(lane, &fifo);
            conductor.cue.drained.open();
            conductor.cue.go.open();
            empty(&fifo);
            conductor.cue.ready.raise();
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}

struct Conductor {
    cue: &'static Cue,
    how: How,
    root: Memcg,
    limited: Memcg,
    second: Memcg,
    level: Level,
}

impl Conductor {
    fn conduct(&mut self, lane: &Lane, fifo: &OwnedFd) -> Option<()> {
        self.second.drain().ok()?;
        self.cue.drained.open();
        self.cue.await_brink().ok()?;
        self.cue.go.open();
        lane.call(OWE, || {
            self.await_sleep()?;
            self.level.must_be_over()
        })?;
        let returned = || within(STEP_MS, || self.cue.returned.is_up());
        match self.how {
            How::Left | How::Moved => {
                lane.call(MOVE, || admit(&self.limited, self.cue))?;
                if self.how == How::Left {
                    lane.call(REMOVE, || remove(&self.second))?;
                }
                lane.call(RETURN, returned);
            }
            How::SwitchedOff => {
                for memcg in [&self.limited, &self.second] {
                    let off = |memcg: &Memcg| memcg.write(POLICY, "off");
                    lane.call(OFF, || off(memcg).map_err(|error| Failure::of(&error)))?;
                }
                empty(fifo);
                lane.call(RETURN, returned)?;
                lane.call(MOVE, || admit(&self.root, self.cue))?;
                lane.call(REMOVE, || remove(&self.second))?;
                lane.call(FREED, || within(STEP_MS, || dying(&self.root) == Some(0)));
            }
        }
        Some(())
    }

    /// Waits until the task sleeps, in the call or on its way out of it, or has come back.
    fn await_sleep(&self) -> nix::Result<()> {
        self.cue.await_brink()?;
        let sleeps = || matches!(state(self.cue.pid()), Some('S' | 'D'));
        within(STEP_MS, || {
            clock::sleep_us(ASLEEP_US);
            self.cue.returned.is_up() || sleeps()
        })
    }
}

fn admit(memcg: &Memcg, cue: &Cue) -> Result<(), Failure> {
    memcg.admit(cue.pid()).map_err(|_| Errno::EPERM.into())
}

fn remove(memcg: &Memcg) -> nix::Result<()> {
    if memcg.remove() { Ok(()) } else { Err(Errno::EBUSY) }
}

/// Opens a FIFO so that reading from it never waits.
pub(super) fn open_to_empty(path: &CStr) -> Result<OwnedFd> {
    let fifo = open_both_ways(path)?;
    fcntl(&fifo, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("read the FIFO without waiting")?;
    Ok(fifo)
}

/// Reads all that is in the FIFO. Its pages are uncharged.
fn empty(fifo: &OwnedFd) {
    let mut sink = [0; 4096];
    while matches!(read(fifo, &mut sink), Ok(1..)) {}
}

/// Removed memcgs that are not freed yet. cgroup v2 only.
fn dying(root: &Memcg) -> Option<u64> {
    let _ = drop_caches(Dropped::Everything);
    flat_keyed(&root.read("cgroup.stat").ok()?).ok()?.get("nr_dying_descendants").copied()
}
