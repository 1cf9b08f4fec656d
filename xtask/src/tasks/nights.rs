// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stored runs and jobs for the commands that look at many of them.

use std::path::Path;

use super::proven;
use crate::exit::{Exit, Fault};
use crate::outcome::{Manifest, RunResult};
use crate::progress::note;
use crate::results::{self, RunFolder};
use crate::runs::{self, JobRun, UnreadNight};

/// Folder of the records of jobs, below the results.
pub(super) const JOBS: &str = "jobs";
/// What `compare` calls the last good night.
const LAST_GOOD: &str = "last-good";
/// What `compare` calls the newest run that stands for its matrix.
const LATEST: &str = "latest";

/// Every run, by name, as its evidence is judged now. Others are named and left out: of `mutants`,
/// of another version of the harness, or changed since. A night among those is given too.
///
/// # Errors
/// A results folder that cannot be read.
pub(super) fn all(results: &Path) -> anyhow::Result<(Vec<RunResult>, Vec<UnreadNight>)> {
    let (mut found, mut unread, mut nights) = (Vec::new(), Vec::new(), Vec::new());
    for name in results::runs(results)? {
        let folder = RunFolder::open(results, &name)?;
        match proven::proven(&folder) {
            Ok(result) => found.push(result),
            Err(error) => {
                unread.push(format!("\n  {name}: {error:#}"));
                let manifest = folder.read_manifest::<Manifest>().ok();
                nights.extend(manifest.filter(|it| it.night).map(|manifest| UnreadNight {
                    run: name,
                    started_at: manifest.started_at,
                    why: format!("{error:#}"),
                }));
            }
        }
    }
    if !unread.is_empty() {
        note(&format!("left out: {}", unread.concat()));
    }
    Ok((found, nights))
}

/// The run that `compare` calls `latest`: neither narrowed nor interrupted, and a night where there
/// are any.
///
/// # Errors
/// [`Exit::Usage`] if there is none, or a newer night is not as it was sealed.
pub(super) fn latest(results: &Path) -> anyhow::Result<RunResult> {
    let (runs, unread) = all(results)?;
    let among_nights = !runs::nights(&runs).is_empty();
    let mut whole: Vec<&RunResult> =
        runs.iter().filter(|run| runs::apart(run, among_nights).is_none()).collect();
    whole.sort_by_key(|run| (&run.manifest.started_at, &run.run));
    let newest = whole.last().map(|run| run.manifest.started_at.as_str());
    if let Some(night) = unread.iter().find(|night| Some(night.started_at.as_str()) > newest) {
        return Err(Fault::new(Exit::Usage, format!("{}: {}", night.run, night.why)).into());
    }
    match whole.last() {
        Some(run) => Ok((*run).clone()),
        None => {
            Err(Fault::new(Exit::Usage, "every run is filtered, interrupted or of some kernels")
                .hint("name the run: `cargo xtask list runs` lists them")
                .into())
        }
    }
}

/// The last good night before a run, of the same matrix and accelerator.
///
/// # Errors
/// [`Exit::Usage`] if there is none.
pub(super) fn last_good(results: &Path, run: &RunResult) -> anyhow::Result<RunResult> {
    let (runs, _) = all(results)?;
    let good = runs::good_before(&runs::nights(&runs), run).first().map(|good| (*good).clone());
    good.ok_or_else(|| {
        let kind = runs::Kind::of(run);
        let what = format!("no good night of {kind} before {}", run.run);
        Fault::new(Exit::Usage, what)
            .hint("a night is a run with --night that is whole and as expected")
            .into()
    })
}

/// The runs that a word of `compare` names; `new` is what they are compared with.
///
/// # Errors
/// As [`proven::proven`], [`latest`] and [`last_good`].
pub(super) fn named(
    results: &Path,
    word: &str,
    new: Option<&RunResult>,
) -> anyhow::Result<Vec<RunResult>> {
    match (word, new) {
        (LAST_GOOD, Some(new)) => Ok(vec![last_good(results, new)?]),
        (LATEST, _) => Ok(vec![latest(results)?]),
        _ => word.split(',').map(|name| proven::proven(&RunFolder::open(results, name)?)).collect(),
    }
}

/// Records of jobs; one that cannot be read is named and left out.
pub(super) fn jobs(results: &Path) -> Vec<JobRun> {
    let entries = std::fs::read_dir(results.join(JOBS)).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    let read = |file: std::path::PathBuf| match results::read_json(&file) {
        Ok(job) => Some(job),
        Err(error) => {
            note(&format!("left out: {error:#}"));
            None
        }
    };
    files.into_iter().filter_map(read).collect()
}
