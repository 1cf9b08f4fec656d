// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `mutants` ends with: a line a mutant, why those that were not caught were not, the score.

use super::Style;
use super::numbers::time_ms;
use super::terminal::verdict;
use crate::outcome::{CellResult, RunResult};
use crate::plan::Trial;
use crate::taxonomy::Rule;
use crate::verdict::Score;

/// A mutant and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct MutantRow<'a> {
    /// The mutant and the ids of its cells.
    pub(crate) trial: &'a Trial,
    /// Its cell, where it ran.
    pub(crate) ran: Option<&'a CellResult>,
    /// The same cell of the kernel without the bug, where it ran.
    pub(crate) control: Option<&'a CellResult>,
    /// What came of it.
    pub(crate) score: Score,
}

const HEAD: [&str; 7] =
    ["mutant", "what is broken", "cell", "must break", "broken", "verdict", "caught"];

/// Whether there was something to catch and all of it was caught.
pub(crate) fn all_caught(rows: &[MutantRow<'_>]) -> bool {
    let caught = rows.iter().filter(|row| row.score == Score::Caught).count();
    caught > 0 && caught == counted(rows).count()
}

/// Equivalent ones do not count.
fn counted<'a>(rows: &'a [MutantRow<'a>]) -> impl Iterator<Item = &'a MutantRow<'a>> {
    rows.iter().filter(|row| row.score != Score::Equivalent)
}

/// The whole report. `folder` is the run folder as people should read it.
pub(crate) fn mutants(
    result: &RunResult,
    rows: &[MutantRow<'_>],
    folder: &str,
    style: Style,
) -> String {
    let mut text = table(rows, style);
    for row in rows {
        text.push_str(&why(row, result, style));
    }
    let mut controls: Vec<&CellResult> = rows.iter().filter_map(|row| row.control).collect();
    controls.sort_by_key(|control| &control.cell.id);
    controls.dedup_by_key(|control| &control.cell.id);
    let good = controls.iter().filter(|control| control.judgement().as_expected).count();
    let caught = rows.iter().filter(|row| row.score == Score::Caught).count();
    let sum = format!("{caught} of {} mutants caught", counted(rows).count());
    let sum = if all_caught(rows) { style.good(&sum) } else { style.bad(&sum) };
    let (manifest, control) = (&result.manifest, controls.len());
    text.push_str(&format!(
        "\n{sum}; without a bug {good} of {control} cells as expected ({}, {}, {} at once)\nevidence: {folder}\n",
        time_ms(manifest.duration_ms as f64),
        manifest.accelerator,
        manifest.jobs
    ));
    text
}

fn table(rows: &[MutantRow<'_>], style: Style) -> String {
    let lines: Vec<[String; 7]> = rows.iter().map(columns).collect();
    let mut widths = HEAD.map(str::len);
    for line in &lines {
        for (width, text) in widths.iter_mut().zip(line) {
            *width = (*width).max(text.chars().count());
        }
    }
    let join = |columns: Vec<String>| columns.join("  ").trim_end().to_owned();
    let pad = |(text, width): (&str, usize)| format!("{text:width$}");
    let head: Vec<String> = HEAD.into_iter().zip(widths).map(pad).collect();
    let mut text = format!("{}\n", style.strong(&join(head)));
    for (row, line) in rows.iter().zip(&lines) {
        let mut columns: Vec<String> =
            line.iter().map(String::as_str).zip(widths).map(pad).collect();
        columns[6] = match row.score {
            Score::Caught => style.good(&line[6]),
            Score::Equivalent => style.odd(&line[6]),
            _ => style.bad(&line[6]),
        };
        text.push_str(&format!("{}\n", join(columns)));
    }
    text
}

fn columns(row: &MutantRow<'_>) -> [String; 7] {
    let mutant = &row.trial.mutant;
    let (cell, must) = row.trial.wanted().unwrap_or_else(|| ("-".to_owned(), "-".to_owned()));
    let judgement = row.ran.map(CellResult::judgement);
    let broken = judgement.map_or(String::new(), |judgement| Rule::list(&judgement.breaks));
    [
        mutant.name.clone(),
        mutant.bug.clone(),
        cell,
        must,
        if broken.is_empty() { "-".to_owned() } else { broken },
        judgement.map_or("-".to_owned(), |judgement| judgement.verdict.to_string()),
        word(row.score).to_owned(),
    ]
}

fn word(score: Score) -> &'static str {
    match score {
        Score::Caught => "yes",
        Score::Equivalent => "equivalent",
        Score::Survived => "NO: survived",
        Score::Otherwise => "NO: otherwise",
        Score::OnlyTime => "NO: only time",
        Score::Flaky => "NO: flaky",
        Score::Control => "NO: control",
        Score::NoVerdict => "NO: no verdict",
    }
}

/// Why a mutant was not caught, or why nothing can catch it.
fn why(row: &MutantRow<'_>, result: &RunResult, style: Style) -> String {
    let name = &row.trial.mutant.name;
    if let Some(why) = row.trial.equivalent() {
        return format!("\n{name} is equivalent: {why}\n");
    }
    if row.score == Score::Caught {
        return String::new();
    }
    let mut text = format!("\n{} was not caught: {}\n", style.bad(name), meaning(row.score));
    for cell in row.ran.iter().chain(&row.control) {
        let (id, judgement) = (&cell.cell.id, cell.judgement());
        text.push_str(&format!("  {id} is {}: {}\n", verdict(judgement), judgement.why));
        if let Some(again) = &cell.again {
            text.push_str(&format!("  run again alone: {}\n", verdict(&again.judgement)));
        }
        text.push_str(&format!("  cargo xtask show {id} --run {}\n", result.run));
    }
    text
}

fn meaning(score: Score) -> &'static str {
    match score {
        Score::Caught => "it was",
        Score::Equivalent => "there is nothing to catch",
        Score::Survived => "no rule was broken",
        Score::Otherwise => "by another rule than the one named, or with another verdict",
        Score::OnlyTime => "only its time was up, which any bug can do",
        Score::Flaky => "the second time only",
        Score::Control => "the kernel without the bug does not keep the rule there either",
        Score::NoVerdict => "there is no verdict on it or on the kernel without the bug",
    }
}
