// SPDX-License-Identifier: MIT OR Apache-2.0
//! A run as a list of tests, each of which is good, bad or says nothing.
//!
//! Contract: a cell is good when it is as expected. Of the verdicts on the patch only those are
//! good that say something good of it. What has no verdict is never good. A run that was
//! interrupted, or whose cells were skipped, has a bad test of its own: a reader that only counts
//! failures would see none.

use super::super::numbers::plural;
use super::super::terminal::{attempts, verdict, wanted};
use super::super::{differential, reach};
use super::Excerpts;
use crate::outcome::{CellResult, Comparison, Differential, Outcome, RunResult};
use crate::taxonomy::Verdict;

/// Name of the group that holds the verdicts on the patch.
pub(super) const PATCH: &str = "vs-baseline";

/// Tests that stand together.
pub(super) struct Group<'a> {
    /// `run`, [`PATCH`], or a scenario.
    pub(super) name: String,
    /// At least one.
    pub(super) cases: Vec<Case<'a>>,
}

/// One test.
pub(super) struct Case<'a> {
    /// Id of a cell, or key of the patched cell of a comparison.
    pub(super) name: String,
    /// What it is to a reader who wants one of few words.
    pub(super) standing: Standing,
    /// What it is in ours: `FAIL I1`, `FIXED`.
    pub(super) verdict: String,
    /// One line with the reason.
    pub(super) why: String,
    /// More lines for who looks closer; empty where there is nothing to look for.
    pub(super) details: Vec<String>,
    /// The cell, where it is one.
    pub(super) cell: Option<&'a CellResult>,
}

/// What a test is to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// As it should be.
    Good,
    /// As it should be, and what should be is a failure: the unpatched kernel shows the problem.
    GoodFailure,
    /// Not as it should be, and the kernel's doing.
    Bad,
    /// The same, by a deadline or a lockup.
    TimedOut,
    /// Not as it should be, and nothing can be said of the kernel.
    NoVerdict,
    /// Says nothing, as may be.
    Skipped,
    /// Says nothing, and should have.
    NotSkippable,
}

impl Standing {
    /// Whether it needs a look.
    pub(super) fn is_bad(self) -> bool {
        match self {
            Self::Bad | Self::TimedOut | Self::NoVerdict => true,
            // What was skipped is told once, by the test of the whole run.
            Self::Good | Self::GoodFailure | Self::Skipped | Self::NotSkippable => false,
        }
    }
}

/// The whole run: first whether it is whole, then the verdicts on the patch, then a group a
/// scenario.
pub(super) fn groups<'a>(result: &'a RunResult, excerpts: &Excerpts) -> Vec<Group<'a>> {
    let mut groups = vec![Group { name: "run".to_owned(), cases: vec![complete(result)] }];
    if !result.comparisons.is_empty() {
        let mut cases: Vec<Case<'_>> =
            result.comparisons.iter().map(|one| on_patch(one, result)).collect();
        cases.extend(on_reach(result));
        groups.push(Group { name: PATCH.to_owned(), cases });
    }
    for cell in &result.cells {
        let case = of_cell(cell, result, excerpts);
        let name = &cell.cell.key.scenario;
        match groups.iter_mut().skip(1).find(|group| group.name == *name) {
            Some(group) => group.cases.push(case),
            None => groups.push(Group { name: name.clone(), cases: vec![case] }),
        }
    }
    groups
}

/// Whether every cell that was planned says something.
fn complete(result: &RunResult) -> Case<'static> {
    let totals = &result.totals;
    let skips = |cell: &&CellResult| standing(cell) == Standing::NotSkippable;
    let skipped = result.cells.iter().filter(skips).count();
    let mut why = format!("{} of {} ran", totals.ran, plural(totals.planned, "cell"));
    if skipped > 0 {
        why.push_str(&format!(", {skipped} of them skipped that should not be"));
    }
    if let Some(missing) = result.manifest.missing() {
        why.push_str(&format!("; {missing}"));
    }
    if result.manifest.interrupted {
        why.push_str("; the run was interrupted");
    }
    let fuzz = result.manifest.fuzz();
    if !fuzz.is_empty() {
        why.push_str(&format!("; {} accepted with --fuzz", plural(fuzz.len(), "hunk")));
    }
    let whole = totals.ran > 0 && totals.ran == totals.planned && skipped == 0;
    let good = whole && !result.manifest.interrupted;
    let (standing, verdict) = match good {
        true => (Standing::Good, "COMPLETE"),
        false => (Standing::NoVerdict, "INCOMPLETE"),
    };
    Case {
        name: "complete".to_owned(),
        standing,
        verdict: verdict.to_owned(),
        why,
        details: fuzz,
        cell: None,
    }
}

