// SPDX-License-Identifier: MIT OR Apache-2.0
//! The measuring cell: what system calls cost in executed instructions, in a memcg well below its
//! limit.
//!
//! One task on one CPU and nothing beside it: no sampler, no heartbeat, no hog. It tells numbers
//! apart by how often they came; what is too many is the host's business.

mod calls;
mod counter;
mod samples;

use std::fs::File;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::wait::{WaitStatus, waitpid};
use protocol::{CellRequest, Fact, Stage};

use self::calls::{FILES, Meters, Pages};
use crate::board::{Gate, Slot};
use crate::charges::Watch;
use crate::memcgs::Memcgs;
use crate::port::Port;
use crate::watchdog::{Step, Watchdog};
use crate::{arena, process, release, shared};

/// Most rounds: each is some 25,000 instructions, and each call in it one sample.
const ROUNDS_MAX: u64 = 100_000;

/// Measures and reports everything but `Ended`.
///
/// # Errors
///
/// When the guest fails, or a measured call.
pub(crate) fn run(port: &'static Port, cell: &CellRequest, watch: &Watch) -> Result<()> {
    watch.remove().context("take the probe back")?;
    let watchdog = Watchdog::start(cell)?;
    let Some(memcgs) = Memcgs::create(cell)? else {
        let missing = format!("memory controller of cgroup {}", cell.cgroup);
        return port.send(Fact::Unsupported { missing });
    };
    let mut files = cell.policy.iter().map(|write| &write.file);
    if let Some(file) = files.find(|file| !memcgs.limited.has(file)) {
        let missing = format!("{file} in a memcg of cgroup {}", cell.cgroup);
        return port.send(Fact::Unsupported { missing });
    }
    arena::mount_tmpfs()?;
    for limit in memcgs.limits(cell) {
        port.send(limit.set(cell)?)?;
    }
    let rounds = cell.operations;
    ensure!((1..=ROUNDS_MAX).contains(&rounds), "{rounds} rounds, not 1 to {ROUNDS_MAX}");
    let meters = Meters::with_room(rounds)?;
    // Named from here, by PID 1 and its children: the walk to the arena is none of the costs.
    std::env::set_current_dir(arena::ARENA).context("go to the arena")?;
    let mut path = calls::file_path();
    for number in 0..FILES {
        File::create_new(path.with(number).to_str()?).context("create a file to open")?;
    }
    memcgs.report(port, Stage::Before)?;

    watchdog.begins(Step::Load);
    port.send(Fact::Started { workload: cell.workload.clone(), processes: 1 })?;
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
    let slot: &'static Slot = shared::map_one()?;
    let gate: &'static Gate = shared::map_one()?;
    let pid = process::spawn(slot, "cost", 0, || {
        let pages = Pages::prepare(&memcgs.limited)?;
        process::lock_memory()?;
        gate.pass();
        calls::steady(meters, rounds)?;
        pages.fill(meters)?;
        pages.fault_in(meters)
    })?;
    memcgs.limited.admit(pid)?;
    gate.open();
    match waitpid(pid, None).context("wait for the measured task")? {
        WaitStatus::Exited(_, 0) => Ok(()),
        end => bail!("the measured task ended with {end:?}: {:?}", slot.fault()),
    }
}

fn report(port: &Port, meters: &Meters) -> Result<()> {
    let own = samples::spread(meters.own().taken(), 0).context("nothing was measured")?;
    // What the block takes by itself never varies, but for a timer's interrupt.
    let own = own.frequent.first().map_or(0, |(ticks, _)| *ticks);
    for meter in meters.reported() {
        let ticks = meter.samples.taken();
        let calls = ticks.len() as u64;
        let instructions = samples::spread(ticks, own)
            .with_context(|| format!("{} was not measured", meter.op))?;
        port.send(Fact::Cost { op: meter.op.to_owned(), calls, instructions })?;
    }
    Ok(())
}
