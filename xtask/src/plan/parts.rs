// SPDX-License-Identifier: MIT OR Apache-2.0
//! A plan in parts, each of which runs on a machine of its own.
//!
//! Contract: the parts are disjoint, none is empty, and together they are the plan. What decides
//! who gets what (cells, seconds, number of parts) is all in the plan, so every part that reads the
//! same plan divides it alike; without a file of past durations only the scenarios' own limits
//! count, and they are the same everywhere.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Cell, Selection};
use crate::exit::{Exit, Fault};

/// Version of the plan file.
pub(crate) const PLAN_VERSION: u32 = 2;

/// Cells that a machine runs at once, for the weight of one that has it for itself.
const AT_ONCE: u64 = 5;

/// What a plan was made from, and a part ran with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    /// Version of the harness.
    pub(crate) harness: String,
    /// Commit of the checkout, where git knows it; for people.
    pub(crate) commit: Option<String>,
    /// Of the harness's and the guest's own source.
    pub(crate) sources_sha256: String,
    /// Of everything in the folder with the configs.
    pub(crate) configs_sha256: String,
}

/// A plan in parts: the file that `cargo xtask plan` writes and every part takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// [`PLAN_VERSION`] of the writer.
    pub(crate) schema_version: u32,
    /// What it was made from.
    pub(crate) origin: Origin,
    /// Name of the matrix.
    pub(crate) matrix: String,
    /// Filters of its cells.
    pub(crate) filters: Vec<String>,
    /// Repetitions in place of the matrix's.
    pub(crate) repetitions: Option<u32>,
    /// Seed of the run.
    pub(crate) seed: u64,
    /// The user's series with its files: no part needs the mbox that it came from.
    pub(crate) series: Option<UserSeriesFiles>,
    /// Build key of each kernel; empty where nobody built one when the plan was made.
    pub(crate) kernels: BTreeMap<String, String>,
    /// Its parts, the first of which is part 1.
    pub(crate) parts: Vec<Part>,
}

/// What `--series`, `--base`, `--like` and `--fragment` named, with the content of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserSeriesFiles {
    /// `--base`.
    pub(crate) base: Option<String>,
    /// `--like`.
    pub(crate) like: Option<String>,
    /// The patches, in order.
    pub(crate) patches: Vec<UserFile>,
    /// The fragments, in order.
    pub(crate) fragments: Vec<UserFile>,
}

/// A file of the user that a plan holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserFile {
    /// Its name, without a folder.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) text: String,
}

/// What one machine runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// Its cells, in plan order.
    pub(crate) cells: Vec<PartCell>,
}

/// A cell of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartCell {
    /// Its id.
    pub(crate) id: String,
    /// What it took before, or may take, milliseconds.
    pub(crate) estimate_ms: u64,
}

/// Which part of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// From 1.
    pub(crate) part: u32,
    /// Parts in all.
    pub(crate) of: u32,
}

/// Deals the cells out: the heaviest first, each to the part that has least so far.
///
/// A fault of [`Exit::Usage`] when there are fewer cells than parts: a part that runs nothing
/// proves nothing.
pub(crate) fn divide(
    cells: &[Cell],
    estimate_ms: impl Fn(&Cell) -> u64,
    parts: u32,
) -> Result<Vec<Part>, Fault> {
    let count = parts as usize;
    if count == 0 || count > cells.len() {
        let what = format!("{} cells cannot be divided into {parts} parts", cells.len());
        return Err(Fault::new(Exit::Usage, what).hint("each part runs at least one cell"));
    }
    // No cell is for nothing: a part that has one is not taken for an empty one.
    let estimate_ms = |cell: &Cell| estimate_ms(cell).max(1);
    let weight = |cell: &Cell| estimate_ms(cell) * if cell.alone { AT_ONCE } else { 1 };
    let mut heaviest: Vec<usize> = (0..cells.len()).collect();
    // Stable: equals keep the order of the plan.
    heaviest.sort_by_key(|&at| std::cmp::Reverse(weight(&cells[at])));
    let mut loads = vec![(0u64, BTreeSet::new()); count];
    for at in heaviest {
        if let Some((load, taken)) = loads.iter_mut().min_by_key(|(load, _)| *load) {
            *load += weight(&cells[at]);
            taken.insert(at);
        }
    }
    let of =
        |&at: &usize| PartCell { id: cells[at].id.clone(), estimate_ms: estimate_ms(&cells[at]) };
    Ok(loads.iter().map(|(_, taken)| Part { cells: taken.iter().map(of).collect() }).collect())
}

impl Plan {
    /// Which cells of the matrix it is about.
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            filters: self.filters.clone(),
            repetitions: self.repetitions,
            run_seed: self.seed,
            ..Selection::default()
        }
    }

    /// Number of parts.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.parts.len()).unwrap_or(u32::MAX)
    }

    /// Of `cells`, those of one part. `cells` are all of the plan, as this checkout makes them.
    ///
    /// A fault of [`Exit::Usage`] when the plan has another number of parts, or other cells.
    pub(crate) fn share(&self, cells: Vec<Cell>, share: Share) -> Result<Vec<Cell>, Fault> {
        if share.of != self.count() {
            let what = format!("--partition {share}: the plan has {} parts", self.count());
            return Err(Fault::new(Exit::Usage, what));
        }
        let here: BTreeSet<&str> = cells.iter().map(|cell| cell.id.as_str()).collect();
        let planned = self.parts.iter().flat_map(|part| &part.cells);
        let planned: BTreeSet<&str> = planned.map(|cell| cell.id.as_str()).collect();
        if let Some(other) = here.symmetric_difference(&planned).next() {
            let what = format!("the plan was made from other configs: they differ in cell {other}");
            return Err(Fault::new(Exit::Usage, what).hint("plan again with this checkout"));
        }
        let part = &self.parts[share.part as usize - 1];
        let wanted: BTreeSet<&str> = part.cells.iter().map(|cell| cell.id.as_str()).collect();
        Ok(cells.into_iter().filter(|cell| wanted.contains(cell.id.as_str())).collect())
    }
}

impl Part {
    /// Sum of what its cells are likely to take, milliseconds.
    pub(crate) fn estimate_ms(&self) -> u64 {
        self.cells.iter().map(|cell| cell.estimate_ms).sum()
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

impl std::str::FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(part, of)| Some(Self { part: part.parse().ok()?, of: of.parse().ok()? }));
        match numbers {
            Some(share) if (1..=share.of).contains(&share.part) => Ok(share),
            _ => Err("write K/N, part K of N, counted from 1: 2/4".to_owned()),
        }
    }
}
