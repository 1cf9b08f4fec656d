// SPDX-License-Identifier: MIT OR Apache-2.0
//! Evidence -> verdict. Pure: runs nothing, reads nothing, and can be repeated on a stored run.
//!
//! One file an invariant. PASS needs positive evidence; absence is never zero.

mod chance;
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
mod oom;
mod proof;
mod score;
pub(crate) mod selftests;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use protocol::CgroupVersion;
use serde::{Deserialize, Serialize};

use crate::config::{MAINLINE, Scenario};
use crate::evidence::Evidence;
use crate::plan::Cell;
use crate::taxonomy::{RULES, Verdict, names};

pub(crate) use chance::repetitions as repetitions_for;
pub(crate) use console::{Finding, findings};
pub(crate) use cost::{Cost, costs};
pub(crate) use differential::{Judged, Parts, SideBySide, compare};
pub(crate) use inject::{Site, sites};
pub(crate) use judge::{by_emulator, judge};
pub(crate) use oom::{Origin, Report, ooms};
pub(crate) use proof::wrong_clock;
pub(crate) use score::{Ran, Score, score};

/// What one rule says of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Check {
    /// `I1`…`I11` for an invariant, `E` for the scenario's own expectation, `X` for exercised.
    pub(crate) rule: String,
    /// Whether the rule was kept.
    pub(crate) outcome: Outcome,
    /// With the numbers, for people: `peak 4235264 - max 4194304 = 40960 <= bound 630784`.
    pub(crate) said: String,
}

/// Whether a rule was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Kept, on evidence.
    Kept,
    /// Broken, on evidence.
    Broken,
    /// Does not apply to this cell; `said` tells why.
    NotApplicable,
    /// Applies, but a fact it needs is missing.
    Unknown,
}

/// The verdict on one cell with everything it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judgement {
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// Rules broken, in order (`["I1"]`).
    pub(crate) breaks: Vec<String>,
    /// One line for people: why this verdict.
    pub(crate) why: String,
    /// Whether verdict and broken rules are those the scenario expects of this policy.
    pub(crate) as_expected: bool,
    /// Every rule asked.
    pub(crate) checks: Vec<Check>,
    /// Flat facts derived from the evidence (`open.ENOMEM`, `counters.charges`, `peak_over_bytes`).
    pub(crate) facts: BTreeMap<String, f64>,
}

/// What a scenario says of the patch: baseline beside patched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Differential {
    /// The baseline shows the problem, the patched kernel does not.
    Fixed,
    /// Both show the problem.
    NotFixed,
    /// Neither shows the problem: the scenario says nothing about the patch.
    NoDifference,
    /// Only the patched kernel shows the problem or fails.
    Regressed,
    /// A policy that should change nothing changes nothing.
    Inert,
    /// A kernel of which nobody has stated anything does what the baseline does.
    Same,
    /// Such a kernel does something else, and breaks no rule that the baseline keeps.
    Changed,
    /// One side has no usable verdict.
    Unknown,
}

/// How slow the machine is that the cell ran on: tolerances in time that do not come from the
/// kernel's own timers grow with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// Times slower than KVM, at least 1.
    pub(crate) slowdown: u32,
}

/// A fact that a rule needs and the evidence does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing(pub(crate) String);

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
        match (self.cell.cgroup, prefix) {
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

impl Check {
    fn of(rule: &str, kept: bool, said: String) -> Self {
        let outcome = if kept { Outcome::Kept } else { Outcome::Broken };
        Self { rule: rule.to_owned(), outcome, said }
    }

    fn not_asked(rule: &str, said: &str) -> Self {
        Self { rule: rule.to_owned(), outcome: Outcome::NotApplicable, said: said.to_owned() }
    }

    /// Takes in what the same rule says of another memcg: the worse outcome stands. What cannot be told of the other one
    /// does not take away what is broken here.
    fn add(&mut self, memcg: &str, other: Result<Self, Missing>) {
        let other = other.unwrap_or_else(|missing| Self::unknown(&self.rule, &missing));
        let worse = [Outcome::Broken, Outcome::Unknown, Outcome::Kept, Outcome::NotApplicable]
            .into_iter()
            .find(|outcome| *outcome == self.outcome || *outcome == other.outcome);
        self.outcome = worse.unwrap_or(Outcome::Unknown);
        self.said = format!("{}; {memcg}: {}", self.said, other.said);
    }

    fn unknown(rule: &str, Missing(fact): &Missing) -> Self {
        let said = format!("cannot be told: {fact} is missing");
        Self { rule: rule.to_owned(), outcome: Outcome::Unknown, said }
    }
}
