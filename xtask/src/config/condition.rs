// SPDX-License-Identifier: MIT OR Apache-2.0
//! Conditions on facts, as scenarios state them.

use serde::{Deserialize, Serialize};

/// A fact compared with a number: `"open.ENOMEM" = ">= 1"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// Name of the fact.
    pub(crate) fact: String,
    /// How to compare.
    pub(crate) comparison: Comparison,
    /// The number.
    pub(crate) number: f64,
}

/// How a [`Condition`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Comparison {
    /// `==`
    Equal,
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `<`
    Below,
}

impl Condition {
    /// Whether a value fulfils it.
    pub(crate) fn holds(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Equal => value == self.number,
            Comparison::AtLeast => value >= self.number,
            Comparison::AtMost => value <= self.number,
            Comparison::Above => value > self.number,
            Comparison::Below => value < self.number,
        }
    }

    /// On a kernel that is slower by `times`, something may take so much longer: an upper bound of a
    /// time is stretched. Lower bounds and other facts stay as they are.
    pub(crate) fn stretched(&self, times: u32) -> Self {
        let upper = matches!(self.comparison, Comparison::Below | Comparison::AtMost);
        let of_time = self.fact.split(['.', '_']).any(|word| word == "ms" || word == "us");
        let factor = if upper && of_time { f64::from(times) } else { 1.0 };
        Self { number: self.number * factor, ..self.clone() }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = match self.comparison {
            Comparison::Equal => "==",
            Comparison::AtLeast => ">=",
            Comparison::AtMost => "<=",
            Comparison::Above => ">",
            Comparison::Below => "<",
        };
        write!(f, "{} {sign} {}", self.fact, self.number)
    }
}
