// SPDX-License-Identifier: MIT OR Apache-2.0
//! How sure a share is that was seen in a few tries.

use std::ops::RangeInclusive;

use super::Shown;

/// Standard deviations that hold 95 percent of a normal distribution.
const Z: f64 = 1.96;

/// Where the true share lies with 95 percent confidence: Wilson's score interval. Unlike the
/// textbook's, it says something when none or all of a few tries show it.
pub(crate) fn interval(seen: Shown) -> RangeInclusive<f64> {
    if seen.of == 0 {
        return 0.0..=1.0;
    }
    let (n, z2) = (f64::from(seen.of), Z * Z);
    let share = f64::from(seen.shows) / n;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    (centre - half).max(0.0)..=(centre + half).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Wilson's interval as R's `prop.test(correct = FALSE)` prints them.
    #[test]
    fn a_few_tries_say_little_and_many_say_more() {
        let percent = |shows, of| {
            let interval = interval(Shown { shows, of });
            [interval.start(), interval.end()].map(|share| (share * 1000.0).round() / 10.0)
        };
        assert_eq!(percent(0, 10), [0.0, 27.8]);
        assert_eq!(percent(10, 10), [72.2, 100.0]);
        assert_eq!(percent(3, 10), [10.8, 60.3]);
        assert_eq!(percent(30, 100), [21.9, 39.6]);
        assert_eq!(percent(0, 0), [0.0, 100.0]);
    }
}
