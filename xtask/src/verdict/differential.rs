// SPDX-License-Identifier: MIT OR Apache-2.0
//! Baseline beside patched: what a scenario says of the patch.
//!
//! The problem is a list of conditions that the scenario states once and that is asked of every
//! kernel alike. A scenario that states none is a control and says nothing here, but of a policy that is
//! off (I11) and of a kernel of which nobody has stated anything ([`no_worse`]): those are held beside
//! the baseline in every scenario. Passing on both sides says nothing about the patch either.
//!
//! With repetitions a side may show the problem now and then. That is told apart from chance by
//! Fisher's exact test: what both kernels would do less often than once in 100 runs is a difference.

use super::judge::is_time;
use super::{Differential, Judgement, Rule, Verdict, i1_no_escape, i11_off_is_mainline, no_worse};
use crate::chance::Shown;
use crate::config::Scenario;
use crate::outcome::{Both, SideBySide};
use crate::plan::Cell;

/// A cell and what was judged of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged<'a> {
    /// The cell.
    pub(crate) cell: &'a Cell,
    /// Its judgement.
    pub(crate) judgement: &'a Judgement,
}

/// What is less likely is no chance.
const CHANCE: f64 = 0.01;

/// Of a cell's time, waited for a CPU of the host: then it may be four times as slow as it would be, and a long time shows no
/// problem. With several cells at once half of it is usual, and the bounds of problems are far from both kernels.
const STARVED: f64 = 0.75;

/// What is asked of a patched kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// That it solves the problem.
    Fix,
    /// That it changes nothing: the policy is off.
    Nothing,
    /// That it does no worse: nobody has stated what it is for.
    NoWorse,
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
        cells.iter().copied().filter(|judged| judged.cell.key.scenario == scenario.name).collect();
    let mut outcomes: Vec<SideBySide> = Vec::new();
    for judged in ours.iter().filter(|judged| judged.cell.key.kernel != baseline) {
        let cell = judged.cell;
        let known = outcomes.iter().any(|known| known.key == cell.key);
        let base: Vec<Judged<'_>> = ours
            .iter()
            .copied()
            .filter(|other| {
                other.cell.key.kernel == baseline && other.cell.key.cgroup == cell.key.cgroup
            })
            .collect();
        let wanted = wanted(&base, cell);
        let control = scenario.problem.is_empty() && wanted == Wanted::Fix;
        if known || base.is_empty() || control {
            continue;
        }
        let patched: Vec<Judged<'_>> =
            ours.iter().copied().filter(|other| other.cell.key == cell.key).collect();
        let unlike = match wanted {
            Wanted::Fix => Vec::new(),
            Wanted::Nothing => i11_off_is_mainline::beside(&base, &patched)
                .into_iter()
                .map(|difference| format!("{}: {difference}", i11_off_is_mainline::RULE.rule))
                .collect(),
            Wanted::NoWorse => no_worse::beside(&base, &patched),
        };
        let both = side(scenario, &base).zip(side(scenario, &patched));
        let both = both.map(|(baseline, here)| Both { baseline, here });
        let outcome = outcome(side(scenario, &base), both, &base, &patched, (wanted, &unlike));
        outcomes.push(SideBySide {
            key: cell.key.clone(),
            outcome,
            said: sentence(scenario, outcome, both, &base, &patched, &unlike),
            shown: both.filter(|_| !scenario.problem.is_empty()),
        });
    }
    outcomes
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

