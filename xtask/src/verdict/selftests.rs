// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's own tests on two kernels, compared. Pure.
//!
//! Contract: the unpatched kernel says what is normal. A test may fail on both; it may not get
//! worse. The worst of several runs counts, on both sides alike, so that a test that fails now and
//! then is called flaky where it does so on the base too. A test that only the series brings must
//! pass.

use std::collections::BTreeSet;

use serde::Serialize;

use super::ktap::{Outcome, Results};

/// What one test on a patched kernel says, compared with the same test on the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Beside {
    /// Worse than the base ever was.
    Worse,
    /// A test of the series itself that does not pass with the series.
    Unproven,
    /// Neither kernel let the test come to a result: nothing is known.
    Untold,
    /// Not the same in every run, on the base too.
    Flaky,
    /// Better than the base.
    Better,
    /// The same.
    Same,
}

impl Beside {
    /// Whether it speaks against the series, or leaves open what must be known.
    pub(crate) fn good(self) -> bool {
        matches!(self, Self::Flaky | Self::Better | Self::Same)
    }
}

/// One test, on the base and on a patched kernel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TestBeside {
    /// Name; empty for the program as a whole.
    pub(crate) test: String,
    /// Outcomes on the base, one a run.
    pub(crate) base: Vec<Outcome>,
    /// Outcomes on the other kernel.
    pub(crate) patched: Vec<Outcome>,
    /// What that says.
    pub(crate) beside: Beside,
}

/// Every test that a program ever named on either kernel. `is_new`: the base's own source does not
/// have this program.
pub(crate) fn compare(base: &[Results], patched: &[Results], is_new: bool) -> Vec<TestBeside> {
    let names: BTreeSet<&String> = base.iter().chain(patched).flat_map(Results::keys).collect();
    let outcomes = |runs: &[Results], name: &String| -> Vec<Outcome> {
        runs.iter().map(|run| run.get(name).copied().unwrap_or(Outcome::NoResult)).collect()
    };
    let test = |name: &String| {
        let (base, patched) = (outcomes(base, name), outcomes(patched, name));
        let beside = beside(&base, &patched, is_new);
        TestBeside { test: name.clone(), base, patched, beside }
    };
    names.into_iter().map(test).collect()
}

fn beside(base: &[Outcome], patched: &[Outcome], is_new: bool) -> Beside {
    let worst = |runs: &[Outcome]| runs.iter().min().copied().unwrap_or(Outcome::NoResult);
    let steady = |runs: &[Outcome]| runs.windows(2).all(|pair| pair[0] == pair[1]);
    let (before, after) = (worst(base), worst(patched));
    match () {
        () if is_new && after != Outcome::Pass => Beside::Unproven,
        () if after < before => Beside::Worse,
        () if after == Outcome::NoResult && steady(base) && steady(patched) => Beside::Untold,
        () if !steady(base) || !steady(patched) => Beside::Flaky,
        () if after > before => Beside::Better,
        () => Beside::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Fail, NoResult, Pass, Skip};
    use super::*;

    #[test]
    fn the_base_says_what_is_normal() {
        let table = [
            (&[Pass][..], &[Pass][..], Beside::Same),
            (&[Fail], &[Fail], Beside::Same),
            (&[Pass], &[Fail], Beside::Worse),
            (&[Pass], &[Skip], Beside::Worse),
            (&[Fail], &[NoResult], Beside::Worse),
            (&[Fail], &[Pass], Beside::Better),
            (&[NoResult], &[NoResult], Beside::Untold),
            (&[Pass, Fail], &[Pass, Fail], Beside::Flaky),
            (&[Pass, Fail], &[Pass, Pass], Beside::Flaky),
            (&[Pass, Pass], &[Pass, Fail], Beside::Worse),
            (&[], &[], Beside::Untold),
        ];
        for (base, patched, expected) in table {
            assert_eq!(beside(base, patched, false), expected, "{base:?} {patched:?}");
        }
    }

    #[test]
    fn a_test_of_the_series_must_pass_with_it_whatever_the_base_does() {
        assert_eq!(beside(&[Fail], &[Pass], true), Beside::Better);
        assert_eq!(beside(&[Fail], &[Fail], true), Beside::Unproven);
        assert_eq!(beside(&[Skip], &[Skip], true), Beside::Unproven);
        assert_eq!(beside(&[Pass], &[Pass], true), Beside::Same);
    }

    #[test]
    fn a_test_that_only_one_side_named_has_no_result_on_the_other() {
        let run = |names: &[(&str, Outcome)]| -> Results {
            names.iter().map(|(name, outcome)| ((*name).to_owned(), *outcome)).collect()
        };
        let base = [run(&[("a", Pass), ("b", Pass)])];
        let found = compare(&base, &[run(&[("a", Pass)])], false);
        let said: Vec<_> = found.iter().map(|t| (t.test.as_str(), t.beside)).collect();
        assert_eq!(said, [("a", Beside::Same), ("b", Beside::Worse)]);
    }
}
