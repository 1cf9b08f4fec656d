// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask run-matrix`: plan, kernels, VMs, verdicts, results, report. The main job.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::attempts::{Runner, pace};
use super::build_kernel::{self, Wanted};
use super::rig::{self, Ready};
use super::{Folders, inputs, style};
use crate::cli::{self, Places};
use crate::config::{Config, Matrix, Scenario};
use crate::exit::{Exit, Fault};
use crate::host::process;
use crate::kernel::{Image, sha256_of};
use crate::plan::{self, Cell, Selection};
use crate::report::json::{
    CellResult, Host, KernelNote, Manifest, RunResult, SCHEMA_VERSION, ScenarioNote, Totals,
};
use crate::results::RunFolder;
use crate::verdict::{Judged, compare};
use crate::vm::Stop;
use crate::{host, report};

/// Runs the command.
///
/// # Errors
/// Configuration, kernels and host, each with its code; what a cell does is no error.
pub(crate) fn run(places: &Places, args: &cli::RunMatrix) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    let config = inputs::read(&folders.configs)?;
    let matrix = config.matrix(&args.matrix)?;
    let cells = plan::plan(&config, matrix, &selection(&args.select))?;
    if args.dry_run {
        cells.iter().for_each(|cell| println!("{}", cell.id));
        return Ok(Exit::Ok);
    }
    let begun = Instant::now();
    let stop = Stop::on_signals()?;
    let asked = stop.clone();
    process::obey(move || asked.asked());
    rig::provide(args.build.install)?;
    let kernels = kernels(&folders, &config, &cells, args)?;
    let bzimages =
        kernels.iter().map(|(name, kernel)| (name.clone(), kernel.bzimage.clone())).collect();
    let first = &kernels[&cells[0].kernel].bzimage;
    let ready = rig::prepare(&folders, first, args.accel, &stop)?;
    let jobs = rig::jobs(args.jobs, &cells);

    let started = jiff::Timestamp::now();
    let folder =
        RunFolder::create(&folders.results, &started.strftime("%Y-%m-%dT%H-%M-%SZ").to_string())?;
    let mut manifest = manifest(&ready, &kernels, args, jobs)?;
    manifest.started_at = started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    folder.write_manifest(&manifest)?;

    let runner = Runner {
        config: &config,
        bzimages: &bzimages,
        rig: &ready.rig,
        folder: &folder,
        stop: &stop,
        style: style(std::io::stderr()),
    };
    let ran = runner.run(&cells, jobs)?;
    manifest.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    manifest.interrupted = stop.asked();
    folder.write_manifest(&manifest)?;
    let result = result(&config, matrix, &folder.id, manifest, ran, cells.len());
    conclude(&folder, &result)
}

/// Stores and prints the result; gives the exit code it means.
fn conclude(folder: &RunFolder, result: &RunResult) -> anyhow::Result<Exit> {
    let shown = shown(folder.dir());
    folder.write_result(result, &report::run(result, &shown, report::Style::default()))?;
    print!("{}", report::run(result, &shown, style(std::io::stdout())));
    Ok(if result.manifest.interrupted {
        Exit::Interrupted
    } else if result.totals.good() {
        Exit::Ok
    } else {
        Exit::Unexpected
    })
}

/// A path below the current folder is shown relative to it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

pub(super) fn selection(select: &cli::Select) -> Selection {
    let cli::Select { filter, repetitions, seed } = select;
    Selection {
        filters: filter.clone(),
        repetitions: *repetitions,
        run_seed: *seed,
        ..Selection::default()
    }
}

/// A kernel that is ready to boot.
struct Bootable {
    bzimage: PathBuf,
    note: KernelNote,
}

