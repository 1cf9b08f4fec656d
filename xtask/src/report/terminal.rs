// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of verdicts that a run ends with, and the line a finished cell gets.
//!
//! Numbers come from the judgements; whether a verdict is good or bad depends only on whether it is
//! the expected one: the baseline is expected to fail.

use super::numbers::{kills, lost, size, time_ms};
use super::spread;
use super::style::Style;
use crate::outcome::{CellResult, RunResult};
use crate::outcome::{Differential, Judgement};
use crate::plan::Cell;
use crate::taxonomy::{Rule, Verdict};

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

/// The whole report: cells, what was not expected, baseline beside patched, totals.
///
/// `folder` is the run folder as people should read it.
pub(crate) fn run(result: &RunResult, folder: &str, style: Style) -> String {
    let mut text = table(result, style);
    text.push_str(&surprises(result, style));
    text.push_str(&differentials(result, style));
    text.push_str(&spread::table(result, style));
    text.push_str(&totals(result, folder, style));
    text
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
        (_, true) => ": not as expected, but when run alone (flaky)".to_owned(),
        _ => format!(": {}", judgement.why),
    };
    format!("{word} {} ({}){end}", cell.cell.id, time_ms(cell.first.wall_ms as f64))
}

fn table(result: &RunResult, style: Style) -> String {
    let rows: Vec<[String; 10]> = result.cells.iter().map(row).collect();
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    let pad = |text: &str, width: usize| format!("{text:width$}");
    let head: Vec<String> = HEAD.iter().zip(widths).map(|(head, width)| pad(head, width)).collect();
    let mut text = format!("{}\n", style.strong(head.join("  ").trim_end()));
    let mut scenario = "";
    for (row, cell) in rows.iter().zip(&result.cells) {
        let mut columns: Vec<String> =
            row.iter().zip(widths).map(|(text, width)| pad(text, width)).collect();
        if cell.cell.key.scenario == scenario {
            columns[0] = " ".repeat(widths[0]);
        }
        scenario = &cell.cell.key.scenario;
        for column in [4, 5] {
            columns[column] = style.of(cell, &columns[column]);
        }
        text.push_str(columns.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn row(cell: &CellResult) -> [String; 10] {
    let (judgement, planned) = (cell.judgement(), &cell.cell);
    let facts = &judgement.facts;
    let fact =
        |name: &str, show: fn(f64) -> String| facts.get(name).map_or("?".into(), |v| show(*v));
    let load = match facts.get("load.complete") {
        Some(0.0) => format!(">{}", fact("load.ms", time_ms)),
        _ => fact("load.ms", time_ms),
    };
    let policy = match planned.repetition {
        1 => planned.key.policy.clone(),
        repetition => format!("{} r{repetition}", planned.key.policy),
    };
    let expected = match (judgement.as_expected, cell.flaky()) {
        (true, _) if cell.again.is_some() => "2nd try",
        (true, _) => "yes",
        (_, true) => "flaky",
        _ => "NO",
    };
    [
        planned.key.scenario.clone(),
        planned.key.cgroup.to_string(),
        planned.key.kernel.clone(),
        policy,
        verdict(judgement),
        expected.to_owned(),
        lost(facts),
        kills(facts),
        fact("peak_over_bytes", size),
        load,
    ]
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

fn surprises(result: &RunResult, style: Style) -> String {
    let mut text = String::new();
    for cell in result.cells.iter().filter(|cell| cell.judgement().as_expected) {
        if cell.again.is_some() {
            let Judgement { verdict, why, .. } = &cell.first.judgement;
            text.push_str(&format!("\n{}: the first try was {verdict}: {why}\n", cell.cell.id));
        }
    }
    for cell in result.cells.iter().filter(|cell| !cell.judgement().as_expected) {
        let (judgement, wanted) = (cell.judgement(), wanted(&cell.cell));
        let got = style.of(cell, &verdict(judgement));
        text.push_str(&format!(
            "\n{} is {got}, expected {wanted}\n  {}\n",
            cell.cell.id, judgement.why
        ));
        if let Some(again) = &cell.again {
            text.push_str(&format!("  run again alone: {}\n", verdict(&again.judgement)));
        }
        text.push_str(&format!("  cargo xtask show {} --run {}\n", cell.cell.id, result.run));
    }
    text
}

fn differentials(result: &RunResult, style: Style) -> String {
    if result.differentials.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", style.strong("beside the baseline"));
    for side in &result.differentials {
        let word = format!("{:<13}", side.outcome);
        let word = match side.outcome {
            Differential::Fixed | Differential::Inert | Differential::Same => style.good(&word),
            Differential::NotFixed if result.is_as_stated(side) => style.odd(&word),
            Differential::NotFixed | Differential::Regressed => style.bad(&word),
            Differential::NoDifference | Differential::Changed | Differential::Unknown => {
                style.odd(&word)
            }
        };
        text.push_str(&format!("{word} {}: {}\n", side.key, side.said));
    }
    text
}

fn totals(result: &RunResult, folder: &str, style: Style) -> String {
    let totals = &result.totals;
    let mut parts = vec![format!("{} as expected", totals.as_expected)];
    let more =
        [(totals.unexpected, "not"), (totals.flaky, "flaky"), (totals.regressed, "REGRESSED")];
    parts.extend(more.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")));
    if totals.ran < totals.planned {
        parts.push(format!("{} of {} did not run", totals.planned - totals.ran, totals.planned));
    }
    let manifest = &result.manifest;
    let line = format!("{} cells: {}", totals.ran, parts.join(", "));
    let line = if totals.good() { style.good(&line) } else { style.bad(&line) };
    format!(
        "\n{line} ({}, {}, {} at once)\nevidence: {folder}\n",
        time_ms(manifest.duration_ms as f64),
        manifest.accelerator,
        manifest.jobs
    )
}
