// SPDX-License-Identifier: MIT OR Apache-2.0
//! Results -> the formats that other tools read.
//!
//! KTAP, JUnit and Markdown ask of each cell what the exit status of a run asks: was it as
//! expected? They are made of the same [`cases`], so they cannot disagree. KCIDB asks what a kernel
//! did, whatever was expected of it. Where each verdict goes is written down in `docs/formats.md`.

mod cases;
mod junit;
mod kcidb;
mod ktap;
mod markdown;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::evidence::record::shown;
use crate::outcome::CellResult;
use crate::taxonomy::Verdict;
use crate::verdict::findings;

pub(crate) use junit::junit;
pub(crate) use kcidb::kcidb;
pub(crate) use ktap::ktap;
pub(crate) use markdown::markdown;
pub(super) use markdown::{code, plain};

/// The part of each console that its verdict rests on, by cell id: short, and without characters
/// that a terminal or a parser would act on. Empty where the evidence is not at hand.
pub(crate) type Excerpts = BTreeMap<String, String>;

/// KCIDB takes 16,384 characters with everything around it; a lockdep report has about 5,000.
const CHARS_MAX: usize = 12_000;
/// A console that is flooded can have lines of any length.
const LINE_CHARS: usize = 400;
/// Where nothing was reported, the last that was said.
const LAST_LINES: usize = 30;

/// Whether the console of this cell may say why; a rule that is broken says so with its numbers.
pub(crate) fn wants_excerpt(cell: &CellResult) -> bool {
    matches!(cell.judgement().verdict, Verdict::Crash | Verdict::Hang | Verdict::Error)
}

/// The first report of the kernel that fits the verdict, or else the last lines.
pub(crate) fn excerpt(console: &str, verdict: Verdict) -> String {
    let findings = findings(console);
    let fitting = findings.iter().find(|finding| finding.class == verdict);
    let lines: Vec<&str> = match fitting.or(findings.first()) {
        Some(finding) => finding.excerpt.iter().map(String::as_str).collect(),
        None => {
            let all: Vec<&str> = console.lines().map(shown).collect();
            all[all.len().saturating_sub(LAST_LINES)..].to_vec()
        }
    };
    let mut text = String::new();
    let mut left = CHARS_MAX;
    for line in lines {
        let line: String = printable(line.trim_end()).chars().take(LINE_CHARS).collect();
        let chars = line.chars().count() + 1;
        if chars > left {
            break;
        }
        left -= chars;
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// The text in one line and without characters that are commands: U+FFFD in their place. U+2028 and
/// U+2029 end lines for some readers, their neighbours turn text around, U+FFFE and U+FFFF are no
/// characters for XML.
pub(super) fn printable(text: &str) -> String {
    let unfit = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || matches!(c, '\u{fffe}'..='\u{ffff}')
    };
    text.chars().map(|c| if unfit(c) { '\u{fffd}' } else { c }).collect()
}
