// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask coverage`: the patched cells of matrices on an unmodified kernel, with QEMU's log of what it translates; then
//! which of the lines that the series adds have run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;

use super::attempts::Runner;
use super::build_kernel::{self, Wanted};
use super::{Folders, bootable, inputs, rig, run_matrix, style};
use crate::cli::{self, AccelChoice, Places};
use crate::config::{Config, Kernel};
use crate::coverage::{self, Coverage, File, LineTable};
use crate::exit::{Exit, Fault};
use crate::host::process;
use crate::kernel::Cache;
use crate::kernel::steps::Steps;
use crate::plan::{self, Cell};
use crate::report;
use crate::report::json::{CellResult, Manifest};
use crate::results::RunFolder;
use crate::vm::{Stop, evidence_dir};

/// `coverage.json` of the run folder.
#[derive(Serialize)]
struct Covered<'a> {
    manifest: &'a Manifest,
    kernel: &'a str,
    /// Cells by id, with their verdicts.
    cells: BTreeMap<&'a str, String>,
    #[serde(flatten)]
    coverage: &'a Coverage,
}

/// Runs the command.
///
/// # Errors
/// As `run-matrix`; a kernel without a series or without line tables. Lines that never ran are no error but a finding
/// ([`Exit::Unexpected`]).
pub(crate) fn run(places: &Places, args: &cli::Coverage) -> anyhow::Result<Exit> {
    let cli::Coverage { kernel: name, matrices, select, jobs, build } = args;
    let folders = Folders::of(places)?;
    let config = inputs::read(&folders.configs)?;
    let kernel = config.kernel(name)?;
    let cells = cells(&config, kernel, matrices, select)?;
    let begun = Instant::now();
    let stop = Stop::on_signals()?;
    let asked = stop.clone();
    process::obey(move || asked.asked());
    rig::provide(build.install)?;
    let files = files(&folders, &config, kernel, build)?;
    let (kernels, vmlinux) = kernels(&folders, &config, kernel, &cells, build)?;
    let table = line_table(&vmlinux, &files)?;
    let first = &kernels[&cells[0].kernel].bzimage;
    // Only emulated code is translated.
    let mut ready = rig::prepare(&folders, first, AccelChoice::Tcg, &stop)?;
    ready.rig.watched = table.functions.clone();
    let jobs = rig::jobs(*jobs, &cells);

    let started = jiff::Timestamp::now();
    let folder = RunFolder::begin(&folders.results, started)?;
    let matrix = matrices.join("+");
    let mut manifest = bootable::manifest(&ready, &kernels, &matrix, select.seed, jobs, started)?;
    folder.write_manifest(&manifest)?;
    let mut runner = Runner::new(&config, &kernels, &ready.rig, &folder, &stop, true);
    let ran = runner.run(&cells, jobs)?;
    manifest.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    manifest.interrupted = stop.asked();
    folder.write_manifest(&manifest)?;

    let executed = executed(&folder)?;
    if executed.is_empty() && !stop.asked() {
        let what = format!("{} has logged no instruction it translated", ready.rig.qemu.version);
        let hint = "`-d in_asm` has to print addresses, which takes a QEMU built with capstone";
        return Err(Fault::new(Exit::Host, what).hint(hint).into());
    }
    let reasons = config.reasons.get(&kernel.base).map_or(&[][..], Vec::as_slice);
    let coverage = coverage::judge(&files, &table, &executed, reasons);
    let verdicts = ran.iter().map(|ran| (ran.cell.id.as_str(), verdict(ran))).collect();
    let covered =
        Covered { manifest: &manifest, kernel: name, cells: verdicts, coverage: &coverage };
    folder.write_text("coverage.json", &serde_json::to_string_pretty(&covered)?)?;
    conclude(&folder, &coverage, &ran, cells.len(), &manifest)
}

