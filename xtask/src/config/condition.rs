// SPDX-License-Identifier: MIT OR Apache-2.0
//! Conditions on facts, as scenarios state them: `"open.ENOMEM" = ">= 1, < 9"`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};

use super::place::did_you_mean;
use super::value::{Refusal, from_text};
use crate::taxonomy::FactName;

/// A fact compared with a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    /// The fact.
    pub(crate) fact: FactName,
    /// How to compare.
    pub(crate) comparison: Comparison,
    /// The number.
    pub(crate) number: f64,
}

/// How a [`Condition`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Relation")]
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

/// Two-character signs first: `>` is a prefix of `>=`.
const SIGNS: [(&str, Comparison); 5] = [
    ("==", Comparison::Equal),
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    (">", Comparison::Above),
    ("<", Comparison::Below),
];

impl Condition {
    /// That a fact is this number.
    pub(crate) fn is(fact: FactName, number: f64) -> Self {
        Self { fact, comparison: Comparison::Equal, number }
    }

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

    /// The same for a kernel that is slower by `times`: an upper bound of a time grows. Lower
    /// bounds and other facts stay as they are.
    pub(crate) fn stretched(&self, times: u32) -> Self {
        let upper = matches!(self.comparison, Comparison::Below | Comparison::AtMost);
        let factor = if upper && self.fact.unit().is_time() { f64::from(times) } else { 1.0 };
        Self { number: self.number * factor, ..self.clone() }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = SIGNS.iter().find(|(_, comparison)| *comparison == self.comparison);
        write!(f, "{} {} {}", self.fact, sign.map_or("", |(sign, _)| sign), self.number)
    }
}

/// The name of a fact.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Fact(FactName);

from_text!(Fact, |name| name.parse().map(Self).map_err(|why| {
    let known: Vec<String> = FactName::known().map(|known| known.to_string()).collect();
    (why, did_you_mean(name, known.iter().map(String::as_str)))
}));

/// `">= 1"`, or several that must all hold: `">= 1, < 9"`.
struct Comparisons(Vec<(Comparison, f64)>);

from_text!(Comparisons, |text| text.split(',').map(comparison).collect::<Result<_, _>>().map(Self));

fn comparison(text: &str) -> Result<(Comparison, f64), Refusal> {
    let text = text.trim();
    let read = |(sign, comparison): &(&str, Comparison)| {
        text.strip_prefix(sign).map(|number| (*comparison, number.trim().parse::<f64>()))
    };
    match SIGNS.iter().find_map(read) {
        Some((comparison, Ok(number))) if number.is_finite() => Ok((comparison, number)),
        _ => Err((
            format!("`{text}` is not a comparison"),
            "write one of == >= <= > < and a number, as in \">= 1\"".to_owned(),
        )),
    }
}

/// A table of conditions.
pub(super) fn conditions<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Condition>, D::Error> {
    let table = BTreeMap::<Fact, Comparisons>::deserialize(from)?;
    let of_fact = |(fact, all): (Fact, Comparisons)| {
        all.0.into_iter().map(move |(comparison, number)| {
            let fact = fact.0.clone();
            Condition { fact, comparison, number }
        })
    };
    Ok(table.into_iter().flat_map(of_fact).collect())
}

/// A list of facts.
pub(super) fn facts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<FactName>, D::Error> {
    Ok(Vec::<Fact>::deserialize(from)?.into_iter().map(|fact| fact.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_read_longest_sign_first() {
        assert_eq!(comparison(">= 1"), Ok((Comparison::AtLeast, 1.0)));
        assert_eq!(comparison(">1"), Ok((Comparison::Above, 1.0)));
        assert_eq!(comparison("== 0"), Ok((Comparison::Equal, 0.0)));
        for wrong in ["1", "= 1", ">= x", ">=", "", "== nan", "< inf"] {
            assert!(comparison(wrong).is_err(), "{wrong}");
        }
    }
}
