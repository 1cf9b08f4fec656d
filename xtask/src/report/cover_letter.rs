// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cover letter: a template whose numbers are those of stored cells.
//!
//! `{create-uncut.v2.baseline.mainline load.ms}` stands for that fact of that cell, from the least
//! to the largest over its repetitions; `{CELL verdict}` for its verdict. A number that no run has
//! is an error, so that no letter says more than was measured.

use std::collections::BTreeSet;

use regex::{Captures, Regex};

use super::numbers::{number, plural};
use crate::outcome::{CellResult, Manifest, RunResult};
use crate::runs::Spread;
use crate::taxonomy::{FactName, Verdict};

/// A letter, without the headers of a mail.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    /// Its subject, without `[PATCH 0/N]`.
    pub(crate) subject: String,
    /// Its text, up to and with how it was measured.
    pub(crate) body: String,
}

/// Fills in a template, whose first line is the subject.
///
/// # Errors
/// What no run has, one line each.
pub(crate) fn cover_letter(template: &str, runs: &[RunResult]) -> Result<Letter, Vec<String>> {
    let wanted = Regex::new(r"\{([\w-]+(?:\.[\w-]+){3}) ([\w.]+)\}").expect("a pattern");
    let mut missing = BTreeSet::new();
    let text = wanted.replace_all(template, |found: &Captures<'_>| {
        value(&found[1], &found[2], runs).unwrap_or_else(|why| {
            missing.insert(why);
            String::new()
        })
    });
    if !missing.is_empty() {
        return Err(missing.into_iter().collect());
    }
    let (subject, body) = text.trim().split_once('\n').unwrap_or((text.trim(), ""));
    let measured: Vec<String> = runs.iter().map(measured).collect();
    let body = format!("{}\n\nMeasured with\n{}\n", body.trim(), measured.join("\n"));
    Ok(Letter { subject: subject.to_owned(), body })
}

/// What stands for one placeholder.
fn value(key: &str, fact: &str, runs: &[RunResult]) -> Result<String, String> {
    let cells = runs.iter().flat_map(|run| &run.cells);
    let cells: Vec<&CellResult> = cells.filter(|ran| ran.cell.key.to_string() == key).collect();
    if cells.is_empty() {
        return Err(format!("{key}: no run has this cell"));
    }
    if fact == "verdict" {
        return Ok(verdicts(&cells));
    }
    let name: FactName = fact.parse().map_err(|why| format!("{key}: {why}"))?;
    let usable = cells.iter().filter(|ran| ran.judgement().verdict != Verdict::Error);
    let values: Vec<f64> =
        usable.filter_map(|ran| ran.judgement().facts.get(&name).copied()).collect();
    let Spread { min, max, .. } =
        Spread::of(&values).ok_or_else(|| format!("{key}: {fact} is not known"))?;
    let [least, most] = [min, max].map(|value| number(name.unit(), value));
    Ok(if least == most { least } else { format!("{least} to {most}") })
}

/// `PASS`, `FAIL I1`, or several with their numbers.
fn verdicts(cells: &[&CellResult]) -> String {
    let mut words: Vec<(String, usize)> = Vec::new();
    for ran in cells {
        let word = super::terminal::verdict(ran.judgement());
        match words.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => words.push((word, 1)),
        }
    }
    match words.as_slice() {
        [(word, _)] => word.clone(),
        several => several
            .iter()
            .map(|(word, count)| format!("{word} ({count})"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// One run, as whoever reads the numbers needs to know it.
fn measured(run: &RunResult) -> String {
    let Manifest { started_at, matrix, accelerator, qemu, host, kernels, .. } = &run.manifest;
    let date = started_at.split('T').next().unwrap_or_default();
    let qemu = qemu.split(" (").next().unwrap_or_default().replace("emulator version ", "");
    let versions: BTreeSet<&str> =
        kernels.values().filter_map(|kernel| kernel.version.as_deref()).collect();
    let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
    format!(
        "  Linux {versions}, {qemu} with {accelerator}, {}: matrix {matrix},\n  {}, {date}",
        plural(host.cpus, "CPU"),
        plural(run.totals.ran, "cell"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::run::{benches, cell, result};

    #[test]
    fn a_number_is_that_of_the_cell_and_spans_its_repetitions() {
        let [bench, _] = benches();
        let key = cell(&bench).cell.key.to_string();
        let mut cells = [cell(&bench), cell(&bench)];
        for (ran, ms) in cells.iter_mut().zip([12.0, 1500.0]) {
            ran.first.judgement.facts.insert("load.ms".into(), ms);
            ran.first.judgement.facts.insert("kills".into(), 3.0);
        }
        let runs = [result(cells.into())];
        let template =
            format!("mm: a subject\n\nIt took {{{key} load.ms}}, {{{key} kills}} kills {{x}}.\n");
        let letter = cover_letter(&template, &runs).unwrap();
        assert_eq!(letter.subject, "mm: a subject");
        insta::assert_snapshot!(letter.body, @r"
        It took 12 ms to 1.5 s, 3 kills {x}.

        Measured with
          Linux 6.12.117, QEMU 7.2.17 with tcg, 2 CPUs: matrix default,
          2 cells, 2026-01-31
        ");
    }

    #[test]
    fn what_no_run_has_is_said_and_no_letter_is_made() {
        let [bench, _] = benches();
        let key = cell(&bench).cell.key.to_string();
        let runs = [result(vec![cell(&bench)])];
        let template = format!("s\n\n{{a.v2.b.c kills}} {{{key} kilsl}} {{{key} open.E2BIG}}");
        insta::assert_snapshot!(cover_letter(&template, &runs).unwrap_err().join("\n"), @r"
        a.v2.b.c: no run has this cell
        open.v2.baseline.mainline: `kilsl` is not a fact
        open.v2.baseline.mainline: open.E2BIG is not known
        ");
    }

    #[test]
    fn a_cell_that_is_an_error_gives_no_number() {
        let [bench, _] = benches();
        let mut ran = cell(&bench);
        let key = ran.cell.key.to_string();
        ran.first.judgement.facts.insert("kills".into(), 3.0);
        ran.first.judgement.verdict = Verdict::Error;
        let runs = [result(vec![ran])];
        assert!(cover_letter(&format!("s\n\n{{{key} kills}}"), &runs).is_err());
    }
}
