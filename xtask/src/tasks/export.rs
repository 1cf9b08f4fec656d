// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask export`: stored results in a format that other tools read.
//!
//! Its exit code does not depend on the verdicts: 0 means that the text was written.

use std::path::Path;

use anyhow::Context as _;

use super::{Folders, proven};
use crate::cli::{self, Format, Places};
use crate::evidence::store;
use crate::exit::{Exit, Fault};
use crate::host::file::write_whole;
use crate::outcome::{self, RunResult};
use crate::progress::print;
use crate::report::export::{self, Excerpts};
use crate::results::RunFolder;

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] for a run that does not exist or has no results; I/O errors.
pub(crate) fn run(places: &Places, args: &cli::Export) -> anyhow::Result<Exit> {
    let cli::Export { run, format, output, origin } = args;
    let text = match format {
        Format::JsonSchema => json(&outcome::schema())?,
        _ => written(&RunFolder::open(&Folders::of(places)?.results, run)?, *format, origin)?,
    };
    match output {
        Some(path) => write(path, &text)?,
        None => print(&text)?,
    }
    Ok(Exit::Ok)
}

fn written(folder: &RunFolder, format: Format, origin: &str) -> anyhow::Result<String> {
    let result = proven::proven(folder)?;
    let excerpts = excerpts(folder, &result)?;
    Ok(match format {
        Format::Ktap => export::ktap(&result, &excerpts),
        Format::Junit => export::junit(&result, &excerpts)?,
        Format::Markdown => export::markdown(&result, &excerpts),
        Format::Kcidb => json(&export::kcidb(&result, &excerpts, origin))?,
        Format::Json | Format::JsonSchema => json(&result)?,
    })
}

fn json(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// The consoles of cells that were not as expected; none if `result.json` was copied without its
/// evidence.
fn excerpts(folder: &RunFolder, result: &RunResult) -> anyhow::Result<Excerpts> {
    let mut excerpts = Excerpts::new();
    for cell in result.cells.iter().filter(|cell| export::wants_excerpt(cell)) {
        let dir = folder.dir().join(&cell.counted().folder);
        if let Some(console) = store::console(&dir)? {
            let excerpt = export::excerpt(&console, cell.judgement().verdict);
            excerpts.insert(cell.cell.id.clone(), excerpt);
        }
    }
    Ok(excerpts)
}

/// Writes atomically, except to a pipe or a device, which must not be replaced by a file.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    match std::fs::canonicalize(path) {
        Ok(there) if there.is_file() => write_whole(&there, text.as_bytes()),
        Ok(there) if there.is_dir() => {
            let what = format!("--output {}: is a folder", path.display());
            Err(Fault::new(Exit::Usage, what).hint("name a file in it").into())
        }
        Ok(there) => std::fs::write(there, text).with_context(failed),
        Err(_) => write_whole(&std::path::absolute(path)?, text.as_bytes()),
    }
}