/// Takes the images that were given and builds the others; by kernel.
fn kernels(
    folders: &Folders,
    config: &Config,
    cells: &[Cell],
    args: &cli::RunMatrix,
) -> anyhow::Result<BTreeMap<String, Bootable>> {
    let names: BTreeSet<&String> = cells.iter().map(|cell| &cell.kernel).collect();
    let given: BTreeMap<&String, &PathBuf> =
        args.images.iter().map(|(kernel, path)| (kernel, path)).collect();
    if let Some(unknown) = given.keys().find(|kernel| !names.contains(*kernel)) {
        let what = format!("--image {unknown}=...: no cell runs kernel `{unknown}`");
        return Err(Fault::new(Exit::Usage, what).into());
    }
    let to_build: Vec<String> = names
        .iter()
        .filter(|name| !given.contains_key(*name))
        .map(|name| (*name).clone())
        .collect();
    let cli::BuildOptions { source, install } = &args.build;
    let wanted = Wanted { kernels: &to_build, source: source.as_deref(), install: *install };
    let mut kernels = BTreeMap::new();
    for (name, image) in build_kernel::build(folders, config, wanted)? {
        kernels.insert(name, built(&image)?);
    }
    for (name, path) in given {
        if !path.is_file() {
            let what = format!("--image {name}={}: no such file", path.display());
            return Err(Fault::new(Exit::Usage, what).into());
        }
        kernels.insert(name.clone(), foreign(path)?);
    }
    Ok(kernels)
}

fn built(image: &Image) -> anyhow::Result<Bootable> {
    let bzimage = image.bz_image();
    let note = KernelNote {
        source: image.manifest.source.clone(),
        key: image.key.clone(),
        image_sha256: sha256_of(&bzimage)?,
        patches: image.manifest.patches.clone(),
        toolchain: image.manifest.toolchain.clone(),
    };
    Ok(Bootable { bzimage, note })
}

fn foreign(bzimage: &Path) -> anyhow::Result<Bootable> {
    let note = KernelNote {
        source: format!("image {}", bzimage.display()),
        key: String::new(),
        image_sha256: sha256_of(bzimage)?,
        patches: Vec::new(),
        toolchain: String::new(),
    };
    Ok(Bootable { bzimage: std::path::absolute(bzimage)?, note })
}

/// All but the times, which the caller knows.
fn manifest(
    ready: &Ready,
    kernels: &BTreeMap<String, Bootable>,
    args: &cli::RunMatrix,
    jobs: usize,
) -> anyhow::Result<Manifest> {
    let system = nix::sys::utsname::uname()?;
    let word = |word: &std::ffi::OsStr| word.to_string_lossy().into_owned();
    Ok(Manifest {
        harness: env!("CARGO_PKG_VERSION").to_owned(),
        command: std::env::args().collect(),
        started_at: String::new(),
        duration_ms: 0,
        matrix: args.matrix.clone(),
        seed: args.select.seed,
        jobs: u32::try_from(jobs)?,
        interrupted: false,
        accelerator: ready.rig.accel.to_string(),
        slowdown: pace(ready.rig.accel).slowdown,
        qemu: ready.rig.qemu.version.clone(),
        host: Host {
            system: format!("{} {}", word(system.sysname()), word(system.release())),
            cpus: u32::try_from(host::cores())?,
            memory_mib: host::memory_available_mib().unwrap_or(0),
        },
        guest_sha256: sha256_of(&ready.binaries.guest)?,
        kernels: kernels.iter().map(|(name, kernel)| (name.clone(), kernel.note.clone())).collect(),
    })
}

fn result(
    config: &Config,
    matrix: &Matrix,
    run: &str,
    manifest: Manifest,
    cells: Vec<CellResult>,
    planned: usize,
) -> RunResult {
    let judged: Vec<Judged<'_>> =
        cells.iter().map(|ran| Judged { cell: &ran.cell, judgement: ran.judgement() }).collect();
    let names: BTreeSet<&String> = cells.iter().map(|ran| &ran.cell.scenario).collect();
    let mut differentials = Vec::new();
    let mut scenarios = BTreeMap::new();
    for scenario in names.into_iter().map(|name| &config.scenarios[name]) {
        if let Some(baseline) = &matrix.baseline {
            differentials.extend(compare(scenario, baseline, &judged));
        }
        scenarios.insert(scenario.name.clone(), note(scenario));
    }
    RunResult {
        schema_version: SCHEMA_VERSION,
        run: run.to_owned(),
        totals: Totals::of(planned, &cells),
        manifest,
        scenarios,
        cells,
        differentials,
    }
}

pub(super) fn note(scenario: &Scenario) -> ScenarioNote {
    ScenarioNote { title: scenario.title.clone(), about: scenario.about.clone() }
}
