// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask coverage`: runs the patched cells of matrices with QEMU's log of translated code,
//! and shows which of the lines that the series adds were run.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::bootable;
use super::run::{Run, Spec, Start};
use super::symbols::vmlinux;
use super::{
    Folders, build_kernel, conclude, print_report, proven, rig, selection, shown, user_series,
};
use crate::cli::{self, AccelChoice, Places};
use crate::config::{Config, Kernel};
use crate::coverage::{self, Coverage, File, LineTable};
use crate::evidence::store;
use crate::exit::{Exit, Fault};
use crate::outcome::{CellResult, Manifest};
use crate::plan::{self, Cell, Selection};
use crate::report;
use crate::results::RunFolder;
use crate::taxonomy::USER_SERIES;

/// File in the run folder.
const RESULT: &str = "coverage.json";

/// What is in [`RESULT`].
#[derive(Serialize)]
struct Covered<'a> {
    manifest: &'a Manifest,
    kernel: &'a str,
    /// Cells that were not as expected, with their verdicts.
    unexpected: &'a [String],
    #[serde(flatten)]
    coverage: &'a Coverage,
}

/// A run whose cells have run.
struct Ran {
    folder: RunFolder,
    manifest: Manifest,
    /// Cells that were not as expected, with their verdicts.
    unexpected: Vec<String>,
    /// Whether it ran now: the files of earlier runs are not overwritten.
    is_new: bool,
}

/// Runs the command.
///
/// # Errors
/// As `run-matrix`; a kernel without a series or without line tables. Lines that never ran and
/// unexpected cells are no error but a finding ([`Exit::Unexpected`]).
pub(crate) fn run(places: &Places, args: &cli::Coverage) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    let matrices = matrices(args);
    let user_series::Configured { config, pair: [_, patched], .. } =
        user_series::configured(&folders, &args.user_series, &args.build, &matrices[0])?;
    let kernel = config.kernel(args.kernel.as_ref().unwrap_or(&patched))?;
    let cells = cells(&config, kernel, &matrices, &args.select)?;
    let start = Start::new(args.build.install)?;
    let stop = start.stop.clone();
    let files = files(&folders, &config, kernel, &args.build)?;
    let names = cells.iter().map(|cell| &cell.key.kernel).chain([&kernel.name]).collect();
    let kernels = bootable::kernels(&folders, &config, &names, &BTreeMap::new(), &[], &args.build)?;
    let key = kernels[&kernel.name].note.key.clone();
    let table = line_table(&kernel.name, &vmlinux(&folders.cache, &key)?, &files)?;
    let ran = match args.runs.is_empty() {
        true => {
            let matrix = &matrices.join("+");
            let (seed, jobs) = (args.select.seed, rig::jobs(args.jobs, &cells)?);
            // Only emulated code is translated.
            let (accel, results) = (AccelChoice::Tcg, &folders.results);
            let (probe, snapshots) = (&cells[0].key.kernel, true);
            let spec =
                Spec { results, matrix, baseline: None, seed, accel, probe, jobs, snapshots };
            let mut run = Run::begin(start, &folders, &config, kernels, spec)?;
            run.ready.rig.watched.clone_from(&table.functions);
            let unexpected = unexpected(&run.cells(&cells)?);
            let (folder, manifest) = run.finish()?;
            vec![Ran { folder, manifest, unexpected, is_new: true }]
        }
        false => {
            let kept = args.runs.iter().map(|run| kept(&folders, run, &kernel.name, &key));
            kept.collect::<Result<_, _>>()?
        }
    };
    let mut executed = BTreeSet::new();
    for ran in &ran {
        executed.extend(executed_in(&ran.folder)?);
    }
    if executed.is_empty() && !stop.asked() {
        let what = "QEMU logged no translated instruction";
        let hint = "`-d in_asm` prints addresses only if QEMU is built with capstone";
        return Err(Fault::new(Exit::Host, what).hint(hint).into());
    }
    // The reasons are for the series of this project.
    let reasons = config.reasons.get(&kernel.base).filter(|_| kernel.name != USER_SERIES);
    let reasons = reasons.map_or(&[][..], Vec::as_slice);
    let coverage = coverage::judge(&files, &table, &executed, reasons);
    conclude(&kernel.name, &ran, &coverage)
}

/// The matrices that were named, or the defaults.
fn matrices(args: &cli::Coverage) -> Vec<String> {
    let names: &[&str] = match args.user_series.series {
        Some(_) => &["default"],
        None => &["full", "booted"],
    };
    match args.matrices.is_empty() {
        true => names.iter().map(|&name| name.to_owned()).collect(),
        false => args.matrices.clone(),
    }
}

