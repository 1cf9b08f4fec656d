// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cells by nights: since when is a cell red?
//!
//! Contract: a cell is red since the first of the nights in a row on which it was not as expected
//! each time it ran. A night that did not run it neither begins nor ends such a row.

use std::collections::BTreeSet;

pub(crate) use super::compare::State;
use super::compare::{state, verdicts};
use crate::outcome::{CellResult, RunResult, by_key};
use crate::plan::CellKey;

/// A cell on one night.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Square {
    /// How its repetitions went.
    pub(crate) state: State,
    /// Their verdicts.
    pub(crate) verdicts: String,
    /// Id of the cell to look at: the first that was not as expected.
    pub(crate) id: String,
}

/// A cell over the nights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The cell.
    pub(crate) key: CellKey,
    /// For each night, oldest first; `None` where it did not run.
    pub(crate) squares: Vec<Option<Square>>,
    /// If it is red: the first night on which it was, as a place in `squares`.
    pub(crate) red_since: Option<usize>,
    /// Nights on which it was not as expected.
    pub(crate) odd: usize,
}

/// All cells, those that are red first, then those that ever were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grid {
    /// The cells.
    pub(crate) rows: Vec<Row>,
}

impl Grid {
    /// The grid of these runs, oldest first.
    pub(super) fn of(runs: &[&RunResult]) -> Self {
        let nights: Vec<_> = runs.iter().map(|run| by_key(&run.cells)).collect();
        let keys: BTreeSet<&CellKey> =
            nights.iter().flat_map(|night| night.keys().copied()).collect();
        let mut rows: Vec<Row> = keys
            .into_iter()
            .map(|key| {
                let square = |cells: &Vec<_>| square(cells);
                Row::of(key, nights.iter().map(|night| night.get(key).map(square)).collect())
            })
            .collect();
        rows.sort_by_key(|row| {
            (row.red_since.unwrap_or(usize::MAX), row.odd == 0, row.key.clone())
        });
        Self { rows }
    }
}

fn square(cells: &[&CellResult]) -> Square {
    let odd = cells.iter().find(|ran| !ran.judgement().as_expected);
    let id = odd.or(cells.first()).map(|ran| ran.cell.id.clone()).unwrap_or_default();
    Square { state: state(cells), verdicts: verdicts(cells), id }
}

impl Row {
    fn of(key: &CellKey, squares: Vec<Option<Square>>) -> Self {
        let bad: Vec<Option<bool>> =
            squares.iter().map(|square| Some(square.as_ref()?.state == State::Bad)).collect();
        let odd = squares.iter().flatten().filter(|square| square.state != State::Good).count();
        Self { key: key.clone(), red_since: red_since(&bad), squares, odd }
    }
}

/// The first of the bad nights in a row up to the last that ran; `None` did not run.
pub(super) fn red_since(bad: &[Option<bool>]) -> Option<usize> {
    let ran = bad.iter().enumerate().rev().filter_map(|(at, bad)| Some((at, (*bad)?)));
    ran.take_while(|(_, bad)| *bad).last().map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(states: &str) -> Row {
        let square = |c: char| {
            let state = match c {
                '.' => return None,
                '+' => State::Good,
                '~' => State::Flaky,
                _ => State::Bad,
            };
            Some(Square { state, verdicts: String::new(), id: String::new() })
        };
        Row::of(&CellKey::v2("open", "k", "p"), states.chars().map(square).collect())
    }

    #[test]
    fn a_cell_is_red_since_the_first_red_night_of_the_last_row() {
        for (nights, since, odd) in [
            ("+++", None, 0),
            ("+x+xx", Some(3), 3),
            ("+x.x.", Some(1), 2),
            ("x~x", Some(2), 3),
            ("xx~", None, 3),
            ("...", None, 0),
            ("xxx", Some(0), 3),
        ] {
            let row = row(nights);
            assert_eq!((row.red_since, row.odd), (since, odd), "{nights}");
        }
    }
}
