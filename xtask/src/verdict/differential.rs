// SPDX-License-Identifier: MIT OR Apache-2.0
//! Baseline beside patched: what a scenario says of the patch.
//!
//! The problem is a list of conditions that the scenario states once and that is asked of every
//! kernel alike. A scenario that states none is a control and says nothing here, but of a policy that is
//! off, which is held beside the baseline in every scenario (I11). Passing on both sides says nothing
//! about the patch either.

use protocol::CgroupVersion;
use serde::{Deserialize, Serialize};

use super::{Differential, Judgement, Verdict, i11_off_is_mainline};
use crate::config::Scenario;
use crate::plan::Cell;

/// A cell and what was judged of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged<'a> {
    /// The cell.
    pub(crate) cell: &'a Cell,
    /// Its judgement.
    pub(crate) judgement: &'a Judgement,
}

/// One differential verdict: a scenario on one cgroup version, one policy of one patched kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SideBySide {
    /// The scenario.
    pub(crate) scenario: String,
    /// Interface of the memory controller.
    pub(crate) cgroup: CgroupVersion,
    /// The patched kernel.
    pub(crate) kernel: String,
    /// Its policy.
    pub(crate) policy: String,
    /// The verdict on the patch.
    pub(crate) outcome: Differential,
    /// One sentence for people, with the numbers of both sides.
    pub(crate) said: String,
}

/// What all repetitions of one side say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Shows,
    DoesNotShow,
    Unusable,
}

