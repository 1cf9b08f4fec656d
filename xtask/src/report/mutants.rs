// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `mutants` ends with: a line a mutant, why those that were not caught were not, the score.

use super::numbers::plural;
use super::terminal::{conditions, verdict, why as why_of};
use super::text::{Style, Table};
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
    let mut table = Table::default().left(HEAD);
    rows.iter().for_each(|row| table.row(columns(row, style)));
    let mut text = table.text(style);
    for row in rows {
        text.push_str(&why(row, result, style));
    }
    let mut controls: Vec<&CellResult> = rows.iter().filter_map(|row| row.control).collect();
    controls.sort_by_key(|control| &control.cell.id);
    controls.dedup_by_key(|control| &control.cell.id);
    let good = controls.iter().filter(|control| control.judgement().as_expected).count();
    let caught = rows.iter().filter(|row| row.score == Score::Caught).count();
    let sum = format!("{caught} of {} caught", plural(counted(rows).count(), "mutant"));
    let (sum, control) = (style.good_if(all_caught(rows), &sum), plural(controls.len(), "cell"));
    let ran = conditions(&result.manifest);
    text.push_str(&format!(
        "\n{sum}; without a bug {good} of {control} as expected ({ran})\nevidence: {folder}\n"
    ));
    text
}

fn columns(row: &MutantRow<'_>, style: Style) -> [String; 7] {
    let none = || "-".to_owned();
    let mutant = &row.trial.mutant;
    let (cell, must) = row.trial.wanted().unwrap_or_else(|| (none(), none()));
    let judgement = row.ran.map(CellResult::judgement);
    let broken = judgement.map(|judgement| Rule::list(&judgement.breaks));
    let word = word(row.score);
    [
        mutant.name.clone(),
        mutant.bug.clone(),
        cell,
        must,
        broken.filter(|broken| !broken.is_empty()).unwrap_or_else(none),
        judgement.map_or_else(none, |judgement| judgement.verdict.to_string()),
        match row.score {
            Score::Caught => style.good(word),
            Score::Equivalent => style.odd(word),
            _ => style.bad(word),
        },
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
        let got = verdict(cell.judgement());
        text.push_str(&format!("{} is {got}:\n{}", cell.cell.id, why_of(cell, &result.run)));
    }
    text
}

fn meaning(score: Score) -> &'static str {
    match score {
        Score::Caught => "it was",
        Score::Equivalent => "there is nothing to catch",
        Score::Survived => "no rule was broken",
        Score::Otherwise => "by another rule than the one named, or with another verdict",
        Score::OnlyTime => "only the deadline passed, which any bug can do",
        Score::Flaky => "the second time only",
        Score::Control => "the kernel without the bug does not keep the rule there either",
        Score::NoVerdict => "there is no verdict on it or on the kernel without the bug",
    }
}
