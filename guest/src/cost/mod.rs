// SPDX-License-Identifier: MIT OR Apache-2.0
//! The measuring cell: what system calls cost in executed instructions, in a memcg well below its
//! limit.
//!
//! One task on one CPU and nothing else: no sampler, no heartbeat, no hog. It reports which numbers
//! came how often; the host judges them.

mod calls;
mod counter;
mod samples;

use std::fs::File;

use anyhow::{Context, Result, ensure};
use protocol::{CallCost, CellRequest, Fact, Stage, Started};

use self::calls::{FILES, Meters, Pages};
use crate::charges::Watch;
use crate::ending::{Step, Watchdog};
use crate::memcgs::Memcgs;
use crate::port::Port;
use crate::{arena, process, release};

/// Most rounds: each is some 25,000 instructions, and each call in it one sample.
const ROUNDS_MAX: u64 = 100_000;

/// Measures and reports everything but `Ended`.
///
/// # Errors
/// [`crate::Missing`], or the guest or a measured call fails.
pub(crate) fn run(
    port: &'static Port,
    cell: &CellRequest,
    watch: &Watch,
    watchdog: &Watchdog,
) -> Result<()> {
    watch.remove().context("take the probe back")?;
    let memcgs = Memcgs::create(cell)?;
    memcgs.require(cell.policy.iter().map(|write| &write.file))?;
    arena::mount_tmpfs()?;
    for limit in memcgs.limits(cell) {
        port.send(limit.set(cell)?)?;
    }
    let rounds = cell.operations;
    ensure!((1..=ROUNDS_MAX).contains(&rounds), "{rounds} rounds, not 1 to {ROUNDS_MAX}");
    let meters = Meters::with_room(rounds)?;
    // Names are relative to it, in PID 1 and its children: the path walk to it is not measured.
    std::env::set_current_dir(arena::ARENA).context("go to the arena")?;
    let mut path = calls::file_path();
    for number in 0..FILES {
        File::create_new(path.with(number).to_str()?).context("create a file to open")?;
    }
    memcgs.report(port, Stage::Before)?;

    watchdog.begins(Step::Load);
    port.send(Fact::Started(Started { workload: cell.workload.clone(), processes: 1 }))?;
    measure(&memcgs, &meters, rounds)?;
    memcgs.report(port, Stage::LoadEnd)?;
    report(port, &meters)?;

    watchdog.begins(Step::Empty);
    std::env::set_current_dir("/").context("leave the arena")?;
    arena::unmount(false)?;
    release::empty(&memcgs)?;
    memcgs.report(port, Stage::After)
}

/// Runs the task inside the limited memcg to its end.
fn measure(memcgs: &Memcgs, meters: &Meters, rounds: u64) -> Result<()> {
    process::run_inside(&memcgs.limited, "cost", 0, |inside| {
        let pages = Pages::prepare(&memcgs.limited)?;
        process::lock_memory()?;
        inside.pass();
        calls::steady(meters, rounds)?;
        pages.fill(meters)?;
        pages.fault_in(meters)
    })
}

fn report(port: &Port, meters: &Meters) -> Result<()> {
    let own = samples::spread(meters.own().taken(), 0).context("nothing was measured")?;
    // What the empty block takes varies only by a timer interrupt.
    let own = own.frequent.first().map_or(0, |(ticks, _)| *ticks);
    for meter in meters.reported() {
        let ticks = meter.samples.taken();
        let calls = ticks.len() as u64;
        let instructions = samples::spread(ticks, own)
            .with_context(|| format!("{} was not measured", meter.op))?;
        port.send(Fact::Cost(CallCost { op: meter.op.to_owned(), calls, instructions }))?;
    }
    Ok(())
}
