// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boots that several cells begin from: each kind is made once, looked at, and kept.
//!
//! Contract: what is kept has come to Hello with a clean console. A cell without such a boot boots
//! by itself, so a kernel that warns, crashes or hangs at boot gets its verdict from cells of its own.

use std::collections::BTreeMap;
use std::path::Path;

use super::attempts::Runner;
use crate::evidence::Ending;
use crate::plan::Cell;
use crate::progress::Step;
use crate::verdict::{by_emulator, findings, wrong_clock};
use crate::vm::cell::{Begin, Job, Rig};
use crate::vm::pool;
use crate::vm::snapshot::{self, Snapshot};

/// Boots of one kind that are tried. An emulator breaks about one in fifty, and on a busy host a kernel may measure its
/// clock wrongly: then every cell that begins from there would be an ERROR.
const TRIES: u32 = 2;

/// What was made so far, by kind ([`snapshot::key`]); `None` where cells have to boot.
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
    cells: usize,
}

impl Boots {
    /// Nothing made yet; without `wanted` nothing will be.
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, made: BTreeMap::new() }
    }

    /// Where a cell begins whose kernel is `bzimage`.
    pub(super) fn begin<'a>(&'a self, rig: &Rig, cell: &Cell, bzimage: &'a Path) -> Begin<'a> {
        let key = snapshot::key(rig, Job::of(cell), bzimage).ok();
        match key.and_then(|key| self.made.get(&key)?.as_ref()) {
            Some(snapshot) if !cell.vm.counted => Begin::Snapshot(snapshot),
            _ => Begin::Boot(bzimage),
        }
    }
}

impl Runner<'_> {
    /// Makes the boots that at least two of the cells share and that are not there yet.
    pub(super) fn boot(&mut self, cells: &[Cell], jobs: usize) {
        let kinds = self.kinds(cells);
        if kinds.is_empty() {
            return;
        }
        let step = Step::begin("boots", Some(kinds.len() as u64));
        let mut made = BTreeMap::new();
        let job = |kind: &Kind<'_>| self.snapshot(kind);
        pool::run(
            jobs,
            &kinds,
            |kind| kind.cells as u64,
            self.stop,
            job,
            |kind, outcome| {
                let kept = outcome.and_then(|kept| kept).map_err(|why| {
                    step.say(&format!("no shared boot of {}: {why}; its cells boot", kind.name));
                });
                made.insert(kind.key.clone(), kept.ok());
                step.at(made.len() as u64, &kind.name);
            },
        );
        step.end(&format!("{} shared", made.values().flatten().count()));
        self.boots.made.extend(made);
    }

    fn kinds<'a>(&self, cells: &'a [Cell]) -> Vec<Kind<'a>> {
        let mut kinds: Vec<Kind<'a>> = Vec::new();
        // What counts instructions must not depend on what ran before.
        for cell in cells.iter().filter(|cell| self.boots.wanted && !cell.vm.counted) {
            let Some(bzimage) = self.bzimages.get(&cell.kernel) else { continue };
            let Ok(key) = snapshot::key(self.rig, Job::of(cell), bzimage) else { continue };
            if self.boots.made.contains_key(&key) {
                continue;
            }
            match kinds.iter_mut().find(|kind| kind.key == key) {
                Some(kind) => kind.cells += 1,
                None => {
                    let before = kinds.iter().filter(|kind| kind.first.kernel == cell.kernel);
                    let number = self.boots.made.len() + before.count() + 1;
                    let name = format!("{}-{number}", cell.kernel);
                    kinds.push(Kind { key, name, first: cell, cells: 1 });
                }
            }
        }
        kinds.retain(|kind| kind.cells > 1);
        kinds
    }

    /// One boot, looked at; or why it cannot be used.
    fn snapshot(&self, kind: &Kind<'_>) -> Result<Snapshot, String> {
        let mut why = "no image".to_owned();
        let Some(bzimage) = self.bzimages.get(&kind.first.kernel) else { return Err(why) };
        for number in 1..=TRIES {
            let dir = self.folder.boot(&kind.name, number);
            let job = Job { id: &kind.name, ..Job::of(kind.first) };
            let boot = snapshot::take(self.rig, job, bzimage, &dir, self.stop)
                .map_err(|error| format!("{error:#}"))?;
            let findings = findings(&boot.evidence.console);
            let wrong_clock = wrong_clock(&boot.evidence);
            let by_host = by_emulator(&findings, self.pace()) || wrong_clock.is_some();
            why = match (boot.snapshot, findings.first(), wrong_clock) {
                (Some(snapshot), None, None) => return Ok(snapshot),
                (_, Some(finding), _) => finding.title.clone(),
                (_, None, Some(wrong)) => wrong,
                (None, None, None) => ended(&boot.evidence.ending),
            };
            // What the kernel itself did it would do again.
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
