// SPDX-License-Identifier: MIT OR Apache-2.0
//! How likely a difference is by chance: the rank-sum test of Mann and Whitney, one-sided and
//! exact.
//!
//! No shape of the numbers is assumed, since times of a VM have none. Equal values share their
//! rank, and the distribution is that of these very ranks: with pages and clock ticks for units
//! many are equal, and the usual tables are of ranks without ties.

/// More values of a side than this are thinned: enough for any difference that matters, and
/// bounded.
const VALUES_MAX: usize = 50;

/// The chance that values like `old` and `new`, drawn from one and the same source, come out with
/// `new` at least as far above `old` as here. 1 where a side has no value.
pub(crate) fn of_rise(old: &[f64], new: &[f64]) -> f64 {
    let (old, new) = (thinned(old), thinned(new));
    if old.is_empty() || new.is_empty() {
        return 1.0;
    }
    let all: Vec<f64> = old.iter().chain(&new).copied().collect();
    let ranks: Vec<usize> = all.iter().map(|value| doubled_rank(&all, *value)).collect();
    let observed: usize = ranks[old.len()..].iter().sum();
    let highest: usize = ranks.iter().sum();
    // ways[n][s]: how many choices of n of the ranks so far have the sum s.
    let mut ways = vec![vec![0.0f64; highest + 1]; new.len() + 1];
    ways[0][0] = 1.0;
    for rank in ranks {
        for n in (1..=new.len()).rev() {
            let (fewer, more) = ways.split_at_mut(n);
            for (sum, count) in more[0].iter_mut().enumerate().skip(rank) {
                *count += fewer[n - 1][sum - rank];
            }
        }
    }
    let chosen = &ways[new.len()];
    chosen[observed..].iter().sum::<f64>() / chosen.iter().sum::<f64>()
}

/// Whether `new` is so far above `old` that [`of_rise`] is worth its time: a rank sum of more than
/// three standard deviations above the mean, which chance gives about once in 700 times.
pub(crate) fn stands_out(old: &[f64], new: &[f64]) -> bool {
    let above = |a: f64, b: f64| if b > a { 1.0 } else { f64::from(u8::from(a == b)) / 2.0 };
    let sum: f64 = old.iter().flat_map(|a| new.iter().map(|b| above(*a, *b))).sum();
    let (n, m) = (old.len() as f64, new.len() as f64);
    sum - n * m / 2.0 > 3.0 * (n * m * (n + m + 1.0) / 12.0).sqrt()
}

/// Twice the rank, so that the mean of tied ranks is whole.
fn doubled_rank(all: &[f64], value: f64) -> usize {
    let below = all.iter().filter(|other| **other < value).count();
    let equal = all.iter().filter(|other| **other == value).count();
    2 * below + equal + 1
}

fn thinned(values: &[f64]) -> Vec<f64> {
    let count = values.len().min(VALUES_MAX);
    (0..count).map(|at| values[at * values.len() / count]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} and not {expected}");
    }

    #[test]
    fn without_ties_it_is_what_the_tables_say() {
        // Wholly apart: one way in C(6, 3), C(10, 5), C(14, 7).
        near(of_rise(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 1.0 / 20.0);
        let (low, high): (Vec<f64>, Vec<f64>) =
            ((1..=7).map(f64::from).collect(), (8..=14).map(f64::from).collect());
        near(of_rise(&low[..5], &high[..5]), 1.0 / 252.0);
        near(of_rise(&low, &high), 1.0 / 3432.0);
        near(of_rise(&high, &low), 1.0);
        // U = 1 of 3 and 3: two ways.
        near(of_rise(&[1.0, 2.0, 4.0], &[3.0, 5.0, 6.0]), 2.0 / 20.0);
    }

    #[test]
    fn equal_values_say_nothing_and_ties_are_counted_exactly() {
        near(of_rise(&[4.0; 10], &[4.0; 10]), 1.0);
        near(of_rise(&[1.0; 3], &[2.0; 3]), 1.0 / 20.0);
        // Of the six choices of two of {1, 2, 2, 3} three are at least {2, 3}: 2+3 twice, and no
        // other.
        near(of_rise(&[1.0, 2.0], &[2.0, 3.0]), 2.0 / 6.0);
    }

    #[test]
    fn nothing_is_proven_by_one_value_or_none() {
        near(of_rise(&[1.0], &[1e9]), 0.5);
        near(of_rise(&[], &[1.0]), 1.0);
        near(of_rise(&[1.0], &[]), 1.0);
    }

    #[test]
    fn what_does_not_stand_out_is_likelier_than_once_in_500_times() {
        let side = |count: u32, from: f64| -> Vec<f64> {
            (0..count).map(|at| from + f64::from(at)).collect()
        };
        let (old, new) = (side(30, 0.0), side(7, 30.0));
        assert!(stands_out(&old, &new) && of_rise(&old, &new) < 1e-6);
        for from in 0..40 {
            let new = side(7, f64::from(from));
            assert!(stands_out(&old, &new) || of_rise(&old, &new) > 1.0 / 2000.0, "{from}");
        }
        assert!(!stands_out(&[], &[1.0]) && !stands_out(&[1.0; 9], &[1.0; 9]));
    }

    #[test]
    fn many_values_are_thinned_over_their_whole_length() {
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        let thin = thinned(&values);
        assert_eq!((thin.len(), thin[0], thin[49]), (50, 0.0, 980.0));
        assert!(of_rise(&values, &values.iter().map(|v| v + 1000.0).collect::<Vec<_>>()) < 1e-20);
    }
}
