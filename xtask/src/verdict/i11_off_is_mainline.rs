// SPDX-License-Identifier: MIT OR Apache-2.0
//! I11: with the policy off the patched kernel does what the unpatched one does.
//!
//! Of one cell: none of the patch's counters moves, and nobody is killed from the reconciliation.
//! Tolerance: none.
//!
//! Of cells beside those of the baseline ([`differences`]): the same errnos of each call, kinds of kills and
//! events of the memcg. Which of two errnos a call gives depends on how full a page of objects was,
//! so numbers are not compared, but whether a kind occurs at all. Tolerance: a kind that occurs on one
//! side alone may be chance. Were both kernels the same, each of `n` occurrences would fall
//! on that side with the probability of its share of the cells, `p`, so that all do with `p^n`;
//! only what is less likely than 1 in 1,000 is a difference: 10 occurrences in one cell beside one. Where
//! the scenario says that the baseline loses a call now and then (`may_break` of I1), errnos say nothing.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{Fact, Files, MemcgRole, ProcessRole, Stage};

use super::{Answer, Case, Invariant, Judged, Missing, i1_no_escape};
use crate::chance::falls_on;
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
    if case.overcharges() {
        return Ok(Answer::not_asked("the policy is on"));
    }
    let (mut asked, mut moved) = (0, Vec::new());
    for (prefix, name) in counters(case) {
        let fact = format!("{prefix}counters.{name}");
        let (delta, late) = (case.need(&fact)?, late(case, prefix, name)?);
        asked += 1;
        if delta != 0.0 || late != 0.0 {
            moved.push(format!("{fact} {delta}, {late} later"));
        }
    }
    if asked == 0 {
        return Err(Missing("the patch's counters".to_owned()));
    }
    // Without the whole console nobody can count kills; such a cell never passes anyhow.
    let kills = case.facts.get("kills.on_return").unwrap_or(0.0);
    let list = if moved.is_empty() { String::new() } else { format!(" ({})", moved.join(", ")) };
    let said = format!(
        "{} of {asked} counters of the patch moved{list}; {kills} kills from the reconciliation",
        moved.len()
    );
    Ok(Answer::of(moved.is_empty() && kills == 0.0, said))
}

/// The counters of every memcg that tells them when settled.
fn counters<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'static str, &'a String)> {
    told(case, Stage::Settled)
        .flat_map(|(prefix, counters)| counters.keys().map(move |name| (prefix, name)))
}

/// By how much a counter moved after that, while everybody was let go.
fn late(case: &Case<'_>, prefix: &str, name: &str) -> Result<f64, Missing> {
    let at = |stage| told(case, stage).find(|(of, _)| *of == prefix)?.1.get(name).copied();
    let moved = at(Stage::Settled).zip(at(Stage::After));
    let moved = moved.map(|(settled, after)| after as f64 - settled as f64);
    moved.ok_or_else(|| Missing(format!("{prefix}counters.{name} at the end")))
}

fn told<'a>(
    case: &Case<'a>,
    wanted: Stage,
) -> impl Iterator<Item = (&'static str, &'a BTreeMap<String, u64>)> {
    case.evidence.events.iter().filter_map(move |event| match &event.fact {
        Fact::Memcg(Files { stage, role, counters: Some(counters), .. }) if *stage == wanted => {
            let prefix = match role {
                MemcgRole::Limited => "",
                MemcgRole::Second => "second.",
                MemcgRole::Parent => "parent.",
                MemcgRole::Bystander => "bystander.",
            };
            Some((prefix, counters))
        }
        _ => None,
    })
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
    matches!(name, FactName::Errno(ProcessRole::Actor, op, errno) if i1_no_escape::disguise(op, errno))
}

/// In what cells differ from those of the unpatched kernel by kinds of errnos, kills and events.
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
        cells.iter().filter_map(|judged| judged.judgement.facts.get(name)).sum()
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
