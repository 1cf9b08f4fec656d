// SPDX-License-Identifier: MIT OR Apache-2.0
//! `owe-below`: a task owes to its memcg while the parent, whose policy is off, is over its limit
//! for another reason.
//!
//! The task goes over the limit and sleeps in the open of a FIFO. The outsider takes the hog of the
//! second memcg out of the OOM killer's reach, sets the parent's limit below what is in use
//! (`lower`), and puts the hog back into reach. Then the task comes back to user mode (`return`).
//! Nothing is charged meanwhile, so no kernel has a reason to kill for the parent.

use std::ffi::CStr;
use std::fs;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::owe::{make_fifo, open_both_ways};
use super::{Part, Plan, Terms, Workload};
use crate::brink::{Brink, Level, stay_on_cpu};
use crate::cue::{Cue, within};
use crate::lane::Lane;
use crate::memcg::Memcg;
use crate::tally::Failure;
use crate::{clock, hog, process, shared};

pub(super) const WORKLOADS: &[Workload] = &[Workload::new("owe-below", &[], plan)];

const OWE: usize = 0;
const LOWER: usize = 1;
const RETURN: usize = 2;

/// For each step, milliseconds.
const STEP_MS: u64 = 5_000;

/// The work item has had its turn by then, and a task that was killed is gone.
const REST_US: u64 = 1_500_000;

/// How far the parent's limit is set below what is in use, bytes.
const BELOW_BYTES: u64 = 1 << 20;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let path = make_fifo()?;
    let cue: &'static Cue = shared::map_one()?;
    let memcgs = terms.memcgs;
    let second = memcgs.second.clone().context("the cell has no second memcg")?;
    let (parent, limited, actors) =
        (memcgs.parent.clone(), memcgs.limited.clone(), memcgs.limited.clone());
    let actors_path = path.clone();
    let actor = Part::new(&["open"], move |_| {
        stay_on_cpu(0)?;
        let mut brink = Brink::of(&actors, "actor")?;
        cue.pid.store(nix::unistd::getpid().as_raw(), Ordering::SeqCst);
        let path = actors_path.clone();
        Ok(move |lane: &Lane| {
            if cue.walk(|| brink.step_to_the_edge().is_ok()) {
                lane.call(0, || open_to_read(&path));
            }
            cue.returned.raise();
            lane.wait_until(|| cue.ready.is_up());
        })
    });
    let outsider = Part::new(&["owe", "lower", "return"], move |_| {
        let (parent, limited, second) = (parent.clone(), limited.clone(), second.clone());
        let path = path.clone();
        let mut level = Level::of(&limited)?;
        Ok(move |lane: &Lane| {
            // An error shows in the tallies: the steps after it are missing.
            let _ = limited.drain();
            cue.drained.open();
            if cue.await_brink().is_ok() {
                cue.go.open();
                let owes = lane.call(OWE, || cue.await_sleep().and_then(|()| level.must_be_over()));
                let limit = parent.limit_bytes();
                if owes.is_some() && lane.call(LOWER, || lower(&parent, &second)).is_some() {
                    clock::sleep_us(REST_US);
                    let writer = open_both_ways(&path);
                    lane.call(RETURN, || within(STEP_MS, || cue.returned.is_up()));
                    clock::sleep_us(REST_US);
                    drop(writer);
                }
                // The limit in force must be that of the request again before the load ends.
                let _ = limit.map(|limit| parent.limit_to(limit.unwrap_or(u64::MAX)));
            }
            let writer = open_both_ways(&path);
            let _ = within(STEP_MS, || cue.returned.is_up());
            drop(writer);
            // What the task owed is in a stock by now, and nobody charges any more.
            let _ = limited.drain();
            cue.ready.raise();
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}

/// Sets the parent's limit below what is in use, with no task in reach of the OOM killer.
fn lower(parent: &Memcg, second: &Memcg) -> Result<(), Failure> {
    let failed = |error: &anyhow::Error| Failure::of(error);
    let hog = second.read("cgroup.procs").map_err(|error| failed(&error))?;
    let score = format!("/proc/{}/oom_score_adj", hog.trim());
    fs::write(&score, process::OOM_NEVER.to_string())?;
    let bytes = parent.current_bytes().map_err(|error| failed(&error))? - BELOW_BYTES;
    let lowered = parent.limit_to(bytes).map_err(|error| failed(&error));
    fs::write(&score, hog::OOM_SCORE_ADJ.to_string())?;
    lowered?;
    let is_over = parent.current_bytes().is_ok_and(|now| now > bytes);
    if is_over { Ok(()) } else { Err(Errno::ENODATA.into()) }
}

fn open_to_read(path: &CStr) -> nix::Result<()> {
    open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map(drop)
}
