// SPDX-License-Identifier: MIT OR Apache-2.0
//! The patched kernel compared with the baseline: what a scenario says of the patch.
//!
//! The problem is a list of conditions that the scenario states once and that is asked of every
//! kernel alike. A control states none. It compares only a policy that is off (I11) and a kernel of
//! which nothing is stated ([`no_worse`]); those two are compared in every scenario.
//!
//! With repetitions a side may show the problem now and then. Fisher's exact test tells that from
//! chance: what equal kernels would do less often than once in 100 runs is a difference.

use super::{
    Judged, Judgement, Rule, Verdict, amounts, i1_no_escape, i11_off_is_mainline, no_worse,
};
use crate::chance::{Shown, by_chance};
use crate::config::Condition;
use crate::outcome::{Comparison, Difference, Differential, Repetition, Side, Wanted};
use crate::plan::Cell;
use crate::taxonomy::CellFact;

/// What is less likely is no chance.
const CHANCE: f64 = 0.01;

/// Share of a cell's time spent waiting for a host CPU. Such a cell may be four times as slow as it
/// would be, so a long time shows no problem. Half of it is usual with parallel jobs.
const STARVED: f64 = 0.75;

/// Compares each (cgroup version, kernel, policy) of one scenario with the baseline, in plan order.
///
/// `cells` may be of any scenario; those of others are left out. A scenario without a problem
/// compares only what the module's documentation names, a run without the baseline nothing.
pub(crate) fn compare(scenario: &str, baseline: &str, cells: &[Judged<'_>]) -> Vec<Comparison> {
    let ours: Vec<Judged<'_>> =
        cells.iter().copied().filter(|judged| judged.cell.key.scenario == scenario).collect();
    let those = |fits: &dyn Fn(&Cell) -> bool| -> Vec<Judged<'_>> {
        ours.iter().copied().filter(|judged| fits(judged.cell)).collect()
    };
    let mut found: Vec<Comparison> = Vec::new();
    for Judged { cell, .. } in ours.iter().filter(|judged| judged.cell.key.kernel != baseline) {
        if found.iter().any(|known| known.cell == cell.key) {
            continue;
        }
        let base = those(&|c| c.key.kernel == baseline && c.key.cgroup == cell.key.cgroup);
        let wanted = wanted(&base, cell);
        let control = cell.note.problem.is_empty() && wanted == Wanted::Fix;
        if base.is_empty() || control {
            continue;
        }
        let patched = those(&|c| c.key == cell.key);
        found.push(compared(wanted, cell, &base, &patched));
    }
    found
}

