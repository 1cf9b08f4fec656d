// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where in an ordered list a change begins, if a try shows it only now and then: Bayesian search.
//!
//! Contract: places are counted from 0; what is looked for begins at one of them, at 0 if it was
//! always there, and at their number if it is nowhere. Every try moves the probability of each
//! answer. The rates at which places before and after the change show it are not known either: they
//! are part of what is inferred. Pure numbers: who tries, builds and counts is elsewhere.

use std::ops::RangeInclusive;

use super::Shown;

/// Rates at which a place after the change may show it, and how likely each is beforehand: most
/// faults that are bisected show always, and the others at any rate.
const AFTER: [(f64, f64); 14] = [
    (0.03, 0.02),
    (0.06, 0.03),
    (0.1, 0.05),
    (0.15, 0.05),
    (0.2, 0.05),
    (0.3, 0.05),
    (0.4, 0.05),
    (0.5, 0.05),
    (0.6, 0.05),
    (0.7, 0.05),
    (0.8, 0.05),
    (0.9, 0.05),
    (0.97, 0.05),
    (0.995, 0.4),
];

/// The same of a place before it: mostly never.
const BEFORE: [(f64, f64); 5] =
    [(0.001, 0.75), (0.01, 0.1), (0.05, 0.05), (0.15, 0.05), (0.3, 0.05)];

/// Between the two rates is at least this, or the change would be nothing to look for.
const APART: f64 = 2.0;

/// How likely it is beforehand that it begins nowhere in between: at the first place, or not at
/// all.
const OUTSIDE: f64 = 0.1;

/// What is known of one place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Place {
    /// Tries that show it, of those that say.
    pub(crate) seen: Shown,
    /// Whether it cannot be tried.
    pub(crate) skipped: bool,
    /// What one more try costs, seconds.
    pub(crate) cost_s: f64,
}

/// Places at one of which it begins, which no try can tell apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// The places; the number of places stands for nowhere.
    pub(crate) places: RangeInclusive<usize>,
    /// How likely it is that it is one of these.
    pub(crate) chance: f64,
}

/// What the tries make of each answer.
#[derive(Clone, Debug)]
pub(crate) struct Belief {
    /// How likely it is that it begins at a place.
    begins: Vec<f64>,
    /// The same, times the rate at which places before it show it.
    before: Vec<f64>,
    /// The same, times the rate of those from there on.
    after: Vec<f64>,
}

impl Belief {
    /// What these tries say.
    pub(crate) fn of(places: &[Place]) -> Self {
        let tries = |place: &Place| {
            let Shown { shows, of } = place.seen;
            [f64::from(shows), f64::from(of - shows)]
        };
        let rates = Rates::all();
        let all = places.iter().map(tries).fold([0.0; 2], |a, b| [a[0] + b[0], a[1] + b[1]]);
        let mut earlier = [0.0; 2];
        let mut logs: Vec<Vec<[f64; 3]>> = Vec::new();
        for begin in 0..=places.len() {
            let later = [all[0] - earlier[0], all[1] - earlier[1]];
            let prior = prior(begin, places.len()).ln();
            let likely = |[shows, not]: [f64; 2], rate: Rate| shows * rate.shows + not * rate.not;
            let of_rates = |Rates { before, after, weight }: &Rates| {
                let log = prior + weight + likely(earlier, *before) + likely(later, *after);
                [log, before.share, after.share]
            };
            logs.push(rates.iter().map(of_rates).collect());
            if let Some(place) = places.get(begin) {
                let [shows, not] = tries(place);
                earlier = [earlier[0] + shows, earlier[1] + not];
            }
        }
        let most = logs.iter().flatten().map(|[log, ..]| *log).fold(f64::MIN, f64::max);
        let weight = |log: f64| (log - most).exp();
        let total: f64 = logs.iter().flatten().map(|[log, ..]| weight(*log)).sum();
        let sum = |of: fn(&[f64; 3]) -> f64| -> Vec<f64> {
            let one = |rates: &Vec<[f64; 3]>| {
                rates.iter().map(|at| weight(at[0]) / total * of(at)).sum::<f64>()
            };
            logs.iter().map(one).collect()
        };
        Self { begins: sum(|_| 1.0), before: sum(|at| at[1]), after: sum(|at| at[2]) }
    }