fn on_patch<'a>(comparison: &Comparison, result: &RunResult) -> Case<'a> {
    let stated = result.is_as_stated(comparison);
    let standing = match comparison.outcome {
        Differential::Fixed | Differential::Inert | Differential::Same => Standing::Good,
        Differential::Regressed => Standing::Bad,
        Differential::NotFixed if !stated => Standing::Bad,
        // What has changed is for people to judge.
        Differential::NotFixed
        | Differential::NoDifference
        | Differential::NotReached
        | Differential::Changed
        | Differential::Unknown => Standing::Skipped,
    };
    Case {
        name: comparison.cell.to_string(),
        standing,
        verdict: comparison.outcome.to_string(),
        why: differential::sentence(comparison, stated),
        details: Vec::new(),
        cell: None,
    }
}

/// Which of the changed functions ran, and where.
fn on_reach(result: &RunResult) -> Option<Case<'static>> {
    let reach = result.manifest.reach.as_ref()?;
    let (standing, verdict) = match result.nothing_reached() {
        true => (Standing::NoVerdict, Differential::NotReached.to_string()),
        false => (Standing::Good, "REACHED".to_owned()),
    };
    let rows = reach::rows(result);
    let ran = rows.iter().filter(|row| !row.nowhere).count();
    let why = format!("{ran} of {} ran", plural(reach.functions.len(), "changed function"));
    let rows = rows.into_iter().map(|row| format!("{}: {}", row.function, row.ran));
    let details = rows.chain(reach.remarks.iter().cloned()).collect();
    Some(Case { name: "changed-functions".to_owned(), standing, verdict, why, details, cell: None })
}

fn of_cell<'a>(cell: &'a CellResult, result: &RunResult, excerpts: &Excerpts) -> Case<'a> {
    let judgement = cell.judgement();
    let mut why = judgement.why.clone();
    if cell.flaky() {
        why = format!("flaky: {why}");
    }
    Case {
        name: cell.cell.id.clone(),
        standing: standing(cell),
        verdict: verdict(judgement),
        why,
        details: details(cell, result, excerpts),
        cell: Some(cell),
    }
}

fn standing(cell: &CellResult) -> Standing {
    let judgement = cell.judgement();
    match (judgement.as_expected, judgement.verdict) {
        (true, Verdict::Pass) => Standing::Good,
        (true, Verdict::Skip) => Standing::Skipped,
        (true, _) => Standing::GoodFailure,
        (false, Verdict::Skip) => Standing::NotSkippable,
        (false, Verdict::Error | Verdict::Inconclusive) => Standing::NoVerdict,
        (false, Verdict::Hang) => Standing::TimedOut,
        (false, Verdict::Crash | Verdict::Fail | Verdict::Pass) => Standing::Bad,
    }
}

/// What of a cell was not as expected, both attempts, and where to look.
fn details(cell: &CellResult, result: &RunResult, excerpts: &Excerpts) -> Vec<String> {
    let judgement = cell.judgement();
    if judgement.as_expected && judgement.verdict == Verdict::Pass {
        return Vec::new();
    }
    let mut lines = Vec::new();
    if !judgement.as_expected {
        lines.push(format!("expected {}", wanted(&cell.cell)));
    }
    for check in &judgement.checks {
        match check.outcome {
            Outcome::Broken => lines.push(format!("{} broken: {}", check.rule, check.said)),
            Outcome::Unknown => lines.push(format!("{} unknown: {}", check.rule, check.said)),
            Outcome::Kept | Outcome::NotApplicable => {}
        }
    }
    lines.extend(attempts(cell));
    lines.push(format!("cargo xtask show {} --run {}", cell.cell.id, result.run));
    if let Some(excerpt) = excerpts.get(&cell.cell.id) {
        lines.push("console:".to_owned());
        lines.extend(excerpt.lines().map(|line| format!("  {line}")));
    }
    lines
}
