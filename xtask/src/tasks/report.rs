// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask report`: the HTML report of a run, from what is stored of it.
//!
//! Cells are drawn kernel by kernel, so that symbols of one kernel and evidence of one cell are in memory. What is not there
//! any more (evidence that was removed, a kernel that left the cache) is missed in the report, and said to be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;

use super::Folders;
use super::run_matrix::shown;
use crate::cli::{self, Places};
use crate::evidence::store;
use crate::exit::Exit;
use crate::kernel::{Cache, find_image};
use crate::outcome::{Attempt, CellResult, RunResult};
use crate::progress::print;
use crate::report::{self, Part, Seen};
use crate::results::RunFolder;
use crate::symbols::{DebugInfo, Symbols};

const REPORT: &str = "report.html";

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] when there is no such run; a result that cannot be read or a report that cannot be written.
pub(crate) fn run(places: &Places, args: &cli::Report) -> anyhow::Result<Exit> {
    let cli::Report { run } = args;
    let folders = Folders::of(places)?;
    let folder = RunFolder::open(&folders.results, run)?;
    let result: RunResult = folder.read_result()?;
    write(&folder, &folders.cache, &result)?;
    print(format_args!("{}\n", shown(&folder.dir().join(REPORT))))?;
    Ok(Exit::Ok)
}

/// Writes the report into the run folder.
///
/// # Errors
/// What the file system says.
pub(super) fn write(folder: &RunFolder, cache: &Path, result: &RunResult) -> anyhow::Result<()> {
    let kernels: BTreeSet<&str> =
        result.cells.iter().map(|cell| cell.cell.kernel.as_str()).collect();
    let mut parts: BTreeMap<usize, Part> = BTreeMap::new();
    for kernel in kernels {
        let vmlinux = vmlinux(cache, result, kernel);
        let info =
            vmlinux.as_ref().map_err(Clone::clone).and_then(|bytes| readable(DebugInfo::of(bytes)));
        let symbols = info.as_ref().map_err(Clone::clone).and_then(|info| readable(info.symbols()));
        let symbols = symbols.as_ref().map_err(String::as_str);
        for (at, cell) in result.cells.iter().enumerate() {
            if cell.cell.kernel == kernel {
                parts.insert(at, draw(folder, result, cell, symbols));
            }
        }
    }
    let parts: Vec<Part> = parts.into_values().collect();
    folder.write_text(REPORT, &report::html_page(result, &parts))
}

fn draw(
    folder: &RunFolder,
    result: &RunResult,
    cell: &CellResult,
    symbols: Result<&Symbols<'_>, &str>,
) -> Part {
    let evidence = readable(store::load(&folder.dir().join(&cell.counted().folder)));
    let evidence = evidence.as_ref().map_err(String::as_str);
    let mut cell = cell.clone();
    if let (Ok(evidence), true) = (evidence, cell.counted().marks.is_empty()) {
        // Written before marks were kept.
        let Attempt { folder, judgement, .. } = cell.counted().clone();
        *cell.counted_mut() = Attempt::of(folder, evidence, judgement);
    }
    report::html_cell(&result.manifest, &cell, &Seen { evidence, symbols })
}

/// The kernel with its symbols, or why there is none.
fn vmlinux(cache: &Path, result: &RunResult, kernel: &str) -> Result<Vec<u8>, String> {
    let key = result.manifest.kernels.get(kernel).map_or("", |note| note.key.as_str());
    if key.is_empty() {
        return Err("the kernel was given as an image, without its symbols".to_owned());
    }
    let cache = readable(Cache::open(cache))?;
    match find_image(&cache, key) {
        Some((dir, _)) => {
            let path = dir.join("vmlinux");
            readable(
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display())),
            )
        }
        None => Err(format!("the kernel with build key {key} is not in the cache")),
    }
}

/// An error in words for the report: what it keeps from being shown is no reason to show nothing.
fn readable<T>(outcome: anyhow::Result<T>) -> Result<T, String> {
    outcome.map_err(|error| format!("{error:#}"))
}
