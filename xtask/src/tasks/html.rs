// SPDX-License-Identifier: MIT OR Apache-2.0
//! `report.html` of a run, from its result and what is stored of it.
//!
//! Cells are drawn kernel by kernel, so only one kernel's symbols and one cell's evidence are in
//! memory. Deleted evidence or an evicted kernel is reported as missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::symbols::readable;
use super::{past, symbols};
use crate::outcome::{CellResult, RunResult};
use crate::report::{self, Part, Stored};
use crate::results::RunFolder;
use crate::symbols::Symbols;

/// File in the run folder.
const REPORT: &str = "report.html";

/// Writes the page into the run folder.
///
/// # Errors
/// A run folder that cannot be written to.
pub(super) fn write(folder: &RunFolder, cache: &Path, result: &RunResult) -> anyhow::Result<()> {
    let kernels: BTreeSet<&str> =
        result.cells.iter().map(|cell| cell.cell.key.kernel.as_str()).collect();
    let mut parts: BTreeMap<usize, Part> = BTreeMap::new();
    for kernel in kernels {
        symbols::with(cache, &result.manifest, kernel, |symbols| {
            for (at, cell) in result.cells.iter().enumerate() {
                if cell.cell.key.kernel == kernel {
                    parts.insert(at, draw(folder, result, cell, symbols));
                }
            }
        });
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
    let evidence = readable(past::evidence(folder, &folder.dir().join(&cell.counted().folder)));
    let evidence = evidence.as_ref().map_err(String::as_str);
    let series = folder.series();
    report::html_cell(
        &result.manifest,
        cell,
        &Stored { evidence, symbols, series: series.as_deref() },
    )
}
