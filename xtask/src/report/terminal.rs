// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of verdicts that a run ends with, and the line a finished cell gets.
//!
//! Numbers come from the judgements. Whether a verdict is good or bad depends only on whether it is
//! the expected one: the baseline is expected to fail.

use super::numbers::{fact, kills, load, lost, plural, time_ms};
use super::text::{Style, Table};
use super::{differential, faults, reach, spread};
use crate::outcome::{CellResult, Differential, Fault, Judgement, Manifest, RunResult, Totals};
use crate::plan::Cell;
use crate::taxonomy::{MemcgFact, Rule, Verdict};

const HEAD: [&str; 10] = [
    "scenario",
    "",
    "kernel",
    "policy",
    "verdict",
    "expected",
    "calls lost",
    "kills",
    "overrun",
    "load",
];

/// The whole report: cells, what was not expected, comparisons with the baseline, totals.
///
/// `folder` is the run folder as people should read it.
pub(crate) fn run(result: &RunResult, folder: &str, style: Style) -> String {
    let totals = &result.totals;
    [
        table(result, style),
        fuzz(result, style),
        surprises(result, style),
        comparisons(result, style),
        reach::table(result, style),
        spread::table(result, style),
        format!("\n{} ", style.good_if(result.good(), &sum(totals))),
        format!("({})\n", conditions(&result.manifest)),
        incomplete(&result.manifest, style),
        format!("report: {folder}/report.html\n"),
        format!("evidence: {folder}\n"),
    ]
    .concat()
}

/// A run that went on without some of its parts.
fn incomplete(manifest: &Manifest, style: Style) -> String {
    let missing = manifest.missing();
    missing.map_or(String::new(), |missing| style.bad(&format!("INCOMPLETE: {missing}")) + "\n")
}

/// One line for a cell that has just ended.
pub(crate) fn cell_line(cell: &CellResult, style: Style) -> String {
    let judgement = cell.judgement();
    let word = style.of(cell, &format!("{:<12}", verdict(judgement)));
    let end = match (judgement.as_expected, cell.flaky()) {
        (true, _) if cell.first.judgement.as_expected => String::new(),
        (true, _) => {
            format!(": {} at first: {}", verdict(&cell.first.judgement), cell.first.judgement.why)
        }
        (_, true) => ": as expected only when rerun alone (flaky)".to_owned(),
        _ => format!(": {}", judgement.why),
    };
    format!("{word} {} ({}){end}", cell.cell.id, time_ms(cell.first.wall_ms as f64))
}

fn table(result: &RunResult, style: Style) -> String {
    let mut table = Table::default().left(HEAD);
    let mut scenario = "";
    for cell in &result.cells {
        let key = &cell.cell.key;
        let is_next = std::mem::replace(&mut scenario, &key.scenario) != key.scenario;
        let policy = match cell.cell.repetition {
            1 => key.policy.clone(),
            repetition => format!("{} r{repetition}", key.policy),
        };
        let facts = &cell.judgement().facts;
        table.row([
            if is_next { key.scenario.clone() } else { String::new() },
            key.cgroup.to_string(),
            key.kernel.clone(),
            policy,
            style.of(cell, &verdict(cell.judgement())),
            style.of(cell, expected(cell)),
            lost(facts),
            kills(facts),
            fact(facts, MemcgFact::PeakOverBytes),
            load(facts),
        ]);
    }
    table.text(style)
}

/// Whether a cell is as expected, in a word.
pub(super) fn expected(cell: &CellResult) -> &'static str {
    match (cell.judgement().as_expected, cell.flaky()) {
        (true, _) if !cell.judgement().known.is_empty() => "known",
        (true, _) if cell.first_says_nothing() => "2nd try",
        (true, _) => "yes",
        (_, true) => "flaky",
        _ => "NO",
    }
}

/// `FAIL I1,I3`
pub(super) fn verdict(judgement: &Judgement) -> String {
    match judgement.verdict {
        Verdict::Fail => format!("FAIL {}", Rule::list(&judgement.breaks)),
        other => other.to_string(),
    }
}

/// What a cell is expected to be, in the same words.
pub(super) fn wanted(cell: &Cell) -> String {
    let expect = &cell.expect;
    match expect.verdict {
        _ if expect.or_better => "nothing worse than the unpatched kernel".to_owned(),
        Verdict::Fail => format!("FAIL {}", Rule::list(&expect.breaks)),
        other => other.to_string(),
    }
}

