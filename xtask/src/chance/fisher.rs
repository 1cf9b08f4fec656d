// SPDX-License-Identifier: MIT OR Apache-2.0
//! How likely a difference between repetitions on two kernels is to be chance.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// In how many of its repetitions a side shows something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shown {
    /// Repetitions that show it.
    pub(crate) shows: u32,
    /// All repetitions.
    pub(crate) of: u32,
}

impl Shown {
    /// Whether every repetition shows it.
    pub(crate) fn always(self) -> bool {
        self.of > 0 && self.shows == self.of
    }

    /// Whether none does.
    pub(crate) fn never(self) -> bool {
        self.of > 0 && self.shows == 0
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.shows, self.of)
    }
}

/// Probability that `more` shows it at least as often as it did compared with `less`, if both
/// kernels show it equally often: Fisher's exact test, one-sided.
pub(crate) fn by_chance(more: Shown, less: Shown) -> f64 {
    let (all, showing) = (more.of + less.of, more.shows + less.shows);
    let ways = ln_choose(all, showing);
    let tail = more.shows..=more.of.min(showing);
    let fits = tail.filter(|shows| showing - shows <= less.of);
    let sum: f64 = fits
        .map(|shows| (ln_choose(more.of, shows) + ln_choose(less.of, showing - shows) - ways).exp())
        .sum();
    sum.min(1.0)
}

/// Probability that of `all` occurrences at least `most` fall on a side that each falls on with
/// probability `share`.
pub(crate) fn falls_on(most: u32, all: u32, share: f64) -> f64 {
    let (falls, not) = (share.ln(), (1.0 - share).ln());
    let mut ln_ways = ln_choose(all, most) + f64::from(most) * falls + f64::from(all - most) * not;
    let mut sum = ln_ways.exp();
    // Each from the one before: there may be as many as calls.
    for n in most..all {
        ln_ways += f64::from(all - n).ln() - f64::from(n + 1).ln() + falls - not;
        sum += ln_ways.exp();
    }
    sum.min(1.0)
}

/// Repetitions of each side with which "always against never" is chance less often than the
/// confidence, a number below 1, leaves: 5 for 99 %.
pub(crate) fn repetitions(confidence: f64) -> u32 {
    let enough = |of: &u32| {
        let (always, never) = (Shown { shows: *of, of: *of }, Shown { shows: 0, of: *of });
        // Of 1.0 - 0.95 the last digits are not exact.
        by_chance(always, never) <= (1.0 - confidence) * (1.0 + 1e-9)
    };
    (1..=MOST).find(enough).unwrap_or(MOST)
}

/// With 20 repetitions chance is less than 1 in 10 to the 11th.
const MOST: u32 = 20;

/// The logarithm of n over k.
fn ln_choose(n: u32, k: u32) -> f64 {
    (1..=k).map(|at| f64::from(n - k + at).ln() - f64::from(at).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chance(more: (u32, u32), less: (u32, u32)) -> f64 {
        let shown = |(shows, of)| Shown { shows, of };
        by_chance(shown(more), shown(less))
    }

    #[test]
    fn what_falls_on_a_side_is_binomial() {
        assert!((falls_on(10, 10, 0.5) - 1.0 / 1024.0).abs() < 1e-9);
        assert!((falls_on(2, 3, 0.5) - 0.5).abs() < 1e-9);
        assert!((falls_on(0, 7, 0.3) - 1.0).abs() < 1e-9);
        assert!((falls_on(20_000, 60_000, 0.5) - 1.0).abs() < 1e-6, "far below the middle");
        assert!(falls_on(40_000, 60_000, 0.5) < 1e-9);
    }

    #[test]
    fn chance_is_what_fishers_test_says() {
        for (more, less, expected) in [
            ((1, 1), (0, 1), 1.0 / 2.0),
            ((5, 5), (0, 5), 1.0 / 252.0),
            ((10, 10), (0, 10), 1.0 / 184_756.0),
            // (C(4,3) C(4,1) + C(4,4) C(4,0)) / C(8,4)
            ((3, 4), (1, 4), 17.0 / 70.0),
            ((0, 3), (0, 3), 1.0),
            ((3, 3), (3, 3), 1.0),
            // C(10,3) C(10,0) / C(20,3)
            ((3, 10), (0, 10), 120.0 / 1140.0),
        ] {
            let found = chance(more, less);
            assert!((found - expected).abs() < 1e-9, "{more:?} {less:?}: {found}");
        }
    }

    #[test]
    fn a_confidence_has_its_repetitions() {
        for (confidence, expected) in
            [(0.5, 1), (0.8, 2), (0.95, 3), (0.98, 4), (0.99, 5), (0.999, 7)]
        {
            assert_eq!(repetitions(confidence), expected, "{confidence}");
        }
        assert_eq!(repetitions(1.0), MOST);
    }
}
