// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which of the functions that a series changes ran, in words and as a table: function by cell.

use std::collections::BTreeSet;

use super::numbers::plural;
use super::text::{Style, Table};
use crate::outcome::{Comparison, Reach, Reached, RunResult};

/// Names in one line, at most.
const NAMES_MAX: usize = 6;

/// `3 of 4 changed functions ran`, and where control came to a function but not to its changes.
pub(super) fn sentence(reached: &Reached) -> String {
    let Reached { ran, called, of } = reached;
    let called = match called.len() {
        0 => String::new(),
        1 => " (1 was called, but not its changed code)".to_owned(),
        called => format!(" ({called} were called, but not their changed code)"),
    };
    match of {
        0 => "no function changed".to_owned(),
        1 => format!("{} of 1 changed function ran{called}", ran.len()),
        of => format!("{} of {of} changed functions ran{called}", ran.len()),
    }
}

/// What a series changes, before its cells run.
pub(crate) fn changed_functions(reach: &Reach) -> String {
    let names: Vec<&str> = reach.functions.iter().map(|one| one.name.as_str()).collect();
    let mut text = match names.as_slice() {
        [] => "series: it changes no compiled function".to_owned(),
        names => format!(
            "series: it changes {}: {}",
            plural(names.len(), "function"),
            listed(names.iter().copied())
        ),
    };
    for remark in &reach.remarks {
        text.push_str(&format!("\nseries: {remark}"));
    }
    text
}

/// The cells that were chosen because they reach what a series changes.
pub(crate) fn chosen(cells: &[String], left_out: usize) -> String {
    let left_out = match left_out {
        0 => String::new(),
        count => format!("; {count} more could, and are left out (--minutes, --matrix full)"),
    };
    match cells {
        [] => format!("series: no other cell reaches the changed functions{left_out}"),
        cells => {
            let names = listed(cells.iter().map(String::as_str));
            format!("series: besides the default matrix: {names}{left_out}")
        }
    }
}

/// `a, b, c and 4 more`.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let shown = names[..names.len().min(NAMES_MAX)].join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A changed function, with the cells whose changed code ran.
pub(super) struct Row {
    /// Its name.
    pub(super) function: String,
    /// In how many of the cells its changed code ran, in words, with the cells where it is not all
    /// of them.
    pub(super) ran: String,
    /// Whether it ran nowhere.
    pub(super) nowhere: bool,
}

/// Function by cell; the functions that ran nowhere come first.
pub(super) fn rows(result: &RunResult) -> Vec<Row> {
    let Some(reach) = &result.manifest.reach else { return Vec::new() };
    let known: Vec<(&Comparison, &Reached)> =
        result.comparisons.iter().filter_map(|one| Some((one, one.reached.as_ref()?))).collect();
    if known.is_empty() {
        return Vec::new();
    }
    let row = |name: &String| {
        let cells = |of: &dyn Fn(&Reached) -> &Vec<String>| -> Vec<String> {
            let has = |(_, reached): &&(&Comparison, &Reached)| of(reached).contains(name);
            let short = |(one, _): &(&Comparison, &Reached)| one.cell.scenario_id();
            known.iter().filter(has).map(short).collect()
        };
        let (ran, called) = (cells(&|it| &it.ran), cells(&|it| &it.called));
        let all = known.len();
        let said = match (ran.len(), called.len()) {
            (0, 0) => "nowhere".to_owned(),
            (0, called) => {
                format!("nowhere; called in {called} of {all}, but not its changed code")
            }
            (count, _) if count == all => format!("in all {all}"),
            (count, _) => {
                format!("in {count} of {all}: {}", listed(ran.iter().map(String::as_str)))
            }
        };
        Row { function: name.clone(), ran: said, nowhere: ran.is_empty() }
    };
    let names: BTreeSet<&String> = reach.functions.iter().map(|one| &one.name).collect();
    let mut rows: Vec<Row> = names.into_iter().map(row).collect();
    rows.sort_by_key(|row| !row.nowhere);
    rows
}

/// The head of the table.
pub(super) const HEAD: &str = "where the changed functions ran";

/// The table for a terminal, with the remarks.
pub(super) fn table(result: &RunResult, style: Style) -> String {
    let rows = rows(result);
    let remarks = result.manifest.reach.iter().flat_map(|reach| &reach.remarks);
    let remarks: String = remarks.map(|remark| format!("  {remark}\n")).collect();
    if rows.is_empty() && remarks.is_empty() {
        return String::new();
    }
    let mut table = Table::indented(2).left(["", ""]);
    for row in rows {
        let said = if row.nowhere { style.odd(&row.ran) } else { row.ran };
        table.row([row.function, said]);
    }
    format!("\n{}\n{}{remarks}", style.strong(HEAD), table.text(style))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::ChangedFunction;
    use crate::verdict::tests::run::{benches, cell, result};

    fn reached(ran: &[&str], called: &[&str], of: u32) -> Reached {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Reached { ran: owned(ran), called: owned(called), of }
    }

    #[test]
    fn what_ran_is_said_in_numbers() {
        let said = [
            reached(&["a", "b", "c"], &[], 4),
            reached(&[], &["a"], 1),
            reached(&["a"], &["b", "c"], 3),
            reached(&[], &[], 0),
        ];
        let said: Vec<String> = said.iter().map(sentence).collect();
        assert_eq!(
            said,
            [
                "3 of 4 changed functions ran",
                "0 of 1 changed function ran (1 was called, but not its changed code)",
                "1 of 3 changed functions ran (2 were called, but not their changed code)",
                "no function changed",
            ]
        );
    }

    #[test]
    fn the_table_begins_with_what_ran_nowhere() {
        let mut run = result(benches().iter().map(cell).collect());
        assert_eq!(table(&run, Style::default()), "", "of no series nothing is said");
        let function =
            |name: &str| ChangedFunction { name: name.to_owned(), ..ChangedFunction::default() };
        run.manifest.reach = Some(Reach {
            functions: ["ran", "called", "zero"].map(function).into(),
            remarks: vec!["mm/a.c: only comments or white space change".to_owned()],
            ..Reach::default()
        });
        run.comparisons[0].reached = Some(reached(&["ran"], &["called"], 3));
        let expected = "
where the changed functions ran
  called  nowhere; called in 1 of 1, but not its changed code
  zero    nowhere
  ran     in all 1
  mm/a.c: only comments or white space change
";
        assert_eq!(table(&run, Style::default()), expected);
    }

    #[test]
    fn what_was_chosen_and_left_out_is_one_line() {
        let names: Vec<String> = (0..8).map(|n| format!("c{n}")).collect();
        assert_eq!(
            chosen(&names, 3),
            "series: besides the default matrix: c0, c1, c2, c3, c4, c5 and 2 more; 3 more could, and are left out (--minutes, --matrix full)"
        );
        assert_eq!(chosen(&[], 0), "series: no other cell reaches the changed functions");
    }
}
