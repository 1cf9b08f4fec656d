// SPDX-License-Identifier: MIT OR Apache-2.0
//! `stranger-mkdir`: a task outside charges a memcg that is at its limit.
//!
//! The limit is the parent's. A task below it opens files until the parent is full, and does no
//! more. The outsider, in the root memcg, makes a child cgroup of the parent and removes it, again
//! and again: `css_create()` charges the state of a new memcg to its parent
//! (`set_active_memcg()`). It does so before the parent is full too (`control`).

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::{Part, Plan, Terms, Workload};
use crate::brink::{Brink, stay_on_cpu};
use crate::cue::Cue;
use crate::lane::Lane;
use crate::memcg::Memcg;
use crate::tally::Failure;
use crate::{clock, shared};

pub(super) const WORKLOADS: &[Workload] = &[Workload::new("stranger-mkdir", &[], plan)];

const CONTROL: usize = 0;
const MKDIR: usize = 1;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    terms.cell.parent.as_ref().context("the parent has no limit")?;
    let cue: &'static Cue = shared::map_one()?;
    let (parent, full) = (terms.memcgs.parent.clone(), terms.memcgs.parent.clone());
    let rounds = terms.cell.operations;
    let actor = Part::new(&["fill"], move |_| {
        stay_on_cpu(0)?;
        let mut brink = Brink::of(&full, "actor")?;
        Ok(move |lane: &Lane| {
            cue.drained.pass();
            lane.call(0, || brink.approach(0).map(drop).map_err(|_| Errno::ENODATA));
            cue.at_brink.raise();
            // The load ends with the last actor.
            lane.wait_until(|| cue.returned.is_up());
        })
    });
    let outsider = Part::new(&["control", "mkdir"], move |_| {
        let parent = parent.clone();
        Ok(move |lane: &Lane| {
            for _ in 0..rounds {
                lane.call(CONTROL, || child_comes_and_goes(&parent));
            }
            // What these give back late, or leave in stocks, would serve the next charges: a
            // failure shows in the facts.
            let _ = clock::within(GONE_MS, 10_000, || has_no_dying(&parent));
            let _ = parent.drain();
            cue.drained.open();
            let _ = cue.await_brink();
            for round in (0..rounds).take_while(|_| !lane.stopped()) {
                // Who pays is decided anew for each pair of calls.
                if round > 0 && round % 2 == 0 {
                    clock::sleep_us(TRIED_ANEW_MS * 1000);
                }
                lane.call(MKDIR, || child_comes_and_goes(&parent));
            }
            cue.returned.raise();
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}

/// After an attempt in vain the series leaves a memcg alone for 250 ms (`STUCK_MS`).
const TRIED_ANEW_MS: u64 = 400;

/// For removed memcgs to be freed.
const GONE_MS: u64 = 1_000;

/// v1 does not say, so there it is all of the time.
fn has_no_dying(memcg: &Memcg) -> bool {
    let stat = memcg.read("cgroup.stat").unwrap_or_default();
    stat.lines().any(|line| line == "nr_dying_descendants 0")
}

fn child_comes_and_goes(parent: &Memcg) -> Result<(), Failure> {
    let child = parent.child("child").map_err(|error| Failure::of(&error))?;
    if child.remove() { Ok(()) } else { Err(Errno::EBUSY.into()) }
}
