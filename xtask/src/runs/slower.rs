// SPDX-License-Identifier: MIT OR Apache-2.0
//! Since when a number is higher: one change in a series of nights.
//!
//! Contract: a night gives one value, the median of its repetitions, because they share what the
//! host did that night. Of the newest [`WINDOW`] nights on a like machine every split with at least
//! [`SIDE_MIN`] nights on each side is tried. A number is higher if its median is more than
//! `GROWTH` above that before the split and chance is ruled out: over all numbers and splits
//! together, nights without a change say so in fewer than [`BY_CHANCE_A_NIGHT`] of all nights.

use super::numbers::{GROWTH, Spread, Values, floors, measured};
use crate::chance::{of_rise, stands_out};
use crate::outcome::{CellResult, RunResult, by_key};
use crate::plan::CellKey;
use crate::taxonomy::FactName;

/// Nights that are looked at.
pub(crate) const WINDOW: usize = 40;
/// Nights on each side of a change.
pub(crate) const SIDE_MIN: usize = 5;
/// Nights on which an alarm comes without a change.
pub(crate) const BY_CHANCE_A_NIGHT: f64 = 0.001;

/// A number that is higher since a night.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slower {
    /// The cell.
    pub(crate) key: CellKey,
    /// The number.
    pub(crate) fact: FactName,
    /// The first night on which it was higher.
    pub(crate) since: String,
    /// Nights before.
    pub(crate) before: Spread,
    /// Nights since.
    pub(crate) after: Spread,
    /// How likely such a split is when nothing has changed.
    pub(crate) chance: f64,
}

/// One number of one cell, night by night.
struct Series<'a> {
    key: &'a CellKey,
    fact: FactName,
    /// The run, and the least and the most that the number can have been there.
    values: Vec<(&'a str, f64, f64)>,
}

/// What is higher on the newest of these nights, which are of one kind and oldest first.
pub(crate) fn slower(nights: &[&RunResult]) -> Vec<Slower> {
    let Some(newest) = nights.last() else { return Vec::new() };
    let measured = measured(&[], std::slice::from_ref(*newest));
    let mut all = Vec::new();
    for (key, cells) in by_key(&newest.cells) {
        // A number of which the newest night has no value is not higher tonight.
        let Some(machine) = newest.machine(&cells[0].cell.id) else { continue };
        let per_night: Vec<_> = nights
            .iter()
            .map(|night| {
                let is_like = |id: &str| night.machine(id).as_ref() == Some(&machine);
                let cells = night.cells.iter().filter(|ran| ran.cell.key == *key);
                let cells: Vec<_> = cells.filter(|ran| is_like(&ran.cell.id)).collect();
                (night.run.as_str(), cells)
            })
            .collect();
        for fact in measured.get(&key.scenario).into_iter().flatten() {
            let values: Vec<_> =
                per_night.iter().map(|(run, cells)| value(run, cells, fact)).collect();
            if values.last().is_some_and(Option::is_some) {
                let mut values: Vec<_> = values.into_iter().flatten().collect();
                values.drain(..values.len().saturating_sub(WINDOW));
                all.push(Series { key, fact: fact.clone(), values });
            }
        }
    }
    // What never varies cannot stand out, and so is no test.
    all.retain(|series| series.values.len() >= 2 * SIDE_MIN && series.varies());
    // Bonferroni: looking at many numbers and splits must not make one likelier to stand out.
    let tests: usize = all.iter().map(|series| series.splits().count()).sum();
    let bound = BY_CHANCE_A_NIGHT / tests.max(1) as f64;
    all.iter().filter_map(|series| series.change(bound)).collect()
}

/// What a night says of a number: the least and the most that it can have been.
fn value<'a>(run: &'a str, cells: &[&CellResult], fact: &FactName) -> Option<(&'a str, f64, f64)> {
    let values = Values::of(cells, fact);
    let middle = |values: &[f64]| Some(Spread::of(values)?.median);
    Some((run, middle(&values.least())?, middle(&values.most())?))
}

impl Series<'_> {
    fn varies(&self) -> bool {
        self.values.windows(2).any(|pair| pair[0].1 != pair[1].1 || pair[0].2 != pair[1].2)
    }

    fn splits(&self) -> std::ops::RangeInclusive<usize> {
        SIDE_MIN..=self.values.len() - SIDE_MIN
    }

    /// The split that chance explains least.
    fn change(&self, bound: f64) -> Option<Slower> {
        let (floor, _) = floors(self.fact.unit());
        let mut best: Option<Slower> = None;
        for at in self.splits() {
            // A load that timed out would have ended when it speaks most against a change.
            let before: Vec<f64> = self.values[..at].iter().map(|(_, _, most)| *most).collect();
            let after: Vec<f64> = self.values[at..].iter().map(|(_, least, _)| *least).collect();
            let (was, is) = (Spread::of(&before)?, Spread::of(&after)?);
            let grew = is.median > was.median * GROWTH && is.median - was.median >= floor;
            if !grew || !stands_out(&before, &after) {
                continue;
            }
            let chance = of_rise(&before, &after);
            if chance <= bound && best.as_ref().is_none_or(|best| chance < best.chance) {
                best = Some(Slower {
                    key: self.key.clone(),
                    fact: self.fact.clone(),
                    since: self.values[at].0.to_owned(),
                    before: was,
                    after: is,
                    chance,
                });
            }
        }
        best
    }
}
