// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words that configs, plan, verdicts and reports share: verdicts, rules, names of facts.
//!
//! Only words: what they mean of a cell is decided in `verdict`.

pub(crate) mod names;

use serde::{Deserialize, Serialize};

/// Invariants that are asked, in the order in which a verdict names them.
pub(crate) const RULES: [&str; 11] =
    ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11"];

/// The rule that a scenario's own expectation is.
pub(crate) const EXPECTATION: &str = "E";

/// What the invariants say of one cell. Ordered: of two causes the one that comes first is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Verdict {
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

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Error => "ERROR",
            Self::Crash => "CRASH",
            Self::Hang => "HANG",
            Self::Skip => "SKIP",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Pass => "PASS",
        })
    }
}
