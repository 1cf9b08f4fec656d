// SPDX-License-Identifier: MIT OR Apache-2.0
//! Evidence -> verdict. Pure: runs nothing, reads nothing, and can be repeated on a stored run.
//!
//! One file an invariant. PASS needs positive evidence; absence is never zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the invariants say of one cell. Ordered: of two causes the one that comes first is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Harness or host failed, or the evidence is incomplete.
    Error,
    /// The kernel crashed or warned.
    Crash,
    /// The deadline passed, or the kernel reported a hung task or a lockup.
    Hang,
    /// A stated requirement is missing.
    Skip,
    /// An invariant or the scenario's expectation is broken.
    Fail,
    /// The path under test never ran.
    Inconclusive,
    /// Every invariant that applies is kept, on positive evidence.
    Pass,
}

/// What one rule says of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// `I1`…`I11` for an invariant, `E` for the scenario's own expectation, `X` for exercised.
    pub rule: String,
    /// Whether the rule was kept.
    pub outcome: Outcome,
    /// With the numbers, for people: `peak 4235264 - max 4194304 = 40960 <= bound 630784`.
    pub said: String,
}

/// Whether a rule was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
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
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Rules broken, in order (`["I1"]`).
    pub breaks: Vec<String>,
    /// One line for people: why this verdict.
    pub why: String,
    /// Whether verdict and broken rules are those the scenario expects of this policy.
    pub as_expected: bool,
    /// Every rule asked.
    pub checks: Vec<Check>,
    /// Flat facts derived from the evidence (`open.ENOMEM`, `counters.charges`, `peak_over_bytes`).
    pub facts: BTreeMap<String, f64>,
}

/// What a scenario says of the patch: baseline beside patched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Differential {
    /// The baseline shows the problem, the patched kernel does not.
    Fixed,
    /// Both show the problem.
    NotFixed,
    /// Neither shows the problem: the scenario says nothing about the patch.
    NoDifference,
    /// Only the patched kernel shows the problem or fails.
    Regressed,
    /// One side has no usable verdict.
    Unknown,
}
