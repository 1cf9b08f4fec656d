// SPDX-License-Identifier: MIT OR Apache-2.0
//! Times in log-linear buckets: 16 to each power of two, so a quantile is at most 1/16 too high.
//!
//! Recording is one atomic addition in memory that exists already; reading merges many recorders.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use protocol::LatencyUs;

/// Buckets to each power of two, as a power of two.
const SPLIT_BITS: u32 = 4;
const SPLIT: u64 = 1 << SPLIT_BITS;

/// Times from 2^36 µs (19 hours) on share the last bucket.
const VALUE_BITS: u32 = 36;
const BUCKETS: usize = ((VALUE_BITS - SPLIT_BITS + 1) * SPLIT as u32) as usize;

/// Bucket of a time.
fn bucket_of(us: u64) -> usize {
    if us < SPLIT {
        return us as usize;
    }
    let octave = us.ilog2() - SPLIT_BITS;
    let within = (us >> octave) - SPLIT;
    (((u64::from(octave) + 1) * SPLIT + within) as usize).min(BUCKETS - 1)
}

/// Largest time that falls into a bucket.
fn bucket_last_us(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SPLIT {
        return bucket;
    }
    let octave = bucket / SPLIT - 1;
    ((SPLIT + bucket % SPLIT + 1) << octave) - 1
}

/// Recorder in shared memory, written by one process.
#[repr(C)]
pub(crate) struct Histogram {
    buckets: [AtomicU32; BUCKETS],
    us_max: AtomicU64,
}

impl Histogram {
    /// Records one time, microseconds.
    pub(crate) fn record(&self, us: u64) {
        self.buckets[bucket_of(us)].fetch_add(1, Ordering::Relaxed);
        self.us_max.fetch_max(us, Ordering::Relaxed);
    }
}

/// The sum of many recorders.
pub(crate) struct Spread {
    buckets: Vec<u64>,
    us_max: u64,
}

impl Spread {
    /// Nothing recorded.
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], us_max: 0 }
    }

    /// Adds one value, which need not be a time.
    pub(crate) fn record(&mut self, value: u64) {
        self.buckets[bucket_of(value)] += 1;
        self.us_max = self.us_max.max(value);
    }

    /// Adds what one process recorded.
    pub(crate) fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += u64::from(bucket.load(Ordering::Relaxed));
        }
        self.us_max = self.us_max.max(histogram.us_max.load(Ordering::Relaxed));
    }

    /// Median, 99th percentile and maximum; the maximum is exact, all are 0 when nothing was.
    pub(crate) fn latency(&self) -> LatencyUs {
        LatencyUs { p50: self.quantile_us(50), p99: self.quantile_us(99), max: self.us_max }
    }

    fn quantile_us(&self, percent: u64) -> u64 {
        let total: u64 = self.buckets.iter().sum();
        let rank = (total * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return bucket_last_us(bucket).min(self.us_max);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread_of(times_us: &[u64]) -> Spread {
        let mut spread = Spread::new();
        times_us.iter().for_each(|us| spread.record(*us));
        spread
    }

    #[test]
    fn buckets_meet_without_gap_or_overlap() {
        for bucket in 1..BUCKETS {
            let first_us = bucket_last_us(bucket - 1) + 1;
            assert_eq!(bucket_of(first_us), bucket);
            assert_eq!(bucket_of(bucket_last_us(bucket)), bucket);
        }
    }

    #[test]
    fn a_bucket_is_at_most_a_sixteenth_wide() {
        for us in [1, 15, 16, 17, 1000, 123_456, 22_000_000] {
            let last_us = bucket_last_us(bucket_of(us));
            assert!(last_us >= us && last_us - us <= us / 16, "{us} -> {last_us}");
        }
    }

    #[test]
    fn a_time_beyond_the_range_is_kept() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(spread_of(&[u64::MAX]).latency().max, u64::MAX);
    }

    #[test]
    fn quantiles_of_known_times() {
        let times_us: Vec<u64> = (1..=100).collect();
        let latency = spread_of(&times_us).latency();
        assert_eq!(latency, LatencyUs { p50: 51, p99: 99, max: 100 });
    }

    #[test]
    fn one_slow_call_in_a_hundred_is_the_maximum_only() {
        let mut times_us = vec![10; 99];
        times_us.push(22_000_000);
        assert_eq!(spread_of(&times_us).latency(), LatencyUs { p50: 10, p99: 10, max: 22_000_000 });
    }

    #[test]
    fn nothing_recorded_is_zero() {
        assert_eq!(Spread::new().latency(), LatencyUs::default());
    }

    #[test]
    fn recorders_are_summed() {
        let recorder: &Recorders = crate::shared::map_one().unwrap();
        recorder.0[0].record(5);
        recorder.0[1].record(7);
        let mut spread = Spread::new();
        recorder.0.iter().for_each(|histogram| spread.add(histogram));
        assert_eq!(spread.latency(), LatencyUs { p50: 5, p99: 7, max: 7 });
    }

    #[repr(C)]
    struct Recorders([Histogram; 2]);
    // SAFETY: atomics only, zero is empty.
    unsafe impl crate::shared::Shareable for Recorders {}
}
