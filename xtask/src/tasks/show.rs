// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask show`: judges stored evidence again and prints what the verdict rests on.

use super::{Folders, inputs, style};
use crate::cli::{self, Places};
use crate::exit::{Exit, Fault};
use crate::report::{self, RunResult};
use crate::results::RunFolder;
use crate::verdict::{self, Pace};
use crate::vm::evidence_dir;

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] when no run or not exactly one cell has that name; files that cannot be read.
pub(crate) fn run(places: &Places, args: &cli::Show) -> anyhow::Result<Exit> {
    let cli::Show { cell, run } = args;
    let folders = Folders::of(places)?;
    let config = inputs::read(&folders.configs)?;
    let folder = RunFolder::open(&folders.results, run)?;
    let result: RunResult = folder.read_result()?;
    let mut found = one_cell(&result, cell)?.clone();
    let dir = folder.dir().join(&found.first.folder);
    let evidence = evidence_dir::load(&dir)?;
    // The verdict is made anew, so that a rule that was mended shows on old evidence too.
    let scenario = config.scenario(&found.cell.scenario)?;
    let pace = Pace { slowdown: result.manifest.slowdown };
    found.first.judgement = verdict::judge(&found.cell, scenario, &evidence, pace);
    let shown = dir.display().to_string();
    print!("{}", report::show(&result, &found, &evidence, &shown, style(std::io::stdout())));
    Ok(Exit::Ok)
}

/// The cell of that id, or the only one whose id has that part.
fn one_cell<'a>(result: &'a RunResult, part: &str) -> Result<&'a report::json::CellResult, Fault> {
    let by = |fits: &dyn Fn(&str) -> bool| -> Vec<&report::json::CellResult> {
        result.cells.iter().filter(|ran| fits(&ran.cell.id)).collect()
    };
    let mut found = by(&|id| id == part);
    if found.is_empty() {
        found = by(&|id| id.contains(part));
    }
    if let [only] = found[..] {
        return Ok(only);
    }
    let listed = if found.is_empty() { by(&|_| true) } else { found.clone() };
    let ids: Vec<&str> = listed.iter().map(|ran| ran.cell.id.as_str()).collect();
    let how_many = if found.is_empty() { "no cell" } else { "more than one cell" };
    Err(Fault::new(Exit::Usage, format!("{how_many} of run {} is named `{part}`", result.run))
        .hint(format!("one of: {}", ids.join(", "))))
}
