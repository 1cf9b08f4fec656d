// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a bench found: measured times as a table, the first row as the unit of the others, and the
//! table of instructions.

use std::time::Duration;

use serde::Serialize;

use super::cost::{CostColumn, costs};
use super::numbers::plural;
use super::text::{Style, Table};
use crate::outcome::Manifest;
use crate::runs::Spread;

/// Everything that a bench found, and on what.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BenchResult {
    /// What it ran with and on; the accelerator is that of the timed part.
    pub(crate) manifest: Manifest,
    /// Timed, the unit of the others first.
    pub(crate) times: Vec<Times>,
    /// Instructions per system call, by kernel and policy.
    pub(crate) costs: Vec<CostColumn>,
    /// A whole matrix.
    pub(crate) whole: Option<Whole>,
}

/// A whole matrix, several times.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Whole {
    /// Its name.
    pub(crate) matrix: String,
    /// Each time.
    pub(crate) rows: Vec<WholeRow>,
    /// Most memory that the harness had at any time, KiB.
    pub(crate) peak_kib: u64,
}

/// A whole matrix, once.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WholeRow {
    /// Cells in parallel.
    pub(crate) jobs: usize,
    /// Whether cells began from boots they share.
    pub(crate) snapshots: bool,
    /// How many cells.
    pub(crate) cells: usize,
    /// From the begin to the last verdict, seconds.
    pub(crate) seconds: f64,
    /// Of these: building the kernel after an edit; 0 without one.
    pub(crate) building_s: f64,
    /// CPU time of the harness itself while the cells ran, seconds.
    pub(crate) harness_cpu_s: f64,
    /// CPU time of the VMs, seconds.
    pub(crate) vms_cpu_s: f64,
}

/// The table of a whole matrix.
pub(crate) fn whole(whole: &Whole) -> String {
    let mut table = Table::indented(2).right(["jobs"]).left(["begin"]).right([
        "cells",
        "seconds",
        "building",
        "CPU of VMs",
        "of the harness",
    ]);
    for row in &whole.rows {
        let share = 100.0 * row.harness_cpu_s / (row.harness_cpu_s + row.vms_cpu_s).max(0.001);
        table.row([
            row.jobs.to_string(),
            if row.snapshots { "shared boot" } else { "own boots" }.to_owned(),
            row.cells.to_string(),
            format!("{:.1}", row.seconds),
            if row.building_s > 0.0 { format!("{:.1}", row.building_s) } else { String::new() },
            format!("{:.1}", row.vms_cpu_s),
            format!("{:.1} ({share:.1} %)", row.harness_cpu_s),
        ]);
    }
    let mut text = format!("matrix {}, seconds\n{}", whole.matrix, table.text(Style::default()));
    text.push_str(&format!("peak memory of the harness: {} MiB\n", whole.peak_kib / 1024));
    text
}

/// All tables, of what was measured.
pub(crate) fn bench(result: &BenchResult) -> String {
    let tables =
        [times(result), result.whole.as_ref().map(whole).unwrap_or_default(), costs(&result.costs)];
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

    fn spread(&self) -> Option<Spread> {
        Spread::of(&self.seconds)
    }
}

/// A table of seconds, with the ratio of each median to that of the first row.
fn table(title: &str, times: &[Times]) -> String {
    let rounds = times.first().map_or(0, |times| times.seconds.len());
    let unit = times.first().and_then(Times::spread).map(|spread| spread.median);
    let mut table = Table::default().left([""]).right(["min", "median", "max", "ratio"]);
    for row in times {
        let Some(Spread { min, median, max, .. }) = row.spread() else { continue };
        let ratio = unit.map_or(String::new(), |unit| format!("{:.2}", median / unit));
        let seconds = [min, median, max].map(|seconds| format!("{seconds:.3}"));
        table.row([row.name.clone()].into_iter().chain(seconds).chain([ratio]));
    }
    let rounds = plural(rounds, "round");
    format!("{title}, {rounds}, seconds\n{}", table.text(Style::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_matrix_shows_what_is_not_the_kernels() {
        let row = |jobs, building_s| WholeRow {
            jobs,
            snapshots: jobs > 1,
            cells: 27,
            seconds: 40.0,
            building_s,
            harness_cpu_s: 1.0,
            vms_cpu_s: 49.0,
        };
        let rows = vec![row(1, 0.0), row(4, 17.2)];
        let whole = whole(&Whole { matrix: "default".into(), rows, peak_kib: 40_960 });
        insta::assert_snapshot!(whole);
    }

    #[test]
    fn the_first_row_is_the_unit() {
        let mut floor = Times::new("floor");
        let mut cell = Times::new("a cell");
        for ms in [2000, 2400, 1800] {
            floor.add(Duration::from_millis(ms));
            cell.add(Duration::from_millis(ms * 3 / 2));
        }
        let times = [floor, cell, Times::new("never measured")];
        insta::assert_snapshot!(table("k under tcg", &times));
    }
}