    /// The likeliest answer. Neighbours whose difference no place shows that can be tried are one.
    pub(crate) fn answer(&self, places: &[Place]) -> Answer {
        let (mut best, mut first, mut chance) = (None, 0, 0.0);
        for (at, begins) in self.begins.iter().enumerate() {
            chance += begins;
            if places.get(at).is_some_and(|place| place.skipped) {
                continue;
            }
            let found = Answer { places: first..=at, chance };
            if best.as_ref().is_none_or(|best: &Answer| best.chance < chance) {
                best = Some(found);
            }
            (first, chance) = (at + 1, 0.0);
        }
        best.unwrap_or(Answer { places: 0..=places.len(), chance: 1.0 })
    }

    /// The place whose next try says most for what it costs; `None` if none says anything.
    pub(crate) fn next(&self, places: &[Place]) -> Option<usize> {
        let worth = |at: usize| self.gain(at) / places[at].cost_s.max(0.001);
        let open = (0..places.len()).filter(|at| !places[*at].skipped);
        let best = open.max_by(|a, b| worth(*a).total_cmp(&worth(*b)))?;
        (self.gain(best) > GAIN_MIN).then_some(best)
    }

    /// By how much one try at a place makes the answer surer, in nats.
    fn gain(&self, at: usize) -> f64 {
        let shows = self.begins.iter().enumerate().map(|(begin, chance)| {
            let shown = if at < begin { self.before[begin] } else { self.after[begin] };
            (*chance, shown)
        });
        let (mut shown, mut entropy) = (0.0, [0.0; 3]);
        for (chance, with) in shows {
            shown += with;
            for (sum, part) in entropy.iter_mut().zip([chance, with, chance - with]) {
                *sum += of_entropy(part);
            }
        }
        let [now, with, without] = entropy;
        // Entropy of an answer given what the try shows, weighted by how likely it shows that.
        now - (with - of_entropy(shown)) - (without - of_entropy(1.0 - shown))
    }
}

/// Less than this is a rounding error.
const GAIN_MIN: f64 = 1e-9;

fn of_entropy(part: f64) -> f64 {
    if part > 0.0 { -part * part.ln() } else { 0.0 }
}

/// How likely a begin is before any try; the last one stands for nowhere.
fn prior(begin: usize, places: usize) -> f64 {
    let inside = places.saturating_sub(1).max(1) as f64;
    if begin == 0 || begin == places { OUTSIDE / 2.0 } else { (1.0 - OUTSIDE) / inside }
}

/// A rate, and the logarithms of what a try shows at it.
#[derive(Clone, Copy)]
struct Rate {
    share: f64,
    shows: f64,
    not: f64,
}

impl Rate {
    fn of(share: f64) -> Self {
        Self { share, shows: share.ln(), not: (1.0 - share).ln() }
    }
}

/// Rates before and after, with the logarithm of their weight.
struct Rates {
    before: Rate,
    after: Rate,
    weight: f64,
}

impl Rates {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for (before, of_before) in BEFORE {
            for (after, of_after) in AFTER.iter().filter(|(after, _)| *after >= before * APART) {
                let weight = (of_before * of_after).ln();
                all.push(Self { before: Rate::of(before), after: Rate::of(*after), weight });
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn below(&mut self, bound: usize) -> usize {
            (self.next() * bound as f64) as usize
        }
    }

    /// Of `cargo xtask bisect`, unless it is told otherwise.
    const CONFIDENCE: f64 = 0.999;
    /// Seconds of a build and of a run: what was built once is cheap.
    const BUILD_S: f64 = 60.0;
    const RUN_S: f64 = 4.0;

    /// A list of `places`, in which it begins at `begin` and then shows at this rate.
    struct World {
        begin: usize,
        places: Vec<Place>,
        rates: [f64; 2],
        random: Random,
        tries: usize,
    }

