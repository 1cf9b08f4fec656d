// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask bench`: seconds per cell compared with bare QEMU on the same kernel, interleaved
//! in one run, and the cost of the series in instructions.

mod cells;
mod cost;
mod vng;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use self::whole::Wholes;
use super::run::{Run, Spec, Start};
use super::{Folders, bootable, inputs};
use crate::cli::{self, BenchPart, Places};
use crate::exit::{Exit, Fault};
use crate::plan::{self, Selection};
use crate::progress::{note, print};
use crate::report::{self, BenchResult, Times};

/// The matrix whose cells are timed; its first kernel is the one that bare QEMU boots.
const MATRIX: &str = "bench";

/// Folder of its run folders, below the results.
pub(super) const FOLDER: &str = "bench";

/// Measures, prints tables and keeps them with the evidence.
///
/// # Errors
/// As `run-matrix`; [`Exit::Unexpected`] when a timed cell is not as expected, or a number of
/// instructions is not the same in each boot.
pub(crate) fn run(places: &Places, args: &cli::Bench) -> anyhow::Result<Exit> {
    let cli::Bench { rounds, only, matrix, guests, build } = args;
    let cli::Guests { accel, images } = guests;
    let folders = Folders::of(places)?;
    let config = inputs::read(&folders.configs)?;
    let wants = |part| only.is_none_or(|only| only == part);
    let mut timed = plan::plan(&config, config.matrix(MATRIX)?, &Selection::default())?;
    timed.retain(|_| wants(BenchPart::Cells));
    let mut counted = plan::cost_cells(&config, config.matrix(matrix)?)?;
    counted.retain(|_| wants(BenchPart::Cost));
    let whole = wants(BenchPart::Matrix).then_some(config.matrix(matrix)?);
    let start = Start::new(build.install)?;
    let names: BTreeSet<&String> = timed
        .iter()
        .map(|cell| &cell.key.kernel)
        .chain(counted.iter().map(|cell| &cell.kernel))
        .chain(whole.iter().flat_map(|matrix| &matrix.kernels))
        .collect();
    let Some(&probe) = names.first() else {
        let what = format!("matrix `{matrix}` has no kernels to measure");
        return Err(Fault::new(Exit::Usage, what).into());
    };
    let kernels = bootable::kernels(&folders, &config, &names, &BTreeMap::new(), images, build)?;
    let results = &folders.results.join(FOLDER);
    let (seed, accel, jobs, snapshots) = (0, *accel, 1, false);
    let spec = Spec { results, matrix, baseline: None, seed, accel, probe, jobs, snapshots };
    let run = Run::begin(start, &folders, &config, kernels, spec)?;
    let manifest = run.manifest.clone();
    let mut result = BenchResult { manifest, times: Vec::new(), costs: Vec::new(), whole: None };
    if !timed.is_empty() {
        result.times = cells::measure(&run, &folders, &timed, *rounds)?;
        match vng::run(run.ready.rig.accel) {
            Ok((version, took)) => {
                let mut row = Times::new(&format!("virtme-ng running `true` ({version})"));
                row.add(took);
                result.times.push(row);
            }
            Err(why) => note(&why),
        }
        run.folder.write_result(&result)?;
        print(report::times(&result))?;
    }
    if let Some(matrix) = whole {
        let wholes = Wholes { run: &run, folders: &folders, matrix, accel, build };
        result.whole = Some(wholes.measure()?);
        run.folder.write_result(&result)?;
        result.whole.iter().try_for_each(|whole| print(report::whole(whole)))?;
    }
    if !counted.is_empty() {
        result.costs = cost::measure(&run, &counted)?;
        run.folder.write_result(&result)?;
        print(report::costs(&result.costs))?;
    }
    let (folder, manifest) = run.finish()?;
    result.manifest = manifest;
    folder.write_result(&result)?;
    folder.write_report(&report::bench(&result))?;
    print(format_args!("\nkept in {}\n", folder.dir().display()))?;
    Ok(Exit::Ok)
}
