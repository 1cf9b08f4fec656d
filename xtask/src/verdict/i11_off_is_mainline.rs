// SPDX-License-Identifier: MIT OR Apache-2.0
//! I11: with the policy off the patched kernel behaves like the unpatched one.
//!
//! In one cell: none of the patch's counters moves, and no task is killed from the reconciliation.
//! Where a policy is on, that holds for each memcg in which it is off: nothing goes over its limit,
//! and nobody reconciles it. Tolerance: none.
//!
//! Compared with the cells of the baseline ([`differences`]): the same errnos of each call, kinds
//! of kills and events of the memcg. Which of two errnos a call gives depends on how full a page of
//! objects was, so numbers are not compared, but whether a kind occurs. Tolerance: a kind that
//! occurs on one side only may be chance. Were both kernels the same, each of `n` occurrences would
//! fall on that side with the probability of its share of the cells, `p`, so that all do with
//! `p^n`. Only what is less likely than 1 in 1,000 is a difference: 10 occurrences with one cell on
//! each side. Where the scenario says that the baseline loses a call now and then (`may_break` of
//! I1), errnos are not compared.

use std::collections::BTreeSet;

use protocol::{MemcgRole, ProcessRole, Stage};

use super::rule::need;
use super::{Answer, Case, Invariant, Judged, Missing, i1_no_escape};
use crate::chance::falls_on;
use crate::evidence::oom::Origin;
use crate::outcome::Difference;
use crate::taxonomy::{CellFact, FactName};

/// The invariant.
pub(super) const RULE: Invariant = Invariant::new(
    11,
    "off is mainline",
    "with the policy off the kernel behaves like the unpatched one",
    check,
);

/// What is less likely than this is no chance.
const CHANCE: f64 = 0.001;

/// Looks for traces of the patch where it should do nothing.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    if case.cell.request.counters_file.is_none() {
        return Ok(Answer::not_asked("the kernel has no policy that could be off"));
    }
    if case.overcharges() && case.cell.off.is_empty() {
        return Ok(Answer::not_asked("the policy is on"));
    }
    let (mut asked, mut moved) = (0, Vec::new());
    let settled = case.seen.files.values().filter(|files| files.stage == Stage::Settled);
    let is_off = |role| !case.overcharges() || case.cell.off.contains(&role);
    for files in settled.filter(|files| is_off(files.role)) {
        for (key, value) in files.counters.iter().flatten() {
            let name = FactName::Counter(files.role, key.clone());
            let delta = need(case.seen.counter(files.role, key), name.clone())?;
            let late = late(case, files.role, key, *value)
                .ok_or_else(|| Missing(format!("{name} at the end")))?;
            asked += 1;
            if delta != 0 || late != 0 {
                moved.push(format!("{name} {delta}, {late} later"));
            }
        }
    }
    if asked == 0 {
        return Err(Missing("the patch's counters".to_owned()));
    }
    let kills = match case.ooms() {
        // Where some policy is on, its counters tell for which memcg.
        _ if case.overcharges() => 0,
        Ok(ooms) => ooms.kills_from(Origin::Return),
        // That counters moved is broken anyway.
        Err(_) if !moved.is_empty() => 0,
        Err(missing) => return Err(missing),
    };
    let list = if moved.is_empty() { String::new() } else { format!(" ({})", moved.join(", ")) };
    let said = format!(
        "{} of {asked} counters of the patch moved{list}; {kills} kills from the reconciliation",
        moved.len()
    );
    Ok(Answer::of(moved.is_empty() && kills == 0, said))
}

/// By how much a counter moved from when usage had settled until every task was gone.
fn late(case: &Case<'_>, role: MemcgRole, key: &str, settled: u64) -> Option<i128> {
    let after = case.seen.files(Stage::After, role)?.counters.as_ref()?.get(key)?;
    Some(i128::from(*after) - i128::from(settled))
}

/// Whether more calls are lost here than on the baseline, and not by chance: with its tolerance.
pub(super) fn more_lost(base: &[Judged<'_>], here: &[Judged<'_>]) -> bool {
    let lost = |cells: &[Judged<'_>]| -> u32 {
        let facts = cells.iter().flat_map(|cell| &cell.judgement.facts);
        let lost: f64 = facts.filter(|(name, _)| is_lost_call(name)).map(|(_, count)| count).sum();
        lost as u32
    };
    let share = here.len() as f64 / (base.len() + here.len()) as f64;
    falls_on(lost(here), lost(base) + lost(here), share) < CHANCE
}

/// Whether a fact counts calls of the actors that fail with ENOMEM or a disguise of it.
fn is_lost_call(name: &FactName) -> bool {
    let FactName::Errno(ProcessRole::Actor, op, errno) = name else { return false };
    i1_no_escape::disguise(op, errno)
}

/// Kinds of errnos, kills and events that only one side has.
pub(crate) fn differences(base: &[Judged<'_>], off: &[Judged<'_>]) -> Vec<Difference> {
    let errnos =
        !base.iter().any(|base| base.cell.expect.may_break.contains(&i1_no_escape::RULE.rule));
    let facts: BTreeSet<&FactName> = base
        .iter()
        .chain(off)
        .flat_map(|judged| judged.judgement.facts.keys())
        .filter(|name| is_kind(name, errnos))
        .collect();
    let sum = |cells: &[Judged<'_>], name: &FactName| -> f64 {
        let counts = cells.iter().filter_map(|judged| judged.judgement.facts.get(name));
        // Not `sum()`: of no numbers that is -0.
        counts.fold(0.0, |sum, count| sum + count)
    };
    let cells = (base.len() + off.len()) as f64;
    let mut differences = Vec::new();
    for name in facts {
        let (before, now) = (sum(base, name), sum(off, name));
        let by_chance = match (before > 0.0, now > 0.0) {
            (true, false) => (base.len() as f64 / cells).powf(before),
            (false, true) => (off.len() as f64 / cells).powf(now),
            _ => continue,
        };
        if by_chance < CHANCE {
            differences.push(Difference::Count {
                fact: name.clone(),
                baseline: before,
                patched: now,
            });
        }
    }
    differences
}

/// Whether a fact counts a kind of error, kill or event.
fn is_kind(name: &FactName, errnos: bool) -> bool {
    use CellFact::{Kills, KillsGlobal, KillsInCharge, KillsInFault, KillsOnReturn, KillsUntraced};
    match name {
        FactName::Event(..) => true,
        FactName::Errno(..) => errnos,
        FactName::Cell(fact) => matches!(
            fact,
            Kills
                | KillsInCharge
                | KillsInFault
                | KillsOnReturn
                | KillsUntraced
                | KillsGlobal
                | CellFact::OomNoVictim
        ),
        _ => false,
    }
}
