// SPDX-License-Identifier: MIT OR Apache-2.0
//! Exact tests of whether a difference is chance, and the median. Pure numbers.

mod fisher;
mod rank_sum;
mod search;
mod share;

pub(crate) use fisher::{Shown, by_chance, falls_on, repetitions};
pub(crate) use rank_sum::{of_rise, stands_out};
pub(crate) use search::{Answer, Belief, Place};
pub(crate) use share::interval;

/// The middle one; of two in the middle, their mean.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
    }
}
