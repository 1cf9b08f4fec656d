// SPDX-License-Identifier: MIT OR Apache-2.0
//! One cell: its verdict in the line that is always seen, and what that rests on below it, to be
//! opened.

use std::path::Path;

use maud::{Markup, html};
use protocol::{Fact, Operations, ProcessRole};

use super::super::again::{NONE, again};
use super::super::numbers::{kills, load, lost, number, plain, plural, size, time_ms};
use super::super::output;
use super::super::show::{ends, load as loaded, said};
use super::super::terminal::{verdict, wanted};
use super::{Part, anchor, badge, chart, console};
use crate::evidence::{Evidence, Seen};
use crate::outcome::{CellResult, Check, Manifest, Outcome};
use crate::symbols::Symbols;
use crate::taxonomy::{CellFact, FactName, MemcgFact};
use crate::verdict::rule_words;

/// What is stored of the attempt that counts, beside its result.
pub(crate) struct Stored<'a, 'k> {
    /// Events and console, or why they cannot be read.
    pub(crate) evidence: Result<&'a Evidence, &'a str>,
    /// Symbols of the kernel that ran, or why there are none.
    pub(crate) symbols: Result<&'a Symbols<'k>, &'a str>,
    /// The run's copy of the user's patches, if it has one.
    pub(crate) series: Option<&'a Path>,
}

/// Draws one cell.
pub(crate) fn cell(run: &Manifest, cell: &CellResult, seen: &Stored<'_, '_>) -> Part {
    let judgement = cell.judgement();
    Part(html! {
        details.cell {
            summary { (badge(cell)) " " code { (cell.cell.id) } }
            div.body id=(anchor(&cell.cell.id)) {
                p.why { (judgement.why) }
                @if !judgement.as_expected {
                    p.why { "Expected was " strong { (wanted(&cell.cell)) } "." }
                }
                @if let Some(again) = &cell.again {
                    p.why {
                        "The first try was " strong { (verdict(&cell.first.judgement)) }
                        " (" (cell.first.judgement.why) "); rerun alone it was "
                        strong { (verdict(&again.judgement)) } " (" (again.judgement.why) ")."
                    }
                }
                (asked(cell))
                (numbers(cell))
                h4 { "Usage over time" }
                (chart::usage(cell))
                h4 { "Rules" }
                (rules(&judgement.checks))
                @match seen.evidence {
                    Ok(evidence) => (stored(evidence, seen.symbols)),
                    Err(why) => p.none { "Calls, events and console cannot be shown: " (why) "." },
                }
                (facts(cell))
                h4 { "Again" }
                @match again(run, cell, seen.series) {
                    Some(command) => pre.again tabindex="0" { code { (command) } },
                    None => p.none { (NONE) "." },
                }
                p.of {
                    "Evidence: " code { (cell.counted().folder) } " in the run folder; "
                    code { "qemu.cmdline" } " there starts the same VM by hand."
                }
            }
        }
    })
}

fn asked(cell: &CellResult) -> Markup {
    let request = &cell.cell.request;
    let killable = if request.killable { "killable" } else { "not killable" };
    html! {
        p.asked {
            code { (loaded(request)) } " on cgroup " (request.cgroup)
            ", memory.max " (size(request.limit_bytes as f64)) ", "
            (plural(request.tasks, "task")) " (" (killable) ")"
            @if request.hog_bytes > 0 { ", next to a hog of " (size(request.hog_bytes as f64)) }
            ", at most " (request.operations) " operations or " (request.load_ms_max) " ms each"
            @for write in &request.policy { "; " code { (write.file) " = " (write.value) } }
        }
    }
}

/// What is asked first.
fn numbers(cell: &CellResult) -> Markup {
    let judgement = cell.judgement();
    let facts = &judgement.facts;
    let fact = |name: FactName| facts.get(&name).map(|value| number(name.unit(), *value));
    let over = fact(MemcgFact::PeakOverBytes.into()).map(|over| format!("{over} over memory.max"));
    let rows = [
        ("Peak", fact(MemcgFact::PeakBytes.into()), over),
        (
            "Above the limit for",
            fact(MemcgFact::OverMsMax.into()),
            Some("at a stretch, at most".to_owned()),
        ),
        ("Calls lost", Some(lost(facts)), None),
        ("Killed", Some(kills(facts)), None),
        (
            "Reconciled after",
            fact(MemcgFact::ReconcileP50Us.into()),
            fact(MemcgFact::ReconcileMaxUs.into())
                .map(|longest| format!("median; at most {longest}")),
        ),
        ("Load", fact(CellFact::LoadMs.into()).map(|_| load(facts)), None),
        ("VM", Some(time_ms(cell.counted().wall_ms as f64)), None),
    ];
    html! {
        dl.numbers {
            @for (name, value, more) in rows {
                @if let Some(value) = value {
                    div {
                        dt { (name) }
                        dd { (value) @if let Some(more) = more { span.of { (more) } } }
                    }
                }
            }
        }
    }
}

