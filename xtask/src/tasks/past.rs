// SPDX-License-Identifier: MIT OR Apache-2.0
//! What earlier runs know: how long a cell takes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::plan::{Cell, Part};
use crate::results::{self, RunFolder};

/// Runs that are asked: enough that a run of one cell does not hide the matrix.
const RUNS: usize = 8;

/// How long cells took when they last ran, milliseconds, by id.
#[derive(Debug, Default)]
pub(super) struct Past(BTreeMap<String, u64>);

/// The little of a `result.json` that is wanted here, whichever version wrote it.
#[derive(Deserialize)]
struct Run {
    cells: Vec<Ran>,
}

#[derive(Deserialize)]
struct Ran {
    cell: Id,
    first: Took,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Took {
    wall_ms: u64,
}

impl Past {
    /// Looks into the newest runs. One that cannot be read, of another version for one, tells nothing.
    pub(super) fn read(results: &Path) -> Self {
        let names = results::runs(results).unwrap_or_default();
        let mut past = BTreeMap::new();
        // Oldest first: a newer time replaces an older one.
        for name in &names[names.len().saturating_sub(RUNS)..] {
            let result = RunFolder::open(results, name).and_then(|run| run.read_result());
            let Ok(Run { cells }) = result else { continue };
            past.extend(cells.into_iter().map(|ran| (ran.cell.id, ran.first.wall_ms)));
        }
        Self(past)
    }

    /// What a plan says of the cells of one part.
    pub(super) fn of_part(part: &Part) -> Self {
        Self(part.cells.iter().map(|cell| (cell.id.clone(), cell.estimate_ms)).collect())
    }

    /// What a cell is likely to take, milliseconds. A new one may take all that its load is allowed:
    /// begun early it does no harm.
    pub(super) fn estimate_ms(&self, cell: &Cell) -> u64 {
        self.0.get(&cell.id).copied().unwrap_or(cell.request.load_ms_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_run_that_knows_a_cell_is_believed() {
        let results = tempfile::tempdir().unwrap();
        let write = |run: &str, cell: &str, wall_ms: u64| {
            std::fs::create_dir(results.path().join(run)).unwrap();
            let ran =
                serde_json::json!({ "cell": { "id": cell }, "first": { "wall_ms": wall_ms } });
            let text = serde_json::json!({ "cells": [ran], "totals": {} }).to_string();
            std::fs::write(results.path().join(run).join("result.json"), text).unwrap();
        };
        write("2026-01-01", "open", 7000);
        write("2026-01-02", "open", 900);
        write("2026-01-03", "stat", 50);
        let past = Past::read(results.path());
        assert_eq!((past.0["open"], past.0["stat"]), (900, 50));
    }

    #[test]
    fn no_results_are_no_obstacle() {
        let results = tempfile::tempdir().unwrap();
        std::fs::create_dir(results.path().join("a")).unwrap();
        std::fs::write(results.path().join("a/result.json"), "torn").unwrap();
        assert!(Past::read(results.path()).0.is_empty());
        assert!(Past::read(&results.path().join("none")).0.is_empty());
    }
}
