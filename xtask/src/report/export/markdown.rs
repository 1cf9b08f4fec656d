// SPDX-License-Identifier: MIT OR Apache-2.0
//! Markdown for the summary page of a CI job: the verdicts on the patch, then what was not as
//! expected, then every cell.
//!
//! Contract: at most [`BYTES_MAX`] bytes, because GitHub refuses a longer summary whole. What is
//! left out is counted, and it is never the totals. A text from a console cannot make a heading, a
//! link, a mention or a tag.

use super::super::numbers::{fact, kills, load, lost};
use super::super::terminal::{conditions, expected, sum, verdict, wanted};
use super::cases::{Case, Group, PATCH, Standing, groups};
use super::{Excerpts, printable};
use crate::outcome::{CellResult, RunResult};
use crate::taxonomy::MemcgFact;

/// GitHub takes 1 MiB a step; who appends it to other text needs some of that.
const BYTES_MAX: usize = 960 * 1024;
/// Of it, what the verdicts on the patch may take, and these with what was not as expected.
const SHARES: [usize; 2] = [BYTES_MAX / 3, BYTES_MAX / 4 * 3];
/// For the notes on what was left out and the end of a table.
const RESERVE: usize = 512;

/// The run as Markdown.
pub(crate) fn markdown(result: &RunResult, excerpts: &Excerpts) -> String {
    let groups = groups(result, excerpts);
    let mut page = Page { text: head(result, &groups) };
    if let Some(group) = groups.iter().find(|group| group.name == PATCH) {
        page.push("\n### Compared with the baseline\n\n| | cell | |\n|---|---|---|\n", BYTES_MAX);
        page.rows(group.cases.iter().map(on_patch), SHARES[0], "verdicts");
    }
    let cells = || groups.iter().flat_map(|group| &group.cases).filter(|case| case.cell.is_some());
    let surprises: Vec<&Case<'_>> = cells().filter(|case| is_surprise(case)).collect();
    if !surprises.is_empty() {
        page.push("\n### Not as expected\n\n", BYTES_MAX);
        page.rows(surprises.into_iter().map(surprise), SHARES[1], "cells");
    }
    if !result.cells.is_empty() {
        page.push("\n### Cells\n\n", BYTES_MAX);
        page.push(
            "| cell | verdict | expected | calls lost | kills | overrun | load |\n",
            BYTES_MAX,
        );
        page.push("|---|---|---|---|---|---|---|\n", BYTES_MAX);
        page.rows(result.cells.iter().map(row), BYTES_MAX, "cells");
    }
    page.text
}

/// The page so far, which is never longer than its limit.
struct Page {
    text: String,
}

impl Page {
    /// Adds a text that fits below `limit`; whether it did.
    fn push(&mut self, text: &str, limit: usize) -> bool {
        let fits = self.text.len() + text.len() + RESERVE <= limit;
        if fits {
            self.text.push_str(text);
        }
        fits
    }

    /// Adds rows as long as they fit, and says how many did not.
    fn rows(&mut self, rows: impl Iterator<Item = String>, limit: usize, what: &str) {
        let left_out = rows.filter(|row| !self.push(row, limit)).count();
        if left_out > 0 {
            self.text.push_str(&format!("\n{left_out} more {what} are left out here.\n"));
        }
    }
}

fn head(result: &RunResult, groups: &[Group<'_>]) -> String {
    let (totals, manifest) = (&result.totals, &result.manifest);
    let bad = |group: &Group<'_>| group.cases.iter().any(|case| case.standing.is_bad());
    let good = totals.good() && !groups.iter().any(bad);
    let mark = if good { "✅" } else { "❌" };
    let mut text = format!("## {mark} memcg: {}\n\n", sum(totals));
    let complete = groups.first().and_then(|group| group.cases.first());
    if let Some(incomplete) = complete.filter(|case| case.standing.is_bad()) {
        text.push_str(&format!("**The run is not complete: {}.**\n\n", plain(&incomplete.why)));
    }
    for hunk in manifest.fuzz() {
        text.push_str(&format!("Accepted with --fuzz: {}\n\n", plain(&hunk)));
    }
    text.push_str(&format!(
        "Run {}, matrix {}, {}.\n",
        code(&result.run),
        code(&manifest.matrix),
        plain(&conditions(manifest))
    ));
    text
}

fn on_patch(case: &Case<'_>) -> String {
    let mark = match case.standing {
        Standing::Good | Standing::GoodFailure => "✅",
        Standing::Bad | Standing::TimedOut | Standing::NoVerdict => "❌",
        Standing::Skipped | Standing::NotSkippable => "➖",
    };
    format!("| {mark} {} | {} | {} |\n", plain(&case.verdict), code(&case.name), plain(&case.why))
}

fn is_surprise(case: &Case<'_>) -> bool {
    case.cell.is_some_and(|cell| !cell.judgement().as_expected)
}

fn surprise(case: &Case<'_>) -> String {
    let expected = case.cell.map(|cell| wanted(&cell.cell)).unwrap_or_default();
    let mut text = format!(
        "<details><summary>{} is {}, expected {}: {}</summary>\n\n",
        html(&case.name),
        html(&case.verdict),
        html(&expected),
        html(&case.why)
    );
    // In HTML no character of the text means anything to Markdown, as long as no line is empty.
    let lines: Vec<String> = case.details.iter().map(|line| html(line)).collect();
    text.push_str(&format!("<pre>{}</pre>\n\n</details>\n\n", lines.join("\n")));
    text
}

fn row(ran: &CellResult) -> String {
    let (judgement, facts) = (ran.judgement(), &ran.judgement().facts);
    let expected = match (judgement.as_expected, expected(ran)) {
        (true, word) => word.to_owned(),
        (false, word) => format!("**{word}**"),
    };
    format!(
        "| {} | {} | {expected} | {} | {} | {} | {} |\n",
        code(&ran.cell.id),
        plain(&verdict(judgement)),
        plain(&lost(facts)),
        plain(&kills(facts)),
        fact(facts, MemcgFact::PeakOverBytes),
        load(facts)
    )
}

/// In a code span; names have no backquote, and what has one loses it.
pub(in crate::report) fn code(text: &str) -> String {
    format!("`{}`", printable(text).replace('`', "'").replace('|', "\\|"))
}

/// Text in which every character means itself, also in a table.
pub(in crate::report) fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in html(text).chars() {
        if "\\`*_{}[]()#+!|~@:".contains(c) {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

fn html(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
