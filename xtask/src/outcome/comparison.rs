// SPDX-License-Identifier: MIT OR Apache-2.0
//! A patched kernel compared with the baseline: one differential verdict with both sides.

use serde::{Deserialize, Serialize};

use super::Differential;
use crate::chance::{Shown, by_chance};
use crate::plan::CellKey;

/// One differential verdict: a scenario on one cgroup version, one policy of one patched kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SideBySide {
    /// The patched side.
    #[serde(flatten)]
    pub(crate) key: CellKey,
    /// The verdict on the patch.
    pub(crate) outcome: Differential,
    /// One sentence for people, with the numbers of both sides.
    pub(crate) said: String,
    /// How often each side shows the problem, where every repetition can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shown: Option<Both>,
}

/// How often each side shows the problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Both {
    /// The unpatched kernel.
    pub(crate) baseline: Shown,
    /// The patched one.
    pub(crate) here: Shown,
}

impl Both {
    /// How likely a difference as large as this one is if there is none.
    pub(crate) fn by_chance(self) -> f64 {
        let Self { baseline, here } = self;
        by_chance(baseline, here).min(by_chance(here, baseline))
    }
}

/// A sentence of a differential verdict in its parts, for tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    /// What the verdict means.
    pub(crate) meaning: &'a str,
    /// The problem that was asked for; empty where there is none.
    pub(crate) asked: &'a str,
    /// The numbers of the baseline, with its verdicts.
    pub(crate) baseline: &'a str,
    /// The numbers of the patched kernel, with its verdicts and other differences.
    pub(crate) here: &'a str,
}

impl SideBySide {
    /// The parts of what [`sentence`] said; all of it as the meaning, where it has no such parts.
    pub(crate) fn parts(&self) -> Parts<'_> {
        let parts = || {
            let (begin, numbers) = self.said.split_once(": baseline ")?;
            let (baseline, here) = numbers.split_once("; here ")?;
            let (meaning, asked) = match begin.strip_suffix(']') {
                Some(begin) => begin.split_once(" [")?,
                None => (begin, ""),
            };
            Some(Parts { meaning, asked, baseline, here })
        };
        let whole = Parts { meaning: &self.said, asked: "", baseline: "", here: "" };
        parts().unwrap_or(whole)
    }
}
