// SPDX-License-Identifier: MIT OR Apache-2.0
//! A plan in parts, one for each machine.
//!
//! Contract: the parts are disjoint, none is empty, and together they are the plan. The plan holds
//! everything that decides who runs what, so that every machine divides it in the same way. Without
//! past durations the time limits of the scenarios count, which are the same everywhere.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Cell, Selection};
use crate::config::UserSeries;
use crate::exit::{Exit, Fault};

/// Version of the plan file.
pub(crate) const PLAN_VERSION: u32 = 4;

/// Jobs in parallel on one machine: the weight of a cell that runs alone.
const JOBS: u64 = 5;

/// What a plan was made from, and a part ran with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    /// Version of the harness.
    pub(crate) harness: String,
    /// Commit of the checkout, where git knows it; for people.
    pub(crate) commit: Option<String>,
    /// Of the source of harness and guest.
    pub(crate) sources_sha256: String,
    /// Of all files in the configs folder.
    pub(crate) configs_sha256: String,
}

/// A plan in parts: the file that `cargo xtask plan` writes and every part takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// [`PLAN_VERSION`] of the writer.
    pub(crate) schema_version: u32,
    /// Random, so that a part of last night is none of tonight; empty without a plan file.
    pub(crate) nonce: String,
    /// What it was made from.
    pub(crate) origin: Origin,
    /// Name of the matrix.
    pub(crate) matrix: String,
    /// Filters on cell ids.
    pub(crate) filters: Vec<String>,
    /// Repetitions in place of the matrix's.
    pub(crate) repetitions: Option<u32>,
    /// Seed of the run.
    pub(crate) seed: u64,
    /// Whether it is a night of the plan of the week.
    pub(crate) night: bool,
    /// The user's series with its files: no part needs the mbox that it came from.
    pub(crate) series: Option<UserSeries<UserFile>>,
    /// Build key of each kernel; empty if the kernel was not built when the plan was made.
    pub(crate) kernels: BTreeMap<String, String>,
    /// Its parts, from part 1.
    pub(crate) parts: Vec<Part>,
}

/// A file of the user that a plan holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserFile {
    /// Its name, without a folder.
    pub(crate) name: String,
    /// Its content.
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
    /// How long it took before, or its time limit, milliseconds.
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

/// Divides the cells: the longest first, each to the part with the least so far.
///
/// A fault of [`Exit::Usage`] for fewer cells than parts: a part that runs nothing proves nothing.
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
    // At least 1: a part with a cell never counts as empty.
    let estimate_ms = |cell: &Cell| estimate_ms(cell).max(1);
    let weight = |cell: &Cell| estimate_ms(cell) * if cell.alone { JOBS } else { 1 };
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
    /// Which cells of the matrix it selects.
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            filters: self.filters.clone(),
            repetitions: self.repetitions,
            run_seed: self.seed,
        }
    }

    /// Number of parts.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.parts.len()).unwrap_or(u32::MAX)
    }

    /// The cells of one part. `cells` are all of the plan, as this checkout plans them.
    ///
    /// A fault of [`Exit::Usage`] if the plan has another number of parts, or other cells.
    pub(crate) fn share(&self, cells: Vec<Cell>, share: Share) -> Result<Vec<Cell>, Fault> {
        if share.of != self.count() {
            let what = format!("--partition {share}: the plan has {} parts", self.count());
            return Err(Fault::new(Exit::Usage, what));
        }
        let here: BTreeSet<&str> = cells.iter().map(|cell| cell.id.as_str()).collect();
        let planned = self.parts.iter().flat_map(|part| &part.cells);
        let planned: BTreeSet<&str> = planned.map(|cell| cell.id.as_str()).collect();
        if let Some(other) = here.symmetric_difference(&planned).next() {
            let what = format!("the plan was made from other configs: cell {other} differs");
            return Err(Fault::new(Exit::Usage, what).hint("plan again with this checkout"));
        }
        let part = &self.parts[share.part as usize - 1];
        let wanted: BTreeSet<&str> = part.cells.iter().map(|cell| cell.id.as_str()).collect();
        Ok(cells.into_iter().filter(|cell| wanted.contains(cell.id.as_str())).collect())
    }
}

impl Part {
    /// Sum of the estimates of its cells, milliseconds.
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
