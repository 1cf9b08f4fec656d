// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fault identity: one text for the same fault in ten cells, or on ten nights.
//!
//! Contract: it is the kind with the first functions of the stack that mean something; without a
//! stack, kind, broken rules and scenario. Addresses, pids, lines and other numbers are not part of
//! it, and neither are kernel, policy and repetition.

use std::sync::LazyLock;

use regex::Regex;

use super::{Cause, CellResult, Differential, Judgement, Outcome, RunResult};
use crate::config::{KnownFault, SeenIn};
use crate::taxonomy::{Rule, Verdict};

/// Longest text of a message in an identity.
const WORDS_CHARS: usize = 90;

impl CellResult {
    /// The identity of its fault; `None` of a cell that is as expected.
    pub(crate) fn fault(&self) -> Option<String> {
        let judgement = self.judgement();
        (!judgement.as_expected).then(|| of_cell(judgement, &self.cell.key.scenario))
    }
}

/// The same fault in several cells.
#[derive(Debug)]
pub(crate) struct Fault<'a> {
    /// What is the same in all of them.
    pub(crate) identity: String,
    /// The cells, in plan order; at least one.
    pub(crate) cells: Vec<&'a CellResult>,
}

/// A known fault and what a run says of it.
#[derive(Debug)]
pub(crate) struct KnownState<'a> {
    /// The entry.
    pub(crate) known: &'a KnownFault,
    /// Cells that it excuses.
    pub(crate) cells: Vec<&'a CellResult>,
    /// Why the entry is to be removed or looked at, where it is.
    pub(crate) stale: Option<String>,
}

impl RunResult {
    /// The faults of cells that are not as expected, in plan order of their first cells.
    pub(crate) fn faults(&self) -> Vec<Fault<'_>> {
        let mut faults: Vec<Fault<'_>> = Vec::new();
        for ran in &self.cells {
            let Some(identity) = ran.fault() else { continue };
            match faults.iter_mut().find(|fault| fault.identity == identity) {
                Some(fault) => fault.cells.push(ran),
                None => faults.push(Fault { identity, cells: vec![ran] }),
            }
        }
        faults
    }

    /// The known faults of its base: which cells they excuse, and which are stale.
    pub(crate) fn known(&self) -> Vec<KnownState<'_>> {
        self.manifest.known_faults.iter().map(|known| self.state(known)).collect()
    }

    fn state<'a>(&'a self, known: &'a KnownFault) -> KnownState<'a> {
        let shows = |ran: &&CellResult| ran.judgement().known.contains(&known.identity);
        let cells: Vec<&CellResult> = self.cells.iter().filter(shows).collect();
        let is_baseline =
            |ran: &&CellResult| self.manifest.baseline.as_ref() == Some(&ran.cell.key.kernel);
        // Only a whole run shows that a fault is nowhere; one of a scenario needs that scenario.
        let may_show = |ran: &&CellResult| match &known.seen_in {
            Some(SeenIn::AnyScenario) => true,
            Some(SeenIn::Scenario(scenario)) => *scenario == ran.cell.key.scenario,
            None => false,
        };
        let asked = self.cells.iter().filter(is_baseline).filter(may_show).count();
        let whole = self.manifest.narrowed.is_empty() && !self.manifest.interrupted;
        let unseen = cells.is_empty() && whole && asked > 0;
        let unseen =
            unseen.then(|| format!("not seen in {asked} of {asked} cells of the baseline"));
        KnownState { known, cells, stale: self.manifest.over(known).or(unseen) }
    }
}

/// The identity of a verdict on the patch that got worse, or is bad by itself.
pub(crate) fn of_pair(was: Option<Differential>, is: Differential, scenario: &str) -> String {
    match was.filter(|was| *was != is) {
        Some(was) => format!("{was} -> {is} in {scenario}"),
        None => format!("{is} in {scenario}"),
    }
}

/// The identity of what a judgement says, whether it was expected or not.
pub(super) fn of_cell(judgement: &Judgement, scenario: &str) -> String {
    let Judgement { verdict, breaks, why, cause, frames, .. } = judgement;
    match verdict {
        Verdict::Fail => {
            format!("{verdict} {}{} in {scenario}", Rule::list(breaks), facts(judgement))
        }
        Verdict::Pass => format!("{verdict} in {scenario}"),
        _ => match cause {
            Some(cause) => of_cause(*verdict, cause, frames, scenario),
            None => of_cause(*verdict, &cause_of_old(why), frames, scenario),
        },
    }
}

/// The identity of what decided a cell, or of one report on its console.
pub(crate) fn of_cause(
    verdict: Verdict,
    cause: &Cause,
    frames: &[String],
    scenario: &str,
) -> String {
    let words = match &cause.kind {
        Some(kind) if !frames.is_empty() => {
            return format!("{verdict} {kind} in {}", frames.join(" < "));
        }
        Some(kind) => same_words(&format!("{kind}: {}", cause.said)),
        None => same_words(&cause.said),
    };
    match verdict {
        // The message names the place.
        Verdict::Crash => format!("{verdict} {words}"),
        _ => format!("{verdict} {words} in {scenario}"),
    }
}

/// The cause that `why` tells in a result without [`Judgement::cause`].
fn cause_of_old(why: &str) -> Cause {
    let said = why.split(';').next().unwrap_or_default();
    match said.split_once(": ") {
        Some((kind, said)) => Cause { kind: Some(kind.to_owned()), said: said.to_owned() },
        None => Cause { kind: None, said: said.to_owned() },
    }
}

