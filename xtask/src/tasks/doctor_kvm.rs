// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask doctor --kvm`: does KVM work here? The smoke matrix under KVM, then under TCG.
//!
//! Contract: the answer is kept ([`kvm_proof`]), whatever it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use super::bootable::{self, Bootable};
use super::run::{Run, Spec, Start};
use super::{Folders, conclude, inputs, kvm_proof, parts, rig, user_series};
use crate::cli::{self, AccelChoice, BuildOptions};
use crate::config::Config;
use crate::exit::Exit;
use crate::outcome::{CellResult, RunResult, Smoke, SmokeSide};
use crate::plan::{self, Cell, Selection};
use crate::progress::print;
use crate::report;
use crate::results::RunFolder;
use crate::vm::kvm;

/// Folder of its run folders, below the results.
pub(super) const FOLDER: &str = "doctor";
/// Matrix that runs under both.
const MATRIX: &str = "smoke";

/// Runs the command.
///
/// # Errors
/// [`Exit::Host`] if KVM does not boot a guest, with the remedy; kernels that cannot be had.
pub(super) fn run(folders: &Folders, args: &cli::Doctor) -> anyhow::Result<Exit> {
    let start = Start::new(args.install)?;
    let (config, keys) = match &args.plan {
        Some(file) => {
            let plan = parts::read(file, &parts::origin(folders)?)?;
            (user_series::configured_by(folders, &plan)?, plan.kernels)
        }
        None => (inputs::read(&folders.configs)?, BTreeMap::new()),
    };
    let name = kernel(&config, &keys)?;
    let names = BTreeSet::from([&name]);
    let build = BuildOptions { source: None, install: args.install };
    let kernels = bootable::kernels(folders, &config, &names, &keys, &args.images, &build)?;
    let mut matrix = config.matrix(MATRIX)?.clone();
    (matrix.kernels, matrix.baseline) = (vec![name.clone()], None);
    let cells = plan::plan(&config, &matrix, &Selection::default())?;

    kvm_proof::forget(&folders.cache);
    let trial = Trial { folders, config: &config, kernels: &kernels, cells: &cells, start };
    let (kvm, under_kvm, identity) = trial.side(&name, AccelChoice::Kvm)?;
    let (tcg, under_tcg, _) = trial.side(&name, AccelChoice::Tcg)?;
    let smoke = Smoke { kvm, tcg, differ: differences(&cells, &under_kvm, &under_tcg) };
    kvm_proof::keep(&folders.cache, &identity, &smoke)?;
    print(report::kvm(&smoke))?;
    let whole = under_kvm.len() == cells.len() && under_tcg.len() == cells.len();
    Ok(conclude::exit(trial.start.stop.asked(), whole && smoke.differ.is_empty()))
}

/// The kernel of the smoke matrix, or of the plan: the one with the first name that is not patched.
fn kernel(config: &Config, keys: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let unpatched = keys
        .keys()
        .find(|name| config.kernels.get(*name).is_some_and(|kernel| kernel.series.is_none()));
    match unpatched.or_else(|| keys.keys().next()) {
        Some(name) => Ok(name.clone()),
        None => Ok(config.matrix(MATRIX)?.kernels[0].clone()),
    }
}

/// What both sides have in common.
struct Trial<'a> {
    folders: &'a Folders,
    config: &'a Config,
    kernels: &'a BTreeMap<String, Bootable>,
    cells: &'a [Cell],
    start: Start,
}

impl Trial<'_> {
    /// Runs the cells under one accelerator: how fast, what each did, and on which KVM.
    fn side(
        &self,
        probe: &str,
        accel: AccelChoice,
    ) -> anyhow::Result<(SmokeSide, Vec<CellResult>, String)> {
        let (folders, start) = (self.folders, self.start.clone());
        let bzimage = &self.kernels[probe].bzimage;
        let ready = rig::prepare(folders, bzimage, accel, &start.stop)?;
        let (boot_ms, identity) = match &ready.rig.kvm {
            Some(kvm) => (kvm.boot_ms, kvm.identity.clone()),
            None => (kvm::boot_ms(&ready.rig, bzimage, &start.stop)?, String::new()),
        };
        let results: PathBuf = folders.results.join(FOLDER);
        let spec = Spec {
            results: &results,
            matrix: MATRIX,
            baseline: None,
            seed: 0,
            accel,
            probe,
            jobs: rig::jobs(None, self.cells)?,
            snapshots: true,
        };
        let folder = RunFolder::begin(&results, jiff::Timestamp::now())?;
        let kernels = self.kernels.clone();
        let mut run = Run::in_folder(start, folder, ready, self.config, kernels, spec)?;
        let begun = Instant::now();
        let ran = run.cells(self.cells)?;
        let ms = u64::try_from(begun.elapsed().as_millis())?;
        let (folder, result) = run.result(ran, self.cells.len())?;
        folder.write_result(&result)?;
        folder.write_report("")?;
        let RunResult { cells, .. } = result;
        Ok((SmokeSide { boot_ms, cells: cells.len() as u64, ms }, cells, identity))
    }
}

/// Cells that do not say the same under both, each with what they say.
fn differences(cells: &[Cell], kvm: &[CellResult], tcg: &[CellResult]) -> Vec<String> {
    let said = |ran: &[CellResult], id: &str| {
        let found = ran.iter().find(|ran| ran.cell.id == id);
        found.map_or_else(
            || "no verdict".to_owned(),
            |ran| {
                let judgement = ran.judgement();
                let rules: Vec<String> = judgement.breaks.iter().map(|it| it.to_string()).collect();
                format!("{} {}", judgement.verdict, rules.join(" ")).trim_end().to_owned()
            },
        )
    };
    let differ = cells.iter().filter_map(|cell| {
        let (kvm, tcg) = (said(kvm, &cell.id), said(tcg, &cell.id));
        (kvm != tcg).then(|| format!("{}: {kvm} under KVM, {tcg} under TCG", cell.id))
    });
    differ.collect()
}
