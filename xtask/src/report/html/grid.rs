// SPDX-License-Identifier: MIT OR Apache-2.0
//! The matrix as a grid: a row for each scenario and cgroup version, a column for each kernel and
//! policy.

use maud::{Markup, html};
use protocol::CgroupVersion;

use super::super::numbers::{kills, load, lost, size};
use super::super::terminal::verdict;
use super::{Went, anchor};
use crate::outcome::{CellResult, Judgement, RunResult};
use crate::taxonomy::MemcgFact;

type Row<'a> = (&'a str, CgroupVersion);
type Column<'a> = (&'a str, &'a str);

/// Every cell that ran, with a link to its evidence.
pub(super) fn grid(run: &RunResult) -> Markup {
    let (mut rows, mut columns): (Vec<Row<'_>>, Vec<Column<'_>>) = (Vec::new(), Vec::new());
    for cell in &run.cells {
        let (row, column) = (row_of(cell), column_of(cell));
        if !rows.contains(&row) {
            rows.push(row);
        }
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    html! {
        section id="matrix" aria-labelledby="matrix-title" {
            h2 id="matrix-title" { "Matrix" }
            p.key {
                "Each cell: the verdict, whether it is the expected one, calls lost, kills, how far over the limit, time of the load. "
                "The unpatched kernel is expected to fail where the scenario shows its problem."
            }
            section.scroll aria-label="Verdicts by scenario and kernel" tabindex="0" {
                table.grid.blocks {
                    caption.hidden { "Verdict of each scenario on each kernel and policy" }
                    thead {
                        tr {
                            th scope="col" { "Scenario" }
                            @for (kernel, policy) in &columns {
                                th scope="col" { (kernel) span.of { (policy) } }
                            }
                        }
                    }
                    tbody { @for row in &rows { (line(run, *row, &columns)) } }
                }
            }
        }
    }
}

fn line(run: &RunResult, row: Row<'_>, columns: &[Column<'_>]) -> Markup {
    let (scenario, cgroup) = row;
    let title = run.note(scenario).map(|note| note.title.as_str());
    html! {
        tr {
            th scope="row" {
                (scenario) " " span.cgroup { (cgroup) }
                @if let Some(title) = title { span.of { (title) } }
            }
            @for column in columns {
                @let here = |cell: &&CellResult| (row_of(cell), column_of(cell)) == (row, *column);
                @let cells: Vec<&CellResult> = run.cells.iter().filter(here).collect();
                @if cells.is_empty() {
                    td.none { span.hidden { "not run" } }
                } @else {
                    td {
                        span.column aria-hidden="true" { (column.0) " " span.of { (column.1) } }
                        @for cell in cells { (link(cell)) }
                    }
                }
            }
        }
    }
}

fn link(cell: &CellResult) -> Markup {
    let Went { class, sign, words } = Went::of(cell);
    let judgement = cell.judgement();
    html! {
        a class={ "cell " (class) } href={ "#" (anchor(&cell.cell.id)) } {
            span.verdict { span aria-hidden="true" { (sign) } " " (verdict(judgement)) }
            @if cell.cell.repetition > 1 { " " span.r { "r" (cell.cell.repetition) } }
            span.went { (words) }
            span.numbers { (numbers(judgement)) }
        }
    }
}

/// What a table on a terminal has in columns, without what is nothing.
fn numbers(judgement: &Judgement) -> String {
    let facts = &judgement.facts;
    let (lost, kills) = (lost(facts), kills(facts));
    let over = facts.get(&MemcgFact::PeakOverBytes.into()).filter(|over| **over > 0.0);
    let said = |text: String| (text != "0" && text != "?").then_some(text);
    let parts = [
        said(lost).map(|lost| format!("{lost} lost")),
        said(kills).map(|kills| format!("killed: {kills}")),
        over.map(|over| format!("+{}", size(*over))),
        said(load(facts)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn row_of(cell: &CellResult) -> Row<'_> {
    (&cell.cell.key.scenario, cell.cell.key.cgroup)
}

fn column_of(cell: &CellResult) -> Column<'_> {
    (&cell.cell.key.kernel, &cell.cell.key.policy)
}
