// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs planned cells: all of them at once as the host allows, then each that was not as expected
//! again, alone. Both outcomes are kept.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use super::bootable::Bootable;
use super::boots::Boots;
use super::past::Past;
use super::rig::pace;
use super::style;
use crate::config::Config;
use crate::evidence::Evidence;
use crate::outcome::{Attempt, CellResult};
use crate::plan::Cell;
use crate::progress::Step;
use crate::report::{self, Style};
use crate::results::RunFolder;
use crate::verdict::{self, Pace};
use crate::vm::cell::{Begin, Rig};
use crate::vm::{self, Stop};

/// What a run of cells works with.
pub(super) struct Runner<'a> {
    config: &'a Config,
    /// Image of each kernel.
    pub(super) bzimages: BTreeMap<String, PathBuf>,
    pub(super) rig: &'a Rig,
    /// Where evidence goes.
    pub(super) folder: &'a RunFolder,
    pub(super) stop: &'a Stop,
    pub(super) boots: Boots,
    pub(super) past: Past,
    style: Style,
}

impl<'a> Runner<'a> {
    /// A runner for these kernels; with `snapshots` cells begin from boots that they share.
    pub(super) fn new(
        config: &'a Config,
        kernels: &BTreeMap<String, Bootable>,
        rig: &'a Rig,
        folder: &'a RunFolder,
        stop: &'a Stop,
        snapshots: bool,
    ) -> Self {
        let bzimage = |(name, kernel): (&String, &Bootable)| (name.clone(), kernel.bzimage.clone());
        let bzimages = kernels.iter().map(bzimage).collect();
        let style = style(std::io::stderr());
        let (boots, past) = (Boots::new(snapshots), Past::read(folder.results()));
        Self { config, bzimages, rig, folder, stop, boots, past, style }
    }

    /// How slow its guests are.
    pub(super) fn pace(&self) -> Pace {
        pace(self.rig.accel)
    }

    /// Runs all cells and repeats the unexpected ones; in plan order. Cells that were not begun
    /// because of a stop are left out.
    ///
    /// # Errors
    /// A run folder that cannot be written to; what a VM does is never an error.
    pub(super) fn run(&mut self, cells: &[Cell], jobs: usize) -> anyhow::Result<Vec<CellResult>> {
        for cell in cells {
            self.folder.write_cell(&cell.id, cell)?;
        }
        self.boot(cells, jobs);
        let first = self.once(cells, jobs, None);
        Ok(self.with_repetitions(cells, first))
    }

    /// One attempt at each of the cells in the order given, as far as they can be begun before
    /// `until`; by cell id.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub(super) fn soak(
        &mut self,
        cells: &[Cell],
        jobs: usize,
        until: Instant,
    ) -> anyhow::Result<BTreeMap<String, Attempt>> {
        for cell in cells {
            self.folder.write_cell(&cell.id, cell)?;
        }
        self.boot(cells, jobs);
        Ok(self.once(cells, jobs, Some(until)))
    }

    fn once(
        &self,
        cells: &[Cell],
        jobs: usize,
        until: Option<Instant>,
    ) -> BTreeMap<String, Attempt> {
        let (alone, together): (Vec<Cell>, Vec<Cell>) =
            cells.iter().cloned().partition(|cell| cell.alone);
        let mut first = self.pass("cells", &together, jobs, 1, until);
        // What is judged by times has the host for itself.
        first.extend(self.pass("cells, one at a time", &alone, 1, 1, until));
        first
    }

    /// Repeats what was not as expected, alone; the cells that were begun, in the order given.
    pub(super) fn with_repetitions(
        &self,
        cells: &[Cell],
        mut first: BTreeMap<String, Attempt>,
    ) -> Vec<CellResult> {
        let unexpected = |cell: &&Cell| {
            first.get(&cell.id).is_some_and(|attempt| !attempt.judgement.as_expected)
        };
        let repeated: Vec<Cell> = cells.iter().filter(unexpected).cloned().collect();
        let mut again = self.pass("again, alone", &repeated, 1, 2, None);
        let ran = cells.iter().filter_map(|cell| {
            let first = first.remove(&cell.id)?;
            Some(CellResult { cell: cell.clone(), first, again: again.remove(&cell.id) })
        });
        ran.collect()
    }

    /// One attempt at each of the cells; by cell id.
    fn pass(
        &self,
        name: &str,
        cells: &[Cell],
        jobs: usize,
        number: u32,
        until: Option<Instant>,
    ) -> BTreeMap<String, Attempt> {
        if cells.is_empty() || self.stop.asked() {
            return BTreeMap::new();
        }
        let step = Step::begin(name, Some(cells.len() as u64));
        let mut attempts = BTreeMap::new();
        // The longest first ends soonest, but is no random order. Repetitions of both kernels take turns: what
        // the host does meanwhile is done to both.
        let rank = |cell: &Cell| match until {
            Some(_) => (Reverse(0), 0),
            None => (Reverse(cell.repetition), self.past.estimate_ms(cell)),
        };
        let late = || until.is_some_and(|until| Instant::now() >= until);
        let job = |cell: &Cell| (!late()).then(|| self.attempt(cell, number));
        vm::pool::run(jobs, cells, rank, self.stop, job, |cell, outcome| {
            let attempt = outcome.unwrap_or_else(|panic| {
                let why = format!("the harness panicked: {panic}");
                let evidence = Evidence::of_failed_host(&cell.request, why, 0);
                Some(self.judged(cell, number, &evidence))
            });
            let Some(attempt) = attempt else { return };
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
            Some(bzimage) => {
                // A second attempt owes nothing to the first: not its boot either.
                let begin = match number {
                    1 => self.boots.begin(self.rig, cell, bzimage),
                    _ => Begin::Boot(bzimage),
                };
                vm::cell::run(self.rig, cell, begin, &dir, self.stop)
            }
            None => {
                let why = format!("no image of kernel {}", cell.kernel);
                Evidence::of_failed_host(&cell.request, why, 0)
            }
        };
        self.judged(cell, number, &evidence)
    }

    fn judged(&self, cell: &Cell, number: u32, evidence: &Evidence) -> Attempt {
        let scenario = &self.config.scenarios[&cell.scenario];
        let judgement = verdict::judge(cell, scenario, evidence, self.pace());
        let folder = self.folder.attempt(&cell.id, number);
        let folder = folder.strip_prefix(self.folder.dir()).unwrap_or(&folder);
        Attempt::of(folder.display().to_string(), evidence, judgement)
    }
}