/// Cells that were not as expected at the attempt that counts, with their verdicts.
fn unexpected(ran: &[CellResult]) -> Vec<String> {
    let unexpected = ran.iter().filter(|ran| !ran.judgement().as_expected);
    let told = |ran: &CellResult| format!("{} is {}", ran.cell.id, ran.judgement().verdict);
    unexpected.map(told).collect()
}

/// An earlier run, if it ran this image.
fn kept(folders: &Folders, run: &str, kernel: &str, key: &str) -> anyhow::Result<Ran> {
    let folder = RunFolder::open(&folders.results, run)?;
    if !folder.dir().join(RESULT).exists() {
        let what = format!("run {} has no {RESULT}: it did not finish", folder.id);
        let hint = "name a run of `cargo xtask coverage` that finished";
        return Err(Fault::new(Exit::Usage, what).hint(hint).into());
    }
    let manifest: Manifest = folder.read_manifest()?;
    if !manifest.kernels.values().any(|kernel| kernel.key == key) {
        let what = format!("run {} is of another build of kernel {kernel}", folder.id);
        let hint = "its addresses do not fit this build: run `cargo xtask coverage` again";
        return Err(Fault::new(Exit::Usage, what).hint(hint).into());
    }
    let unexpected = unexpected(&proven::judged_again(&folder)?.cells);
    Ok(Ran { folder, manifest, unexpected, is_new: false })
}

/// The cells of the matrices whose kernel has the code of `kernel`, each once. A filter has to
/// match in one of the matrices only.
fn cells(
    config: &Config,
    kernel: &Kernel,
    matrices: &[String],
    select: &cli::Select,
) -> anyhow::Result<Vec<Cell>> {
    let wanted = selection(select);
    let everything = Selection { filters: Vec::new(), ..wanted.clone() };
    let mut cells: Vec<Cell> = Vec::new();
    let mut nothing = None;
    for name in matrices {
        let mut matrix = config.matrix(name)?.clone();
        match kernel.name == USER_SERIES {
            true => matrix.kernels = vec![USER_SERIES.to_owned()],
            false => matrix.kernels.retain(|name| config.kernels[name].same_code(kernel)),
        }
        matrix.baseline = None;
        match plan::plan(config, &matrix, &everything) {
            Ok(planned) => cells.extend(planned),
            Err(fault) => nothing = Some(fault),
        }
    }
    let mut seen = BTreeSet::new();
    cells.retain(|cell| seen.insert(cell.id.clone()));
    match (cells.is_empty(), nothing) {
        (true, Some(fault)) => Err(fault.into()),
        _ => Ok(plan::filtered(cells, &wanted.filters, &matrices.join("+"))?),
    }
}

/// The files of the series, with the lines that it adds.
fn files(
    folders: &Folders,
    config: &Config,
    kernel: &Kernel,
    build: &cli::BuildOptions,
) -> anyhow::Result<Vec<File>> {
    let sources = build_kernel::files(folders, config, kernel, build)?;
    Ok(sources.iter().map(|(path, before, after)| coverage::added(path, before, after)).collect())
}

fn line_table(kernel: &str, vmlinux: &[u8], files: &[File]) -> anyhow::Result<LineTable> {
    LineTable::read(vmlinux, files).map_err(|error| {
        let what = format!("vmlinux of kernel {kernel}: {error:#}");
        Fault::new(Exit::Build, what)
            .hint("line tables come with CONFIG_DEBUG_INFO_DWARF5 in a fragment of the kernel")
            .into()
    })
}

/// Every address that ran in any VM of the run: in shared boots and in all attempts.
fn executed_in(folder: &RunFolder) -> anyhow::Result<BTreeSet<u64>> {
    let mut executed = BTreeSet::new();
    let attempts = folder.cells()?.into_iter().flat_map(|cell| folder.attempts(&cell));
    for dir in attempts.chain(folder.boots()) {
        folder.check_seal(&dir)?;
        executed.extend(store::code(&dir)?);
    }
    Ok(executed)
}

