// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask merge`: joins the parts of a matrix, which ran anywhere, into one run folder.

use std::path::{Path, PathBuf};

use super::{Folders, conclude, parts, user_series};
use crate::cli::{self, Places};
use crate::exit::{Exit, Fault};
use crate::outcome::RunResult;
use crate::plan;
use crate::progress::note;
use crate::results::{self, RunFolder};
use crate::runs::{self, PartRun};

/// Depth below a given folder: an artifact, the run in it, and one more.
const DEPTH_MAX: usize = 3;

/// Runs the command. Nothing is written unless the parts belong together.
///
/// # Errors
/// [`Exit::Usage`] for parts that are missing, duplicate, mixed, or incomplete.
pub(crate) fn run(places: &Places, args: &cli::Merge) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    let mut found = Vec::new();
    for given in &args.parts {
        found.extend(part_folders(given)?);
    }
    let (runs, found) = whole(found)?;
    let first = &runs[0].plan;
    let config = user_series::configured_by(&folders, first)?;
    let matrix = config.matrix(&first.matrix)?;
    let cells = plan::plan(&config, matrix, &first.selection())?;
    let (mut manifest, ran) = runs::join(&runs, &parts::origin(&folders)?, &cells)?;
    manifest.command = std::env::args().collect();
    manifest.baseline.clone_from(&matrix.baseline);

    let folder = RunFolder::begin(&folders.results, jiff::Timestamp::now())?;
    user_series::keep(&config, &folder)?;
    folder.write_manifest(&manifest)?;
    for (part, dir) in runs.iter().zip(&found) {
        folder.adopt(dir, part.part)?;
    }
    let result = conclude::result(&config, &folder.id, manifest, ran, cells.len());
    conclude::matrix(&folder, &folders.cache, &result)
}

/// The complete parts, with their folders. An incomplete part is a fault unless the part ran again.
fn whole(found: Vec<PathBuf>) -> anyhow::Result<(Vec<PartRun>, Vec<PathBuf>)> {
    let (mut runs, mut folders, mut torn) = (Vec::new(), Vec::new(), Vec::new());
    for dir in found {
        match read(&dir)? {
            Ok(run) => {
                runs.push(run);
                folders.push(dir);
            }
            Err((part, fault)) => torn.push((part, fault)),
        }
    }
    for (part, fault) in torn {
        if !runs.iter().any(|run| run.part == part) {
            return Err(fault.into());
        }
        note(&format!("note: {}: left out, because part {part} ran again", fault.what));
    }
    Ok((runs, folders))
}

/// Run folders of parts, in this folder or below. Links are not followed: `latest` is one.
fn part_folders(given: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(given).max_depth(DEPTH_MAX + 1).sort_by_file_name() {
        let entry = entry.map_err(|error| Fault::new(Exit::Usage, error.to_string()))?;
        if entry.file_type().is_file() && entry.file_name() == parts::RECORD {
            found.extend(entry.path().parent().map(Path::to_owned));
        }
    }
    if found.is_empty() {
        let what = format!("{}: no part of a run in this folder", given.display());
        let hint = "`cargo xtask run-matrix --partition K/N` leaves one in results/parts";
        return Err(Fault::new(Exit::Usage, what).hint(hint).into());
    }
    Ok(found)
}

/// A part, or its number and why it is incomplete.
fn read(dir: &Path) -> anyhow::Result<Result<PartRun, (u32, Fault)>> {
    let parts::Record { part, plan } = results::read_json(&dir.join(parts::RECORD))?;
    let torn = |what: String| {
        let fault = Fault::new(Exit::Usage, format!("{}: {what}", dir.display()));
        Ok(Err((part, fault.hint("run that part again, or copy its whole folder"))))
    };
    let folder = RunFolder::at(dir)?;
    if !folder.has_ended() {
        return torn("the part has not ended".to_owned());
    }
    let result: RunResult = folder.read_result()?;
    let attempts =
        result.cells.iter().flat_map(|ran| std::iter::once(&ran.first).chain(&ran.again));
    for attempt in attempts {
        if !dir.join(&attempt.folder).is_dir() {
            return torn(format!("{} is missing", attempt.folder));
        }
    }
    Ok(Ok(PartRun { folder: dir.display().to_string(), part, plan, result }))
}
