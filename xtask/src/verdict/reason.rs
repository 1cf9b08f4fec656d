// SPDX-License-Identifier: MIT OR Apache-2.0
//! A verdict and why, with what is the same for the same fault kept apart from its circumstances.

use super::Verdict;
use crate::outcome::Cause;

/// Why a cell has its verdict.
pub(super) struct Reason {
    /// The verdict.
    pub(super) verdict: Verdict,
    /// Kind of the report on the console that decided; `None` where none did.
    kind: Option<&'static str>,
    /// First line of that report, or what else decided.
    said: String,
    /// What was so this time: how long, how many more.
    besides: Option<String>,
}

impl Reason {
    /// A verdict for this reason.
    pub(super) fn new(verdict: Verdict, said: impl Into<String>) -> Self {
        Self { verdict, kind: None, said: said.into(), besides: None }
    }

    /// The verdict of a report of this kind on the console, with its first line.
    pub(super) fn of_report(verdict: Verdict, kind: &'static str, title: &str) -> Self {
        Self { verdict, kind: Some(kind), said: title.to_owned(), besides: None }
    }

    /// The reason with what was so this time.
    pub(super) fn besides(self, besides: Option<String>) -> Self {
        Self { besides, ..self }
    }

    /// The reason with words before it.
    pub(super) fn after(self, words: &str) -> Self {
        Self { said: format!("{words}: {}", self.said), ..self }
    }

    /// Whether a report on the console decided.
    pub(super) fn is_of_report(&self) -> bool {
        self.kind.is_some()
    }

    /// The reason in one line, for people.
    pub(super) fn why(&self) -> String {
        let kind = self.kind.map(|kind| format!("{kind}: ")).unwrap_or_default();
        let besides = self.besides.as_ref().map(|more| format!("; {more}")).unwrap_or_default();
        format!("{kind}{}{besides}", self.said)
    }

    /// What is stored of it; `None` where the checks say it all.
    pub(super) fn cause(self) -> Option<Cause> {
        let of_checks = matches!(self.verdict, Verdict::Pass | Verdict::Fail);
        let kind = self.kind.map(str::to_owned);
        (!of_checks).then_some(Cause { kind, said: self.said })
    }
}
