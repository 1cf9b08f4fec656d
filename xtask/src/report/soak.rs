// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a shuffled run: cells and verdicts by scenario, and every fault on a console.

use std::collections::BTreeMap;

use super::numbers::plural;
use super::terminal::{cell_line, conditions};
use super::text::{Style, Table};
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

/// The summary.
pub(crate) fn soak(
    result: &RunResult,
    faults: &[ConsoleFault],
    folder: &str,
    style: Style,
) -> String {
    let rounds = result.cells.iter().filter_map(|ran| ran.cell.round).max();
    let mut by_scenario: BTreeMap<&str, Vec<&CellResult>> = BTreeMap::new();
    for cell in &result.cells {
        by_scenario.entry(&cell.cell.key.scenario).or_default().push(cell);
    }
    let mut table =
        Table::default().left(["scenario"]).right(["cells", "expected", "flaky", "not"]);
    for (scenario, cells) in &by_scenario {
        let expected = cells.iter().filter(|cell| cell.judgement().as_expected).count();
        let flaky = cells.iter().filter(|cell| cell.flaky()).count();
        let not = cells.len() - expected - flaky;
        let paint = |text: String| if not > 0 { style.bad(&text) } else { text };
        let counts = [cells.len(), expected, flaky, not].map(|count| count.to_string());
        table.row([(*scenario).to_owned()].into_iter().chain(counts).map(paint));
    }
    let mut text = table.text(style);
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
        "{}: {} in {}, {}; seed {}",
        kernels.join(", "),
        plural(totals.ran, "cell"),
        plural(rounds.unwrap_or(0), "round"),
        conditions(manifest),
        manifest.seed,
    );
    let sum = format!(
        "{}, {} not as expected; at first {} with another verdict on the kernel",
        plural(faults.len(), "console fault"),
        plural(totals.unexpected, "cell"),
        other(result)
    );
    let sum = style.good_if(soaked(result, faults), &sum);
    text.push_str(&format!(
        "\n{line}\nverdicts: {}\n{sum}\nreport: {folder}/report.html\nevidence: {folder}\n",
        verdicts.join(", ")
    ));
    text
}