/// `unlike`: in what the cells differ from those of the baseline, where that was asked.
fn outcome(
    before: Option<Shown>,
    both: Option<Both>,
    base: &[Judged<'_>],
    patched: &[Judged<'_>],
    (wanted, unlike): (Wanted, &[String]),
) -> Differential {
    // What the baseline breaks is nothing new, and what it is known to break now and then is not either, unless it
    // loses more calls here than by chance: a kernel that never kills and always fails is no better for it.
    let more_lost = i11_off_is_mainline::more_lost(base, patched);
    let known = |rule: &Rule| {
        let breaks = |b: &Judged<'_>| b.judgement.breaks.contains(rule);
        let now_and_then = |b: &Judged<'_>| b.cell.expect.may_break.contains(rule);
        match base.iter().any(now_and_then) {
            true => *rule != i1_no_escape::RULE.rule || !more_lost,
            false => base.iter().any(breaks),
        }
    };
    // The patched kernel crashes, hangs or breaks a rule that the baseline keeps.
    let worse = patched.iter().any(|patched| {
        let judgement = patched.judgement;
        match judgement.verdict {
            Verdict::Crash | Verdict::Hang => {
                base.iter().all(|b| b.judgement.verdict != judgement.verdict)
            }
            Verdict::Fail => {
                judgement.breaks.iter().any(|rule| *rule == Rule::Expectation || !known(rule))
            }
            _ => false,
        }
    });
    if before.is_none() {
        return Differential::Unknown;
    }
    if worse {
        return Differential::Regressed;
    }
    let Some(both) = both else { return Differential::Unknown };
    let Both { baseline, here } = both;
    let agree = (baseline.always() || baseline.never()) && (here.always() || here.never());
    let differ = if agree { baseline.always() != here.always() } else { both.by_chance() < CHANCE };
    if wanted == Wanted::Nothing {
        // Nothing should change here, so a change for the better is one too many as well.
        let inert = !differ && unlike.is_empty();
        return if inert { Differential::Inert } else { Differential::Regressed };
    }
    let rarer = u64::from(here.shows) * u64::from(baseline.of)
        < u64::from(baseline.shows) * u64::from(here.of);
    if wanted == Wanted::NoWorse {
        return match (differ, rarer) {
            (true, true) if here.never() => Differential::Fixed,
            (true, false) => Differential::Regressed,
            // A side shows it now and then, too seldom to tell.
            (false, _) if baseline.never() != here.never() => Differential::Unknown,
            (false, _) if unlike.is_empty() => Differential::Same,
            _ => Differential::Changed,
        };
    }
    match (baseline.never(), here.never()) {
        (true, true) => Differential::NoDifference,
        (false, true) if differ => Differential::Fixed,
        (_, false) if differ && !rarer => Differential::Regressed,
        // Rarer than on the baseline, but there.
        (false, false) => Differential::NotFixed,
        // A side shows it now and then, too seldom to tell.
        (true, false) | (false, true) => Differential::Unknown,
    }
}

/// A side speaks only when every repetition is usable.
fn side(scenario: &Scenario, cells: &[Judged<'_>]) -> Option<Shown> {
    let mut shown = Shown::default();
    for judged in cells {
        let usable = matches!(judged.judgement.verdict, Verdict::Pass | Verdict::Fail);
        let shows = shows(scenario, judged.judgement).filter(|_| usable)?;
        shown.shows += u32::from(shows);
        shown.of += 1;
    }
    (shown.of > 0).then_some(shown)
}

/// Whether the problem shows; `None` when a fact it asks for is missing, or is a time of a cell that the host did not let run.
fn shows(scenario: &Scenario, judgement: &Judgement) -> Option<bool> {
    let starved = judgement.facts.get("host.starved").is_some_and(|share| *share >= STARVED);
    if starved && scenario.problem.iter().any(|condition| is_time(&condition.fact)) {
        return None;
    }
    scenario.problem.iter().try_fold(true, |all, condition| {
        Some(all && condition.holds(super::facts::get(&judgement.facts, &condition.fact)?))
    })
}

fn sentence(
    scenario: &Scenario,
    outcome: Differential,
    both: Option<Both>,
    base: &[Judged<'_>],
    patched: &[Judged<'_>],
    unlike: &[String],
) -> String {
    let numbers = |shown: Option<Shown>, cells: &[Judged<'_>]| {
        if let Some(shown) = shown.filter(|shown| shown.of > 1 && !scenario.problem.is_empty()) {
            return format!("shows it in {shown}{}", odd_ones(scenario, shown, cells));
        }
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
        Differential::Same => "does as the baseline does",
        Differential::Changed => "does other than the baseline, and breaks no more rules",
        Differential::Unknown => "a side has no usable verdict, or its repetitions disagree",
    };
    let unlike: String = unlike.iter().map(|difference| format!("; {difference}")).collect();
    let (before, after) = (both.map(|both| both.baseline), both.map(|both| both.here));
    let repeated = both.filter(|both| both.baseline.of + both.here.of > 2);
    let chance =
        repeated.filter(|_| matches!(outcome, Differential::Fixed | Differential::Regressed));
    let chance = chance.map_or_else(String::new, |both| {
        format!("; by chance in 1 of {:.0} runs", 1.0 / both.by_chance())
    });
    format!(
        "{meaning}{asked}: baseline {}; here {}{chance}{unlike}",
        numbers(before, base),
        numbers(after, patched)
    )
}

/// The names of repetitions that are not as most of their side.
fn odd_ones(scenario: &Scenario, shown: Shown, cells: &[Judged<'_>]) -> String {
    let few = shown.shows * 2 <= shown.of;
    let odd = cells.iter().filter(|cell| shows(scenario, cell.judgement) == Some(few));
    let names: Vec<String> = odd.map(|cell| format!("r{}", cell.cell.repetition)).collect();
    if names.is_empty() { String::new() } else { format!(" (flaky: {})", names.join(", ")) }
}
