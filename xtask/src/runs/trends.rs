// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs of one matrix, night after night.
//!
//! Contract: a line has a point for each night, and none where the cell did not run or its verdict
//! is not usable; what stands for many cells is the middle of those that every night has.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::verdicts;
use super::grid::Grid;
use super::nights::{apart, is_replaced, matrix};
use super::numbers::{Spread, Values};
use super::recurring::{FaultLine, faults};
use crate::outcome::{CellResult, Comparison, Differential, RunResult, Totals, by_key};
use crate::plan::CellKey;
use crate::taxonomy::{CellFact, FactName, MemcgFact, Unit};

/// What a line shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trend {
    /// A fact.
    Fact(FactName),
    /// From QEMU's start to its end, milliseconds.
    Wall,
}

impl Trend {
    /// Its unit.
    pub(crate) fn unit(&self) -> Unit {
        match self {
            Self::Fact(fact) => fact.unit(),
            Self::Wall => Unit::Ms,
        }
    }
}

impl std::fmt::Display for Trend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fact(fact) => fact.fmt(f),
            Self::Wall => f.pad("wall_ms"),
        }
    }
}

/// What is shown, with its heading.
pub(crate) fn shown() -> [(Trend, &'static str); 5] {
    [
        (Trend::Fact(CellFact::LoadMs.into()), "load"),
        (Trend::Fact(MemcgFact::PeakOverBytes.into()), "overrun"),
        (Trend::Fact(MemcgFact::ReconcileP99Us.into()), "reconcile, p99"),
        (Trend::Fact(MemcgFact::OverMsMax.into()), "over the limit"),
        (Trend::Wall, "cell took"),
    ]
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Night {
    /// Name of its folder.
    pub(crate) run: String,
    /// `kvm` or `tcg`.
    pub(crate) accelerator: String,
    /// From begin to end, milliseconds.
    pub(crate) duration_ms: u64,
    /// Sums over its cells.
    pub(crate) totals: Totals,
    /// Verdicts of FIXED.
    pub(crate) fixed: usize,
    /// Parts that are missing, for people.
    pub(crate) missing: Option<String>,
    /// Whether it ended with exit code 0.
    pub(crate) good: bool,
    /// Kernels that are other builds than the night before.
    pub(crate) rebuilt: Vec<String>,
    /// Verdicts that are others than the last time the cell ran: `id: PASS -> FAIL I1`.
    pub(crate) changes: Vec<String>,
}

/// One fact over the nights.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line<Of> {
    /// Whose it is: a cell's, or that of all cells of a kernel and policy.
    pub(crate) of: Of,
    /// What it shows.
    pub(crate) fact: Trend,
    /// For each night.
    pub(crate) points: Vec<Option<Spread>>,
}

/// A kernel and a policy: `patched.overcharge`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Variant {
    /// Name of the kernel.
    pub(crate) kernel: String,
    /// Name of the policy.
    pub(crate) policy: String,
}

impl std::fmt::Display for Variant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}.{}", self.kernel, self.policy))
    }
}

/// Everything about one matrix, oldest night first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trends {
    /// Its name.
    pub(crate) matrix: String,
    /// Its runs.
    pub(crate) nights: Vec<Night>,
    /// Runs that are not among them, and why: narrowed, interrupted, or by hand among nights.
    pub(crate) apart: Vec<(Night, String)>,
    /// Its faults by these runs.
    pub(crate) faults: Vec<FaultLine>,
    /// Its cells by these runs.
    pub(crate) grid: Grid,
    /// Of kernels and policies.
    pub(crate) overall: Vec<Line<Variant>>,
    /// Of cells.
    pub(crate) lines: Vec<Line<CellKey>>,
}

/// The newest `last` runs of each matrix; `runs` come oldest first.
pub(crate) fn trends(runs: &[RunResult], last: usize) -> Vec<Trends> {
    let mut matrices: BTreeMap<String, Vec<&RunResult>> = BTreeMap::new();
    for run in runs {
        matrices.entry(matrix(run)).or_default().push(run);
    }
    let of = |(matrix, runs): (String, Vec<&RunResult>)| {
        let (runs, others) = apart_from(&runs);
        let runs = &runs[runs.len().saturating_sub(last)..];
        let (others, why): (Vec<&RunResult>, Vec<String>) =
            others[others.len().saturating_sub(last)..].iter().cloned().unzip();
        let apart = nights(&others).into_iter().zip(why).collect();
        let lines = lines(runs);
        let (grid, faults, overall) = (Grid::of(runs), faults(runs), overall(&lines, runs));
        Trends { matrix, nights: nights(runs), apart, faults, grid, overall, lines }
    };
    matrices.into_iter().map(of).collect()
}

