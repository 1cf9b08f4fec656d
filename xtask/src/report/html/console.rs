// SPDX-License-Identifier: MIT OR Apache-2.0
//! The console where it matters: faults and OOM reports as printed, with the lines that tell
//! highlighted, each place in a stack followed by its file and line, and those of the series
//! marked.

use maud::{Markup, html};

use super::super::numbers::plural;
use super::super::places;
use super::super::show::{of_each_kind, oom_counts, victim as victim_of};
use crate::evidence::Seen;
use crate::evidence::oom::Report;
use crate::evidence::record::shown;
use crate::symbols::Symbols;
use crate::verdict::{self, Finding};

/// Faults that are shown; the rest mostly follow from the first.
const FINDINGS_SHOWN: usize = 2;

/// OOM reports that are shown, each of another kind.
const REPORTS_SHOWN: usize = 2;

/// Lines of one fault or report that are shown.
const LINES_SHOWN: usize = 60;

/// Bytes of a line that are shown: a flooded console has lines of any length.
const LINE_CHARS: usize = 240;

/// Lines between a report and the line that names the victim, at most.
const VICTIM_LINES: usize = 600;

/// A part of a console.
struct Excerpt<'a> {
    title: String,
    /// With their numbers from 1.
    lines: Vec<(usize, &'a str)>,
}

/// Faults, OOM reports, and how many more there are. `symbols`: of the kernel that ran, or why
/// there are none.
pub(super) fn console(seen: &Seen<'_>, symbols: Result<&Symbols<'_>, &str>) -> Markup {
    let (console, ooms) = (&seen.evidence.console, &seen.ooms);
    let dropped_bytes = seen.evidence.console_dropped_bytes;
    let lines: Vec<&str> = console.lines().collect();
    let findings = verdict::findings_of(seen);
    let faults = findings.iter().take(FINDINGS_SHOWN).map(|finding| fault(finding, &lines));
    let reports =
        of_each_kind(&ooms.reports, REPORTS_SHOWN).into_iter().map(|kind| report(kind, &lines));
    let excerpts: Vec<Excerpt<'_>> = faults.chain(reports).collect();
    html! {
        p {
            @if findings.is_empty() { "No fault on the console. " }
            @else {
                strong { (plural(findings.len(), "fault")) " on the console" }
                @if findings.len() > FINDINGS_SHOWN { ", the first " (FINDINGS_SHOWN) " shown" }
                ". "
            }
            @if ooms.reports.is_empty() && ooms.kills == 0 { "No OOM report." }
            @else {
                (oom_counts(ooms))
                @if !ooms.reports.is_empty() { "; one of each kind shown" } "."
            }
            @if dropped_bytes > 0 { " " (dropped_bytes) " bytes of the console were dropped." }
        }
        @if let (Err(why), false) = (symbols, excerpts.is_empty()) { p.none { "Functions without file and line: " (why) "." } }
        @if symbols.is_ok_and(|it| !it.know_the_series()) && !excerpts.is_empty() {
            p.none { (places::NOT_NOTED) }
        }
        @for Excerpt { title, lines } in &excerpts {
            h5 { (title) }
            ol.console {
                @for (number, line) in lines { (one(*number, line, symbols.ok())) }
            }
        }
    }
}

fn fault<'a>(finding: &Finding, lines: &[&'a str]) -> Excerpt<'a> {
    let count = finding.excerpt.len().min(LINES_SHOWN);
    let from = |line| numbered(lines, line, count);
    Excerpt { title: format!("{}: {}", finding.kind, finding.title), lines: from(finding.line) }
}

/// From the line that says who called the OOM killer to the end of its stack, and the line that
/// names the victim.
fn report<'a>(report: &Report, lines: &[&'a str]) -> Excerpt<'a> {
    let mut excerpt = numbered(lines, report.line, LINES_SHOWN);
    // What follows are the registers of user space, and the memcg's numbers.
    let in_user = |line: &str| line.contains("RIP: 0033:") || line.contains("</TASK>");
    if let Some(end) = excerpt.iter().position(|(_, line)| in_user(line)) {
        excerpt.truncate(end);
    }
    let victim = report.killed.and_then(|pid| {
        let named = format!("Killed process {pid} ");
        let after = lines.iter().enumerate().skip(report.line).take(VICTIM_LINES);
        after.map(|(at, line)| (at + 1, shown(line))).find(|(_, line)| line.contains(&named))
    });
    excerpt.extend(victim);
    Excerpt { title: format!("OOM report: {}", victim_of(report)), lines: excerpt }
}

fn numbered<'a>(lines: &[&'a str], from: usize, count: usize) -> Vec<(usize, &'a str)> {
    let lines = lines.iter().enumerate().skip(from).take(count);
    lines.map(|(at, line)| (at + 1, shown(line))).collect()
}

fn one(number: usize, line: &str, symbols: Option<&Symbols<'_>>) -> Markup {
    let shown: String = line.chars().take(LINE_CHARS).collect();
    let cut = if shown.len() < line.len() { "…" } else { "" };
    let place = places::place(line, symbols);
    let told = places::told(&place).join(" < ");
    html! {
        li value=(number) class=[place.of_series.then_some("series")] {
            @if tells(line) { mark { (shown) (cut) } } @else { (shown) (cut) }
            @if !told.is_empty() { " " span.source { (told) } }
        }
    }
}

/// Whether a line names a fault, a victim, or the place that everything is about.
fn tells(line: &str) -> bool {
    let words =
        ["invoked oom-killer:", "Killed process ", "try_charge_memcg+", "overcharge_reconcile+"];
    words.iter().any(|word| line.contains(word)) || !verdict::findings(line).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_tell_are_highlighted() {
        for line in ["[ 1] BUG: unable to handle page fault", "[ 1]  try_charge_memcg+0x1/0x2"] {
            assert!(tells(line), "{line}");
        }
        assert!(!tells("[ 1]  dump_stack_lvl+0x4f/0x60"));
    }
}