/// How the attempt went that does not count, if there was one.
pub(super) fn attempts(cell: &CellResult) -> Option<String> {
    let again = cell.again.as_ref()?;
    let (name, other) = match cell.first_says_nothing() {
        true => ("the first try was", &cell.first.judgement),
        false if cell.judgement().as_expected => ("a second look, alone:", &again.judgement),
        false => ("rerun alone:", &again.judgement),
    };
    Some(format!("{name} {}: {}", verdict(other), other.why))
}

/// Hunks that only `--fuzz` accepted.
fn fuzz(result: &RunResult, style: Style) -> String {
    let hunks = result.manifest.fuzz();
    if hunks.is_empty() {
        return String::new();
    }
    let head = style.odd("accepted with --fuzz: is this the kernel that was meant?");
    format!("\n{head}\n  {}\n", hunks.join("\n  "))
}

fn surprises(result: &RunResult, style: Style) -> String {
    let mut text = String::new();
    let second = |cell: &&CellResult| cell.judgement().as_expected && cell.first_says_nothing();
    for cell in result.cells.iter().filter(second) {
        if let Some(attempts) = attempts(cell) {
            text.push_str(&format!("\n{}: {attempts}\n", cell.cell.id));
        }
    }
    text + &unexpected(result, style) + &faults::known(result, style)
}

/// Cells that are not as expected. Of several with one fault the first is told, and the others are
/// named.
fn unexpected(result: &RunResult, style: Style) -> String {
    let mut text = String::new();
    for Fault { identity, cells } in result.faults() {
        let [first, others @ ..] = &cells[..] else { continue };
        let got = style.of(first, &verdict(first.judgement()));
        text.push_str(&format!("\n{} is {got}, expected {}\n", first.cell.id, wanted(&first.cell)));
        if !others.is_empty() {
            let fault = style.strong(&identity);
            text.push_str(&format!("  one fault in {}: {fault}\n", plural(cells.len(), "cell")));
            text.push_str(&format!("  also in {}\n", faults::named(others)));
        }
        text.push_str(&why(first, &result.run));
    }
    text
}

/// The reason for a verdict, the other attempt, and the command that shows more.
pub(super) fn why(cell: &CellResult, run: &str) -> String {
    let attempts = attempts(cell).map_or(String::new(), |attempts| format!("  {attempts}\n"));
    let (why, id) = (&cell.judgement().why, &cell.cell.id);
    format!("  {why}\n{attempts}  cargo xtask show {id} --run {run}\n")
}

fn comparisons(result: &RunResult, style: Style) -> String {
    if result.comparisons.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", style.strong("compared with the baseline"));
    for comparison in &result.comparisons {
        let stated = result.is_as_stated(comparison);
        let word = format!("{:<13}", comparison.outcome);
        let word = match comparison.outcome {
            Differential::Fixed | Differential::Inert | Differential::Same => style.good(&word),
            Differential::NotFixed if stated => style.odd(&word),
            Differential::NotFixed | Differential::Regressed => style.bad(&word),
            Differential::NoDifference
            | Differential::NotReached
            | Differential::Changed
            | Differential::Unknown => style.odd(&word),
        };
        let said = differential::sentence(comparison, stated);
        text.push_str(&format!("{word} {}: {said}\n", comparison.cell));
    }
    text
}

/// `27 cells: 25 as expected, 1 not, 1 flaky`.
pub(super) fn sum(totals: &Totals) -> String {
    let mut parts = vec![format!("{} as expected", totals.as_expected)];
    let more =
        [(totals.unexpected, "not"), (totals.flaky, "flaky"), (totals.regressed, "REGRESSED")];
    parts.extend(more.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")));
    if totals.ran < totals.planned {
        parts.push(format!("{} of {} did not run", totals.planned - totals.ran, totals.planned));
    }
    format!("{}: {}", plural(totals.ran, "cell"), parts.join(", "))
}

/// How the cells of a run ran: `41.0 s, tcg, 2 jobs, 1 hunk accepted with --fuzz`.
pub(super) fn conditions(manifest: &Manifest) -> String {
    let took = time_ms(manifest.duration_ms as f64);
    let fuzz = match manifest.fuzz().len() {
        0 => String::new(),
        hunks => format!(", {} accepted with --fuzz", plural(hunks, "hunk")),
    };
    let missing = manifest.missing().map_or(String::new(), |missing| format!(", {missing}"));
    let jobs = plural(manifest.jobs, "job");
    format!("{took}, {}, {jobs}{fuzz}{missing}", manifest.accelerator)
}
