// SPDX-License-Identifier: MIT OR Apache-2.0
//! Seconds per cell, compared with bare QEMU on the same kernel and machine.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::time::{Duration, Instant};

use protocol::CellRequest;

use super::super::Folders;
use super::super::run::Run;
use crate::evidence::{Ending, Seen};
use crate::exit::{Exit, Fault};
use crate::host;
use crate::outcome::Judgement;
use crate::plan::{Cell, VmShape};
use crate::progress::{Step, note};
use crate::report::Times;
use crate::taxonomy::Verdict;
use crate::verdict;
use crate::vm::cell::Begin;
use crate::vm::rig::Job;
use crate::vm::snapshot::{self, Snapshot};
use crate::vm::{self, guest_binary, pool, program};

/// Attempts at a measurement before the bench gives up on the host.
const ATTEMPTS: u32 = 3;

/// Rows before those of cells.
const FIXED_ROWS: usize = 5;

/// Cells that do nothing, to measure how many fit in a second.
const MANY: u32 = 32;

/// A boot under emulation that takes longer is no measurement.
const FLOOR_LIMIT: Duration = Duration::from_secs(60);

/// Measures round by round, so that a machine that gets slower affects all rows alike.
///
/// # Errors
/// [`Exit::Unexpected`] when a cell is not as expected; a bare QEMU that does not boot.
pub(super) fn measure(
    run: &Run<'_>,
    folders: &Folders,
    cells: &[Cell],
    rounds: u32,
) -> anyhow::Result<Vec<Times>> {
    let bare = guest_binary::pack(&run.ready.binaries.power_off, &folders.cache)?;
    let shape = &cells[0].vm;
    let jobs = host::limits::cores();
    let bzimage = |cell: &Cell| run.kernels[&cell.key.kernel].bzimage.as_path();
    let (plain, first) = (&cells[0], bzimage(&cells[0]));
    let mut times = vec![
        Times::new(&format!("bare QEMU, PID 1 only powers off ({})", plain.key.kernel)),
        Times::new("a boot that cells begin from"),
        Times::new("nothing, with a boot"),
        Times::new("nothing, from a boot"),
        Times::new(&format!("nothing, from a boot, each of {MANY} on {jobs} jobs")),
    ];
    for cell in cells {
        times.push(Times::new(&format!("{}, with a boot", cell.id)));
        times.push(Times::new(&format!("{}, from a boot", cell.id)));
    }
    let step = Step::begin("bench", Some(u64::from(rounds)));
    for round in 0..rounds {
        step.at(u64::from(round), "");
        times[0].add(bare_qemu(run, shape, first, &bare)?);
        let begun = Instant::now();
        let boot = snapshot(run, plain, first)?;
        times[1].add(begun.elapsed());
        times[2].add(nothing(run, plain, Begin::Boot(first))?);
        times[3].add(nothing(run, plain, Begin::Snapshot(&boot))?);
        times[4].add(many(run, plain, &boot, jobs)?);
        let key = |cell| snapshot::key(&run.ready.rig, Job::of(cell), bzimage(cell));
        let mut boots = BTreeMap::from([(key(plain)?, boot)]);
        for (cell, times) in cells.iter().zip(times[FIXED_ROWS..].chunks_mut(2)) {
            // A policy may need a boot parameter, and so a boot of its own.
            let boot = match boots.entry(key(cell)?) {
                Entry::Occupied(boot) => boot.into_mut(),
                Entry::Vacant(none) => none.insert(snapshot(run, cell, bzimage(cell))?),
            };
            times[0].add(timed(run, cell, Begin::Boot(bzimage(cell)))?);
            times[1].add(timed(run, cell, Begin::Snapshot(boot))?);
        }
    }
    step.end(&format!("{rounds} rounds"));
    Ok(times)
}

