// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask export`: stored results in a format that other tools read.
//!
//! Its exit code does not depend on the verdicts: 0 means that the text was written.

use std::path::Path;

use anyhow::Context as _;

use super::{Folders, past, proven};
use crate::cli::{self, Format, Places};
use crate::evidence::store;
use crate::exit::{Exit, Fault};
use crate::host::file::write_whole;
use crate::outcome::{self, RunResult};
use crate::progress::print;
use crate::report::export::{self, Excerpts};
use crate::report::selftest;
use crate::results::RunFolder;

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] for a run that does not exist or has no results; I/O errors.
pub(crate) fn run(places: &Places, args: &cli::Export) -> anyhow::Result<Exit> {
    let cli::Export { run, format, cell, output, origin } = args;
    let open = || RunFolder::open(&Folders::of(places)?.results, run);
    let text = match (format, cell) {
        (Format::Kselftest, Some(cell)) => program(&open()?, cell)?,
        (_, Some(_)) => {
            let what = "--cell: only --format kselftest is of one cell";
            return Err(Fault::new(Exit::Usage, what).into());
        }
        (Format::JsonSchema, None) => json(&outcome::schema())?,
        (_, None) => written(&open()?, *format, origin)?,
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
        Format::Kselftest => anyhow::bail!("a program is of one cell"),
    })
}

/// The program of a cell, which must be as it was sealed.
fn program(folder: &RunFolder, part: &str) -> anyhow::Result<String> {
    let id = past::one_cell(folder, part)?;
    let cell = past::cell(folder, &id)?;
    folder.attempts(&id).iter().try_for_each(|dir| folder.check_seal(dir))?;
    Ok(selftest::program(&cell).map_err(|why| {
        Fault::new(Exit::Usage, format!("{id} cannot be a program by itself: {why}"))
            .hint(format!("`cargo xtask repro {id} --run {}` runs it again", folder.id))
    })?)
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::plan::{Cell, Selection, plan};
    use crate::tasks::inputs;

    fn cells() -> Vec<Cell> {
        let configs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs"));
        let config = inputs::read(configs).unwrap();
        plan(&config, config.matrix("full").unwrap(), &Selection::default()).unwrap()
    }

    #[test]
    fn the_program_of_a_cell() {
        let id = "open-unkillable.v2.overcharge.overcharge";
        let cell = cells().into_iter().find(|cell| cell.id == id).unwrap();
        insta::assert_snapshot!(selftest::program(&cell).unwrap());
    }

    #[test]
    fn every_program_compiles_without_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let cells = cells();
        let wanted = cells.iter().filter(|cell| cell.key.policy == "overcharge");
        let programs: Vec<_> =
            wanted.filter_map(|cell| Some((&cell.id, selftest::program(cell).ok()?))).collect();
        assert!(programs.len() > 15, "{}", programs.len());
        for (id, program) in programs {
            let source = folder.path().join(format!("{id}.c"));
            std::fs::write(&source, program).unwrap();
            let mut cc = Command::new("cc");
            cc.args(["-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o"]);
            let output = cc.arg(folder.path().join("program")).arg(&source).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{id}: {said}");
        }
    }

    #[test]
    fn what_is_no_program_says_why() {
        let cells = cells();
        let (names, general) = selftest::listed();
        for name in names {
            let has = |cell: &Cell| cell.request.workload.starts_with(name);
            assert!(cells.iter().any(has), "{name}: listed, and no scenario has it");
        }
        let id = "open-unkillable.v2.overcharge.overcharge";
        let mut new = cells.into_iter().find(|cell| cell.id == id).unwrap();
        new.request.workload = "eventfds".to_owned();
        let why = selftest::program(&new).unwrap_err();
        assert_eq!(why, format!("workload eventfds: {general}"), "a new scenario is two files");
    }
}
