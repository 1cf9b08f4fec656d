// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verdict on one cell, with every rule that was evaluated.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::taxonomy::{FactName, Facts, Rule, Verdict};

/// What one rule says of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    /// The rule.
    pub(crate) rule: Rule,
    /// The fact that it is about, for a condition of the scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fact: Option<FactName>,
    /// Whether the rule was kept.
    pub(crate) outcome: Outcome,
    /// With the numbers, for people: `peak 4235264 - max 4194304 = 40960 <= bound 630784`.
    pub(crate) said: String,
}

/// Whether a rule was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// What a verdict rests on, where no rule decided: the same for the same fault but for its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cause {
    /// Short name of the report on the console that decided: `oops`, `hung task`; `None` where none
    /// did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    /// First line of that report, or what else decided.
    pub(crate) said: String,
}

/// The verdict on one cell with everything it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [
    { "if": { "properties": { "verdict": { "const": "FAIL" } } },
      "then": { "properties": { "breaks": { "minItems": 1 } } } },
    { "if": { "properties": { "verdict": { "const": "PASS" } } },
      "then": { "properties": { "breaks": { "maxItems": 0 } } } },
]))]
pub(crate) struct Judgement {
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// Rules broken, in order.
    pub(crate) breaks: Vec<Rule>,
    /// One line for people: why this verdict.
    pub(crate) why: String,
    /// Whether verdict and broken rules are those the scenario expects of this policy.
    pub(crate) as_expected: bool,
    /// Every rule asked.
    pub(crate) checks: Vec<Check>,
    /// Flat facts derived from the evidence.
    pub(crate) facts: Facts,
    /// What decided; `None` of PASS and FAIL, which have their checks, and in results of harnesses
    /// that stored `why` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<Cause>,
    /// The first functions of the stack that mean something, where the console decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) frames: Vec<String>,
    /// Known faults of the unpatched kernel that it shows too: they do not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) known: Vec<String>,
}
