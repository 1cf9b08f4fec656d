// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two sides held beside each other: what is worse, better, flaky or slower in the new one.
//!
//! Contract: a number is worse only when its median is more than [`GROWTH`] higher and chance is ruled
//! out: over all numbers of a comparison together, such a find comes by chance in fewer than
//! [`BY_CHANCE`] of the comparisons. One value a side proves nothing; where it has doubled it is named,
//! and does not count. A cell that only one side has is named; a new side that did not run all that it
//! planned is no proof of anything.

use std::collections::{BTreeMap, BTreeSet};

use super::chance;
use super::likeness::{times_unlike, unlike};
use crate::exit::{Exit, Fault};
use crate::report::json::{CellResult, RunResult};
use crate::report::{median, word};
use crate::taxonomy::Verdict;
use crate::verdict::{Differential, Judgement};

/// A median may move so far, as a factor.
pub(crate) const GROWTH: f64 = 1.10;
/// Of so many comparisons in which nothing has changed, one may find something all the same.
pub(crate) const BY_CHANCE: f64 = 0.01;
/// What is named without proof has grown so far.
pub(crate) const DOUBLED: f64 = 2.0;

/// Facts that are held side by side in every cell; those that its scenario measures come on top.
const FACTS: [&str; 5] =
    ["load.ms", "over_ms_max", "peak_over_bytes", "overrun.p99_bytes", "reconcile.p99_us"];

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Worse.
    Worse,
    /// As expected before, and now only sometimes.
    Flaky,
    /// Better.
    Better,
    /// Another verdict that is as good or bad as the one before; a number that has moved far, unproven.
    Other,
}

/// A verdict that is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    /// `<scenario>.<cgroup>.<kernel>.<policy>`.
    pub(crate) id: String,
    /// What became of it.
    pub(crate) change: Change,
    /// Verdicts before.
    pub(crate) old: String,
    /// Verdicts now.
    pub(crate) new: String,
    /// Why, of the first that is not as expected now.
    pub(crate) why: String,
}

/// The values of one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Side {
    /// How many there are.
    pub(crate) count: usize,
    /// The least.
    pub(crate) min: f64,
    /// The middle.
    pub(crate) median: f64,
    /// The highest.
    pub(crate) max: f64,
}

/// A number that has moved.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    /// `<scenario>.<cgroup>.<kernel>.<policy>`.
    pub(crate) id: String,
    /// Its name.
    pub(crate) fact: String,
    /// Before.
    pub(crate) old: Side,
    /// Now.
    pub(crate) new: Side,
    /// Worse, better, or [`Change::Other`] where that is not proven.
    pub(crate) change: Change,
    /// How likely such a difference is when nothing has changed.
    pub(crate) chance: f64,
}

/// All that two sides say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Comparison {
    /// In what the sides are not alike, for people.
    pub(crate) unlike: Vec<String>,
    /// Cells that both have.
    pub(crate) cells: usize,
    /// Verdicts that are others.
    pub(crate) moved: Vec<Moved>,
    /// The same of verdicts beside the baseline.
    pub(crate) beside: Vec<Moved>,
    /// Numbers that have moved.
    pub(crate) numbers: Vec<Number>,
    /// Numbers that both sides have.
    pub(crate) held: usize,
    /// Of these, numbers with values enough to rule out chance.
    pub(crate) provable: usize,
    /// Why times of the two sides prove nothing.
    pub(crate) times_unlike: Option<String>,
    /// Cells that only the old side has.
    pub(crate) gone: Vec<String>,
    /// Cells that only the new side has.
    pub(crate) added: Vec<String>,
    /// Runs of the new side that are not whole.
    pub(crate) incomplete: Vec<String>,
}

impl Comparison {
    /// Whether anything got worse, or cannot be told to be no worse.
    pub(crate) fn regressed(&self) -> bool {
        let bad = |change: Change| matches!(change, Change::Worse | Change::Flaky);
        !self.incomplete.is_empty()
            || self.moved.iter().chain(&self.beside).any(|moved| bad(moved.change))
            || self.numbers.iter().any(|number| bad(number.change))
    }
}

type Groups<'a> = BTreeMap<String, Vec<&'a CellResult>>;

