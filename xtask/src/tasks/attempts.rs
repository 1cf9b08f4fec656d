// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs planned cells: all of them at once as the host allows, then each that was not as expected
//! again, alone. Both outcomes are kept.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::Config;
use crate::evidence::Evidence;
use crate::plan::Cell;
use crate::progress::Step;
use crate::report::json::{Attempt, CellResult};
use crate::report::{self, Style};
use crate::results::RunFolder;
use crate::verdict::{self, Pace};
use crate::vm::cell::Rig;
use crate::vm::{self, Accel, Stop};

/// What a run of cells works with.
pub(crate) struct Runner<'a> {
    /// The checked configuration.
    pub(crate) config: &'a Config,
    /// Image of each kernel.
    pub(crate) bzimages: &'a BTreeMap<String, PathBuf>,
    /// QEMU and the guest.
    pub(crate) rig: &'a Rig,
    /// Where evidence goes.
    pub(crate) folder: &'a RunFolder,
    /// Set when the harness is asked to stop.
    pub(crate) stop: &'a Stop,
    /// How lines about cells look.
    pub(crate) style: Style,
}

impl Runner<'_> {
    /// Runs all cells and repeats the unexpected ones; in plan order. Cells that were not begun
    /// because of a stop are left out.
    ///
    /// # Errors
    /// A run folder that cannot be written to; what a VM does is never an error.
    pub(crate) fn run(&self, cells: &[Cell], jobs: usize) -> anyhow::Result<Vec<CellResult>> {
        for cell in cells {
            self.folder.write_cell(&cell.id, cell)?;
        }
        let mut first = self.pass(cells, jobs, 1);
        let unexpected = |cell: &&Cell| {
            first.get(&cell.id).is_some_and(|attempt| !attempt.judgement.as_expected)
        };
        let repeated: Vec<Cell> = cells.iter().filter(unexpected).cloned().collect();
        let mut again = if repeated.is_empty() || self.stop.asked() {
            BTreeMap::new()
        } else {
            self.pass(&repeated, 1, 2)
        };
        let ran = cells.iter().filter_map(|cell| {
            let first = first.remove(&cell.id)?;
            Some(CellResult { cell: cell.clone(), first, again: again.remove(&cell.id) })
        });
        Ok(ran.collect())
    }

    /// One attempt at each of the cells; by cell id.
    fn pass(&self, cells: &[Cell], jobs: usize, number: u32) -> BTreeMap<String, Attempt> {
        let name = if number == 1 { "cells" } else { "again, alone" };
        let step = Step::begin(name, Some(cells.len() as u64));
        let mut attempts = BTreeMap::new();
        let cost = |cell: &Cell| cell.request.load_ms_max;
        let job = |cell: &Cell| self.attempt(cell, number);
        vm::pool::run(jobs, cells, cost, self.stop, job, |cell, outcome| {
            let attempt = outcome.unwrap_or_else(|panic| {
                let why = format!("the harness panicked: {panic}");
                self.judged(cell, number, &Evidence::of_failed_host(&cell.request, why, 0))
            });
            let ended = CellResult { cell: cell.clone(), first: attempt, again: None };
            step.say(&report::cell_line(&ended, self.style));
            attempts.insert(cell.id.clone(), ended.first);
            step.at(attempts.len() as u64, &cell.id);
        });
        step.end(&format!("{} of {} ended", attempts.len(), cells.len()));
        attempts
    }

    fn attempt(&self, cell: &Cell, number: u32) -> Attempt {
        let dir = self.folder.attempt(&cell.id, number);
        let evidence = match self.bzimages.get(&cell.kernel) {
            Some(bzimage) => vm::cell::run(self.rig, cell, bzimage, &dir, self.stop),
            None => {
                let why = format!("no image of kernel {}", cell.kernel);
                Evidence::of_failed_host(&cell.request, why, 0)
            }
        };
        self.judged(cell, number, &evidence)
    }

    fn judged(&self, cell: &Cell, number: u32, evidence: &Evidence) -> Attempt {
        let scenario = &self.config.scenarios[&cell.scenario];
        let judgement = verdict::judge(cell, scenario, evidence, pace(self.rig.accel));
        let folder = self.folder.attempt(&cell.id, number);
        let folder = folder.strip_prefix(self.folder.dir()).unwrap_or(&folder);
        Attempt { folder: folder.display().to_string(), wall_ms: evidence.wall_ms, judgement }
    }
}

/// How slow guests are under this accelerator, for tolerances that are no timers of the kernel.
pub(crate) fn pace(accel: Accel) -> Pace {
    Pace { slowdown: u32::try_from(accel.patience()).unwrap_or(u32::MAX) }
}
