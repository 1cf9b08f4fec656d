// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers of instructions, one for each call, in memory that PID 1 sees.
//!
//! Written by the measured task inside its memcg: taking a sample allocates nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::Result;
use protocol::{FREQUENT_MAX, Instructions};

use crate::shared;

/// The samples of one kind of call.
pub(crate) struct Samples {
    taken: &'static AtomicU64,
    ticks: &'static [AtomicU32],
}

impl Samples {
    /// Room for `most` samples.
    pub(crate) fn with_room(most: usize) -> Result<Self> {
        Ok(Self { taken: shared::map_one()?, ticks: shared::map(most)? })
    }

    /// Takes one; what does not fit is not kept.
    pub(crate) fn take(&self, ticks: u64) {
        let at = self.taken.load(Ordering::Relaxed);
        if let Some(place) = self.ticks.get(at as usize) {
            place.store(u32::try_from(ticks).unwrap_or(u32::MAX), Ordering::Relaxed);
            self.taken.store(at + 1, Ordering::Relaxed);
        }
    }

    /// Forgets what was taken so far: it was warming up.
    pub(crate) fn forget(&self) {
        self.taken.store(0, Ordering::Relaxed);
    }

    /// Samples in the order taken.
    pub(crate) fn taken(&self) -> Vec<u64> {
        let taken = self.taken.load(Ordering::Relaxed) as usize;
        self.ticks[..taken].iter().map(|ticks| ticks.load(Ordering::Relaxed).into()).collect()
    }
}

/// Spread of samples, each less `own` ticks; `None` without a sample.
pub(crate) fn spread(mut ticks: Vec<u64>, own: u64) -> Option<Instructions> {
    ticks.iter_mut().for_each(|ticks| *ticks = ticks.saturating_sub(own));
    ticks.sort_unstable();
    let mut times: BTreeMap<u64, u64> = BTreeMap::new();
    for ticks in &ticks {
        *times.entry(*ticks).or_default() += 1;
    }
    let mut frequent: Vec<(u64, u64)> = times.into_iter().collect();
    // Stable: of equally frequent ones the smaller first.
    frequent.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    frequent.truncate(FREQUENT_MAX);
    Some(Instructions {
        min: *ticks.first()?,
        median: ticks[ticks.len() / 2],
        max: *ticks.last()?,
        frequent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_comes_first() {
        let found = spread(vec![107, 100, 107, 9000, 100, 107], 7).unwrap();
        assert_eq!(
            found,
            Instructions {
                min: 93,
                median: 100,
                max: 8993,
                frequent: vec![(100, 3), (93, 2), (8993, 1)]
            }
        );
        assert_eq!(spread(Vec::new(), 7), None);
    }

    #[test]
    fn only_so_many_are_told() {
        let many = spread((0..1000).collect(), 0).unwrap();
        assert_eq!(many.frequent.len(), FREQUENT_MAX);
        assert_eq!(many.frequent[0], (0, 1));
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let samples = Samples::with_room(2).unwrap();
        (1..=3).for_each(|ticks| samples.take(ticks));
        assert_eq!(samples.taken(), [1, 2]);
        samples.forget();
        assert!(samples.taken().is_empty());
        samples.take(u64::MAX);
        assert_eq!(samples.taken(), [u64::from(u32::MAX)]);
    }
}
