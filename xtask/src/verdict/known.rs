// SPDX-License-Identifier: MIT OR Apache-2.0
//! Known faults of the unpatched kernel: which cells they excuse.
//!
//! Contract: a known fault never hides another one. A report on the console is set aside only if
//! it is whole and holds no other report; everything else about the cell is judged as ever. In a
//! cell of a patched kernel it is set aside only where the baseline shows the same fault in this
//! run, in the same scenario, about as often. Broken rules are excused of the baseline alone.

use std::collections::BTreeMap;

use protocol::CgroupVersion;

use super::{Finding, Outcome, Verdict, console};
use crate::chance::falls_on;
use crate::config::KnownFault;
use crate::outcome::{Attempt, Cause, CellResult, of_cause};
use crate::plan::Cell;

/// Findings that are known, and the others. `None` if none is, or if there may be more than were
/// looked at.
pub(super) fn set_aside(
    cell: &Cell,
    findings: Vec<Finding>,
    known: &[&KnownFault],
) -> Option<(Vec<Finding>, Vec<Finding>)> {
    if findings.len() >= console::FINDINGS_MAX {
        return None;
    }
    let is_known = |finding: &Finding| {
        let identity = identity(cell, finding);
        known.iter().any(|known| known.identity == identity) && console::is_single(finding)
    };
    let (known, others): (Vec<_>, Vec<_>) = findings.into_iter().partition(is_known);
    (!known.is_empty()).then_some((known, others))
}

/// Their identities, in order: one for each report.
pub(super) fn identities(cell: &Cell, findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| identity(cell, finding)).collect()
}

/// How many warnings of the kernel they explain; `None` if none was set aside.
pub(super) fn warnings(findings: &[Finding]) -> Option<u64> {
    let warnings = findings.iter().filter(|finding| finding.kind == "WARN").count() as u64;
    (!findings.is_empty()).then_some(warnings)
}

fn identity(cell: &Cell, finding: &Finding) -> String {
    let cause = Cause { kind: Some(finding.kind.to_owned()), said: finding.title.clone() };
    of_cause(finding.class, &cause, &console::frames(finding), &cell.key.scenario)
}

/// What is less likely is no chance.
const CHANCE: f64 = 0.001;

/// How often an attempt at the baseline reports a fault in a scenario, at most.
type Shown = BTreeMap<(String, CgroupVersion, String), u32>;

fn count(known: &[String], identity: &String) -> u32 {
    known.iter().filter(|known| *known == identity).count() as u32
}

fn place(cell: &Cell, identity: &str) -> (String, CgroupVersion, String) {
    (cell.key.scenario.clone(), cell.key.cgroup, identity.to_owned())
}

fn attempts(ran: &CellResult) -> impl Iterator<Item = &Attempt> {
    std::iter::once(&ran.first).chain(&ran.again)
}

/// Puts the judgement without the known faults of the console in place of the one with them, where
/// they are the baseline's.
pub(crate) fn excuse_consoles(cells: &mut [CellResult], baseline: Option<&str>) {
    let Some(baseline) = baseline else { return };
    let is_baseline = |ran: &&CellResult| ran.cell.key.kernel == baseline;
    let mut shown = Shown::new();
    for ran in cells.iter().filter(is_baseline) {
        for judged in attempts(ran).filter_map(|attempt| attempt.beside_known.as_ref()) {
            for known in &judged.known {
                let most = shown.entry(place(&ran.cell, known)).or_default();
                *most = count(&judged.known, known).max(*most);
            }
        }
    }
    for CellResult { cell, first, again } in cells {
        for attempt in std::iter::once(first).chain(again) {
            let Some(judged) = &attempt.beside_known else { continue };
            let is_baselines = |known: &String| {
                let (here, most) = (count(&judged.known, known), shown.get(&place(cell, known)));
                most.is_some_and(|most| falls_on(here, here + most, 0.5) >= CHANCE)
            };
            if judged.known.iter().all(is_baselines) {
                attempt.judgement = (**judged).clone();
                attempt.judgement.known.sort_unstable();
                attempt.judgement.known.dedup();
            }
        }
    }
}

/// Excuses cells of the baseline that break rules as a known fault says. Those of a patched kernel
/// are not: how much it breaks them is not compared.
pub(crate) fn excuse_rules(
    cells: &mut [CellResult],
    baseline: Option<&str>,
    known: &[&KnownFault],
) {
    for ran in cells.iter_mut().filter(|ran| baseline == Some(&ran.cell.key.kernel)) {
        let Some(identity) = rules(ran, known) else { continue };
        let attempt = match &mut ran.again {
            Some(again) if says_nothing(&ran.first) => again,
            _ => &mut ran.first,
        };
        attempt.judgement.as_expected = true;
        attempt.judgement.known.push(identity);
    }
}

fn says_nothing(attempt: &Attempt) -> bool {
    matches!(attempt.judgement.verdict, Verdict::Error | Verdict::Inconclusive)
}

/// The known fault that a cell shows by broken rules, if every rule was evaluated.
fn rules(ran: &CellResult, known: &[&KnownFault]) -> Option<String> {
    let judgement = ran.judgement();
    let unknown = judgement.checks.iter().any(|check| check.outcome == Outcome::Unknown);
    let identity = ran.fault().filter(|_| judgement.verdict == Verdict::Fail && !unknown)?;
    known.iter().any(|known| known.identity == identity).then_some(identity)
}
