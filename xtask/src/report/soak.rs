// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `soak` ends with: cells and verdicts by scenario, and every fault the console showed.

use std::collections::BTreeMap;

use super::numbers::time_ms;
use super::{Style, cell_line};
use crate::outcome::{CellResult, RunResult};
use crate::taxonomy::Verdict;

/// What no good run prints on a console, and the cell that it was printed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsoleFault {
    /// Id of the cell.
    pub(crate) cell: String,
    /// First line of the report.
    pub(crate) title: String,
}

/// Whether a soak was without a finding: cells ran, no console showed a fault, no verdict was
/// another than the expected one, and what was an ERROR at first was as expected when it ran alone.
pub(crate) fn soaked(result: &RunResult, faults: &[ConsoleFault]) -> bool {
    let totals = &result.totals;
    totals.ran > 0 && totals.unexpected == 0 && other(result) == 0 && faults.is_empty()
}

/// Cells whose first verdict was about the kernel and not the expected one.
fn other(result: &RunResult) -> usize {
    let other = |cell: &&CellResult| {
        let first = &cell.first.judgement;
        let none = matches!(first.verdict, Verdict::Error | Verdict::Inconclusive | Verdict::Skip);
        !first.as_expected && !none
    };
    result.cells.iter().filter(other).count()
}

/// The summary; `rounds` that were begun.
pub(crate) fn soak(
    result: &RunResult,
    rounds: u32,
    faults: &[ConsoleFault],
    folder: &str,
    style: Style,
) -> String {
    let mut by_scenario: BTreeMap<&str, Vec<&CellResult>> = BTreeMap::new();
    for cell in &result.cells {
        by_scenario.entry(&cell.cell.key.scenario).or_default().push(cell);
    }
    let width = by_scenario.keys().map(|name| name.len()).max().unwrap_or(0).max(8);
    let head = format!("{:width$}  cells  expected  flaky    not", "scenario");
    let mut text = format!("{}\n", style.strong(&head));
    for (scenario, cells) in &by_scenario {
        let expected = cells.iter().filter(|cell| cell.judgement().as_expected).count();
        let flaky = cells.iter().filter(|cell| cell.flaky()).count();
        let not = cells.len() - expected - flaky;
        let line =
            format!("{scenario:width$}  {:>5}  {expected:>8}  {flaky:>5}  {not:>5}", cells.len());
        let line = if not > 0 { style.bad(&line) } else { line };
        text.push_str(&format!("{line}\n"));
    }
    for cell in result.cells.iter().filter(|cell| !cell.first.judgement.as_expected) {
        text.push_str(&format!("\n{}", cell_line(cell, style)));
    }
    for fault in faults {
        text.push_str(&format!("\n{}: {}", style.bad(&fault.cell), fault.title));
    }
    let totals = &result.totals;
    let verdicts: Vec<String> =
        totals.verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    let manifest = &result.manifest;
    let kernels: Vec<&str> = manifest.kernels.keys().map(String::as_str).collect();
    let line = format!(
        "{}: {} cells in {rounds} rounds, {}; seed {}, {}",
        kernels.join(", "),
        totals.ran,
        time_ms(manifest.duration_ms as f64),
        manifest.seed,
        manifest.accelerator
    );
    let sum = format!(
        "{} console faults, {} cells not as expected; at first {} with another verdict on the kernel",
        faults.len(),
        totals.unexpected,
        other(result)
    );
    let sum = if soaked(result, faults) { style.good(&sum) } else { style.bad(&sum) };
    text.push_str(&format!(
        "\n{line}\nverdicts: {}\n{sum}\nevidence: {folder}\n",
        verdicts.join(", ")
    ));
    text
}
