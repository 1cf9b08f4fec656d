// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask bench`: seconds a cell beside bare QEMU on the same kernel, interleaved in one run.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::build_kernel::{self, Wanted};
use super::rig::{self, Ready};
use super::{Folders, inputs};
use crate::cli::{self, Places};
use crate::exit::{Exit, Fault};
use crate::host::process;
use crate::plan::{self, Cell, Selection};
use crate::progress::{Step, note};
use crate::report::{self, Times};
use crate::taxonomy::Verdict;
use crate::verdict::{self, Judgement};
use crate::vm::{self, Stop, floor, guest_binary};

/// The matrix whose cells are measured; its first kernel is the one that boots.
const MATRIX: &str = "bench";

/// Times a measurement is begun before the host is given up.
const ATTEMPTS: u32 = 3;

/// A boot that takes longer than this under emulation is no measurement.
const FLOOR_LIMIT: Duration = Duration::from_secs(60);

/// Measures and prints a table.
///
/// # Errors
/// As `run-matrix`; [`Exit::Unexpected`] when a measured cell is not as expected.
pub(crate) fn run(places: &Places, args: &cli::Bench) -> anyhow::Result<Exit> {
    let cli::Bench { rounds, accel, build } = args;
    let folders = Folders::of(places)?;
    let config = inputs::read(&folders.configs)?;
    let cells = plan::plan(&config, config.matrix(MATRIX)?, &Selection::default())?;
    let stop = Stop::on_signals()?;
    let asked = stop.clone();
    process::obey(move || asked.asked());
    rig::provide(build.install)?;
    let kernels = [cells[0].kernel.clone()];
    let wanted =
        Wanted { kernels: &kernels, source: build.source.as_deref(), install: build.install };
    let images = build_kernel::build(&folders, &config, wanted)?;
    let bzimage = images[&kernels[0]].bz_image();
    let ready = rig::prepare(&folders, &bzimage, *accel, &stop)?;
    let bench = Bench { config: &config, ready: &ready, bzimage, stop: &stop };
    let times = bench.measure(&folders, &cells, *rounds)?;
    let accel = ready.rig.accel;
    print!("{}", report::bench(&format!("{} under {accel}", kernels[0]), &times));
    Ok(Exit::Ok)
}

struct Bench<'a> {
    config: &'a crate::config::Config,
    ready: &'a Ready,
    bzimage: PathBuf,
    stop: &'a Stop,
}

impl Bench<'_> {
    /// Round by round, so that a machine that grows slower does so for all alike. The floor first.
    fn measure(
        &self,
        folders: &Folders,
        cells: &[Cell],
        rounds: u32,
    ) -> anyhow::Result<Vec<Times>> {
        let bare = guest_binary::pack(&self.ready.binaries.power_off, &folders.cache)?;
        let mut times = vec![Times::new("bare QEMU, PID 1 only powers off")];
        times.extend(cells.iter().map(|cell| Times::new(&cell.id)));
        let step = Step::begin("bench", Some(u64::from(rounds)));
        for round in 0..rounds {
            step.at(u64::from(round), "");
            let shape = &cells[0].vm;
            let floor =
                floor::boot(&self.ready.rig, shape, &self.bzimage, &bare, FLOOR_LIMIT, self.stop)?;
            times[0].add(floor);
            for (cell, times) in cells.iter().zip(&mut times[1..]) {
                times.add(self.cell(cell)?);
            }
        }
        step.end(&format!("{rounds} rounds"));
        Ok(times)
    }

    /// An attempt that ended in ERROR is the host's fault and no time of a cell: it is made again.
    fn cell(&self, cell: &Cell) -> anyhow::Result<Duration> {
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            let (took, judgement) = self.attempt(cell)?;
            if self.stop.asked() {
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

    fn attempt(&self, cell: &Cell) -> anyhow::Result<(Duration, Judgement)> {
        let dir = tempfile::tempdir()?;
        let begun = Instant::now();
        let evidence = vm::cell::run(&self.ready.rig, cell, &self.bzimage, dir.path(), self.stop);
        let took = begun.elapsed();
        let scenario = &self.config.scenarios[&cell.scenario];
        let pace = super::attempts::pace(self.ready.rig.accel);
        Ok((took, verdict::judge(cell, scenario, &evidence, pace)))
    }
}
