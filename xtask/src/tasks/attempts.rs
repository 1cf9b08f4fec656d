// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs planned cells in parallel, then each cell that was not as expected a second time, alone.
//! Both outcomes are kept.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::conclude;
use super::reach::in_attempt;
use super::run::Run;
use super::running::Running;
use crate::config::KnownFault;
use crate::evidence::{Ending, Evidence, Seen};
use crate::outcome::{Attempt, CellResult, Judgement, Manifest};
use crate::plan::Cell;
use crate::progress::{Event, Step, note};
use crate::report;
use crate::taxonomy::Rule;
use crate::verdict::{self, Pace};
use crate::vm;
use crate::vm::cell::Begin;
use crate::vm::rig::Job;

/// Runs of an attempt: the emulator breaks about one boot in 25 to 50, whatever the kernel.
pub(super) const EMULATOR_TRIES: u32 = 4;

impl Run<'_> {
    /// Runs all cells and repeats the unexpected ones; in plan order. Cells that a stop kept from
    /// starting are left out.
    ///
    /// # Errors
    /// A run folder that cannot be written to; what a VM does is never an error.
    pub(super) fn cells(&mut self, cells: &[Cell]) -> anyhow::Result<Vec<CellResult>> {
        let first = self.first(cells, None)?;
        Ok(self.with_repetitions(cells, first))
    }

    /// One attempt at each of the cells, by cell id: the longest first, or with `until` in the
    /// order given, as far as they can start before then.
    ///
    /// # Errors
    /// As [`Run::cells`].
    pub(super) fn first(
        &mut self,
        cells: &[Cell],
        until: Option<Instant>,
    ) -> anyhow::Result<BTreeMap<String, Attempt>> {
        cells.iter().try_for_each(|cell| self.folder.write_cell(&cell.id, cell))?;
        let jobs = self.manifest.jobs as usize;
        let Self { ready, kernels, folder, stop, boots, .. } = self;
        boots.make(&ready.rig, kernels, folder, stop, cells, jobs);
        let (alone, together): (Vec<Cell>, Vec<Cell>) =
            cells.iter().cloned().partition(|cell| cell.alone);
        let mut first = self.pass(("cells", 1), &together, jobs, 0, until);
        // A cell that is judged by times gets the host for itself.
        let bad = unexpected(first.values());
        if !self.has_enough(bad) {
            let name = ("cells, one at a time", 1);
            first.extend(self.pass(name, &alone, 1, bad, until));
        }
        let unexpected = unexpected(first.values());
        if self.has_enough(unexpected) && first.len() < cells.len() {
            let left_out = report::plural(cells.len() - first.len(), "cell");
            note(&format!("--max-fail: {unexpected} not as expected; {left_out} did not run"));
        }
        Ok(first)
    }

    /// Repeats each cell that was not as expected, alone; gives the cells that were started, in the
    /// order given.
    pub(super) fn with_repetitions(
        &self,
        cells: &[Cell],
        mut first: BTreeMap<String, Attempt>,
    ) -> Vec<CellResult> {
        let is_unexpected = |cell: &&Cell| unexpected(first.get(&cell.id)) > 0;
        let repeated: Vec<Cell> = cells.iter().filter(is_unexpected).cloned().collect();
        let mut again = match self.retries {
            0 => BTreeMap::new(),
            _ => self.pass(("again, alone", 2), &repeated, 1, 0, None),
        };
        let ran = cells.iter().filter_map(|cell| {
            let first = first.remove(&cell.id)?;
            Some(CellResult { cell: cell.clone(), first, again: again.remove(&cell.id) })
        });
        let mut ran: Vec<CellResult> = ran.collect();
        if self.retries > 0 {
            self.look_twice(&mut ran);
        }
        ran
    }

    /// Repeats what is only worse than the baseline, by a number that chance may move.
    fn look_twice(&self, ran: &mut [CellResult]) {
        let worse = conclude::worse_by_numbers(&self.manifest, ran);
        let is_worse = |ran: &&mut CellResult| ran.again.is_none() && worse.contains(&ran.cell.key);
        let cells: Vec<Cell> =
            ran.iter_mut().filter(is_worse).map(|ran| ran.cell.clone()).collect();
        let mut again = self.pass(("worse, so once more", 2), &cells, 1, 0, None);
        for ran in ran {
            if let Some(attempt) = again.remove(&ran.cell.id) {
                ran.again = Some(attempt);
            }
        }
    }

    /// One attempt at each of the cells, with this name and number; by cell id. So many were `bad`
    /// before.
    fn pass(
        &self,
        (name, number): (&str, u32),
        cells: &[Cell],
        jobs: usize,
        bad: u32,
        until: Option<Instant>,
    ) -> BTreeMap<String, Attempt> {
        if cells.is_empty() || self.stop.asked() {
            return BTreeMap::new();
        }
        let step = Step::begin(name, Some(cells.len() as u64));
        let mut attempts = BTreeMap::new();
        // The longest first ends soonest, but is no random order. Repetitions of both kernels take
        // turns, so that whatever the host does meanwhile affects both.
        let rank = |cell: &Cell| match until {
            Some(_) => (Reverse(0), 0),
            None => (Reverse(cell.repetition), self.past.estimate_ms(cell)),
        };
        let late = || until.is_some_and(|until| Instant::now() >= until);
        let (bad, running) = (AtomicU32::new(bad), Running::default());
        let over = || late() || (number == 1 && self.has_enough(bad.load(Ordering::Relaxed)));
        // Counted by who ran it: the same job must know before it begins the next.
        let job = |cell: &Cell| {
            let once = |_| running.while_doing(&cell.id, || self.attempt(cell, number));
            let attempt = (!over()).then(|| match number {
                1 => once(0),
                _ => again_if(self.retries, once, |attempt| self.is_mute(attempt)),
            });
            bad.fetch_add(unexpected(&attempt), Ordering::Relaxed);
            attempt
        };
        vm::pool::run(jobs, cells, rank, &self.stop, job, |cell, outcome| {
            let attempt = outcome.unwrap_or_else(|panic| {
                bad.fetch_add(1, Ordering::Relaxed);
                let why = format!("the harness panicked: {panic}");
                let evidence = Evidence::of_failed_host(&cell.request, why, 0);
                Some(self.judged(cell, number, &evidence))
            });
            let Some(attempt) = attempt else { return };
            let ended = CellResult { cell: cell.clone(), first: attempt, again: None };
            self.tell(&step, &ended, number);
            attempts.insert(cell.id.clone(), ended.first);
            step.at(attempts.len() as u64, &running.text(bad.load(Ordering::Relaxed)));
        });
        step.end(&format!("{} of {} ended", attempts.len(), cells.len()));
        attempts
    }

    fn tell(&self, step: &Step, ended: &CellResult, number: u32) {
        let judgement = ended.judgement();
        step.tell(&Event::CellEnded {
            cell: &ended.cell.id,
            attempt: number,
            verdict: &judgement.verdict.to_string(),
            breaks: &Rule::list(&judgement.breaks),
            as_expected: judgement.as_expected,
            wall_ms: ended.first.wall_ms,
            why: &judgement.why,
            line: &report::cell_line(ended, self.style),
        });
    }

    /// Whether so many cells were not as expected that no other begins.
    fn has_enough(&self, unexpected: u32) -> bool {
        self.unexpected_max.is_some_and(|most| unexpected >= most)
    }

    /// Whether an attempt says nothing of the kernel, so that another one may say more.
    fn is_mute(&self, attempt: &Attempt) -> bool {
        attempt.says_nothing() && !self.stop.asked()
    }

    fn attempt(&self, cell: &Cell, number: u32) -> Attempt {
        let dir = self.folder.attempt(&cell.id, number);
        let evidence = match self.kernels.get(&cell.key.kernel) {
            Some(kernel) => {
                // A second attempt shares nothing with the first, not even its boot.
                let begin = match number {
                    1 => self.boots.begin(&self.ready.rig, cell, &kernel.bzimage),
                    _ => Begin::Boot(&kernel.bzimage),
                };
                let run = |broken: u32| {
                    let why = if broken == 0 { "mute" } else { "emulator" };
                    match self.put_aside(&dir, why) {
                        Ok(()) => {
                            vm::cell::run(&self.ready.rig, Job::of(cell), begin, &dir, &self.stop)
                        }
                        Err(why) => Evidence::of_failed_host(&cell.request, format!("{why:#}"), 0),
                    }
                };
                let broken = |evidence: &Evidence| self.broken_by_emulator(evidence);
                let evidence = again_if(EMULATOR_TRIES, run, broken);
                self.sealed(&dir, evidence)
            }
            None => {
                let why = format!("no image of kernel {}", cell.key.kernel);
                Evidence::of_failed_host(&cell.request, why, 0)
            }
        };
        self.judged(cell, number, &evidence)
    }

    /// The evidence in a folder, sealed; without a seal nobody could believe it later.
    fn sealed(&self, dir: &Path, mut evidence: Evidence) -> Evidence {
        let failed = matches!(evidence.ending, Ending::HostFailed { .. });
        if let Err(error) = self.folder.seal(dir)
            && !failed
        {
            evidence.ending = Ending::HostFailed { why: format!("{error:#}") };
        }
        evidence
    }

    /// Keeps the evidence of an attempt in this folder, if there is one: another one is made.
    fn put_aside(&self, dir: &Path, why: &str) -> anyhow::Result<()> {
        if !dir.exists() {
            return Ok(());
        }
        let aside = self.folder.put_aside(dir, why)?;
        self.folder.seal(&aside)?;
        if why == "emulator" {
            let place = self.folder.within(&aside);
            note(&format!("note: {place}: the emulator broke this boot, so the cell runs again"));
        }
        Ok(())
    }

    fn broken_by_emulator(&self, evidence: &Evidence) -> bool {
        verdict::by_emulator(&verdict::findings(&evidence.console), self.pace())
    }

    /// The verdict on a cell that is timed, and kept nowhere.
    pub(super) fn judgement(&self, cell: &Cell, evidence: &Evidence) -> Judgement {
        verdict::judge(cell, &Seen::of(evidence), self.pace())
    }

    fn judged(&self, cell: &Cell, number: u32, evidence: &Evidence) -> Attempt {
        let dir = self.folder.attempt(&cell.id, number);
        let mut attempt = judged(cell, evidence, &self.manifest, self.folder.within(&dir));
        attempt.reached = in_attempt(&self.folder, &self.manifest, &cell.key.kernel, &dir);
        attempt
    }
}

