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

/// What each rule says, for people who read a verdict: number, name, and the rule in a sentence.
const RULE_WORDS: [(&str, &str, &str); 13] = [
    ("I1", "no escape", "no eligible charge of kernel memory fails, plainly or in disguise"),
    ("I2", "bound", "usage stays below the limit and the cap; without the feature below the limit"),
    ("I3", "timely", "usage comes back to the limit soon"),
    ("I4", "right victim", "every kill is counted and is below the memcg that was over its limit"),
    ("I5", "no leak", "nothing stays charged when everybody has gone, and no memcg stays behind"),
    ("I6", "no hang", "no task hangs, a heartbeat outside goes on, everybody can be killed"),
    ("I7", "bystanders", "who is outside is not killed, not counted and not slowed down"),
    ("I8", "hierarchy", "bound and timely hold for a parent with a limit too"),
    ("I9", "truthful", "statistics, counters and trace events agree with one another"),
    ("I10", "progress", "calls go on after a reconciliation, and OOM reports are bounded"),
    ("I11", "off is mainline", "with the policy off the kernel does as the unpatched one does"),
    (EXPECTATION, "expectation", "what the scenario itself expects of this policy"),
    (EXERCISED, "exercised", "the path under test was taken at all"),
];

/// The check that the path under test ran.
const EXERCISED: &str = "X";

/// Name of a rule and the rule in a sentence; empty for one that is not known.
pub(crate) fn rule_words(rule: &str) -> (&'static str, &'static str) {
    let found = RULE_WORDS.iter().find(|(number, ..)| *number == rule);
    found.map_or(("", ""), |(_, name, says)| (name, says))
}

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

/// Name of the kernel with the user's series: always the same, so that runs can be compared.
pub(crate) const USER_SERIES: &str = "series";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_words() {
        for rule in RULES {
            assert_ne!(rule_words(rule), ("", ""), "{rule}");
        }
        assert_eq!(rule_words("I99"), ("", ""));
    }
}
