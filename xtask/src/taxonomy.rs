// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words that configs, plan, verdicts and reports share: verdicts, rules, names of facts.
//!
//! Only words: what they mean of a cell is decided in `verdict`.

mod fact;
mod harm;
mod rule;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use fact::{CallFact, CellFact, FactName, Facts, MemcgFact, Unit};
pub(crate) use harm::Harm;
pub(crate) use rule::Rule;

/// Reads and writes a type as the text that it displays as and is parsed from.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(from)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}
use serde_as_text;

/// What the invariants say of one cell. Ordered: of two causes the first one is reported.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
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
