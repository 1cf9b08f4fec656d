// SPDX-License-Identifier: MIT OR Apache-2.0
//! The numbers of two sides, and which of them have moved beyond chance.
//!
//! Contract: a number is worse only when its median is more than [`GROWTH`] higher and chance is
//! ruled out: over all numbers of a comparison together, such a find comes by chance in fewer than
//! [`BY_CHANCE`] of the comparisons. One value a side proves nothing; where it has doubled it is
//! named, and does not count. A load that timed out proves only what it would prove whenever it had
//! ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::chance::{median, of_rise};
use crate::outcome::{CellResult, RunResult};
use crate::plan::CellKey;
use crate::taxonomy::{CellFact, FactName, MemcgFact, Unit, Verdict};

/// A median may move so far, as a factor.
pub(crate) const GROWTH: f64 = 1.10;
/// Of so many comparisons in which nothing has changed, one may find something all the same.
pub(crate) const BY_CHANCE: f64 = 0.01;
/// What is named without proof has grown so far.
pub(crate) const DOUBLED: f64 = 2.0;

/// Facts that are compared in every cell, besides those that its scenario measures.
fn compared() -> [FactName; 5] {
    [
        CellFact::LoadMs.into(),
        MemcgFact::OverMsMax.into(),
        MemcgFact::PeakOverBytes.into(),
        MemcgFact::OverrunP99Bytes.into(),
        MemcgFact::ReconcileP99Us.into(),
    ]
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Worse.
    Worse,
    /// As expected before, and now only sometimes.
    Flaky,
    /// Better.
    Better,
    /// Another verdict that is as good or bad as the one before; a number that has moved far,
    /// unproven.
    Other,
}

/// The repetitions of each cell, over all runs of a side.
pub(super) type Groups<'a> = BTreeMap<&'a CellKey, Vec<&'a CellResult>>;

/// What came of holding the numbers of both sides side by side.
pub(super) struct Held {
    /// Those that have moved.
    pub(super) moved: Vec<Number>,
    /// Numbers that both sides have.
    pub(super) count: usize,
    /// Of these, numbers with values enough to rule out chance.
    pub(super) provable: usize,
}

/// Values of a number: of repetitions, nights or rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// How many there are.
    pub(crate) count: usize,
    /// The least.
    pub(crate) min: f64,
    /// The middle.
    pub(crate) median: f64,
    /// The highest.
    pub(crate) max: f64,
    /// How many of them are of loads that timed out: each would have taken at least so long.
    pub(crate) timed_out: usize,
}

/// A number that has moved.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    /// The cell.
    pub(crate) key: CellKey,
    /// Its name.
    pub(crate) fact: FactName,
    /// Before.
    pub(crate) old: Spread,
    /// Now.
    pub(crate) new: Spread,
    /// Worse, better, or [`Change::Other`] where that is not proven.
    pub(crate) change: Change,
    /// How likely such a difference is when nothing has changed.
    pub(crate) chance: f64,
}

/// Facts that scenarios have measured and that have a unit, so that less is better.
pub(super) fn measured(
    old: &[RunResult],
    new: &[RunResult],
) -> BTreeMap<String, BTreeSet<FactName>> {
    let has_unit = |fact: &&FactName| fact.unit().is_time() || fact.unit() == Unit::Bytes;
    let mut facts: BTreeMap<String, BTreeSet<FactName>> = BTreeMap::new();
    for ran in old.iter().chain(new).flat_map(|run| &run.cells) {
        let of = facts.entry(ran.cell.key.scenario.clone()).or_default();
        of.extend(compared());
        of.extend(ran.cell.note.measures.iter().filter(has_unit).cloned());
    }
    facts
}

/// Differences below this are clock ticks and batches of pages, whatever their factor:
/// what is proven, and what is only named.
pub(super) fn floors(unit: Unit) -> (f64, f64) {
    match unit {
        // A page; the 64 pages that the stock of one CPU may hold.
        Unit::Bytes => (4096.0, 262_144.0),
        Unit::Us => (100.0, 10_000.0),
        // A tick of 250 Hz takes 4 ms.
        _ => (4.0, 250.0),
    }
}

/// The values of a fact on one side.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    /// Of loads that ended, and of all that is no length of a load.
    pub(super) whole: Vec<f64>,
    /// Of loads that timed out.
    timed_out: Vec<f64>,
}