fn wanted(base: &[Judged<'_>], cell: &Cell) -> Wanted {
    if cell.expect.or_better {
        return Wanted::NoWorse;
    }
    match base.iter().all(|base| base.cell.expects_as == cell.expects_as) {
        true => Wanted::Nothing,
        false => Wanted::Fix,
    }
}

fn compared(
    wanted: Wanted,
    cell: &Cell,
    base: &[Judged<'_>],
    patched: &[Judged<'_>],
) -> Comparison {
    // The problem is asked of both sides alike.
    let problem = &cell.note.problem;
    let sides = [base, patched].map(|cells| side(problem, cells));
    let both = sides[0].shown.zip(sides[1].shown).filter(|_| !problem.is_empty());
    let repeated = both.filter(|(one, other)| one.of + other.of > 2);
    let [baseline, here] = sides;
    let mut comparison = Comparison {
        cell: cell.key.clone(),
        wanted,
        problem: problem.clone(),
        outcome: Differential::Unknown,
        baseline,
        patched: here,
        chance: repeated.map(|(a, b)| by_chance(a, b).min(by_chance(b, a))),
        differences: match wanted {
            Wanted::Fix => Vec::new(),
            Wanted::Nothing => i11_off_is_mainline::differences(base, patched),
            Wanted::NoWorse => no_worse::differences(base, patched),
        },
        reached: None,
    };
    comparison.differences.extend(amounts::differences(base, patched));
    comparison.differences.extend(new_faults(base, patched));
    let worse = comparison.differences.iter().any(Difference::is_worse);
    comparison.outcome = outcome(&comparison, worse);
    comparison
}

/// Crashes, hangs, broken rules and kills of the whole system that the baseline does not have.
fn new_faults(base: &[Judged<'_>], patched: &[Judged<'_>]) -> Vec<Difference> {
    // What the baseline breaks, always or now and then, is nothing new, unless more calls are lost
    // here than by chance: a kernel that never kills and always fails is no better for it.
    let more_lost = i11_off_is_mainline::more_lost(base, patched);
    let known = |rule: &Rule| {
        let breaks = |b: &Judged<'_>| b.judgement.breaks.contains(rule);
        let now_and_then = |b: &Judged<'_>| b.cell.expect.may_break.contains(rule);
        match base.iter().any(now_and_then) {
            true => *rule != i1_no_escape::RULE.rule || !more_lost,
            false => base.iter().any(breaks),
        }
    };
    let mut found: Vec<Difference> = Vec::new();
    for judgement in patched.iter().map(|patched| patched.judgement) {
        match judgement.verdict {
            verdict @ (Verdict::Crash | Verdict::Hang) => {
                let new = base.iter().all(|b| b.judgement.verdict != verdict);
                found.extend(new.then_some(Difference::Down { verdict }));
            }
            Verdict::Fail => {
                let new = judgement.breaks.iter().filter(|r| **r == Rule::Expectation || !known(r));
                found.extend(new.map(|rule| Difference::Broken { rule: *rule }));
            }
            // That the whole system was out of memory proves nothing, unless only this kernel was.
            Verdict::Error => {
                let kills = global_kills(judgement);
                let new = kills > 0.0 && base.iter().all(|b| global_kills(b.judgement) == 0.0);
                found.extend(new.then(|| Difference::Amount {
                    fact: CellFact::KillsGlobal.into(),
                    baseline: vec![0.0],
                    patched: vec![kills],
                    worse: true,
                }));
            }
            _ => {}
        }
    }
    let mut unique = Vec::new();
    for one in found {
        if !unique.contains(&one) {
            unique.push(one);
        }
    }
    unique
}

fn global_kills(judgement: &Judgement) -> f64 {
    judgement.facts.get(&CellFact::KillsGlobal.into()).copied().unwrap_or(0.0)
}

fn outcome(compared: &Comparison, is_worse: bool) -> Differential {
    let Some(baseline) = compared.baseline.shown else { return Differential::Unknown };
    if is_worse {
        return Differential::Regressed;
    }
    let Some(here) = compared.patched.shown else {
        return match compared.differences.is_empty() {
            true => Differential::Unknown,
            false => Differential::Changed,
        };
    };
    let agree = (baseline.always() || baseline.never()) && (here.always() || here.never());
    let differ = match agree {
        true => baseline.always() != here.always(),
        false => compared.chance.is_some_and(|chance| chance < CHANCE),
    };
    let rarer = u64::from(here.shows) * u64::from(baseline.of)
        < u64::from(baseline.shows) * u64::from(here.of);
    let alike = compared.differences.is_empty();
    match (compared.wanted, baseline.never(), here.never()) {
        // Nothing should change here, so a change for the better is one too many as well.
        (Wanted::Nothing, ..) if !differ && alike => Differential::Inert,
        (Wanted::Nothing, ..) => Differential::Regressed,
        (Wanted::NoWorse, _, true) if differ && rarer => Differential::Fixed,
        (Wanted::NoWorse, ..) if differ && !rarer => Differential::Regressed,
        // One side shows it now and then, too seldom to be more than chance.
        (Wanted::NoWorse, a, b) if !differ && a != b => Differential::Unknown,
        (Wanted::NoWorse, ..) if !differ && alike => Differential::Same,
        (Wanted::NoWorse, ..) => Differential::Changed,
        (Wanted::Fix, true, true) => Differential::NoDifference,
        (Wanted::Fix, false, true) if differ => Differential::Fixed,
        (Wanted::Fix, _, false) if differ && !rarer => Differential::Regressed,
        // Rarer than on the baseline, but there.
        (Wanted::Fix, false, false) => Differential::NotFixed,
        // One side shows it now and then, too seldom to be more than chance.
        (Wanted::Fix, ..) => Differential::Unknown,
    }
}

/// What one kernel did. A side speaks only when every repetition is usable.
fn side(problem: &[Condition], cells: &[Judged<'_>]) -> Side {
    let repetition = |&Judged { cell, judgement }: &Judged<'_>| {
        let facts = problem.iter().map(|condition| &condition.fact);
        let usable = matches!(judgement.verdict, Verdict::Pass | Verdict::Fail);
        // Of a load of which nothing is known, this is a problem in any case.
        let down = matches!(judgement.verdict, Verdict::Crash | Verdict::Hang);
        let shown = match cell.expect.any && down {
            true => Some(true),
            false => shows(problem, judgement).filter(|_| usable),
        };
        Repetition {
            repetition: cell.repetition,
            verdict: judgement.verdict,
            shows: shown,
            values: facts.map(|fact| super::facts::get(&judgement.facts, fact)).collect(),
        }
    };
    let repetitions: Vec<Repetition> = cells.iter().map(repetition).collect();
    let known: Vec<bool> = repetitions.iter().filter_map(|one| one.shows).collect();
    let shows = known.iter().filter(|shows| **shows).count() as u32;
    let shown = Shown { shows, of: known.len() as u32 };
    let whole = !known.is_empty() && known.len() == repetitions.len();
    Side { shown: whole.then_some(shown), repetitions }
}

/// Whether the problem shows, which it never does in a control. `None` if a fact it asks for is
/// missing, or is a time of a cell that the host did not let run.
fn shows(problem: &[Condition], judgement: &Judgement) -> Option<bool> {
    let starved =
        judgement.facts.get(&CellFact::HostStarved.into()).is_some_and(|share| *share >= STARVED);
    if starved && problem.iter().any(|condition| condition.fact.unit().is_time()) {
        return None;
    }
    problem.iter().try_fold(!problem.is_empty(), |all, condition| {
        Some(all && condition.holds(super::facts::get(&judgement.facts, &condition.fact)?))
    })
}
