// SPDX-License-Identifier: MIT OR Apache-2.0
//! What repetitions of one cell say together: smallest, median and largest of the facts that the
//! scenario wants measured.
//!
//! Contract: only cells whose fact is known are counted, and their number is shown, so that a
//! missing one is seen. Without repetitions there is no table, because a spread of one is none.

use super::numbers::{number, timed_out};
use super::text::{Style, Table};
use crate::outcome::{CellResult, RunResult, by_key};
use crate::runs::Spread;
use crate::taxonomy::{CellFact, FactName};

pub(super) const HEAD: [&str; 9] =
    ["scenario", "", "kernel", "policy", "fact", "cells", "min", "median", "max"];

/// A row of the table for each fact of each cell that was repeated; nothing when none was.
pub(super) fn table(result: &RunResult, style: Style) -> String {
    let mut table = Table::default().left(HEAD);
    rows(result).into_iter().for_each(|row| table.row(row));
    if table.is_empty() {
        return String::new();
    }
    format!("\n{}\n{}", style.strong("over the repetitions"), table.text(style))
}

/// The rows, under [`HEAD`], in plan order.
pub(super) fn rows(result: &RunResult) -> Vec<[String; 9]> {
    let mut groups = by_key(&result.cells);
    groups.retain(|_, group| group.len() > 1);
    let groups = result.cells.iter().filter_map(|cell| groups.remove(&cell.cell.key));
    let mut rows = Vec::new();
    for group in groups {
        let note = &group[0].cell.note;
        rows.extend(note.measures.iter().map(|fact| row(fact, &group)));
    }
    rows
}

fn row(fact: &FactName, group: &[&CellResult]) -> [String; 9] {
    let facts = group.iter().map(|cell| &cell.judgement().facts);
    let values: Vec<f64> = facts.clone().filter_map(|facts| facts.get(fact).copied()).collect();
    // A load that timed out would have taken longer.
    let timed_out = match facts.filter(|facts| timed_out(facts)).count() {
        count if count > 0 && *fact == FactName::from(CellFact::LoadMs) => {
            format!(", {count} timed out")
        }
        _ => String::new(),
    };
    let spread = Spread::of(&values);
    let shown = |of: fn(Spread) -> f64| {
        spread.map_or("?".to_owned(), |spread| number(fact.unit(), of(spread)))
    };
    let key = &group[0].cell.key;
    [
        key.scenario.clone(),
        key.cgroup.to_string(),
        key.kernel.clone(),
        key.policy.clone(),
        fact.to_string(),
        format!("{} of {}{timed_out}", values.len(), group.len()),
        shown(|spread| spread.min),
        shown(|spread| spread.median),
        shown(|spread| spread.max),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_that_timed_out_are_counted() {
        let [baseline, _] = crate::verdict::tests::run::benches();
        let mut cells = [(); 3].map(|()| crate::verdict::tests::run::cell(&baseline));
        let last = &mut cells[2].first.judgement.facts;
        last.insert("load.complete".into(), 0.0);
        let group: Vec<&CellResult> = cells.iter().collect();
        assert_eq!(row(&"load.ms".into(), &group)[5], "3 of 3, 1 timed out");
        assert_eq!(row(&"kills".into(), &group)[5], "3 of 3");
    }
}
