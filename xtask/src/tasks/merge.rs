// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask merge`: joins the parts of a matrix, which ran anywhere, into one run folder.

use std::path::{Path, PathBuf};

use anyhow::ensure;

use super::{Folders, conclude, parts, past, proven, user_series};
use crate::cli::{self, Places};
use crate::exit::{Exit, Fault};
use crate::outcome::{Manifest, RunResult};
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
    let (runs, found) = whole(found, args.partial)?;
    let first = &runs[0].plan;
    let config = user_series::configured_by(&folders, first)?;
    let matrix = config.matrix(&first.matrix)?;
    let cells = plan::plan(&config, matrix, &first.selection())?;
    let (mut manifest, ran) = runs::join(&runs, &parts::origin(&folders)?, &cells, args.partial)?;
    manifest.command = std::env::args().collect();
    manifest.baseline.clone_from(&matrix.baseline);
    let planned = parts::narrowed(&first.filters, first.repetitions);
    manifest.narrowed.retain(|narrowed| !planned.contains(narrowed));
    manifest.narrowed.splice(..0, planned);

    let folder = RunFolder::begin_apart(&folders.results, jiff::Timestamp::now())?;
    let joined = || {
        user_series::keep(&config, &folder)?;
        folder.write_manifest(&manifest)?;
        runs.iter().zip(&found).try_for_each(|(part, from)| folder.adopt(from, part.part))?;
        folder.seal_run()?;
        let result = conclude::result(&folder.id, manifest.clone(), ran, cells.len());
        conclude::matrix(&folder, &folders.cache, &result)
    };
    let joined = joined();
    if !folder.has_ended() {
        let dir = folder.dir().to_owned();
        drop(folder);
        results::remove(&dir)?;
    }
    joined
}

