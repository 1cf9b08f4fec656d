// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a bench found: measured times as a table, the first row as the unit of the others, and the
//! table of instructions.

use std::time::Duration;

use serde::Serialize;

use super::cost::{CostColumn, costs};
use super::json::Manifest;

/// Everything that a bench found, and on what.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BenchResult {
    /// What it ran with and on; the accelerator is that of the timed part.
    pub(crate) manifest: Manifest,
    /// Timed, the unit of the others first.
    pub(crate) times: Vec<Times>,
    /// Instructions per system call, by kernel and policy.
    pub(crate) costs: Vec<CostColumn>,
}

/// Both tables, of what was measured.
pub(crate) fn bench(result: &BenchResult) -> String {
    let tables = [times(result), costs(&result.costs)];
    tables.into_iter().filter(|table| !table.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The table of seconds; nothing when nothing was timed.
pub(crate) fn times(result: &BenchResult) -> String {
    if result.times.is_empty() {
        return String::new();
    }
    table(&format!("under {}", result.manifest.accelerator), &result.times)
}

/// Repeated measurements of one thing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Times {
    name: String,
    seconds: Vec<f64>,
}

impl Times {
    /// Nothing measured yet.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), seconds: Vec::new() }
    }

    /// One more measurement.
    pub(crate) fn add(&mut self, took: Duration) {
        self.seconds.push(took.as_secs_f64());
    }

    /// Least, median, greatest.
    fn spread(&self) -> Option<(f64, f64, f64)> {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        Some((*sorted.first()?, sorted[sorted.len() / 2], *sorted.last()?))
    }
}

/// A table of seconds, with the ratio of each median to that of the first row.
fn table(title: &str, times: &[Times]) -> String {
    let width = times.iter().map(|times| times.name.len()).max().unwrap_or(0);
    let rounds = times.first().map_or(0, |times| times.seconds.len());
    let mut text = format!("{title}, {rounds} rounds, seconds\n");
    text.push_str(&format!(
        "{:width$}  {:>6}  {:>6}  {:>6}  {:>6}\n",
        "", "min", "median", "max", "ratio"
    ));
    let unit = times.first().and_then(Times::spread).map(|(_, median, _)| median);
    for row in times {
        let Some((min, median, max)) = row.spread() else { continue };
        let ratio = unit.map_or(String::new(), |unit| format!("{:.2}", median / unit));
        let name = &row.name;
        text.push_str(&format!(
            "{name:width$}  {min:>6.2}  {median:>6.2}  {max:>6.2}  {ratio:>6}\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_is_the_unit() {
        let mut floor = Times::new("floor");
        let mut cell = Times::new("a cell");
        for ms in [2000, 2400, 1800] {
            floor.add(Duration::from_millis(ms));
            cell.add(Duration::from_millis(ms * 3 / 2));
        }
        assert_eq!(
            table("k under tcg", &[floor, cell, Times::new("never measured")]),
            "k under tcg, 3 rounds, seconds\n\
             \x20                  min  median     max   ratio\n\
             floor             1.80    2.00    2.40    1.00\n\
             a cell            2.70    3.00    3.60    1.50\n"
        );
    }
}
