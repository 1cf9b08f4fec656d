// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reproducible randomness: SplitMix64 and a shuffle.
//!
//! The same seed gives the same order on every machine and in every version of the toolchain.

/// A generator (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>).
pub(crate) struct Random(u64);

impl Random {
    /// A generator for one use: `stream` keeps the tasks of one cell apart.
    pub(crate) fn new(seed: u64, stream: u32) -> Self {
        let mut seeder = Self(seed ^ u64::from(stream).rotate_left(32));
        Self(seeder.next())
    }

    /// 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The numbers below `count` in random order.
    pub(crate) fn order(&mut self, count: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count).collect();
        for last in (1..order.len()).rev() {
            // The bias of the remainder is 2^-32 at most.
            order.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_gives_its_published_values() {
        let mut random = Random(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn an_order_has_each_number_once() {
        let mut order = Random::new(1, 0).order(1000);
        assert_ne!(order[..10], (0..10).collect::<Vec<_>>()[..]);
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn seed_and_stream_decide() {
        assert_eq!(Random::new(1, 2).order(50), Random::new(1, 2).order(50));
        assert_ne!(Random::new(1, 2).order(50), Random::new(1, 3).order(50));
        assert_ne!(Random::new(1, 2).order(50), Random::new(2, 2).order(50));
    }
}
