// SPDX-License-Identifier: MIT OR Apache-2.0
//! `report.html`: one file for a run, which needs nothing beside it: no network, no script, no
//! other file.
//!
//! Verdicts on the patch first, since that is the question; then the matrix as a grid; then each
//! cell with what its verdict rests on. Every text that comes from a guest, a console or a config
//! file is escaped by the template. Cells are drawn one by one, so that the evidence of only one is
//! in memory.

mod cell;
mod chart;
mod console;
mod grid;
mod overview;
#[cfg(test)]
mod tests;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::spread;
use super::terminal::verdict;
use crate::outcome::{CellResult, RunResult};

pub(crate) use cell::{Stored, cell};

const CSS: &str = include_str!("style.css");

/// The drawn evidence of one cell.
pub(crate) struct Part(Markup);

/// How a cell went, as it is told everywhere: a class for its colour, a sign and words, so that
/// nothing is told by colour alone.
struct Went {
    class: &'static str,
    sign: &'static str,
    words: &'static str,
}

/// The whole page; `parts` are the cells in the order of the result.
pub(crate) fn page(run: &RunResult, parts: &[Part]) -> String {
    let title = format!("Matrix {}, {}", run.manifest.matrix, run.run);
    let repeated = spread::rows(run);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // A report is opened from anywhere: whatever a guest has said, the page loads and
                // runs nothing.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(CSS)) }
            }
            body {
                a.skip href="#main" { "Skip to the verdicts" }
                (overview::header(run, !repeated.is_empty()))
                main id="main" {
                    (overview::verdicts(run))
                    (grid::grid(run))
                    (overview::repeated(&repeated))
                    (cells(run, parts))
                    (overview::made_of(run))
                }
                footer { p { "Made by cargo xtask report, version " (run.manifest.harness) ", from the results of run " code { (run.run) } "." } }
            }
        }
    };
    readable(&markup.into_string())
}

fn cells(run: &RunResult, parts: &[Part]) -> Markup {
    let mut of_scenario: Vec<(&str, Vec<&Part>)> = Vec::new();
    for (cell, part) in run.cells.iter().zip(parts) {
        match of_scenario.last_mut() {
            Some((scenario, parts)) if *scenario == cell.cell.key.scenario => parts.push(part),
            _ => of_scenario.push((&cell.cell.key.scenario, vec![part])),
        }
    }
    html! {
        section id="cells" aria-labelledby="cells-title" {
            h2 id="cells-title" { "Evidence, cell by cell" }
            @for (scenario, parts) in of_scenario {
                section.scenario {
                    h3 { code { (scenario) } }
                    @if let Some(note) = run.note(scenario) {
                        p.title { (note.title) }
                        details.about { summary { "What it does" } p { (note.about) } }
                    }
                    @for part in parts { (part.0) }
                }
            }
        }
    }
}

impl Went {
    fn of(cell: &CellResult) -> Self {
        let passed = cell.judgement().verdict == crate::taxonomy::Verdict::Pass;
        let (class, sign, words) = match (cell.judgement().as_expected, cell.flaky()) {
            (true, _) if passed => ("good", "✓", "as expected"),
            (true, _) => ("known", "✓", "as expected"),
            (_, true) => ("odd", "~", "flaky"),
            _ => ("bad", "✗", "NOT as expected"),
        };
        Self { class, sign, words }
    }
}

/// A verdict with how it went.
fn badge(cell: &CellResult) -> Markup {
    let Went { class, sign, words } = Went::of(cell);
    html! {
        span class={ "badge " (class) } { span aria-hidden="true" { (sign) } " " (verdict(cell.judgement())) }
        " " span.went { (words) }
    }
}

/// Anchor of a cell's evidence: letters, digits and dashes, which every reader of HTML takes.
pub(super) fn anchor(id: &str) -> String {
    format!("cell-{}", id.replace(|c: char| !c.is_ascii_alphanumeric(), "-"))
}

/// Without the characters that HTML does not have, and those that turn the order of others; a
/// console may hold any byte.
fn readable(html: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let has = |c: char| (!c.is_control() || c == '\n' || c == '\t') && !turns(c);
    html.chars().map(|c| if has(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}
