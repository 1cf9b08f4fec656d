// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two sets of runs compared: what is worse, better, flaky or slower in the new one.
//!
//! Contract: a cell that only one side has is named; a new side that did not run all that it
//! planned is no proof of anything.

use std::collections::{BTreeMap, BTreeSet};

use super::numbers::{self, Change, Groups, Number};
use crate::exit::{Exit, Fault};
use crate::outcome::{
    CellResult, Comparison, Differential, Judgement, Manifest, RunResult, by_key,
};
use crate::plan::CellKey;
use crate::taxonomy::{Rule, Verdict};

/// A verdict that is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    /// The cell.
    pub(crate) key: CellKey,
    /// What became of it.
    pub(crate) change: Change,
    /// Verdicts before.
    pub(crate) old: String,
    /// Verdicts now.
    pub(crate) new: String,
    /// Why, of the first that is not as expected now.
    pub(crate) why: String,
}

/// A verdict on the patch that is another one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PatchMoved {
    /// What became of it.
    pub(crate) change: Change,
    /// The verdict before.
    pub(crate) old: Differential,
    /// The comparison with the baseline now.
    pub(crate) new: Comparison,
}

/// All that two sides say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RunComparison {
    /// In what the sides are not alike, for people.
    pub(crate) unlike: Vec<String>,
    /// Cells that both have.
    pub(crate) cells: usize,
    /// Verdicts that are others.
    pub(crate) moved: Vec<Moved>,
    /// Verdicts on the patch that are others.
    pub(crate) patches: Vec<PatchMoved>,
    /// Numbers that have moved.
    pub(crate) numbers: Vec<Number>,
    /// Numbers that both sides have.
    pub(crate) compared: usize,
    /// Of these, numbers with values enough to rule out chance.
    pub(crate) provable: usize,
    /// Why times of the two sides prove nothing.
    pub(crate) times_unlike: Option<String>,
    /// Cells that only the old side has.
    pub(crate) gone: Vec<CellKey>,
    /// Cells that only the new side has.
    pub(crate) added: Vec<CellKey>,
    /// Runs of the new side that are not whole.
    pub(crate) incomplete: Vec<String>,
}

impl RunComparison {
    /// Whether anything got worse, or too little ran to rule that out.
    pub(crate) fn regressed(&self) -> bool {
        let bad = |change: Change| matches!(change, Change::Worse | Change::Flaky);
        !self.incomplete.is_empty()
            || self.moved.iter().any(|moved| bad(moved.change))
            || self.patches.iter().any(|moved| bad(moved.change))
            || self.numbers.iter().any(|number| bad(number.change))
    }
}

/// Compares `new` with `old`; the runs of a side count together.
///
/// A fault of [`Exit::Usage`] when they have no cell in common.
pub(crate) fn compare<'a>(
    old: &'a [RunResult],
    new: &'a [RunResult],
) -> Result<RunComparison, Fault> {
    let groups = |runs: &'a [RunResult]| by_key(runs.iter().flat_map(|run| &run.cells));
    let (before, after) = (groups(old), groups(new));
    let both: Vec<&CellKey> =
        before.keys().copied().filter(|key| after.contains_key(key)).collect();
    if both.is_empty() {
        let what = "the two sides have no cell in common".to_owned();
        return Err(
            Fault::new(Exit::Usage, what).hint("`cargo xtask list runs` says what they ran")
        );
    }
    let only = |one: &Groups<'_>, other: &Groups<'_>| {
        one.keys().copied().filter(|key| !other.contains_key(key)).cloned().collect()
    };
    let alike = alike(&both, old, new);
    let measured = numbers::measured(old, new);
    let held = numbers::hold(&both, &before, &after, &measured, &alike);
    let times_unlike = (alike.len() < both.len()).then(|| times_unlike(old, new));
    Ok(RunComparison {
        unlike: unlike(old, new, false),
        cells: both.len(),
        moved: both.iter().filter_map(|key| moved(key, &before[key], &after[key])).collect(),
        patches: patches(old, new),
        numbers: held.moved,
        compared: held.count,
        provable: held.provable,
        times_unlike,
        gone: only(&before, &after),
        added: only(&after, &before),
        incomplete: new.iter().filter_map(incomplete).collect(),
    })
}

/// How well the repetitions of a cell went, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// As expected every time.
    Good,
    /// As expected sometimes.
    Flaky,
    /// Never as expected.
    Bad,
}

pub(super) fn state(cells: &[&CellResult]) -> State {
    if cells.iter().all(|cell| cell.judgement().as_expected) {
        State::Good
    } else if cells.iter().any(|cell| cell.judgement().as_expected || cell.flaky()) {
        State::Flaky
    } else {
        State::Bad
    }
}

fn moved(key: &CellKey, old: &[&CellResult], new: &[&CellResult]) -> Option<Moved> {
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
    Some(Moved { key: key.clone(), change, old: shown(before, was), new: shown(after, is), why })
}

/// Each verdict once: `PASS`, `FAIL I1|PASS`.
pub(super) fn verdicts(cells: &[&CellResult]) -> String {
    let label = |judgement: &Judgement| match judgement.verdict {
        Verdict::Fail => format!("FAIL {}", Rule::list(&judgement.breaks)),
        other => other.to_string(),
    };
    let labels: BTreeSet<String> = cells.iter().map(|cell| label(cell.judgement())).collect();
    labels.into_iter().collect::<Vec<_>>().join("|")
}

