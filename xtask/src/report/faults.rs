// SPDX-License-Identifier: MIT OR Apache-2.0
//! The known faults of the baseline, as a run shows them.

use super::numbers::plural;
use super::text::Style;
use crate::outcome::{CellResult, KnownState, RunResult};

/// Cells that are named in a line.
const NAMED_MAX: usize = 3;

/// The known faults of the baseline, with the entries that are stale.
pub(super) fn known(result: &RunResult, style: Style) -> String {
    let mut text = String::new();
    for KnownState { known, cells, stale } in result.known() {
        if cells.is_empty() && stale.is_none() {
            continue;
        }
        text.push_str(&format!("  {}\n", known.identity));
        if !cells.is_empty() {
            let of = plural(cells.len(), "cell");
            text.push_str(&format!("    does not count in {of}: {}\n", named(&cells)));
            text.push_str(&format!("    {} ({})\n", known.reason, known.link));
        }
        if let Some(stale) = stale {
            let stale = style.odd(&format!("stale entry: {stale}"));
            text.push_str(&format!("    {stale}\n    remove it from configs/known-faults.toml\n"));
        }
    }
    let head = style.strong("known faults of the baseline");
    if text.is_empty() { text } else { format!("\n{head}\n{text}") }
}

/// The first few ids, and how many more there are.
pub(super) fn named(cells: &[&CellResult]) -> String {
    let mut named: Vec<String> =
        cells.iter().take(NAMED_MAX).map(|ran| ran.cell.id.clone()).collect();
    if let more @ 1.. = cells.len().saturating_sub(NAMED_MAX) {
        named.push(format!("{more} more"));
    }
    named.join(", ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{KnownFault, SeenIn, Until};
    use crate::taxonomy::Verdict;
    use crate::verdict::tests::run::{benches, cell, result};

    pub(in crate::report) fn crashed(as_expected: bool) -> RunResult {
        let mut cells: Vec<CellResult> = benches().iter().map(cell).collect();
        for ran in &mut cells {
            let judgement = &mut ran.first.judgement;
            (judgement.verdict, judgement.as_expected) = (Verdict::Crash, as_expected);
            judgement.why = "WARN: WARNING: CPU: 0 PID: 7 at mm/x.c:61 f+0x4e/0x60".to_owned();
        }
        result(cells)
    }

    #[test]
    fn a_known_fault_is_shown_and_an_entry_that_no_longer_matches_is_reported() {
        let entry = |until: &str| KnownFault {
            identity: "CRASH WARN: WARNING: CPU: N PID: N at mm/x.c:N f".to_owned(),
            base: "6.12".to_owned(),
            reason: "an off-by-one that is being fixed".to_owned(),
            link: "https://example.org/1".to_owned(),
            until: Until::Date(until.to_owned()),
            seen_in: Some(SeenIn::AnyScenario),
        };
        let mut run = crashed(true);
        run.manifest.known_faults = vec![entry("2027-03-01")];
        for ran in &mut run.cells {
            ran.first.judgement.known = vec![entry("").identity];
        }
        insta::assert_snapshot!(known(&run, Style::default()), @r"

        known faults of the baseline
          CRASH WARN: WARNING: CPU: N PID: N at mm/x.c:N f
            does not count in 2 cells: open.v2.baseline.mainline, open.v2.patched.overcharge
            an off-by-one that is being fixed (https://example.org/1)
        ");
        run.cells.iter_mut().for_each(|ran| ran.first.judgement.known.clear());
        let text = known(&run, Style::default());
        assert!(text.contains("stale entry: not seen in 1 of 1 cells of the baseline"), "{text}");
        run.manifest.narrowed = vec!["filter open".to_owned()];
        assert_eq!(known(&run, Style::default()), "", "a part of the matrix proves nothing");
        run.manifest.known_faults = vec![entry("2026-01-01")];
        assert!(known(&run, Style::default()).contains("expired after 2026-01-01"));
        run.manifest.known_faults.clear();
        assert_eq!(known(&run, Style::default()), "");
    }
}
