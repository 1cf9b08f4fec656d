// SPDX-License-Identifier: MIT OR Apache-2.0
//! `run-matrix --shuffle`: the cells of a matrix in random order, round after round, until time is
//! up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::run::Run;
use crate::cli;
use crate::config::Matrix;
use crate::outcome::CellResult;
use crate::plan::{self, Selection};
use crate::progress::note;

/// How long a soak takes by default.
const MINUTES: u32 = 30;

/// Cells of a round that are started together.
const SLICE: usize = 8;

impl Run<'_> {
    /// Runs rounds within the limits; the cells that were started, in the order of the rounds.
    ///
    /// # Errors
    /// A run folder that cannot be written to.
    pub(super) fn rounds(
        &mut self,
        matrix: &Matrix,
        selection: &Selection,
        limits: &cli::Rounds,
    ) -> anyhow::Result<Vec<CellResult>> {
        let until =
            Instant::now() + Duration::from_secs(u64::from(limits.minutes.unwrap_or(MINUTES)) * 60);
        let cells_max = limits.cells.map_or(usize::MAX, |max| max as usize);
        let (mut planned, mut first, mut number) = (Vec::new(), BTreeMap::new(), 0);
        while Instant::now() < until && first.len() < cells_max && !self.stop.asked() {
            number += 1;
            let left_s = until.saturating_duration_since(Instant::now()).as_secs();
            note(&format!("round {number}, {} cells so far, {left_s} s left", first.len()));
            let mut round = plan::round(self.config, matrix, selection, number)?;
            round.truncate(cells_max - first.len());
            // In slices: cells that run alone come between the others, not after them.
            for slice in round.chunks(SLICE) {
                first.extend(self.first(slice, Some(until))?);
            }
            planned.extend(round.into_iter().filter(|cell| first.contains_key(&cell.id)));
        }
        Ok(self.with_repetitions(&planned, first))
    }
}