/// The cells of the matrices whose kernel has the code of `kernel`, each once.
fn cells(
    config: &Config,
    kernel: &Kernel,
    matrices: &[String],
    select: &cli::Select,
) -> anyhow::Result<Vec<Cell>> {
    let mut cells: Vec<Cell> = Vec::new();
    let mut nothing = None;
    for name in matrices {
        let mut matrix = config.matrix(name)?.clone();
        matrix.kernels.retain(|name| config.kernels[name].same_code(kernel));
        (matrix.baseline, matrix.must_fail) = (None, Vec::new());
        match plan::plan(config, &matrix, &run_matrix::selection(select)) {
            Ok(planned) => cells.extend(planned),
            Err(fault) => nothing = Some(fault),
        }
    }
    let mut seen = BTreeSet::new();
    cells.retain(|cell| seen.insert(cell.id.clone()));
    match (cells.is_empty(), nothing) {
        (true, Some(fault)) => Err(fault.into()),
        _ => Ok(cells),
    }
}

/// The files of the series with what it adds to them.
fn files(
    folders: &Folders,
    config: &Config,
    kernel: &Kernel,
    build: &cli::BuildOptions,
) -> anyhow::Result<Vec<File>> {
    inputs::sources_present(&folders.workspace, config, [kernel.name.as_str()])?;
    let cache = Cache::open(&folders.cache)?;
    let located = build_kernel::locate(config, kernel, build.source.as_deref(), &cache)?;
    let steps = Steps::read(&cache, &folders.workspace, kernel, &located)?;
    let sources = steps.sources()?;
    Ok(sources.iter().map(|(path, before, after)| coverage::added(path, before, after)).collect())
}

/// The kernels of the cells, which all have the code of this vmlinux.
fn kernels(
    folders: &Folders,
    config: &Config,
    kernel: &Kernel,
    cells: &[Cell],
    build: &cli::BuildOptions,
) -> anyhow::Result<(BTreeMap<String, bootable::Bootable>, PathBuf)> {
    let used = cells.iter().map(|cell| &cell.kernel).chain([&kernel.name]);
    let names: Vec<String> = used.collect::<BTreeSet<_>>().into_iter().cloned().collect();
    let wanted =
        Wanted { kernels: &names, source: build.source.as_deref(), install: build.install };
    let images = build_kernel::build(folders, config, wanted)?;
    let vmlinux = images[&kernel.name].vmlinux();
    let mut kernels = BTreeMap::new();
    for (name, image) in images {
        kernels.insert(name, bootable::built(&image)?);
    }
    Ok((kernels, vmlinux))
}

fn line_table(vmlinux: &Path, files: &[File]) -> anyhow::Result<LineTable> {
    let bytes =
        std::fs::read(vmlinux).with_context(|| format!("cannot read {}", vmlinux.display()))?;
    LineTable::read(&bytes, files).map_err(|error| {
        let what = format!("{}: {error:#}", vmlinux.display());
        Fault::new(Exit::Build, what)
            .hint("line tables come with CONFIG_DEBUG_INFO_DWARF5 in a fragment of the kernel")
            .into()
    })
}

/// Every address that ran in any VM of the run: boots that cells shared, and all attempts.
fn executed(folder: &RunFolder) -> anyhow::Result<BTreeSet<u64>> {
    let mut executed = BTreeSet::new();
    let attempts = folder.cells()?.into_iter().flat_map(|cell| folder.attempts(&cell));
    for dir in attempts.chain(folder.boots()) {
        executed.extend(evidence_dir::code(&dir)?);
    }
    Ok(executed)
}

fn verdict(ran: &CellResult) -> String {
    ran.judgement().verdict.to_string()
}

fn conclude(
    folder: &RunFolder,
    coverage: &Coverage,
    ran: &[CellResult],
    planned: usize,
    manifest: &Manifest,
) -> anyhow::Result<Exit> {
    let expected = ran.iter().filter(|ran| ran.judgement().as_expected).count();
    let mut cells = format!(
        "{} of {planned} cells have run, {expected} as expected ({:.1} s, {})",
        ran.len(),
        manifest.duration_ms as f64 / 1000.0,
        manifest.accelerator
    );
    for ran in ran.iter().filter(|ran| !ran.judgement().as_expected) {
        cells.push_str(&format!("\n  not as expected: {} is {}", ran.cell.id, verdict(ran)));
    }
    let shown = run_matrix::shown(folder.dir());
    let text = |style| report::coverage(coverage, &cells, &shown, style);
    folder.write_text("report.txt", &text(report::Style::default()))?;
    print!("{}", text(style(std::io::stdout())));
    Ok(if manifest.interrupted {
        Exit::Interrupted
    } else if coverage.good() {
        Exit::Ok
    } else {
        Exit::Unexpected
    })
}