/// The runs that make a history, oldest first, and the others with the reason.
fn apart_from<'a>(runs: &[&'a RunResult]) -> (Vec<&'a RunResult>, Vec<(&'a RunResult, String)>) {
    let mut runs = runs.to_vec();
    runs.sort_by_key(|run| (&run.manifest.started_at, &run.run));
    let among_nights = runs.iter().any(|run| apart(run, true).is_none());
    let (mut regular, mut others) = (Vec::new(), Vec::new());
    for run in &runs {
        let replaced = || is_replaced(run, &runs).then(|| "run again with all parts".to_owned());
        match apart(run, among_nights).or_else(replaced) {
            Some(why) => others.push((*run, why)),
            None => regular.push(*run),
        }
    }
    (regular, others)
}

fn nights<'a>(runs: &[&'a RunResult]) -> Vec<Night> {
    let mut known: BTreeMap<&CellKey, String> = BTreeMap::new();
    let mut built: BTreeMap<String, String> = BTreeMap::new();
    let night = |run: &&'a RunResult| {
        let mut changes = Vec::new();
        for (key, cells) in by_key(&run.cells) {
            let is = verdicts(&cells);
            match known.insert(key, is.clone()) {
                Some(was) if was != is => changes.push(format!("{key}: {was} -> {is}")),
                _ => {}
            }
        }
        let kernels = run.manifest.kernels.iter();
        let rebuilt = kernels.filter(|(name, kernel)| {
            built
                .insert((*name).clone(), kernel.image_sha256.clone())
                .is_some_and(|was| was != kernel.image_sha256)
        });
        let is_fixed = |one: &&Comparison| one.outcome == Differential::Fixed;
        Night {
            rebuilt: rebuilt.map(|(name, _)| name.clone()).collect(),
            run: run.run.clone(),
            accelerator: run.manifest.accelerator.clone(),
            duration_ms: run.manifest.duration_ms,
            totals: run.totals.clone(),
            fixed: run.comparisons.iter().filter(is_fixed).count(),
            missing: run.manifest.missing(),
            good: run.good() && !run.manifest.interrupted,
            changes,
        }
    };
    runs.iter().map(night).collect()
}

fn lines(runs: &[&RunResult]) -> Vec<Line<CellKey>> {
    let nights: Vec<_> = runs.iter().map(|run| by_key(&run.cells)).collect();
    let keys: BTreeSet<&CellKey> = nights.iter().flat_map(BTreeMap::keys).copied().collect();
    let mut lines = Vec::new();
    for key in keys {
        for (fact, _) in shown() {
            let point = |night: &BTreeMap<&CellKey, Vec<&CellResult>>| {
                let cells = night.get(key)?;
                let walls = || cells.iter().map(|ran| ran.first.wall_ms as f64).collect();
                Spread::of(&match &fact {
                    Trend::Wall => walls(),
                    Trend::Fact(fact) => Values::of(cells, fact).whole,
                })
            };
            let points: Vec<Option<Spread>> = nights.iter().map(point).collect();
            // A line that is zero throughout says that this kernel has no such thing.
            if points.iter().flatten().any(|side| side.max > 0.0) {
                lines.push(Line { of: key.clone(), fact, points });
            }
        }
    }
    lines
}

/// Middle over the cells of each kernel and policy, of those that have a point every night. A night
/// of less than half of the matrix is a gap: of some cells the middle is another one.
fn overall(lines: &[Line<CellKey>], runs: &[&RunResult]) -> Vec<Line<Variant>> {
    let most = runs.iter().map(|run| run.totals.ran).max().unwrap_or(0);
    let whole: Vec<bool> = runs.iter().map(|run| run.totals.ran * 2 >= most).collect();
    let every = |line: &&Line<CellKey>| {
        line.points.iter().zip(&whole).all(|(point, whole)| point.is_some() || !whole)
    };
    let mut together: BTreeMap<(Variant, &Trend), Vec<&Line<CellKey>>> = BTreeMap::new();
    for line in lines.iter().filter(every) {
        let CellKey { kernel, policy, .. } = line.of.clone();
        together.entry((Variant { kernel, policy }, &line.fact)).or_default().push(line);
    }
    let middle = |lines: &[&Line<CellKey>], night: usize| {
        let medians: Vec<f64> =
            lines.iter().filter_map(|line| Some(line.points[night]?.median)).collect();
        Spread::of(&medians).filter(|_| whole[night])
    };
    let line = |((of, fact), lines): ((Variant, &Trend), Vec<&Line<CellKey>>)| Line {
        of,
        fact: fact.clone(),
        points: (0..runs.len()).map(|night| middle(&lines, night)).collect(),
    };
    together.into_iter().map(line).collect()
}