/// Compares each (cgroup version, kernel, policy) of one scenario with the baseline, in plan order.
///
/// `cells` may be of any scenario; those of others are left out. Nothing comes back for a scenario
/// without a problem, but of a policy that is off, or for a run without the baseline.
pub(crate) fn compare(
    scenario: &Scenario,
    baseline: &str,
    cells: &[Judged<'_>],
) -> Vec<SideBySide> {
    let ours: Vec<Judged<'_>> =
        cells.iter().copied().filter(|judged| judged.cell.scenario == scenario.name).collect();
    let mut outcomes: Vec<SideBySide> = Vec::new();
    for judged in ours.iter().filter(|judged| judged.cell.kernel != baseline) {
        let cell = judged.cell;
        let known = outcomes.iter().any(|known| {
            (known.cgroup, &known.kernel, &known.policy)
                == (cell.cgroup, &cell.kernel, &cell.policy)
        });
        let base: Vec<Judged<'_>> = ours
            .iter()
            .copied()
            .filter(|other| other.cell.kernel == baseline && other.cell.cgroup == cell.cgroup)
            .collect();
        let control = scenario.problem.is_empty() && !is_off(&base, cell);
        if known || base.is_empty() || control {
            continue;
        }
        let patched: Vec<Judged<'_>> = ours
            .iter()
            .copied()
            .filter(|other| {
                (other.cell.cgroup, &other.cell.kernel, &other.cell.policy)
                    == (cell.cgroup, &cell.kernel, &cell.policy)
            })
            .collect();
        // `off` beside the unpatched kernel: the same expectation holds of both.
        let unlike = match is_off(&base, cell) {
            true => Some(i11_off_is_mainline::beside(&base, &patched)),
            false => None,
        };
        let outcome = outcome(scenario, &base, &patched, unlike.as_deref());
        outcomes.push(SideBySide {
            scenario: scenario.name.clone(),
            cgroup: cell.cgroup,
            kernel: cell.kernel.clone(),
            policy: cell.policy.clone(),
            outcome,
            said: sentence(scenario, outcome, &base, &patched, &unlike.unwrap_or_default()),
        });
    }
    outcomes
}

/// Whether the cell runs under a policy that should change nothing.
fn is_off(base: &[Judged<'_>], cell: &Cell) -> bool {
    base.iter().all(|base| base.cell.expects_as == cell.expects_as)
}

/// `unlike`: of a policy that is off, in what it differs from the baseline.
fn outcome(
    scenario: &Scenario,
    base: &[Judged<'_>],
    patched: &[Judged<'_>],
    unlike: Option<&[String]>,
) -> Differential {
    let (before, after) = (side(scenario, base), side(scenario, patched));
    // What the baseline breaks, or is known to break now and then, is nothing new.
    let known = |rule: &String| {
        let breaks = |b: &Judged<'_>| {
            b.judgement.breaks.contains(rule) || b.cell.expect.may_break.contains(rule)
        };
        base.iter().any(breaks)
    };
    // The patched kernel crashes, hangs or breaks a rule that the baseline keeps.
    let worse = patched.iter().any(|patched| {
        let judgement = patched.judgement;
        match judgement.verdict {
            Verdict::Crash | Verdict::Hang => {
                base.iter().all(|b| b.judgement.verdict != judgement.verdict)
            }
            Verdict::Fail => judgement.breaks.iter().any(|rule| rule == "E" || !known(rule)),
            _ => false,
        }
    });
    if before == Side::Unusable {
        return Differential::Unknown;
    }
    if worse {
        return Differential::Regressed;
    }
    match (before, after) {
        (_, Side::Unusable) | (Side::Unusable, _) => Differential::Unknown,
        (before, after) if unlike.is_some_and(|unlike| before == after && unlike.is_empty()) => {
            Differential::Inert
        }
        // Nothing should change here, so a change for the better is one too many as well.
        _ if unlike.is_some() => Differential::Regressed,
        (Side::Shows, Side::DoesNotShow) => Differential::Fixed,
        (Side::Shows, Side::Shows) => Differential::NotFixed,
        (Side::DoesNotShow, Side::DoesNotShow) => Differential::NoDifference,
        (Side::DoesNotShow, Side::Shows) => Differential::Regressed,
    }
}

/// A side speaks only when every repetition is usable and they agree.
fn side(scenario: &Scenario, cells: &[Judged<'_>]) -> Side {
    let mut together = None;
    for judged in cells {
        let usable = matches!(judged.judgement.verdict, Verdict::Pass | Verdict::Fail);
        let Some(shows) = shows(scenario, judged.judgement).filter(|_| usable) else {
            return Side::Unusable;
        };
        if *together.get_or_insert(shows) != shows {
            return Side::Unusable;
        }
    }
    match together {
        Some(true) => Side::Shows,
        Some(false) => Side::DoesNotShow,
        None => Side::Unusable,
    }
}

/// Whether the problem shows; `None` when a fact it asks for is missing.
fn shows(scenario: &Scenario, judgement: &Judgement) -> Option<bool> {
    scenario.problem.iter().try_fold(true, |all, condition| {
        Some(all && condition.holds(super::facts::get(&judgement.facts, &condition.fact)?))
    })
}

fn sentence(
    scenario: &Scenario,
    outcome: Differential,
    base: &[Judged<'_>],
    patched: &[Judged<'_>],
    unlike: &[String],
) -> String {
    let numbers = |cells: &[Judged<'_>]| {
        let one = |judged: &Judged<'_>| {
            let facts = scenario.problem.iter().map(|condition| {
                let value = super::facts::get(&judged.judgement.facts, &condition.fact);
                let value = value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
                format!("{} {value}", condition.fact)
            });
            let facts: Vec<String> = facts.collect();
            format!("{} ({})", facts.join(", "), judged.judgement.verdict).trim_start().to_owned()
        };
        cells.iter().map(one).collect::<Vec<_>>().join(" | ")
    };
    let problem: Vec<String> = scenario.problem.iter().map(ToString::to_string).collect();
    let asked = match problem.join(" and ") {
        none if none.is_empty() => none,
        problem => format!(" [{problem}]"),
    };
    let meaning = match outcome {
        Differential::Fixed => "the baseline shows the problem and this kernel does not",
        Differential::NotFixed => "both show the problem",
        Differential::NoDifference => {
            "neither shows the problem, so this says nothing about the patch"
        }
        Differential::Regressed => {
            "this kernel does worse than the baseline, or other than it should"
        }
        Differential::Inert => "does as the baseline does, as it should",
        Differential::Unknown => "a side has no usable verdict, or its repetitions disagree",
    };
    let unlike: String = unlike.iter().map(|difference| format!("; {difference}")).collect();
    format!("{meaning}{asked}: baseline {}; here {}{unlike}", numbers(base), numbers(patched))
}
