// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sweep`: reclaim goes through thousands of memcgs that have nothing to give.
//!
//! The outsider writes to `memory.reclaim` of a tree of its own, on a CPU where a more urgent task
//! wants to run every fraction of a millisecond. Without preemption that task runs when reclaim
//! reschedules (`shrink_node_memcgs()`), and each time the outsider is switched away, which the
//! kernel counts (`switch`). A count, not a time: a slow host does not change it much.

use anyhow::Result;
use nix::sys::resource::{UsageWho, getrusage};

use super::{Part, Plan, Terms, Workload};
use crate::brink::stay_on_cpu;
use crate::lane::Lane;
use crate::memcg::Memcg;
use crate::shared::{self, Flag};
use crate::{clock, process};

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("sweep", &[("memcgs", 2000), ("period_us", 200)], plan)];

/// The CPU of the outsider and of the task that wants to run.
const CPU: usize = 1;

/// Far more than is there.
const ALL_BYTES: &str = "1G";

const RECLAIM: usize = 0;
const SWITCH: usize = 1;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let (count, period_us) = (terms.param("memcgs"), terms.param("period_us"));
    // Not below the parent: what a removed memcg was charged goes away late.
    let tree = terms.memcgs.root.child("swept")?;
    tree.delegate()?;
    let idle: Vec<Memcg> =
        (0..count).map(|number| tree.child(&format!("idle-{number}"))).collect::<Result<_>>()?;
    let swept_tree = tree.clone();
    let swept: &'static Flag = shared::map_one()?;
    let actor = Part::new(&["wait"], move |_| {
        Ok(move |lane: &Lane| {
            lane.call(0, || {
                lane.wait_until(|| swept.is_up());
                nix::Result::Ok(())
            });
        })
    });
    let outsider = Part::new(&["reclaim", "switch"], move |_| {
        stay_on_cpu(CPU)?;
        let tree = swept_tree.clone();
        Ok(move |lane: &Lane| {
            let urgent =
                lane.call(RECLAIM, || process::fork_child(|| wake_often(swept, period_us)));
            let before = switches();
            // EAGAIN: there is nothing.
            let refused = tree.write("memory.reclaim", ALL_BYTES).is_err();
            let switched = switches() - before;
            swept.raise();
            if urgent.is_some() && refused {
                process::await_children();
                for _ in 0..switched {
                    lane.call(SWITCH, || nix::Result::Ok(()));
                }
            }
        })
    });
    let findings = move || {
        idle.iter().chain([&tree]).for_each(|memcg| _ = memcg.remove());
        Vec::new()
    };
    let plan = terms.plan(actor).with_outsider(outsider);
    Ok(Plan { findings: Some(Box::new(findings)), ..plan })
}

/// How often the caller was switched away although it could have run on.
fn switches() -> i64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.involuntary_context_switches())
}

/// The urgent task: runs as often as it is let.
fn wake_often(until: &Flag, period_us: u64) -> i32 {
    if process::become_urgent(1).is_err() {
        return 1;
    }
    while !until.is_up() {
        clock::sleep_us(period_us);
    }
    0
}