/// Holds `new` beside `old`; the runs of a side count together.
///
/// A fault of [`Exit::Usage`] when they have no cell in common.
pub(crate) fn compare(old: &[RunResult], new: &[RunResult]) -> Result<Comparison, Fault> {
    let (before, after) = (groups(old), groups(new));
    let both: Vec<&String> = before.keys().filter(|id| after.contains_key(*id)).collect();
    if both.is_empty() {
        let what = "the two sides have no cell in common".to_owned();
        return Err(
            Fault::new(Exit::Usage, what).hint("`cargo xtask list runs` says what they ran")
        );
    }
    let only = |one: &Groups<'_>, other: &Groups<'_>| {
        one.keys().filter(|id| !other.contains_key(*id)).cloned().collect()
    };
    let mut comparison = Comparison {
        unlike: unlike(old, new),
        cells: both.len(),
        moved: both.iter().filter_map(|id| moved(id, &before[*id], &after[*id])).collect(),
        beside: beside(old, new),
        times_unlike: times_unlike(old, new),
        gone: only(&before, &after),
        added: only(&after, &before),
        incomplete: new.iter().filter_map(incomplete).collect(),
        ..Comparison::default()
    };
    numbers(&mut comparison, &both, &before, &after, &measured(old, new));
    Ok(comparison)
}

/// The repetitions of each cell, over all runs of a side.
fn groups(runs: &[RunResult]) -> Groups<'_> {
    let mut groups = Groups::new();
    for ran in runs.iter().flat_map(|run| &run.cells) {
        groups.entry(group_id(ran)).or_default().push(ran);
    }
    groups
}

/// What repetitions of a cell have in common.
pub(super) fn group_id(ran: &CellResult) -> String {
    let cell = &ran.cell;
    format!("{}.{}.{}.{}", cell.scenario, cell.cgroup, cell.kernel, cell.policy)
}

/// How well the repetitions of a cell went, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Good,
    Flaky,
    Bad,
}

fn state(cells: &[&CellResult]) -> State {
    if cells.iter().all(|cell| cell.judgement().as_expected) {
        State::Good
    } else if cells.iter().any(|cell| cell.judgement().as_expected || cell.flaky()) {
        State::Flaky
    } else {
        State::Bad
    }
}

fn moved(id: &str, old: &[&CellResult], new: &[&CellResult]) -> Option<Moved> {
    let (before, after) = (state(old), state(new));
    let (was, is) = (verdicts(old), verdicts(new));
    let change = match before.cmp(&after) {
        std::cmp::Ordering::Less if after == State::Flaky => Change::Flaky,
        std::cmp::Ordering::Less => Change::Worse,
        std::cmp::Ordering::Greater => Change::Better,
        std::cmp::Ordering::Equal if was != is => Change::Other,
        std::cmp::Ordering::Equal => return None,
    };
    let shown = |state: State, verdicts: String| match state {
        State::Good => verdicts,
        State::Flaky => format!("{verdicts} (flaky)"),
        State::Bad => format!("{verdicts} (not expected)"),
    };
    let why = new.iter().find(|cell| !cell.judgement().as_expected);
    let why = why.map(|cell| cell.judgement().why.clone()).unwrap_or_default();
    Some(Moved { id: id.to_owned(), change, old: shown(before, was), new: shown(after, is), why })
}

/// Each verdict once: `PASS`, `FAIL I1|PASS`.
pub(super) fn verdicts(cells: &[&CellResult]) -> String {
    let label = |judgement: &Judgement| match judgement.verdict {
        Verdict::Fail => format!("FAIL {}", judgement.breaks.join(",")),
        other => other.to_string(),
    };
    let labels: BTreeSet<String> = cells.iter().map(|cell| label(cell.judgement())).collect();
    labels.into_iter().collect::<Vec<_>>().join("|")
}

/// How bad a verdict on the patch is. One that is not known is no better than the problem itself.
fn badness(outcome: Differential) -> u32 {
    match outcome {
        Differential::Fixed | Differential::Inert | Differential::Same => 0,
        Differential::NoDifference | Differential::Changed => 1,
        Differential::NotFixed | Differential::Unknown => 2,
        Differential::Regressed => 3,
    }
}

/// Of several runs the worst counts.
fn beside(old: &[RunResult], new: &[RunResult]) -> Vec<Moved> {
    let worst = |runs: &[RunResult]| {
        let mut worst: BTreeMap<String, (Differential, String)> = BTreeMap::new();
        for pair in runs.iter().flat_map(|run| &run.differentials) {
            let id = format!("{}.{}.{}.{}", pair.scenario, pair.cgroup, pair.kernel, pair.policy);
            let known = worst.entry(id).or_insert_with(|| (pair.outcome, pair.said.clone()));
            if badness(pair.outcome) > badness(known.0) {
                *known = (pair.outcome, pair.said.clone());
            }
        }
        worst
    };
    let (before, mut after) = (worst(old), worst(new));
    let both = before.into_iter().filter_map(|(id, was)| Some((after.remove(&id)?, id, was)));
    let moved = both.filter(|((is, _), _, (was, _))| is != was).map(|((is, why), id, (was, _))| {
        let change = match badness(was).cmp(&badness(is)) {
            std::cmp::Ordering::Less => Change::Worse,
            std::cmp::Ordering::Greater => Change::Better,
            std::cmp::Ordering::Equal => Change::Other,
        };
        Moved { id, change, old: word(was).to_owned(), new: word(is).to_owned(), why }
    });
    moved.collect()
}

