// SPDX-License-Identifier: MIT OR Apache-2.0
//! A patched kernel compared with the baseline: the verdict on the patch, with what both sides did.
//!
//! Contract: only data. `report` makes the sentence of it, and nothing reads that back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Reached;
use crate::chance::Shown;
use crate::config::Condition;
use crate::plan::CellKey;
use crate::taxonomy::{FactName, Rule, Verdict};

/// The verdict on the patch in one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Comparison {
    /// The cell of the patched kernel.
    pub(crate) cell: CellKey,
    /// What was asked of the patched kernel.
    pub(crate) wanted: Wanted,
    /// The problem: a repetition shows it where all of these hold. Empty in a control.
    pub(crate) problem: Vec<Condition>,
    /// The verdict on the patch.
    pub(crate) outcome: Differential,
    /// The unpatched kernel.
    pub(crate) baseline: Side,
    /// The patched one.
    pub(crate) patched: Side,
    /// Probability of a difference this large between equal kernels; only with repetitions.
    pub(crate) chance: Option<f64>,
    /// In what the patched kernel differs besides the problem.
    pub(crate) differences: Vec<Difference>,
    /// Which of the functions that the series changes ran in these cells; `None` if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reached: Option<Reached>,
}

/// What is asked of a patched kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wanted {
    /// That it solves the problem.
    Fix,
    /// That it changes nothing: the policy is off.
    Nothing,
    /// That it does no worse: nothing is stated of it.
    NoWorse,
}

/// The repetitions of the cell on one kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Side {
    /// How often it shows the problem; `None` if any repetition has no usable verdict.
    pub(crate) shown: Option<Shown>,
    /// In plan order.
    pub(crate) repetitions: Vec<Repetition>,
}

/// One repetition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repetition {
    /// Its number, from 1.
    pub(crate) repetition: u32,
    /// Its verdict.
    pub(crate) verdict: Verdict,
    /// Whether it shows the problem; `None` if it has no usable verdict.
    pub(crate) shows: Option<bool>,
    /// For each condition of the problem the value of its fact, where there is one.
    pub(crate) values: Vec<Option<f64>>,
}

impl Side {
    /// Numbers of the repetitions that are not as most of their side.
    pub(crate) fn flaky(&self) -> Vec<u32> {
        let Some(shown) = self.shown else { return Vec::new() };
        let odd = |one: &&Repetition| one.shows == Some(shown.shows * 2 <= shown.of);
        self.repetitions.iter().filter(odd).map(|one| one.repetition).collect()
    }
}

impl Comparison {
    /// Whether all that is worse are numbers that a scenario states: chance may move them. A
    /// problem that shows here alone is more than that.
    pub(crate) fn is_worse_by_numbers(&self) -> bool {
        let mut worse = self.differences.iter().filter(|one| one.is_worse()).peekable();
        let shows = self.patched.shown.is_some_and(|shown| !shown.never());
        let shows_here_alone = shows && self.baseline.shown.is_some_and(Shown::never);
        self.outcome == Differential::Regressed
            && !shows_here_alone
            && worse.peek().is_some()
            && worse.all(|one| matches!(one, Difference::Stated { .. }))
    }

    /// A second look did not find it worse: it differs, and its author knows whether it should.
    pub(crate) fn is_not_worse_again(&mut self) {
        self.outcome = Differential::Changed;
        for one in &mut self.differences {
            if let Difference::Stated { worse, .. } = one {
                *worse = false;
            }
        }
    }
}

/// In what a patched kernel differs from the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Difference {
    /// The baseline breaks a rule in every repetition, the patched kernel in none.
    Kept {
        /// The rule.
        rule: Rule,
    },
    /// The patched kernel breaks a rule that the baseline keeps.
    Broken {
        /// The rule.
        rule: Rule,
    },
    /// The patched kernel crashes or hangs, and the baseline does not.
    Down {
        /// Which of the two.
        verdict: Verdict,
    },
    /// What the scenario states of the unpatched kernel holds on the baseline alone, or a user's
    /// program ended in another way.
    Stated {
        /// The fact that it is stated of.
        fact: FactName,
        /// Its values on the baseline.
        baseline: Vec<f64>,
        /// Its values on the patched kernel.
        patched: Vec<f64>,
        /// Whether the patched kernel is worse for it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        worse: bool,
    },
    /// A kind of error, kill or event occurs on one side alone, and not by chance.
    Count {
        /// The fact that counts it.
        fact: FactName,
        /// Sum over the repetitions of the baseline.
        baseline: f64,
        /// Sum over the repetitions of the patched kernel.
        patched: f64,
    },
    /// An amount is beyond its tolerance, or is missing on one side.
    Amount {
        /// The fact that it is.
        fact: FactName,
        /// Its values on the baseline; none where it is missing.
        baseline: Vec<f64>,
        /// Its values on the patched kernel.
        patched: Vec<f64>,
        /// Whether the patched kernel is worse for it.
        worse: bool,
    },
}

impl Difference {
    /// Whether the patched kernel is worse for it, whatever its author wanted.
    pub(crate) fn is_worse(&self) -> bool {
        match self {
            Self::Amount { worse, .. } | Self::Stated { worse, .. } => *worse,
            Self::Broken { .. } | Self::Down { .. } => true,
            Self::Kept { .. } | Self::Count { .. } => false,
        }
    }
}

/// The verdict on a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// A kernel of which nothing is stated does what the baseline does.
    Same,
    /// The same, but none of the changed code ran: it says nothing about the patch.
    NotReached,
    /// Such a kernel does something else, and breaks no rule that the baseline keeps.
    Changed,
    /// One side has no usable verdict.
    Unknown,
}

impl std::fmt::Display for Differential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Fixed => "FIXED",
            Self::NotFixed => "NOT FIXED",
            Self::NoDifference => "NO DIFFERENCE",
            Self::Regressed => "REGRESSED",
            Self::Inert => "INERT",
            Self::Same => "SAME",
            Self::NotReached => "NOT REACHED",
            Self::Changed => "CHANGED",
            Self::Unknown => "UNKNOWN",
        })
    }
}
