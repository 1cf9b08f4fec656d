// SPDX-License-Identifier: MIT OR Apache-2.0
//! In what a patched kernel of which nothing is stated differs from the baseline.
//!
//! Asked are rules that the baseline always breaks and this kernel keeps, what the scenario states
//! of the unpatched kernel and holds there alone, how a user's program ends, and kinds of errnos,
//! kills and events as [`i11_off_is_mainline::differences`] compares them, with its tolerance. If
//! no cell here comes to what the scenario is for, and the baseline does, that is a difference.
//! Whether a difference is wanted only the author of the patch can say, unless it harms users in
//! any case ([`FactName::harm`]): more kills than is stated, calls that fail, a load that does not
//! end. That, and a rule that is newly broken, is REGRESSED.

use super::{Judged, Rule, Verdict, facts, i11_off_is_mainline};
use crate::config::Condition;
use crate::outcome::Difference;
use crate::taxonomy::{CellFact, FactName, Harm};

/// The differences; none where a repetition has no usable verdict.
pub(super) fn differences(base: &[Judged<'_>], patched: &[Judged<'_>]) -> Vec<Difference> {
    let Some(first) = base.first() else { return Vec::new() };
    let usable =
        |judged: &Judged<'_>| matches!(judged.judgement.verdict, Verdict::Pass | Verdict::Fail);
    if !base.iter().all(usable) {
        return Vec::new();
    }
    if !patched.iter().all(usable) {
        return no_longer_reached(first, base, patched);
    }
    let breaks = |judged: &Judged<'_>, rule: &Rule| judged.judgement.breaks.contains(rule);
    let kept = first.cell.expect.breaks.iter().filter(|rule| {
        base.iter().all(|base| breaks(base, rule)) && !patched.iter().any(|here| breaks(here, rule))
    });
    let kept = kept.map(|rule| Difference::Kept { rule: *rule });
    let stated = first.cell.expect.facts.iter();
    let stated = stated.filter_map(|condition| stated_of_one(condition, base, patched));
    let program = PROGRAM.iter().filter_map(|fact| ended_otherwise(*fact, base, patched));
    kept.chain(stated)
        .chain(program)
        .chain(i11_off_is_mainline::differences(base, patched))
        .collect()
}

/// What every cell of the baseline comes to and none of these here, though all of them ran to their
/// end (INCONCLUSIVE): a limit that is never met is news, not a path that is missing by accident.
fn no_longer_reached(
    first: &Judged<'_>,
    base: &[Judged<'_>],
    patched: &[Judged<'_>],
) -> Vec<Difference> {
    if patched.iter().any(|here| here.judgement.verdict != Verdict::Inconclusive) {
        return Vec::new();
    }
    let exercised = first.cell.expect.exercised.iter();
    let found = exercised.filter_map(|condition| stated_of_one(condition, base, patched));
    // Not that something is worse, but that nothing can be said of it.
    let no_worse = |mut one: Difference| {
        if let Difference::Stated { worse, .. } = &mut one {
            *worse = false;
        }
        one
    };
    // That it does not end is worse, whatever it was for.
    let stated = first.cell.expect.facts.iter();
    let stated = stated.filter_map(|condition| stated_of_one(condition, base, patched));
    found.map(no_worse).chain(stated.filter(Difference::is_worse)).collect()
}

/// Share of a cell's time without a host CPU from which on loads do not end because of that.
const STARVED: f64 = 0.5;

/// How a program ends: its exit status, and the signal that ended it.
const PROGRAM: [CellFact; 2] = [CellFact::ProgramStatus, CellFact::ProgramSignal];

/// A program of the user that ends in one way in all cells of the baseline, and in another here.
fn ended_otherwise(
    fact: CellFact,
    base: &[Judged<'_>],
    patched: &[Judged<'_>],
) -> Option<Difference> {
    let values = |cells: &[Judged<'_>]| -> Vec<f64> {
        let facts = |cell: &Judged<'_>| cell.judgement.facts.get(&fact.into()).copied();
        cells.iter().filter_map(facts).collect()
    };
    let (baseline, patched) = (values(base), values(patched));
    let all = |values: &[f64]| {
        values.first().copied().filter(|one| values.iter().all(|value| value == one))
    };
    let differ = all(&baseline)? != all(&patched)?;
    differ.then_some(Difference::Stated { fact: fact.into(), baseline, patched, worse: false })
}

/// What the scenario states of the unpatched kernel, where all of its cells keep it and not all
/// here do.
fn stated_of_one(
    condition: &Condition,
    base: &[Judged<'_>],
    here: &[Judged<'_>],
) -> Option<Difference> {
    let values = |cells: &[Judged<'_>]| -> Option<Vec<f64>> {
        cells.iter().map(|cell| facts::get(&cell.judgement.facts, &condition.fact)).collect()
    };
    let (baseline, patched) = (values(base)?, values(here)?);
    let holds = |values: &[f64]| values.iter().all(|value| condition.holds(*value));
    let fact = condition.fact.clone();
    let starved = |cell: &Judged<'_>| {
        let share = cell.judgement.facts.get(&CellFact::HostStarved.into());
        share.is_some_and(|share| *share >= STARVED)
    };
    // That something is missing may be because of that, not that something happened.
    let is_excused = fact.harm() == Some(Harm::Less) && here.iter().any(starved);
    let worse = !is_excused && is_harm(&fact, &baseline, &patched);
    let differ = holds(&baseline) && !holds(&patched);
    differ.then_some(Difference::Stated { fact, baseline, patched, worse })
}

/// Whether every value here is beyond all of the baseline, in the way that harms users.
fn is_harm(fact: &FactName, baseline: &[f64], patched: &[f64]) -> bool {
    let all = |beyond: &dyn Fn(f64, f64) -> bool| {
        patched.iter().all(|here| baseline.iter().all(|base| beyond(*here, *base)))
    };
    match fact.harm() {
        Some(Harm::More) => all(&|here, base| here > base),
        Some(Harm::Less) => all(&|here, base| here < base),
        None => false,
    }
}
