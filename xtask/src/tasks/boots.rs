// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boots that several cells start from: each kind is made once, checked, and kept.
//!
//! Contract: a boot is kept only if it reached Hello with a clean console. Other cells boot by
//! themselves, so a kernel that warns, crashes or hangs at boot gets its verdict from its cells.

use std::collections::BTreeMap;
use std::path::Path;

use super::bootable::Bootable;
use super::rig::pace;
use crate::evidence::{Ending, Seen};
use crate::host::stop::Stop;
use crate::plan::Cell;
use crate::progress::Step;
use crate::results::RunFolder;
use crate::verdict::{by_emulator, findings, wrong_clock};
use crate::vm::cell::Begin;
use crate::vm::pool;
use crate::vm::rig::{Job, Rig};
use crate::vm::snapshot::{self, Snapshot};

/// Attempts at one kind of boot. The emulator breaks about one in fifty, and on a busy host a
/// kernel may calibrate its clock wrongly: every cell that starts from there would be an ERROR.
const TRIES: u32 = 2;

/// The boots made so far, by kind ([`snapshot::key`]); `None` if cells have to boot.
#[derive(Debug)]
pub(super) struct Boots {
    wanted: bool,
    made: BTreeMap<String, Option<Snapshot>>,
}

/// A kind of boot that several cells need.
struct Kind<'a> {
    key: String,
    name: String,
    first: &'a Cell,
    bzimage: &'a Path,
    cells: usize,
}

impl Boots {
    /// No boots yet; without `wanted` there will be none.
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, made: BTreeMap::new() }
    }

    /// Where a cell of the kernel `bzimage` starts.
    pub(super) fn begin<'a>(&'a self, rig: &Rig, cell: &Cell, bzimage: &'a Path) -> Begin<'a> {
        let key = snapshot::key(rig, Job::of(cell), bzimage).ok();
        match key.and_then(|key| self.made.get(&key)?.as_ref()) {
            Some(snapshot) if !cell.vm.counted => Begin::Snapshot(snapshot),
            _ => Begin::Boot(bzimage),
        }
    }

    /// Makes the missing boots that at least two of the cells share.
    pub(super) fn make(
        &mut self,
        rig: &Rig,
        kernels: &BTreeMap<String, Bootable>,
        folder: &RunFolder,
        stop: &Stop,
        cells: &[Cell],
        jobs: usize,
    ) {
        let kinds = self.kinds(rig, kernels, cells);
        if kinds.is_empty() {
            return;
        }
        let step = Step::begin("boots", Some(kinds.len() as u64));
        let mut made = BTreeMap::new();
        let job = |kind: &Kind<'_>| kind.boot(rig, folder, stop);
        let rank = |kind: &Kind<'_>| kind.cells;
        pool::run(jobs, &kinds, rank, stop, job, |kind, outcome| {
            let kept = outcome.and_then(|kept| kept).map_err(|why| {
                step.say(&format!("no shared boot of {}: {why}; each cell boots", kind.name));
            });
            made.insert(kind.key.clone(), kept.ok());
            step.at(made.len() as u64, &kind.name);
        });
        step.end(&format!("{} shared", made.values().flatten().count()));
        self.made.extend(made);
    }

    fn kinds<'a>(
        &self,
        rig: &Rig,
        kernels: &'a BTreeMap<String, Bootable>,
        cells: &'a [Cell],
    ) -> Vec<Kind<'a>> {
        let mut kinds: Vec<Kind<'a>> = Vec::new();
        // A cell that counts instructions must not depend on what ran before.
        for cell in cells.iter().filter(|cell| self.wanted && !cell.vm.counted) {
            let Some(Bootable { bzimage, .. }) = kernels.get(&cell.key.kernel) else { continue };
            let Ok(key) = snapshot::key(rig, Job::of(cell), bzimage) else { continue };
            if self.made.contains_key(&key) {
                continue;
            }
            match kinds.iter_mut().find(|kind| kind.key == key) {
                Some(kind) => kind.cells += 1,
                None => {
                    let before =
                        kinds.iter().filter(|kind| kind.first.key.kernel == cell.key.kernel);
                    let number = self.made.len() + before.count() + 1;
                    let name = format!("{}-{number}", cell.key.kernel);
                    kinds.push(Kind { key, name, first: cell, bzimage, cells: 1 });
                }
            }
        }
        kinds.retain(|kind| kind.cells > 1);
        kinds
    }
}

impl Kind<'_> {
    /// One boot, checked; or why it cannot be used.
    fn boot(&self, rig: &Rig, folder: &RunFolder, stop: &Stop) -> Result<Snapshot, String> {
        let mut why = String::new();
        for number in 1..=TRIES {
            let dir = folder.boot(&self.name, number);
            let job = Job { id: &self.name, ..Job::of(self.first) };
            let boot = snapshot::take(rig, job, self.bzimage, &dir, stop)
                .and_then(|boot| folder.seal(&dir).map(|()| boot))
                .map_err(|error| format!("{error:#}"))?;
            let findings = findings(&boot.evidence.console);
            let wrong_clock = wrong_clock(&Seen::of(&boot.evidence));
            let by_host = by_emulator(&findings, pace(rig)) || wrong_clock.is_some();
            // Cells would begin with the events of the boot, and without what was none.
            let torn = boot.evidence.torn_lines.first();
            why = match (boot.snapshot, findings.first(), wrong_clock, torn) {
                (Some(snapshot), None, None, None) => return Ok(snapshot),
                (_, Some(finding), ..) => finding.title.clone(),
                (_, None, Some(wrong), _) => wrong,
                (_, None, None, Some(_)) => "the guest sent what is no event".to_owned(),
                (None, None, None, None) => ended(&boot.evidence.ending),
            };
            // The kernel would do the same again; only the host may do better.
            if !by_host {
                break;
            }
        }
        Err(why)
    }
}

fn ended(ending: &Ending) -> String {
    match ending {
        Ending::Deadline { deadline_ms, .. } => format!("it was not up after {deadline_ms} ms"),
        Ending::QemuFailed { status, stderr } => format!("QEMU ended ({status}): {stderr}"),
        Ending::HostFailed { why } => why.clone(),
        other => format!("it ended with {other:?}"),
    }
}
