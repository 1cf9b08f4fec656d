// SPDX-License-Identifier: MIT OR Apache-2.0
//! What repetitions of one cell say together: smallest, median and largest of the facts that the
//! scenario wants measured.
//!
//! Contract: only cells whose fact is known are counted, and their number is shown, so that a
//! missing one is seen; without repetitions there is no table, because a spread of one is none.

use super::numbers::{plain, size, time_ms};
use super::style::Style;
use crate::chance::median;
use crate::outcome::{CellResult, RunResult, by_key};

pub(super) const HEAD: [&str; 9] =
    ["scenario", "", "kernel", "policy", "fact", "cells", "min", "median", "max"];

/// A row of the table for each fact of each cell that was repeated; nothing when none was.
pub(super) fn table(result: &RunResult, style: Style) -> String {
    let rows = rows(result);
    if rows.is_empty() {
        return String::new();
    }
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    let line = |row: &[String; 9]| {
        let columns: Vec<String> =
            row.iter().zip(widths).map(|(text, width)| format!("{text:width$}")).collect();
        columns.join("  ").trim_end().to_owned()
    };
    let mut text = format!("\n{}\n", style.strong("over the repetitions"));
    text.push_str(&format!("{}\n", style.strong(&line(&HEAD.map(str::to_owned)))));
    for row in &rows {
        text.push_str(&line(row));
        text.push('\n');
    }
    text
}

/// The rows, under [`HEAD`].
pub(super) fn rows(result: &RunResult) -> Vec<[String; 9]> {
    let mut rows = Vec::new();
    for group in groups(&result.cells) {
        let Some(note) = result.scenarios.get(&group[0].cell.key.scenario) else { continue };
        rows.extend(note.measures.iter().map(|fact| row(fact, &group)));
    }
    rows
}

/// Repetitions of the same cell, in plan order; those that ran only once are left out.
fn groups(cells: &[CellResult]) -> Vec<Vec<&CellResult>> {
    let mut groups = by_key(cells);
    groups.retain(|_, group| group.len() > 1);
    cells.iter().filter_map(|cell| groups.remove(&cell.cell.key)).collect()
}

fn row(fact: &str, group: &[&CellResult]) -> [String; 9] {
    let mut values: Vec<f64> =
        group.iter().filter_map(|cell| cell.judgement().facts.get(fact).copied()).collect();
    values.sort_by(f64::total_cmp);
    // Of a load that was cut nobody knows the length: it is more.
    let is_cut = |cell: &&&CellResult| cell.judgement().facts.get("load.complete") == Some(&0.0);
    let cut = match group.iter().filter(is_cut).count() {
        0 => String::new(),
        _ if fact != "load.ms" => String::new(),
        cut => format!(", {cut} cut"),
    };
    let shown = |value: Option<f64>| value.map_or("?".to_owned(), |value| number(fact, value));
    let cell = &group[0].cell;
    [
        cell.key.scenario.clone(),
        cell.key.cgroup.to_string(),
        cell.key.kernel.clone(),
        cell.key.policy.clone(),
        fact.to_owned(),
        format!("{} of {}{cut}", values.len(), group.len()),
        shown(values.first().copied()),
        shown(median(&values)),
        shown(values.last().copied()),
    ]
}

/// With the unit that the fact's name ends in.
pub(super) fn number(fact: &str, value: f64) -> String {
    if fact.ends_with("_bytes") {
        size(value)
    } else if fact.ends_with("_us") {
        if value < 1000.0 { format!("{value:.0} us") } else { time_ms(value / 1000.0) }
    } else if fact.ends_with("ms") || fact.contains("_ms_") {
        time_ms(value)
    } else {
        plain(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
    }

    #[test]
    fn loads_that_were_cut_are_counted() {
        let [baseline, _] = crate::verdict::tests::run::benches();
        let mut cells = [(); 3].map(|()| crate::verdict::tests::run::cell(&baseline));
        let last = &mut cells[2].first.judgement.facts;
        last.insert("load.complete".to_owned(), 0.0);
        let group: Vec<&CellResult> = cells.iter().collect();
        assert_eq!(row("load.ms", &group)[5], "3 of 3, 1 cut");
        assert_eq!(row("kills", &group)[5], "3 of 3");
    }

    #[test]
    fn numbers_have_the_unit_of_their_fact() {
        assert_eq!(number("load.ms", 1234.0), "1.2 s");
        assert_eq!(number("over_ms_max", 12.0), "12 ms");
        assert_eq!(number("outsider.create.max_us", 999.0), "999 us");
        assert_eq!(number("outsider.create.max_us", 52_000.0), "52 ms");
        assert_eq!(number("peak_over_bytes", 8192.0), "8 KiB");
        assert_eq!(number("kills", 16.0), "16");
    }
}