impl Values {
    /// In cells that have a usable verdict.
    pub(super) fn of(cells: &[&CellResult], fact: &FactName) -> Self {
        let (mut values, is_load) = (Self::default(), *fact == FactName::from(CellFact::LoadMs));
        for judgement in cells.iter().map(|cell| cell.judgement()) {
            let usable = matches!(judgement.verdict, Verdict::Pass | Verdict::Fail);
            let complete = judgement.facts.get(&CellFact::LoadComplete.into());
            let timed_out = is_load && complete != Some(&1.0);
            let into = if timed_out { &mut values.timed_out } else { &mut values.whole };
            into.extend(judgement.facts.get(fact).filter(|_| usable));
        }
        values
    }

    /// The least that they can have been: each load that timed out would have ended just then.
    pub(super) fn least(&self) -> Vec<f64> {
        [self.whole.as_slice(), &self.timed_out].concat()
    }

    /// The most that they can have been: no load that timed out would ever have ended.
    pub(super) fn most(&self) -> Vec<f64> {
        [self.whole.as_slice(), &vec![f64::INFINITY; self.timed_out.len()]].concat()
    }

    /// Their spread, with the least that they can have been.
    fn spread(&self) -> Option<Spread> {
        Some(Spread { timed_out: self.timed_out.len(), ..Spread::of(&self.least())? })
    }
}

impl Spread {
    /// Nothing without values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self { count: sorted.len(), min, median: median(&sorted)?, max, timed_out: 0 })
    }
}

/// The least chance that so many values can have: all new ones above all old ones.
fn least_chance(old: usize, new: usize) -> f64 {
    (1..=new).map(|n| n as f64 / (old + n) as f64).product()
}

/// Says which numbers have moved; times only of cells that are `alike`: that ran on like machines.
pub(super) fn hold(
    both: &[&CellKey],
    before: &Groups<'_>,
    after: &Groups<'_>,
    measured: &BTreeMap<String, BTreeSet<FactName>>,
    alike: &BTreeSet<&CellKey>,
) -> Held {
    let mut held = Vec::new();
    for key in both {
        for fact in measured.get(&key.scenario).into_iter().flatten() {
            let (old, new) = (Values::of(&before[key], fact), Values::of(&after[key], fact));
            if old.whole.is_empty() && new.whole.is_empty() {
                // Which of two loads that timed out would have ended first is unknown.
                continue;
            }
            if let (Some(was), Some(is)) = (old.spread(), new.spread()) {
                held.push(((*key).clone(), fact.clone(), old, new, was, is));
            }
        }
    }
    let can = |old: usize, new: usize| least_chance(old, new) <= BY_CHANCE;
    let tests = held.iter().filter(|(.., was, is)| can(was.count, is.count)).count();
    // Bonferroni: looking at many numbers must not make one of them likelier to stand out.
    let bound = BY_CHANCE / tests.max(1) as f64;
    let (mut moved, mut provable) = (Vec::new(), 0);
    let count = held.len();
    for (key, fact, old, new, was, is) in held {
        let enough = least_chance(was.count, is.count) <= bound;
        let comparable = alike.contains(&key) || !fact.unit().is_time();
        provable += usize::from(enough && comparable);
        let (floor, far) = floors(fact.unit());
        let grew = |from: f64, to: f64, times: f64, by: f64| to > from * times && to - from >= by;
        // A load that timed out would have ended when it speaks most against the change.
        let change = |lower: &Values, higher: &Values, proven: Change| {
            let (from, to) = (lower.most(), higher.least());
            let (a, b) = (Spread::of(&from)?.median, Spread::of(&to)?.median);
            if !grew(a, b, GROWTH, floor) {
                return None;
            }
            let chance = of_rise(&from, &to);
            if enough && comparable {
                (chance <= bound).then_some((proven, chance))
            } else {
                grew(a, b, DOUBLED, far).then_some((Change::Other, chance))
            }
        };
        let found =
            change(&old, &new, Change::Worse).or_else(|| change(&new, &old, Change::Better));
        if let Some((change, chance)) = found {
            moved.push(Number { key, fact, old: was, new: is, change, chance });
        }
    }
    Held { moved, count, provable }
}