/// The complete parts, with their folders. An incomplete part is a fault unless the part ran again,
/// or a partial run was asked for.
fn whole(found: Vec<PathBuf>, partial: bool) -> anyhow::Result<(Vec<PartRun>, Vec<RunFolder>)> {
    let (mut runs, mut folders, mut torn) = (Vec::new(), Vec::new(), Vec::new());
    for dir in found {
        let folder = RunFolder::at(&dir)?;
        let record: parts::Record = results::read_json(&folder.dir().join(parts::RECORD))?;
        let part = record.part;
        match read(&folder, record) {
            Ok(run) => {
                runs.push(run);
                folders.push(folder);
            }
            Err(error) => torn.push((part, dir, error)),
        }
    }
    for (part, dir, error) in torn {
        let what = format!("{}: {error:#}", dir.display());
        let ran_again = runs.iter().any(|run| run.part == part);
        let goes_without = partial && !runs.is_empty();
        if !ran_again && !goes_without {
            let hint = "run that part again, or copy its whole folder; --partial goes without";
            return Err(Fault::new(Exit::Usage, what).hint(hint).into());
        }
        let why = match ran_again {
            true => format!("because part {part} ran again"),
            false => "and its cells did not run".to_owned(),
        };
        note(&format!("note: {what}: left out, {why}"));
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

/// A part that is whole, judged by its evidence.
fn read(folder: &RunFolder, record: parts::Record) -> anyhow::Result<PartRun> {
    let parts::Record { part, plan } = record;
    parts::check_version(&plan).map_err(anyhow::Error::msg)?;
    ensure!(folder.has_ended(), "the part has not ended");
    let stored = past::claimed(folder)?;
    let manifest: Manifest = folder.read_manifest()?;
    ensure!(manifest == stored.manifest, "manifest.json is not that of result.json");
    // A scheduler ends it like this, and then runs it again.
    ensure!(!manifest.interrupted, "the part was stopped before its end");
    folder.check_run()?;
    for ran in &stored.cells {
        let attempts = std::iter::once(&ran.first).chain(&ran.again);
        attempts
            .into_iter()
            .try_for_each(|attempt| folder.check_seal(&folder.dir().join(&attempt.folder)))?;
    }
    let was = past::stored(folder).unwrap_or_default();
    let result = proven::judged_again(folder)?;
    let count = |of: &RunResult| {
        let attempts = of.cells.iter().map(|ran| 1 + usize::from(ran.again.is_some()));
        (of.cells.len(), attempts.sum::<usize>())
    };
    ensure!(count(&stored) == count(&result), "it has evidence that is not in result.json");
    if let Some(told) = proven::changes(&was, &result) {
        note(&format!("{}: {told}", folder.dir().display()));
    }
    Ok(PartRun { folder: folder.dir().display().to_string(), part, plan, result })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::plan::{Origin, PLAN_VERSION, Plan};
    use crate::tasks::proven::tests::killed;

    const ATTEMPT: &str = "cells/open.v2.baseline.mainline/attempt-1";

    fn record() -> parts::Record {
        let origin = Origin {
            harness: String::new(),
            commit: None,
            sources_sha256: String::new(),
            configs_sha256: String::new(),
        };
        let cells = r#"{"cells": [{"id": "open.v2.baseline.mainline", "estimate_ms": 1}]}"#;
        let plan = Plan {
            schema_version: PLAN_VERSION,
            nonce: String::new(),
            origin,
            matrix: "default".to_owned(),
            filters: Vec::new(),
            repetitions: None,
            seed: 1,
            night: false,
            series: None,
            kernels: [].into(),
            parts: vec![serde_json::from_str(cells).unwrap()],
        };
        parts::Record { part: 1, plan }
    }

    /// A part with one cell, which fails I1 as expected.
    fn part(results: &Path) -> RunFolder {
        let folder = killed(results);
        folder.seal_run().unwrap();
        let mut result = proven::judged_again(&folder).unwrap();
        result.manifest.interrupted = false;
        folder.write_manifest(&result.manifest).unwrap();
        folder.write_result(&result).unwrap();
        folder.write_report("").unwrap();
        folder
    }

    #[test]
    fn a_forged_verdict_is_not_taken() {
        let results = tempfile::tempdir().unwrap();
        let folder = part(results.path());
        let mut forged: RunResult = folder.read_result().unwrap();
        let true_one = forged.cells[0].first.judgement.clone();
        let judgement = &mut forged.cells[0].first.judgement;
        (judgement.verdict, judgement.breaks) = (crate::taxonomy::Verdict::Pass, Vec::new());
        forged.totals = crate::outcome::Totals::of(1, &forged.cells, &[]);
        folder.write_result(&forged).unwrap();
        let part = read(&folder, record()).unwrap();
        assert_eq!(part.result.cells[0].first.judgement, true_one);
    }

    #[test]
    fn what_is_not_whole_is_refused_with_the_file() {
        let results = tempfile::tempdir().unwrap();
        let spoilt = |spoil: &dyn Fn(&RunFolder)| {
            let folder = part(results.path());
            read(&folder, record()).unwrap();
            spoil(&folder);
            let said = format!("{:#}", read(&folder, record()).unwrap_err());
            said.replace(&format!("{}/", folder.dir().display()), "")
        };
        let result = |forge: &dyn Fn(&mut RunResult)| {
            spoilt(&|folder| {
                let mut result: RunResult = folder.read_result().unwrap();
                forge(&mut result);
                folder.write_result(&result).unwrap();
            })
        };
        let stopped = spoilt(&|folder| {
            let mut result: RunResult = folder.read_result().unwrap();
            result.manifest.interrupted = true;
            folder.write_manifest(&result.manifest).unwrap();
            folder.write_result(&result).unwrap();
        });
        assert!(stopped.contains("stopped before its end"), "{stopped}");
        let place = |to: &'static str| move |r: &mut RunResult| r.cells[0].first.folder = to.into();
        for elsewhere in ["/etc", "cells/../..", "cells/other/attempt-1", ATTEMPT_2] {
            let said = result(&place(elsewhere));
            assert!(said.contains(&format!("is said to be in {elsewhere}")), "{said}");
        }
        let id = |id: &'static str| {
            move |r: &mut RunResult| {
                let cell = &mut r.cells[0].cell;
                (cell.id, cell.request.cell) = (id.into(), id.into());
            }
        };
        for odd in ["../x", "open.v2.baseline.mainline/..", "open.v2.baseline.mainlin", ""] {
            assert!(result(&id(odd)).contains("is no id of cell"), "{odd}");
        }
        let twice = |r: &mut RunResult| r.cells.push(r.cells[0].clone());
        assert!(result(&twice).contains("is there twice"));
        assert!(result(&|r| r.cells.clear()).contains("the totals are not those of its cells"));
        let none = |r: &mut RunResult| {
            r.cells.clear();
            r.totals = crate::outcome::Totals::of(1, &[], &[]);
        };
        assert!(result(&none).contains("evidence that is not in result.json"));
        assert!(result(&|r| r.manifest.slowdown = 9).contains("manifest.json is not that of"));

        let file = |name: &'static str, text: &'static str| {
            spoilt(&|folder| folder.write_text(name, text).unwrap())
        };
        let old = "{\"schema_version\": 3}";
        assert!(file("result.json", old).contains("it has schema version 3 and this harness"));
        for torn in ["", "{", "\u{0}", "[[[[", "{\"schema_version\": 1e99}"] {
            let said = file("result.json", torn);
            assert!(said.starts_with("result.json: not in the format"), "{torn}: {said}");
        }
        let console = format!("{ATTEMPT}/console.log");
        let gone = spoilt(&|folder| fs::remove_file(folder.dir().join(&console)).unwrap());
        assert_eq!(gone, format!("{console}: it is not the file that was sealed"));
        let gone = spoilt(&|folder| fs::remove_dir_all(folder.dir().join(ATTEMPT)).unwrap());
        assert_eq!(gone, format!("{ATTEMPT}: its evidence is missing"));
        let linked = spoilt(&|folder| {
            let cells = folder.dir().join("cells");
            fs::rename(&cells, folder.dir().join("elsewhere")).unwrap();
            symlink("elsewhere", cells).unwrap();
        });
        assert!(linked.ends_with("a symbolic link leads there"), "{linked}");
        let report = spoilt(&|folder| fs::remove_file(folder.dir().join("report.txt")).unwrap());
        assert_eq!(report, "the part has not ended");
    }

    const ATTEMPT_2: &str = "cells/open.v2.baseline.mainline/attempt-2";

    #[test]
    fn a_part_of_another_version_is_refused() {
        let results = tempfile::tempdir().unwrap();
        let folder = part(results.path());
        let mut other = record();
        other.plan.schema_version += 1;
        assert!(read(&folder, other).unwrap_err().to_string().contains("the plan has version"));
    }
}