/// Bare QEMU. The emulator breaks about one boot in fifty, so it gets several attempts.
fn bare_qemu(
    run: &Run<'_>,
    shape: &VmShape,
    bzimage: &Path,
    bare: &Path,
) -> anyhow::Result<Duration> {
    let boot = || program::floor(&run.ready.rig, shape, bzimage, bare, FLOOR_LIMIT, &run.stop);
    for _ in 1..ATTEMPTS {
        match boot() {
            Err(error) if !run.stop.asked() => note(&format!("{error:#}")),
            ended => return ended,
        }
    }
    boot()
}

fn snapshot(run: &Run<'_>, cell: &Cell, bzimage: &Path) -> anyhow::Result<Snapshot> {
    for _ in 0..ATTEMPTS {
        let dir = tempfile::tempdir()?;
        let job = Job::of(cell);
        let boot = snapshot::take(&run.ready.rig, job, bzimage, dir.path(), &run.stop)?;
        match (boot.snapshot, verdict::findings(&boot.evidence.console).first()) {
            (Some(snapshot), None) => return Ok(snapshot),
            (_, finding) => {
                note(&format!("a boot of {} is not clean: {finding:?}", cell.key.kernel))
            }
        }
    }
    Err(Fault::new(Exit::Unexpected, format!("no clean boot of {}", cell.key.kernel)).into())
}

/// The time that every cell takes, whatever it does.
fn nothing(run: &Run<'_>, like: &Cell, begin: Begin<'_>) -> anyhow::Result<Duration> {
    let request = CellRequest::idle();
    for _ in 0..ATTEMPTS {
        let dir = tempfile::tempdir()?;
        let job = Job { request: &request, ..Job::of(like) };
        let begun = Instant::now();
        let evidence = vm::cell::run(&run.ready.rig, job, begin, dir.path(), &run.stop);
        let took = begun.elapsed();
        let ended = Seen::of(&evidence).is_complete();
        let clean = verdict::findings(&evidence.console).is_empty();
        if ended && clean && evidence.ending == Ending::PoweredOff {
            return Ok(took);
        }
        note(&format!("a cell that does nothing ended with {:?}", evidence.ending));
    }
    Err(Fault::new(Exit::Unexpected, "every idle cell failed").into())
}

/// Seconds per cell with several jobs.
fn many(run: &Run<'_>, like: &Cell, snapshot: &Snapshot, jobs: usize) -> anyhow::Result<Duration> {
    let all: Vec<u32> = (0..MANY).collect();
    let (begun, mut failed) = (Instant::now(), None);
    let job = |_: &u32| nothing(run, like, Begin::Snapshot(snapshot));
    pool::run(
        jobs,
        &all,
        |_| 0,
        &run.stop,
        job,
        |_, outcome| match outcome {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => failed = Some(error),
            Err(panic) => failed = Some(anyhow::anyhow!(panic)),
        },
    );
    failed.map_or(Ok(begun.elapsed() / MANY), Err)
}

/// An ERROR is the fault of the host and has no time: the cell runs again.
fn timed(run: &Run<'_>, cell: &Cell, begin: Begin<'_>) -> anyhow::Result<Duration> {
    let mut why = String::new();
    for _ in 0..ATTEMPTS {
        let (took, judgement) = attempt(run, cell, begin)?;
        if run.stop.asked() {
            return Err(Fault::new(Exit::Interrupted, "stopped").into());
        }
        why = format!("{} ended in {}: {}", cell.id, judgement.verdict, judgement.why);
        if judgement.as_expected {
            return Ok(took);
        }
        if judgement.verdict != Verdict::Error {
            break;
        }
        note(&why);
    }
    Err(Fault::new(Exit::Unexpected, why).into())
}

fn attempt(run: &Run<'_>, cell: &Cell, begin: Begin<'_>) -> anyhow::Result<(Duration, Judgement)> {
    let dir = tempfile::tempdir()?;
    let begun = Instant::now();
    let evidence = vm::cell::run(&run.ready.rig, Job::of(cell), begin, dir.path(), &run.stop);
    let took = begun.elapsed();
    Ok((took, run.judgement(cell, &evidence)))
}
