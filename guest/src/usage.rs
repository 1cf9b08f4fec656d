// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sums up the samples of usage: extremes, time above the limit, a thinned time line.
//!
//! Pure, of constant size, and allocates nothing after `new`.

use protocol::{Fact, MemcgRole, SpreadBytes, Usage};

use crate::histogram::Spread;
use crate::memcg;

/// Points of the line, at most.
const POINTS_MAX: usize = 500;

/// A time line that halves its resolution when it is full. Of the samples merged into one point
/// the highest is kept, with its time, so no peak is lost.
struct Line {
    points: Vec<(u64, u64)>,
    samples_per_point: u64,
    samples_in_last: u64,
}

impl Line {
    fn new() -> Self {
        Self { points: Vec::with_capacity(POINTS_MAX), samples_per_point: 1, samples_in_last: 0 }
    }

    fn add(&mut self, sample: (u64, u64)) {
        if self.samples_in_last > 0 && self.samples_in_last < self.samples_per_point {
            let last = self.points.len() - 1;
            self.points[last] = higher(self.points[last], sample);
            self.samples_in_last += 1;
            return;
        }
        if self.points.len() == POINTS_MAX {
            for pair in 0..POINTS_MAX / 2 {
                self.points[pair] = higher(self.points[2 * pair], self.points[2 * pair + 1]);
            }
            self.points.truncate(POINTS_MAX / 2);
            self.samples_per_point *= 2;
        }
        self.points.push(sample);
        self.samples_in_last = 1;
    }
}

fn higher(first: (u64, u64), second: (u64, u64)) -> (u64, u64) {
    if second.1 > first.1 { second } else { first }
}

/// The samples of one memcg so far.
pub(crate) struct UsageTrack {
    limit_bytes: u64,
    samples: u64,
    last_look_us: u64,
    last_sample_us: u64,
    gap_us_max: u64,
    bytes_max: u64,
    samples_over: u64,
    over_since_us: Option<u64>,
    over_us_max: u64,
    over_pages: Spread,
    line: Line,
}

impl UsageTrack {
    /// No samples yet, of a memcg with this limit.
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            samples: 0,
            last_look_us: 0,
            last_sample_us: 0,
            gap_us_max: 0,
            bytes_max: 0,
            samples_over: 0,
            over_since_us: None,
            over_us_max: 0,
            over_pages: Spread::new(),
            line: Line::new(),
        }
    }

    /// Adds a sample taken `at_us` after the load began.
    ///
    /// A run above the limit lasts from its first sample to the first one that is not above: it
    /// is right to within the time between two samples.
    pub(crate) fn sample(&mut self, at_us: u64, bytes: u64) {
        self.look_in_vain(at_us);
        if let Some(since_us) = self.over_since_us {
            self.over_us_max = self.over_us_max.max(at_us - since_us);
        }
        if bytes > self.limit_bytes {
            self.samples_over += 1;
            self.over_pages.record((bytes - self.limit_bytes).div_ceil(memcg::page_bytes()));
            self.over_since_us.get_or_insert(at_us);
        } else {
            self.over_since_us = None;
        }
        self.samples += 1;
        self.last_sample_us = at_us;
        self.bytes_max = self.bytes_max.max(bytes);
        self.line.add((at_us, bytes));
    }

    /// Notes a look without a sample: the memcg is gone, or the watch has ended.
    pub(crate) fn look_in_vain(&mut self, at_us: u64) {
        self.gap_us_max = self.gap_us_max.max(at_us.saturating_sub(self.last_look_us));
        self.last_look_us = at_us;
    }

    /// The fact that sums them up.
    pub(crate) fn into_fact(self, memcg: MemcgRole, period_us: u64) -> Fact {
        let pages = self.over_pages.latency();
        let bytes = |pages: u64| pages * memcg::page_bytes();
        Fact::Usage(Usage {
            memcg,
            period_us,
            over_bytes: SpreadBytes {
                p50: bytes(pages.p50),
                p99: bytes(pages.p99),
                max: bytes(pages.max),
            },
            samples: self.samples,
            gap_us_max: self.gap_us_max,
            sampled_bytes_max: self.bytes_max,
            samples_over: self.samples_over,
            over_us_max: self.over_us_max,
            over_us_last: self.over_since_us.map_or(0, |since_us| self.last_sample_us - since_us),
            line: self.line.points,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over_us(samples: &[(u64, u64)]) -> (u64, u64, u64) {
        let mut track = UsageTrack::new(100);
        samples.iter().for_each(|(at_us, bytes)| track.sample(*at_us, *bytes));
        match track.into_fact(MemcgRole::Limited, 1) {
            Fact::Usage(Usage { samples_over, over_us_max, over_us_last, .. }) => {
                (samples_over, over_us_max, over_us_last)
            }
            _ => panic!("not usage"),
        }
    }

    #[test]
    fn usage_at_the_limit_is_not_over() {
        assert_eq!(over_us(&[(0, 100), (1, 100)]), (0, 0, 0));
    }

    #[test]
    fn only_samples_above_the_limit_make_the_overrun() {
        let page = memcg::page_bytes();
        let mut track = UsageTrack::new(10 * page);
        for pages in [1, 10, 11, 11, 15] {
            track.sample(pages, pages * page);
        }
        let Fact::Usage(Usage { over_bytes, .. }) = track.into_fact(MemcgRole::Limited, 1) else {
            panic!("not usage")
        };
        assert_eq!(over_bytes, SpreadBytes { p50: page, p99: 5 * page, max: 5 * page });
    }

    #[test]
    fn a_run_lasts_until_usage_is_back() {
        assert_eq!(over_us(&[(0, 99), (10, 101), (20, 150), (35, 100)]), (2, 25, 0));
    }

    #[test]
    fn a_run_may_be_going_on_at_the_end() {
        assert_eq!(over_us(&[(0, 101), (50, 99), (60, 101), (90, 101)]), (3, 50, 30));
    }

    #[test]
    fn the_line_is_short_and_keeps_every_peak() {
        let mut line = Line::new();
        for at_us in 0..123_457 {
            line.add((at_us, if at_us == 77_777 { 9_000 } else { at_us % 7 }));
        }
        assert!(line.points.len() > POINTS_MAX / 4 && line.points.len() <= POINTS_MAX);
        assert!(line.points.contains(&(77_777, 9_000)));
        assert!(line.points.is_sorted_by_key(|(at_us, _)| *at_us));
    }

    #[test]
    fn a_short_line_is_kept_as_it_is() {
        let mut line = Line::new();
        (0..500).for_each(|at_us| line.add((at_us, 1)));
        assert_eq!(line.points.len(), 500);
    }

    #[test]
    fn the_longest_gap_counts_from_the_beginning() {
        let mut track = UsageTrack::new(100);
        track.sample(40, 0);
        track.sample(50, 0);
        assert_eq!((track.gap_us_max, track.samples), (40, 2));
        track.look_in_vain(140);
        assert_eq!((track.gap_us_max, track.samples), (90, 2), "and to the end");
    }
}
