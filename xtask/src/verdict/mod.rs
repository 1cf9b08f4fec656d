// SPDX-License-Identifier: MIT OR Apache-2.0
//! Evidence -> verdict. Pure: runs nothing, reads nothing, and can be repeated on a stored run.
//!
//! One file an invariant. PASS needs positive evidence; absence is never zero.

mod charges;
mod console;
mod cost;
mod differential;
mod facts;
mod i10_progress;
mod i11_off_is_mainline;
mod i1_no_escape;
mod i2_bound;
mod i3_timely;
mod i4_right_victim;
mod i5_no_leak;
mod i6_no_hang;
mod i7_bystanders;
mod i8_hierarchy;
mod i9_truthful;
mod inject;
mod judge;
pub(crate) mod ktap;
mod no_worse;
mod proof;
mod score;
pub(crate) mod selftests;
#[cfg(test)]
pub(crate) mod tests;

use protocol::CgroupVersion;
use serde::{Deserialize, Serialize};

use crate::config::{MAINLINE, Scenario};
use crate::evidence::Evidence;
use crate::outcome::{Check, Differential, Judgement, Missing, Outcome};
use crate::plan::Cell;
use crate::taxonomy::{RULES, Verdict, names};

pub(crate) use console::{Finding, findings};
pub(crate) use cost::{Cost, costs};
pub(crate) use differential::{Judged, compare};
pub(crate) use inject::{Site, sites};
pub(crate) use judge::{by_emulator, judge};
pub(crate) use proof::wrong_clock;
pub(crate) use score::{Ran, Score, score};

/// How slow the machine is that the cell ran on: tolerances in time that do not come from the
/// kernel's own timers grow with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// Times slower than KVM, at least 1.
    pub(crate) slowdown: u32,
}

/// Everything a rule may look at.
pub(crate) struct Case<'a> {
    cell: &'a Cell,
    scenario: &'a Scenario,
    evidence: &'a Evidence,
    facts: &'a facts::Facts,
    findings: &'a [Finding],
    pace: Pace,
    cpus: u32,
    page_bytes: u64,
}

impl Case<'_> {
    /// The fact of that name, or the reason why the rule cannot be asked.
    fn need(&self, name: &str) -> Result<f64, Missing> {
        self.facts.get(name).ok_or_else(|| Missing(name.to_owned()))
    }

    /// Kills in or below the memcg whose facts begin with `prefix`, by the events. v1 counts a kill in the
    /// victim's own memcg alone (`memcg_memory_event()`).
    fn kill_events(&self, prefix: &str) -> Option<f64> {
        let of = |prefix: &str| self.facts.get(&format!("{prefix}events.oom_kill"));
        match (self.cell.key.cgroup, prefix) {
            (CgroupVersion::V1, "parent.") => {
                let all = ["", "second.", prefix].map(of);
                all.into_iter().flatten().reduce(|one, other| one + other)
            }
            _ => of(prefix),
        }
    }

    /// Whether the policy of this cell lets charges go over the limit.
    fn overcharges(&self) -> bool {
        self.cell.expects_as != MAINLINE
    }
}
