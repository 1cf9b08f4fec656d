// SPDX-License-Identifier: MIT OR Apache-2.0
//! How often each verdict came, and each rule broke, when one cell was repeated; and how sure that
//! is.

use std::cmp::Reverse;
use std::ops::RangeInclusive;

use crate::chance::{Shown, interval};
use crate::outcome::{CellResult, Symptom};

/// Attempts that ended alike.
#[derive(Debug)]
pub(crate) struct Frequency<'a> {
    /// The first of them.
    pub(crate) first: &'a CellResult,
    /// How many there are.
    pub(crate) seen: Shown,
    /// Where their true share lies with 95 percent confidence.
    pub(crate) share: RangeInclusive<f64>,
}

/// One for each verdict with its broken rules, the most frequent first.
pub(crate) fn frequencies(attempts: &[CellResult]) -> Vec<Frequency<'_>> {
    let of = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
    let word = |ran: &CellResult| (ran.judgement().verdict, ran.judgement().breaks.clone());
    let mut kinds: Vec<(&CellResult, u32)> = Vec::new();
    for ran in attempts {
        match kinds.iter_mut().find(|(first, _)| word(first) == word(ran)) {
            Some((_, shows)) => *shows += 1,
            None => kinds.push((ran, 1)),
        }
    }
    kinds.sort_by_key(|(_, shows)| Reverse(*shows));
    let frequency = |(first, shows)| {
        let seen = Shown { shows, of };
        Frequency { first, seen, share: interval(seen) }
    };
    kinds.into_iter().map(frequency).collect()
}

/// How often attempts show one thing.
#[derive(Debug)]
pub(crate) struct SymptomFrequency {
    /// A broken rule, a crash or a hang.
    pub(crate) symptom: Symptom,
    /// How many show it, of those that say.
    pub(crate) seen: Shown,
    /// Where their true share lies with 95 percent confidence.
    pub(crate) share: RangeInclusive<f64>,
}

/// One for each thing that an attempt shows, rules first. An attempt that does not say counts
/// neither way.
pub(crate) fn symptoms(attempts: &[CellResult]) -> Vec<SymptomFrequency> {
    let Some(first) = attempts.first() else { return Vec::new() };
    let scenario = &first.cell.key.scenario;
    let all = Symptom::all(attempts.iter().map(CellResult::judgement), scenario);
    let frequency = |symptom: Symptom| {
        let said = attempts.iter().filter_map(|ran| symptom.shown(ran.judgement(), scenario));
        let seen = said.fold(Shown { shows: 0, of: 0 }, |seen, shows| Shown {
            shows: seen.shows + u32::from(shows),
            of: seen.of + 1,
        });
        SymptomFrequency { symptom, seen, share: interval(seen) }
    };
    all.into_iter().map(frequency).collect()
}