fn conclude(kernel: &str, all: &[Ran], coverage: &Coverage) -> anyhow::Result<Exit> {
    let (mut cells, mut places) = (Vec::new(), Vec::new());
    for Ran { folder, manifest, unexpected, .. } in all {
        let (count, seconds) = (folder.cells()?.len(), manifest.duration_ms as f64 / 1000.0);
        cells.push(format!("{count} cells ({seconds:.1} s, {})", manifest.accelerator));
        cells.extend(unexpected.iter().map(|cell| format!("  not as expected: {cell}")));
        places.push(shown(folder.dir()));
    }
    let text = |style| report::coverage(coverage, &cells.join("\n"), &places.join(" "), style);
    for Ran { folder, manifest, unexpected, .. } in all.iter().filter(|ran| ran.is_new) {
        folder.write_json(RESULT, &Covered { manifest, kernel, unexpected, coverage })?;
        folder.write_report(&text(report::Style::default()))?;
    }
    print_report(text)?;
    Ok(exit(all, coverage))
}

/// A line counts as run whatever became of its cell, so an unexpected cell counts by itself.
fn exit(all: &[Ran], coverage: &Coverage) -> Exit {
    let interrupted = all.iter().any(|ran| ran.manifest.interrupted);
    let good = coverage.good() && all.iter().all(|ran| ran.unexpected.is_empty());
    conclude::exit(interrupted, good)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Matrix;
    use crate::config::tests::good;
    use crate::coverage::{FileCoverage, Line, State};
    use crate::outcome::Attempt;
    use crate::taxonomy::Verdict;
    use crate::verdict::tests::run::{benches, cell, result};

    /// A cell that ended so, and then as expected.
    fn repeated(first: Verdict) -> CellResult {
        let mut ran = cell(&benches()[1]);
        let good: Attempt = ran.first.clone();
        ran.first.judgement.verdict = first;
        ran.first.judgement.as_expected = false;
        ran.again = Some(good);
        ran
    }

    #[test]
    fn every_cell_must_be_as_expected_at_the_attempt_that_counts() {
        let [baseline, patched] = benches().map(|bench| cell(&bench));
        let as_expected = [baseline, patched, repeated(Verdict::Error)];
        assert_eq!(unexpected(&as_expected), [""; 0]);
        let told = "open.v2.patched.overcharge is FAIL";
        assert_eq!(unexpected(&[repeated(Verdict::Fail)]), [told], "flaky is no success");

        let results = tempfile::tempdir().unwrap();
        let ran = |unexpected: &[&str]| Ran {
            folder: RunFolder::begin(results.path(), jiff::Timestamp::now()).unwrap(),
            manifest: result(Vec::new()).manifest,
            unexpected: unexpected.iter().map(|&told| told.to_owned()).collect(),
            is_new: true,
        };
        let line = Line { number: 1, text: "a();".to_owned(), state: State::Run };
        let file = FileCoverage { path: "mm/a.c".to_owned(), absent: None, lines: vec![line] };
        let whole = Coverage { files: vec![file], stale: Vec::new() };
        let stale = Coverage { stale: vec!["c:1: gone".to_owned()], ..whole.clone() };
        assert_eq!(exit(&[ran(&[])], &whole), Exit::Ok);
        assert_eq!(exit(&[ran(&[])], &stale), Exit::Unexpected);
        assert_eq!(exit(&[ran(&[]), ran(&[told])], &whole), Exit::Unexpected);
        let mut stopped = ran(&[told]);
        stopped.manifest.interrupted = true;
        assert_eq!(exit(&[stopped], &whole), Exit::Interrupted);
    }

    #[test]
    fn a_filter_may_be_for_one_of_the_matrices_and_must_be_for_one() {
        let mut config = good();
        let twice = Matrix { repetitions: 2, ..config.matrix("default").unwrap().clone() };
        config.matrices.insert("twice".to_owned(), twice);
        let matrices = ["default", "twice"].map(str::to_owned);
        let ids = |filters: &[&str]| -> anyhow::Result<Vec<String>> {
            let filter = filters.iter().map(|&filter| filter.to_owned()).collect();
            let select = cli::Select { filter, repetitions: None, confidence: None, seed: 1 };
            let cells = cells(&config, config.kernel("patched")?, &matrices, &select)?;
            Ok(cells.into_iter().map(|cell| cell.id).collect())
        };
        assert_eq!(ids(&[]).unwrap().len(), 6);
        let both = ids(&["*.off", "*.overcharge.r2"]).unwrap();
        assert_eq!(both, ["open.v2.patched.off", "open.v2.patched.overcharge.r2"]);
        let fault = ids(&["*.off", "*.r3"]).unwrap_err().to_string();
        assert!(fault.contains("matrix `default+twice`: no cell matches --filter *.r3"), "{fault}");
    }
}