/// The facts that broken conditions of the scenario are about.
fn facts(judgement: &Judgement) -> String {
    let broken = judgement.checks.iter().filter(|check| check.outcome == Outcome::Broken);
    let facts: Vec<String> =
        broken.filter_map(|check| Some(check.fact.as_ref()?.to_string())).collect();
    if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) }
}

/// A message without what differs from one time to the next.
fn same_words(text: &str) -> String {
    static NUMBERS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        // Offsets into functions, addresses with and without 0x, then all other numbers.
        Regex::new(r"\+0x[0-9a-f]+/0x[0-9a-f]+|\b0x[0-9a-fA-F]+|\b[0-9a-f]{8,}\b|\b\d[\d.]*").ok()
    });
    let said = match NUMBERS.as_ref() {
        Some(numbers) => {
            numbers.replace_all(
                text,
                |found: &regex::Captures<'_>| {
                    if found[0].starts_with('+') { "" } else { "N" }
                },
            )
        }
        None => text.into(),
    };
    said.trim().chars().take(WORDS_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::run::{benches, cell};

    fn judged(verdict: Verdict, kind: Option<&str>, said: &str, frames: &[&str]) -> Judgement {
        let [baseline, _] = benches();
        let mut judgement = cell(&baseline).first.judgement;
        (judgement.verdict, judgement.as_expected) = (verdict, false);
        let kind = kind.map(str::to_owned);
        judgement.cause = Some(Cause { kind, said: said.to_owned() });
        judgement.frames = frames.iter().map(|&frame| frame.to_owned()).collect();
        judgement
    }

    #[test]
    fn what_differs_from_time_to_time_is_no_part_of_an_identity() {
        let crash =
            |kind, said: &str| of_cell(&judged(Verdict::Crash, Some(kind), said, &[]), "open");
        let warn = |said: &str| crash("WARN", said);
        let one = warn("WARNING: CPU: 0 PID: 71 at mm/page_counter.c:61 f+0x4e/0x60");
        assert_eq!(one, "CRASH WARN: WARNING: CPU: N PID: N at mm/page_counter.c:N f");
        assert_eq!(one, warn("WARNING: CPU: 3 PID: 9 at mm/page_counter.c:66 f+0x1/0x61"));
        let at = |address: &str| crash("oops", &format!("BUG: address: {address}"));
        assert_eq!(at("ffff888007a3c000"), at("0x18"));
        assert_ne!(at("0"), crash("oops", "BUG: unable to handle page fault"));
        assert_ne!(
            warn("WARNING: a; b"),
            warn("WARNING: a; c"),
            "the kernel's own words stay whole"
        );
        let hang = |said: &str| of_cell(&judged(Verdict::Hang, None, said, &[]), "open");
        let hangs = hang("the cell had not ended after 30000 ms");
        assert_eq!(hangs, "HANG the cell had not ended after N ms in open");
        assert_eq!(hangs, hang("the cell had not ended after 31 ms"));
    }

    #[test]
    fn a_result_without_causes_has_the_same_identities() {
        let [baseline, _] = benches();
        let known = cell(&baseline).first.judgement;
        let old = |verdict, why: &str, frames: &[&str]| {
            let frames = frames.iter().map(|&frame| frame.to_owned()).collect();
            let why = why.to_owned();
            of_cell(&Judgement { verdict, why, frames, cause: None, ..known.clone() }, "open")
        };
        let title = "BUG: kernel NULL pointer dereference, address: 8";
        let why = format!("NULL dereference: {title}");
        for frames in [&[][..], &["try_charge", "open"]] {
            let now = judged(Verdict::Crash, Some("NULL dereference"), title, frames);
            assert_eq!(of_cell(&now, "open"), old(Verdict::Crash, &why, frames));
        }
        let said = "the cell had not ended after 30 ms";
        let now = of_cell(&judged(Verdict::Hang, None, said, &[]), "open");
        assert_eq!(now, old(Verdict::Hang, &format!("{said}; silent for the last 9 ms"), &[]));
        let said = "not proven: a fact is missing";
        let now = of_cell(&judged(Verdict::Error, None, said, &[]), "open");
        assert_eq!(now, old(Verdict::Error, &format!("{said}; and 2 more doubts"), &[]));
    }

    #[test]
    fn a_stack_is_the_same_fault_in_every_scenario_and_a_rule_is_not() {
        let stack =
            judged(Verdict::Crash, Some("NULL dereference"), "BUG: 0", &["try_charge", "open"]);
        assert_eq!(of_cell(&stack, "open"), "CRASH NULL dereference in try_charge < open");
        assert_eq!(of_cell(&stack, "open"), of_cell(&stack, "stat"));
        let mut fail = judged(Verdict::Fail, None, "I1: 50 calls", &[]);
        fail.breaks = vec!["I1".into(), "I3".into()];
        assert_eq!(of_cell(&fail, "open"), "FAIL I1,I3 in open");
        assert_ne!(of_cell(&fail, "open"), of_cell(&fail, "stat"));
        let pass = judged(Verdict::Pass, None, "13 checks kept", &[]);
        assert_eq!(of_cell(&pass, "open"), "PASS in open");
    }

    #[test]
    fn a_pair_that_lost_its_fix_says_both_verdicts() {
        let (fixed, same) = (Differential::Fixed, Differential::Same);
        assert_eq!(of_pair(Some(fixed), same, "open"), "FIXED -> SAME in open");
        assert_eq!(of_pair(None, Differential::Regressed, "open"), "REGRESSED in open");
        let [baseline, _] = benches();
        assert_eq!(cell(&baseline).fault(), None, "it is as expected");
    }
}
