// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask reach-map`: records which cells of the unpatched kernel call which functions, for
//! `run-matrix --series` to choose cells by.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use super::bootable;
use super::run::{Run, Spec, Start};
use super::symbols::vmlinux;
use super::{Folders, inputs, reach, rig, selection, shown};
use crate::cli::{self, AccelChoice, Places};
use crate::evidence::store;
use crate::exit::Exit;
use crate::host::file::write_whole;
use crate::outcome::CODE_BEGIN;
use crate::plan;
use crate::progress::note;
use crate::reach::Map;

/// After all code of a kernel: modules are above.
const CODE_END: u64 = 0xffff_ffff_a000_0000;

/// Runs the command.
///
/// # Errors
/// As `run-matrix`; a cell of which nothing was recorded.
pub(crate) fn run(places: &Places, args: &cli::ReachMap) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    let config = inputs::read(&folders.configs)?;
    let mut matrix = config.matrix(&args.matrix)?.clone();
    let baseline = matrix.baseline.take();
    let baseline = baseline.with_context(|| format!("matrix {} has no baseline", args.matrix))?;
    matrix.kernels = vec![baseline.clone()];
    let cells = plan::plan(&config, &matrix, &selection(&args.select))?;
    let start = Start::new(args.build.install)?;
    let names = BTreeSet::from([&baseline]);
    let kernels = bootable::kernels(&folders, &config, &names, &BTreeMap::new(), &[], &args.build)?;
    let image = vmlinux(&folders.cache, &kernels[&baseline].note.key)?;
    let spec = Spec {
        results: &folders.results,
        matrix: &matrix.name,
        baseline: None,
        seed: args.select.seed,
        // Only emulated code is translated.
        accel: AccelChoice::Tcg,
        probe: &baseline,
        jobs: rig::jobs(args.jobs, &cells)?,
        snapshots: true,
    };
    let mut run = Run::begin(start, &folders, &config, kernels, spec)?;
    run.ready.rig.watched.push(CODE_BEGIN..CODE_END);
    let mut ran = BTreeMap::new();
    for cell in run.cells(&cells)? {
        let dir = run.folder.dir().join(&cell.counted().folder);
        let code = store::code(&dir)?;
        if code.is_empty() {
            note(&format!("note: {}: nothing was recorded", cell.cell.id));
            continue;
        }
        ran.insert(cell.cell.key.scenario_id(), code);
    }
    let (folder, manifest) = run.finish()?;
    if manifest.interrupted || ran.is_empty() {
        return Ok(Exit::Interrupted);
    }
    let base = &config.kernel(&baseline)?.base;
    let about = format!(
        "Which cells call which functions: `cargo xtask reach-map --matrix {}`",
        args.matrix
    );
    let path = args.output.clone().unwrap_or_else(|| reach::map_path(&folders, base));
    write_whole(&path, Map::record(&image, &ran)?.text(&about).as_bytes())?;
    note(&format!("{} cells: {}", ran.len(), shown(&path)));
    note(&format!("evidence: {}", shown(folder.dir())));
    Ok(Exit::Ok)
}