fn incomplete(run: &RunResult) -> Option<String> {
    let totals = &run.totals;
    let whole = totals.ran == totals.planned && !run.manifest.interrupted;
    (!whole).then(|| format!("{} ran {} of {} cells", run.run, totals.ran, totals.planned))
}

/// Facts that scenarios have measured and that have a unit, so that less is better.
fn measured(old: &[RunResult], new: &[RunResult]) -> BTreeMap<String, BTreeSet<String>> {
    let mut facts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, note) in old.iter().chain(new).flat_map(|run| &run.scenarios) {
        let of = facts.entry(name.clone()).or_default();
        of.extend(FACTS.map(str::to_owned));
        of.extend(note.measures.iter().filter(|fact| is_time(fact) || is_size(fact)).cloned());
    }
    facts
}

pub(super) fn is_time(fact: &str) -> bool {
    fact.ends_with("_us") || fact.ends_with("ms") || fact.contains("_ms_")
}

fn is_size(fact: &str) -> bool {
    fact.ends_with("_bytes")
}

/// Differences below this are clock ticks and batches of pages, whatever their factor:
/// what is proven, and what is only named.
fn floors(fact: &str) -> (f64, f64) {
    if is_size(fact) {
        // A page; the 64 pages that the stock of one CPU may hold.
        (4096.0, 262_144.0)
    } else if fact.ends_with("_us") {
        (100.0, 10_000.0)
    } else {
        // A tick of 250 Hz takes 4 ms.
        (4.0, 250.0)
    }
}

/// The values of a fact in cells that have a usable verdict.
pub(super) fn values(cells: &[&CellResult], fact: &str) -> Vec<f64> {
    let value = |cell: &&CellResult| {
        let judgement = cell.judgement();
        let usable = matches!(judgement.verdict, Verdict::Pass | Verdict::Fail);
        // Of a load that was cut nobody knows how long it takes.
        let cut = fact == "load.ms" && judgement.facts.get("load.complete") != Some(&1.0);
        judgement.facts.get(fact).copied().filter(|_| usable && !cut)
    };
    cells.iter().filter_map(value).collect()
}

impl Side {
    /// Nothing without values.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self { count: sorted.len(), min, median: median(&sorted)?, max })
    }
}

/// The least chance that so many values can have: all new ones above all old ones.
fn least_chance(old: usize, new: usize) -> f64 {
    (1..=new).map(|n| n as f64 / (old + n) as f64).product()
}

fn numbers(
    comparison: &mut Comparison,
    both: &[&String],
    before: &Groups<'_>,
    after: &Groups<'_>,
    measured: &BTreeMap<String, BTreeSet<String>>,
) {
    let mut held = Vec::new();
    for id in both {
        let scenario = &after[*id][0].cell.scenario;
        for fact in measured.get(scenario).into_iter().flatten() {
            let (old, new) = (values(&before[*id], fact), values(&after[*id], fact));
            if let (Some(was), Some(is)) = (Side::of(&old), Side::of(&new)) {
                held.push(((*id).clone(), fact.clone(), old, new, was, is));
            }
        }
    }
    let can = |old: usize, new: usize| least_chance(old, new) <= BY_CHANCE;
    let tests = held.iter().filter(|(.., was, is)| can(was.count, is.count)).count();
    // Bonferroni: looking at many numbers must not make one of them likelier to stand out.
    let bound = BY_CHANCE / tests.max(1) as f64;
    comparison.held = held.len();
    for (id, fact, old, new, was, is) in held {
        let enough = least_chance(was.count, is.count) <= bound;
        let comparable = !(is_time(&fact) && comparison.times_unlike.is_some());
        comparison.provable += usize::from(enough && comparable);
        let (floor, far) = floors(&fact);
        let grew = |from: f64, to: f64, times: f64, by: f64| to > from * times && to - from >= by;
        let change = |from: &[f64], to: &[f64], a: f64, b: f64, proven: Change| {
            if !grew(a, b, GROWTH, floor) {
                return None;
            }
            let chance = chance::of_rise(from, to);
            if enough && comparable {
                (chance <= bound).then_some((proven, chance))
            } else {
                grew(a, b, DOUBLED, far).then_some((Change::Other, chance))
            }
        };
        let found = change(&old, &new, was.median, is.median, Change::Worse)
            .or_else(|| change(&new, &old, is.median, was.median, Change::Better));
        if let Some((change, chance)) = found {
            comparison.numbers.push(Number { id, fact, old: was, new: is, change, chance });
        }
    }
}
