// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules by number: what a verdict names as broken and a scenario as expected to break.
//!
//! Any number is a rule in shape. `verdict` knows which exist and what they say.

use std::fmt;
use std::str::FromStr;

/// A rule that a cell keeps or breaks, written `I1`, `E` or `X`. Ordered as a verdict names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Rule {
    /// An invariant, by its number.
    Invariant(u8),
    /// What the scenario expects of the policy.
    Expectation,
    /// The path under test ran.
    Exercised,
}

impl Rule {
    /// Their names, separated by commas: `I1,I3`.
    pub(crate) fn list(rules: &[Self]) -> String {
        rules.iter().map(Self::to_string).collect::<Vec<_>>().join(",")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invariant(number) => f.pad(&format!("I{number}")),
            Self::Expectation => f.pad("E"),
            Self::Exercised => f.pad("X"),
        }
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "E" => Ok(Self::Expectation),
            "X" => Ok(Self::Exercised),
            // A leading zero or sign would give one rule two names.
            _ => text
                .strip_prefix('I')
                .filter(|number| number.starts_with(|c| ('1'..='9').contains(&c)))
                .and_then(|number| number.parse().ok())
                .map(Self::Invariant)
                .ok_or_else(|| format!("`{text}` is no rule: write I1, E or X")),
        }
    }
}

super::serde_as_text!(Rule);

#[cfg(test)]
impl From<&str> for Rule {
    fn from(text: &str) -> Self {
        text.parse().unwrap_or_else(|why| panic!("{why}"))
    }
}

#[cfg(test)]
impl PartialEq<&str> for Rule {
    fn eq(&self, text: &&str) -> bool {
        text.parse() == Ok(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        for text in ["I1", "I11", "I255", "E", "X"] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for wrong in ["", "I", "I0x", "I01", "I+1", "I256", "e", "EX", "1"] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
        let mut rules = ["X", "I10", "E", "I2"].map(|text| text.parse::<Rule>().unwrap());
        rules.sort_unstable();
        assert_eq!(Rule::list(&rules), "I2,I10,E,X");
    }
}