    impl World {
        fn new(seed: u64, places: usize, begin: usize, rates: [f64; 2]) -> Self {
            let place = Place { cost_s: BUILD_S + RUN_S, ..Place::default() };
            let random = Random(seed.wrapping_mul(7919));
            Self { begin, places: vec![place; places], rates, random, tries: 0 }
        }

        fn search(&mut self, confidence: f64) -> Answer {
            loop {
                let belief = Belief::of(&self.places);
                let answer = belief.answer(&self.places);
                let next = belief.next(&self.places);
                let (Some(at), true) = (next, answer.chance < confidence) else { return answer };
                let shows = self.random.next() < self.rates[usize::from(at >= self.begin)];
                let place = &mut self.places[at];
                place.seen.of += 1;
                place.seen.shows += u32::from(shows);
                place.cost_s = RUN_S;
                self.tries += 1;
                assert!(self.tries < 2000, "no end of it");
            }
        }
    }

    /// How many of `worlds` searches are right, and how many tries they take together.
    fn right(worlds: u64, places: usize, rates: [f64; 2], confidence: f64) -> (u64, usize) {
        let (mut right, mut tries) = (0, 0);
        for seed in 0..worlds {
            let begin = 1 + Random(seed).below(places - 1);
            let mut world = World::new(seed + 1, places, begin, rates);
            right += u64::from(world.search(confidence).places == (begin..=begin));
            tries += world.tries;
        }
        (right, tries)
    }

    #[test]
    fn twenty_of_twenty_are_right_though_it_shows_in_three_of_ten_tries() {
        for places in [9, 33, 65] {
            let (found, _) = right(20, places, [0.0, 0.3], CONFIDENCE);
            assert_eq!(found, 20, "{places} places");
        }
    }

    #[test]
    fn it_is_wrong_no_more_often_than_it_says() {
        for (rates, confidence) in [([0.0, 0.3], 0.9), ([0.0, 1.0], 0.9), ([0.05, 0.6], 0.95)] {
            let (found, _) = right(200, 9, rates, confidence);
            // Three standard deviations of what would just be as stated.
            let least = 200.0 * confidence - 3.0 * (200.0 * confidence * (1.0 - confidence)).sqrt();
            assert!(found as f64 >= least, "{rates:?}: {found} of 200");
        }
    }

    #[test]
    fn what_shows_always_takes_few_tries() {
        let (found, tries) = right(20, 9, [0.0, 1.0], CONFIDENCE);
        assert_eq!(found, 20);
        assert!(tries <= 20 * 16, "{} tries each", tries / 20);
    }

    #[test]
    fn what_is_everywhere_or_nowhere_is_said_to_be() {
        assert_eq!(World::new(1, 9, 0, [0.0, 1.0]).search(CONFIDENCE).places, 0..=0);
        assert_eq!(World::new(1, 9, 9, [0.0, 1.0]).search(CONFIDENCE).places, 9..=9);
        assert_eq!(World::new(3, 9, 9, [0.0, 0.3]).search(CONFIDENCE).places, 9..=9);
    }

    #[test]
    fn what_cannot_be_tried_stays_possible() {
        let mut world = World::new(1, 9, 5, [0.0, 1.0]);
        for at in [4, 5] {
            world.places[at].skipped = true;
        }
        let answer = world.search(CONFIDENCE);
        assert_eq!(answer.places, 4..=6, "the change is at 5, and 3 is good");
        assert!(
            answer.chance >= CONFIDENCE && world.places[4].seen.of + world.places[5].seen.of == 0
        );
        world.places.iter_mut().for_each(|place| place.skipped = true);
        let belief = Belief::of(&world.places);
        assert_eq!(
            (belief.answer(&world.places).places, belief.next(&world.places)),
            (0..=9, None)
        );
    }

    #[test]
    fn a_place_that_is_built_is_tried_before_one_that_is_not() {
        let mut places = vec![Place { cost_s: 600.0, ..Place::default() }; 9];
        places[8].cost_s = 1.0;
        let belief = Belief::of(&places);
        assert_eq!(belief.next(&places), Some(8));
        places[8].cost_s = 600.0;
        assert!((3..=5).contains(&belief.next(&places).unwrap()), "the middle says most");
    }
}
