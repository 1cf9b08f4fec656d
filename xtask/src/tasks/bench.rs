// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask bench`: seconds a cell beside bare QEMU on the same kernel, interleaved in one run,
//! and what the series costs in instructions.

mod cells;
mod cost;
mod vng;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use self::cells::Cells;
use self::cost::Costs;
use self::whole::Wholes;
use super::rig;
use super::{Folders, bootable, inputs, stop_on_signals};
use crate::cli::{self, BenchPart, Places};
use crate::exit::{Exit, Fault};
use crate::plan::{self, Selection};
use crate::progress::{note, print};
use crate::report::{self, BenchResult, Times};
use crate::results::RunFolder;

/// The matrix whose cells are timed; its first kernel is the one that bare QEMU boots.
const MATRIX: &str = "bench";

/// Where under the results a bench leaves its own.
pub(super) const FOLDER: &str = "bench";

/// Measures, prints tables and keeps them with the evidence.
///
/// # Errors
/// As `run-matrix`; [`Exit::Unexpected`] when a timed cell is not as expected, or a number of
/// instructions is not the same in each boot.
pub(crate) fn run(places: &Places, args: &cli::Bench) -> anyhow::Result<Exit> {
    let cli::Bench { rounds, only, matrix, images, accel, build } = args;
    let folders = Folders::of(places)?;
    let config = inputs::read(&folders.configs)?;
    let wants = |part| only.is_none_or(|only| only == part);
    let mut timed = plan::plan(&config, config.matrix(MATRIX)?, &Selection::default())?;
    timed.retain(|_| wants(BenchPart::Cells));
    let mut counted = plan::cost_cells(&config, config.matrix(matrix)?)?;
    counted.retain(|_| wants(BenchPart::Cost));
    let whole = wants(BenchPart::Matrix).then_some(config.matrix(matrix)?);
    let stop = stop_on_signals()?;
    rig::provide(build.install)?;
    let names: BTreeSet<&String> = timed
        .iter()
        .map(|cell| &cell.kernel)
        .chain(counted.iter().map(|cell| &cell.kernel))
        .chain(whole.iter().flat_map(|matrix| &matrix.kernels))
        .collect();
    let kernels = bootable::kernels(&folders, &config, &names, images, build)?;
    let bzimages: BTreeMap<String, PathBuf> =
        kernels.iter().map(|(name, kernel)| (name.clone(), kernel.bzimage.clone())).collect();
    let bzimage = names.first().and_then(|kernel| bzimages.get(*kernel)).ok_or_else(|| {
        Fault::new(Exit::Usage, format!("matrix `{matrix}` has no kernels to measure"))
    })?;
    let ready = rig::prepare(&folders, bzimage, *accel, &stop)?;

    let started = jiff::Timestamp::now();
    let folder = RunFolder::begin(&folders.results.join(FOLDER), started)?;
    let manifest = bootable::manifest(&ready, &kernels, matrix, 0, 1, started)?;
    let mut result = BenchResult { manifest, times: Vec::new(), costs: Vec::new(), whole: None };
    if !timed.is_empty() {
        let cells = Cells { config: &config, ready: &ready, bzimages: &bzimages, stop: &stop };
        result.times = cells.measure(&folders, &timed, *rounds)?;
        match vng::run(ready.rig.accel) {
            Ok((version, took)) => {
                let mut row = Times::new(&format!("virtme-ng running `true` ({version})"));
                row.add(took);
                result.times.push(row);
            }
            Err(why) => note(&why),
        }
        print(report::times(&result))?;
    }
    if let Some(matrix) = whole {
        let wholes = Wholes {
            folders: &folders,
            config: &config,
            matrix,
            ready: &ready,
            kernels: &kernels,
            build,
            folder: &folder,
            stop: &stop,
        };
        let whole = result.whole.insert(wholes.measure()?);
        print(report::whole(whole))?;
    }
    if !counted.is_empty() {
        let costs = Costs { rig: &ready.rig, bzimages: &bzimages, folder: &folder, stop: &stop };
        result.costs = costs.measure(&counted)?;
        print(report::costs(&result.costs))?;
    }
    folder.write_result(&result, &report::bench(&result))?;
    print(format_args!("\nkept in {}\n", folder.dir().display()))?;
    Ok(Exit::Ok)
}