/// The head of a table with these columns.
fn head(columns: &[&str]) -> Markup {
    html! { thead { tr { @for column in columns { th scope="col" { (column) } } } } }
}

fn rules(checks: &[Check]) -> Markup {
    html! {
        table.rules.blocks {
            (head(&["Rule", "Outcome", "With these numbers"]))
            tbody {
                @for (at, Check { rule, outcome, said, fact: _ }) in checks.iter().enumerate() {
                    @let is_first = at == 0 || checks[at - 1].rule != *rule;
                    @let (class, sign, word) = outcome_words(*outcome);
                    @let (name, says) = rule_words(*rule);
                    tr class=(class) {
                        th scope="row" { (rule) " " (name) @if is_first { span.of { (says) } } }
                        td {
                            span class={ "badge " (class) } {
                                span aria-hidden="true" { (sign) } " " (word)
                            }
                        }
                        td { (said) }
                    }
                }
            }
        }
    }
}

fn outcome_words(outcome: Outcome) -> (&'static str, &'static str, &'static str) {
    match outcome {
        Outcome::Kept => ("good", "✓", "kept"),
        Outcome::Broken => ("bad", "✗", "broken"),
        Outcome::NotApplicable => ("known", "–", "n/a"),
        Outcome::Unknown => ("odd", "?", "unknown"),
    }
}

/// What only the evidence has.
fn stored(evidence: &Evidence, symbols: Result<&Symbols<'_>, &str>) -> Markup {
    let seen = Seen::of(evidence);
    html! {
        (calls(&seen.operations))
        @if let Some(transcript) = seen.transcript {
            h4 { "Output of the program" }
            pre.again tabindex="0" { code { (output::lines(transcript).join("\n")) } }
        }
        h4 { "Console" }
        (console::console(&seen, symbols))
        details.more {
            summary { "What the guest said" }
            ol.events {
                @for event in &evidence.events {
                    @if let Some(line) = told(&event.fact) {
                        @let at = format!("{:.3} s", event.at_us as f64 / 1e6);
                        li { span.at { (at) } " " (line) }
                    }
                }
                @for (end, count) in ends(&seen) {
                    li { span.at { (plural(count, "time")) } " " (end) }
                }
            }
        }
    }
}

/// Calls with their errnos.
fn calls(all: &[&Operations]) -> Markup {
    html! {
        @if !all.is_empty() {
            h4 { "Calls" }
            table.calls.blocks {
                (head(&["Call", "Begun", "Good", "Errors", "Median", "p99", "Longest"]))
                tbody {
                    @for operations in all.iter().copied() {
                        @let Operations { role, op, attempted, succeeded, errnos, .. } = operations;
                        @let Operations { latency, unfinished, .. } = operations;
                        tr {
                            th scope="row" {
                                (op)
                                @if *role != ProcessRole::Actor {
                                    span.of { "by " (format!("{role:?}").to_lowercase()) }
                                }
                            }
                            td data-label="Begun" { (attempted) }
                            td data-label="Good" { (succeeded) }
                            td data-label="Errors" {
                                @for (errno, count) in errnos { (count) " " (errno) " " }
                                @if *unfinished > 0 { (unfinished) " unfinished" }
                                @if errnos.is_empty() && *unfinished == 0 { "0" }
                            }
                            td data-label="Median" { (latency.p50) " us" }
                            td data-label="p99" { (latency.p99) " us" }
                            td data-label="Longest" { (latency.max) " us" }
                        }
                    }
                }
            }
        }
    }
}

/// All but what stands elsewhere on the page.
fn told(fact: &Fact) -> Option<String> {
    if matches!(fact, Fact::Operations(_)) { None } else { said(fact) }
}

/// Deltas of events and counters first, then all others that are not 0.
fn facts(cell: &CellResult) -> Markup {
    let (mut of_files, mut others) = (Vec::new(), Vec::new());
    for (name, value) in cell.judgement().facts.iter().filter(|(_, value)| **value != 0.0) {
        let is_delta = matches!(name, FactName::Event(..) | FactName::Counter(..));
        let to = if is_delta { &mut of_files } else { &mut others };
        to.push((name, plain(*value)));
    }
    let list = |facts: &[(&FactName, String)]| {
        html! { dl.flat { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } } }
    };
    html! {
        @if !of_files.is_empty() {
            h4 { "memory.events and the patch's counters" }
            (list(&of_files))
        }
        details.more { summary { "All facts that are not 0" } (list(&others)) }
    }
}