/// How many of these were not as expected, faults that are known aside.
fn unexpected<'a>(attempts: impl IntoIterator<Item = &'a Attempt>) -> u32 {
    let is = |attempt: &&Attempt| {
        let beside = attempt.beside_known.as_deref();
        !beside.unwrap_or(&attempt.judgement).as_expected
    };
    attempts.into_iter().filter(is).count() as u32
}

/// Runs it up to `tries` times, as long as the outcome was bad luck; `run` gets the number of runs
/// before.
pub(super) fn again_if<T>(
    tries: u32,
    mut run: impl FnMut(u32) -> T,
    unlucky: impl Fn(&T) -> bool,
) -> T {
    let mut outcome = run(0);
    for before in 1..tries {
        if !unlucky(&outcome) {
            break;
        }
        outcome = run(before);
    }
    outcome
}

/// An attempt at a cell whose evidence lies in `folder`, with its verdict.
pub(super) fn judged(
    cell: &Cell,
    evidence: &Evidence,
    manifest: &Manifest,
    folder: String,
) -> Attempt {
    let (seen, pace) = (Seen::of(evidence), Pace::of(manifest, &cell.id));
    let mut attempt = Attempt::of(folder, &seen, verdict::judge(cell, &seen, pace));
    let known: Vec<&KnownFault> = manifest.holding().collect();
    attempt.beside_known = verdict::judge_beside(cell, &seen, pace, &known).map(Box::new);
    attempt
}

#[cfg(test)]
mod tests {
    use super::again_if;

    #[test]
    fn bad_luck_gets_another_try_and_no_end_of_them() {
        let tries = |luck: &[bool]| {
            let mut luck = luck.iter();
            let mut runs = 0;
            let run = |before| {
                assert_eq!(before, runs);
                runs += 1;
                *luck.next().unwrap_or(&false)
            };
            (again_if(4, run, |lucky| !lucky), runs)
        };
        assert_eq!(tries(&[true]), (true, 1));
        assert_eq!(tries(&[false, false, true, false]), (true, 3));
        assert_eq!(tries(&[]), (false, 4));
    }
}
