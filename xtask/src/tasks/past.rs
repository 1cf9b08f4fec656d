// SPDX-License-Identifier: MIT OR Apache-2.0
//! What earlier runs say of a cell: how long it takes, and its verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::shown;
use crate::evidence::{Evidence, store};
use crate::exit::{Exit, Fault};
use crate::outcome::{Attempt, Judgement, RunResult};
use crate::plan::{Cell, Part};
use crate::results::{self, RunFolder};
use crate::taxonomy::Verdict;

/// Runs that are read: enough that a run of one cell does not hide the matrix.
const RUNS: usize = 8;

/// How long cells took when they last ran, milliseconds, by id.
#[derive(Debug, Default)]
pub(super) struct Past(BTreeMap<String, u64>);

/// The little of a `result.json` that is needed here, whichever version wrote it.
#[derive(Deserialize)]
struct Stored {
    cells: Vec<StoredCell>,
}

/// A cell of an earlier run.
#[derive(Deserialize)]
pub(super) struct StoredCell {
    pub(super) cell: Named,
    pub(super) first: StoredAttempt,
    pub(super) again: Option<StoredAttempt>,
}

/// The name of a cell.
#[derive(Deserialize)]
pub(super) struct Named {
    pub(super) id: String,
}

/// An attempt at it.
#[derive(Deserialize)]
pub(super) struct StoredAttempt {
    wall_ms: u64,
    pub(super) judgement: Word,
}

/// A verdict in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Word {
    verdict: Verdict,
    breaks: Vec<String>,
    as_expected: bool,
}

impl Word {
    /// The verdict on this attempt.
    pub(super) fn of(attempt: &Attempt) -> Self {
        let Judgement { verdict, breaks, as_expected, .. } = &attempt.judgement;
        let breaks = breaks.iter().map(ToString::to_string).collect();
        Self { verdict: *verdict, breaks, as_expected: *as_expected }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, breaks, as_expected } = self;
        match (verdict, breaks.is_empty()) {
            (Verdict::Fail, false) => write!(f, "{verdict} {}", breaks.join(","))?,
            _ => write!(f, "{verdict}")?,
        }
        f.write_str(if *as_expected { "" } else { " (not expected)" })
    }
}

/// What the `result.json` of a run claims: for [`proven`](super::proven) and for who compares it
/// with the evidence.
///
/// # Errors
/// [`Exit::Usage`] for one that is missing or does not fit together.
pub(super) fn claimed(folder: &RunFolder) -> anyhow::Result<RunResult> {
    let result: RunResult = folder.read_result()?;
    result.check().map_err(|why| {
        Fault::new(Exit::Usage, format!("{}/result.json: {why}", folder.dir().display()))
            .hint("`cargo xtask report` makes it again from the evidence")
    })?;
    Ok(result)
}

/// A cell as it was planned.
///
/// # Errors
/// [`Exit::Usage`] for one that is missing or of another cell.
pub(super) fn cell(folder: &RunFolder, id: &str) -> anyhow::Result<Cell> {
    let cell: Cell = folder.read_cell(id)?;
    let other = || format!("cells/{id}/cell.json is cell {:?}", cell.id);
    let fits = cell.check().and_then(|()| if cell.id == id { Ok(()) } else { Err(other()) });
    fits.map_err(|why| Fault::new(Exit::Usage, format!("{}: {why}", folder.dir().display())))?;
    Ok(cell)
}

/// The cell with this id, or the only one whose id contains it.
///
/// # Errors
/// [`Exit::Usage`] if there is none, or more than one.
pub(super) fn one_cell(folder: &RunFolder, part: &str) -> anyhow::Result<String> {
    let all = folder.cells()?;
    let found: Vec<&String> = match all.iter().find(|id| *id == part) {
        Some(exact) => vec![exact],
        None => all.iter().filter(|id| id.contains(part)).collect(),
    };
    if let [only] = found[..] {
        return Ok(only.clone());
    }
    let how_many = if found.is_empty() { "no cell" } else { "more than one cell" };
    let listed: Vec<&str> = if found.is_empty() {
        all.iter().map(String::as_str).collect()
    } else {
        found.iter().map(|id| id.as_str()).collect()
    };
    Err(Fault::new(Exit::Usage, format!("{how_many} of run {} is named `{part}`", folder.id))
        .hint(format!("one of: {}", listed.join(", ")))
        .into())
}

/// The evidence of an attempt, as it was recorded.
///
/// # Errors
/// What is missing or was changed since, with its path.
pub(super) fn evidence(folder: &RunFolder, dir: &Path) -> anyhow::Result<Evidence> {
    // Of a run that was killed, which could not seal it.
    let killed = !folder.is_sealed() && !folder.has_seal(dir) && store::is_cut_off(dir);
    if !killed {
        folder.check_seal(dir)?;
    }
    store::load(dir)
}

/// The folder of an attempt, with what is there only of some and nothing else shows.
pub(super) fn place(dir: &Path, id: &str) -> String {
    let mut text = shown(dir);
    if dir.join(store::REGISTERS).exists() {
        text.push_str("\n  registers.txt: registers of every CPU at the deadline");
    }
    if dir.join(store::LOG).exists() {
        text.push_str(&format!("\n  recording.rr: cargo xtask repro {id} --replay"));
    }
    if dir.join(store::MEMORY).exists() {
        text.push_str(&format!("\n  memory.kdump: cargo xtask inspect {id}"));
    }
    text
}

/// The cells in the result of a run, if it has one that can be read.
pub(super) fn stored(folder: &RunFolder) -> Option<Vec<StoredCell>> {
    folder.read_result().ok().map(|Stored { cells }| cells)
}

impl Past {
    /// Reads the newest runs; one that cannot be read is left out.
    pub(super) fn read(results: &Path) -> Self {
        let names = results::runs(results).unwrap_or_default();
        let mut past = BTreeMap::new();
        // Oldest first: a newer time replaces an older one.
        for name in &names[names.len().saturating_sub(RUNS)..] {
            let Ok(folder) = RunFolder::open(results, name) else { continue };
            let cells = stored(&folder).into_iter().flatten();
            past.extend(cells.map(|ran| (ran.cell.id, ran.first.wall_ms)));
        }
        Self(past)
    }

    /// What a plan says about the cells of one part.
    pub(super) fn of_part(part: &Part) -> Self {
        Self(part.cells.iter().map(|cell| (cell.id.clone(), cell.estimate_ms)).collect())
    }

    /// What a cell is likely to take, milliseconds. For a new one that is the limit of its load: it
    /// starts early, which does no harm.
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
            let judgement =
                serde_json::json!({ "verdict": "PASS", "breaks": [], "as_expected": true });
            let first = serde_json::json!({ "wall_ms": wall_ms, "judgement": judgement });
            let ran = serde_json::json!({ "cell": { "id": cell }, "first": first });
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