/// How bad a verdict on the patch is. One that is not known is no better than the problem itself.
///
/// `INERT` is all that a policy which is off can do; `SAME` is said of a kernel that may do better,
/// and proves as little for it as `NO DIFFERENCE`: beside `FIXED` a fix that was lost would go
/// unseen.
fn badness(outcome: Differential) -> u32 {
    match outcome {
        Differential::Fixed | Differential::Inert => 0,
        Differential::NoDifference
        | Differential::Same
        | Differential::NotReached
        | Differential::Changed => 1,
        Differential::NotFixed | Differential::Unknown => 2,
        Differential::Regressed => 3,
    }
}

/// Of several runs the worst counts.
pub(super) fn patches<'a>(old: &'a [RunResult], new: &'a [RunResult]) -> Vec<PatchMoved> {
    let worst = |runs: &'a [RunResult]| {
        let mut worst: BTreeMap<&CellKey, &Comparison> = BTreeMap::new();
        for one in runs.iter().flat_map(|run| &run.comparisons) {
            let known = worst.entry(&one.cell).or_insert(one);
            if badness(one.outcome) > badness(known.outcome) {
                *known = one;
            }
        }
        worst
    };
    let (before, after) = (worst(old), worst(new));
    let both = before.into_iter().filter_map(|(key, was)| Some((was.outcome, *after.get(key)?)));
    let moved = both.filter(|(was, is)| *was != is.outcome).map(|(old, new)| {
        let change = match badness(old).cmp(&badness(new.outcome)) {
            std::cmp::Ordering::Less => Change::Worse,
            std::cmp::Ordering::Greater => Change::Better,
            std::cmp::Ordering::Equal => Change::Other,
        };
        PatchMoved { change, old, new: new.clone() }
    });
    moved.collect()
}

fn incomplete(run: &RunResult) -> Option<String> {
    let totals = &run.totals;
    let whole = totals.ran == totals.planned && !run.manifest.interrupted;
    (!whole).then(|| format!("{} ran {} of {} cells", run.run, totals.ran, totals.planned))
}

/// A trait of two sides that must be alike for times to prove anything, or only should be.
type Trait = (&'static str, bool, fn(&Manifest) -> String);

/// What two manifests are asked for, and whether times depend on it as much as on the kernel.
const TRAITS: [Trait; 9] = [
    ("matrix", false, |manifest| manifest.matrix.clone()),
    ("seed", false, |manifest| manifest.seed.to_string()),
    ("accelerator", true, |manifest| manifest.accelerator.clone()),
    ("CPU model", true, |manifest| manifest.host.cpu_model.clone()),
    ("CPUs", true, |manifest| manifest.host.cpus.to_string()),
    ("jobs", true, |manifest| manifest.jobs.to_string()),
    ("QEMU", false, |manifest| manifest.qemu.clone()),
    ("microcode", false, |manifest| manifest.host.microcode.clone()),
    ("host", false, |manifest| manifest.host.system.clone()),
];

/// Cells whose repetitions ran on like machines on both sides.
fn alike<'a>(both: &[&'a CellKey], old: &[RunResult], new: &[RunResult]) -> BTreeSet<&'a CellKey> {
    let machines = |runs: &[RunResult], key: &CellKey| {
        let of = |run: &RunResult| {
            let own = run.cells.iter().filter(|ran| ran.cell.key == *key);
            own.map(|ran| run.machine(&ran.cell.id)).collect::<Vec<_>>()
        };
        runs.iter().flat_map(of).collect::<BTreeSet<_>>()
    };
    let like = |key: &&&CellKey| {
        let (old, new) = (machines(old, key), machines(new, key));
        old == new && !old.contains(&None)
    };
    both.iter().filter(like).copied().collect()
}

/// Why times of cells prove nothing.
fn times_unlike(old: &[RunResult], new: &[RunResult]) -> String {
    let traits = unlike(old, new, true);
    match traits.is_empty() {
        false => traits.join("; "),
        true => "cells ran on parts with other machines, or their time was stolen".to_owned(),
    }
}

/// In what the sides differ: everything, kernels included, or only what times depend on.
fn unlike(old: &[RunResult], new: &[RunResult], only_times: bool) -> Vec<String> {
    let asked = TRAITS.iter().filter(|(_, times, _)| *times || !only_times);
    let found = asked.filter_map(|(name, _, of)| {
        let values = |runs: &[RunResult]| runs.iter().map(|run| of(&run.manifest)).collect();
        differing(name, values(old), values(new))
    });
    let mut found: Vec<String> = found.collect();
    let names = old.iter().flat_map(|run| run.manifest.kernels.keys()).collect::<BTreeSet<_>>();
    for name in names.into_iter().filter(|_| !only_times) {
        let builds = |runs: &[RunResult]| {
            let kernels = runs.iter().filter_map(|run| run.manifest.kernels.get(name));
            kernels.map(|kernel| kernel.identity().chars().take(12).collect()).collect()
        };
        found.extend(differing(&format!("kernel {name}"), builds(old), builds(new)));
    }
    found
}

fn differing(name: &str, old: BTreeSet<String>, new: BTreeSet<String>) -> Option<String> {
    let list = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(", ");
    let both = !old.is_empty() && !new.is_empty();
    (both && old != new).then(|| format!("{name}: {} -> {}", list(&old), list(&new)))
}
