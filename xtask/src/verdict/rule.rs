// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an invariant is, and what its check answers for one cell.

use super::Case;
use crate::outcome::{Check, Outcome};
use crate::taxonomy::{FactName, Rule};

/// How an invariant is evaluated.
type Evaluate = fn(&Case<'_>) -> Result<Answer, Missing>;

/// An invariant: each file `iN_name.rs` has one.
#[derive(Clone, Copy)]
pub(super) struct Invariant {
    /// Its number.
    pub(super) rule: Rule,
    /// Its name, for people.
    pub(super) name: &'static str,
    /// The rule in a sentence.
    pub(super) says: &'static str,
    /// Whether it rests on time only, so that a starved host can break it.
    pub(super) of_time: bool,
    pub(super) check: Evaluate,
}

impl Invariant {
    /// An invariant that does not rest on time only.
    pub(super) const fn new(
        number: u8,
        name: &'static str,
        says: &'static str,
        check: Evaluate,
    ) -> Self {
        Self { rule: Rule::Invariant(number), name, says, of_time: false, check }
    }

    /// The same, resting on time only.
    pub(super) const fn of_time(self) -> Self {
        Self { of_time: true, ..self }
    }
}

/// A fact that a rule needs and the evidence does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing(pub(super) String);

/// The value, or that this fact is missing.
pub(super) fn need<T>(value: Option<T>, name: impl Into<FactName>) -> Result<T, Missing> {
    value.ok_or_else(|| Missing(name.into().to_string()))
}

/// What a check answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// Whether the rule was kept.
    pub(super) outcome: Outcome,
    /// With the numbers, for people.
    pub(super) said: String,
}

impl Answer {
    /// Kept or broken.
    pub(super) fn of(kept: bool, said: String) -> Self {
        Self { outcome: if kept { Outcome::Kept } else { Outcome::Broken }, said }
    }

    /// The rule does not apply to this cell.
    pub(super) fn not_asked(said: &str) -> Self {
        Self { outcome: Outcome::NotApplicable, said: said.to_owned() }
    }

    /// Adds the answer for another memcg: the worse outcome stands. What is unknown of the other
    /// one does not hide what is broken here.
    pub(super) fn add(&mut self, memcg: &str, other: Result<Self, Missing>) {
        let other = Self::or_unknown(other);
        let worse = [Outcome::Broken, Outcome::Unknown, Outcome::Kept, Outcome::NotApplicable]
            .into_iter()
            .find(|outcome| *outcome == self.outcome || *outcome == other.outcome);
        self.outcome = worse.unwrap_or(Outcome::Unknown);
        self.said = format!("{}; {memcg}: {}", self.said, other.said);
    }

    /// The same, or that the rule could not be evaluated.
    pub(super) fn or_unknown(answer: Result<Self, Missing>) -> Self {
        answer.unwrap_or_else(|Missing(fact)| Self {
            outcome: Outcome::Unknown,
            said: format!("could not be evaluated: {fact} is missing"),
        })
    }

    /// As the check that is stored.
    pub(super) fn into_check(self, rule: Rule, fact: Option<FactName>) -> Check {
        Check { rule, fact, outcome: self.outcome, said: self.said }
    }
}
