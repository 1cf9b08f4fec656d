// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removal of old runs: which folders are runs, and which are in progress.
//!
//! Contract: a run is complete or gone. It is renamed first, in one step; if the removal is
//! interrupted after that, the next one finishes it.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use fs4::fs_std::FileExt as _;

use super::{LATEST, RUNNING};
use crate::host::file::{self, Links};

/// Prefix of a folder that is being removed. `runs` lists no name that starts with a dot.
const REMOVED: &str = ".removed-";

/// Folders that are named like a run, with the start time in the name; nothing else is ever
/// removed.
///
/// # Errors
/// A folder that cannot be read; a missing one has no runs.
pub(crate) fn named_like_runs(place: &Path) -> anyhow::Result<Vec<(String, jiff::Timestamp)>> {
    let entries = match fs::read_dir(place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", place.display()))?,
    };
    let mut found: Vec<(String, jiff::Timestamp)> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name.clone(), begin(&name)?))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// `2026-01-31T04-00-00Z`, or the same with `-2` and so on.
fn begin(name: &str) -> Option<jiff::Timestamp> {
    let (_, number) = name.split_once('Z')?;
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if !number.is_empty() && !number.strip_prefix('-').is_some_and(is_number) {
        return None;
    }
    begun(name)
}

/// The time that a name begins with: `2026-01-31T04-00-00Z`.
pub(crate) fn begun(name: &str) -> Option<jiff::Timestamp> {
    let (stamp, _) = name.split_once('Z')?;
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let (date, time) = stamp.split_once('T')?;
    let shape = |text: &str, parts: &[usize]| {
        let found: Vec<&str> = text.split('-').collect();
        found.len() == parts.len()
            && found.iter().zip(parts).all(|(part, len)| part.len() == *len && is_number(part))
    };
    if !shape(date, &[4, 2, 2]) || !shape(time, &[2, 2, 2]) {
        return None;
    }
    format!("{date}T{}Z", time.replace('-', ":")).parse().ok()
}

/// What `latest` points to.
pub(crate) fn latest(place: &Path) -> Option<String> {
    fs::read_link(place.join(LATEST)).ok()?.into_os_string().into_string().ok()
}

/// Whether a process holds the lock of the run. If the lock cannot be tested, it may.
pub(crate) fn is_running(run: &Path) -> bool {
    match file::open(&run.join(RUNNING), Links::Followed, u64::MAX) {
        Ok(lock) => !matches!(lock.try_lock_exclusive(), Ok(true)),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Removes a run unless it is in progress; returns whether it did.
///
/// # Errors
/// I/O errors, with the path.
pub(crate) fn remove(run: &Path) -> anyhow::Result<bool> {
    if is_running(run) {
        return Ok(false);
    }
    let said = || format!("cannot remove {}", run.display());
    let name = run.file_name().unwrap_or_default().to_string_lossy();
    let aside = run.with_file_name(format!("{REMOVED}{name}"));
    fs::rename(run, &aside).with_context(said)?;
    fs::remove_dir_all(&aside).with_context(said)?;
    Ok(true)
}

/// Finishes removals that were interrupted.
///
/// # Errors
/// I/O errors, with the path.
pub(crate) fn remove_leftovers(place: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(REMOVED) {
            let path = entry.path();
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{RunFolder, runs};

    #[test]
    fn only_what_is_named_like_a_run_is_one() {
        let results = tempfile::tempdir().unwrap();
        let names = ["2026-01-31T04-00-00Z", "2026-01-31T04-00-00Z-12"];
        let others = [
            "parts",
            "2026-01-31",
            "2026-01-31T04-00-00Zx",
            "2026-01-31T04-00-00Z-",
            "keep-2026-01-31T04-00-00Z",
        ];
        for name in names.iter().chain(&others) {
            fs::create_dir(results.path().join(name)).unwrap();
        }
        fs::write(results.path().join("2026-02-01T04-00-00Z"), "a file").unwrap();
        std::os::unix::fs::symlink(names[0], results.path().join("latest")).unwrap();
        let found = named_like_runs(results.path()).unwrap();
        assert_eq!(found.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
        assert_eq!(found[0].1.to_string(), "2026-01-31T04:00:00Z");
        assert_eq!(latest(results.path()).as_deref(), Some(names[0]));
        assert!(named_like_runs(&results.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn a_run_in_progress_stays_and_one_that_is_over_goes_whole() {
        let results = tempfile::tempdir().unwrap();
        let run = RunFolder::begin(results.path(), jiff::Timestamp::UNIX_EPOCH).unwrap();
        let dir = run.dir().to_owned();
        run.write_text("cells/a/x", "1").unwrap();
        let copy = run.clone();
        drop(run);
        assert!(is_running(&dir));
        assert!(!remove(&dir).unwrap());
        drop(copy);
        assert!(!is_running(&dir));
        assert!(remove(&dir).unwrap());
        assert!(!dir.exists());
        assert_eq!(fs::read_dir(results.path()).unwrap().count(), 1, "only `latest` is left");
    }

    #[test]
    fn what_was_interrupted_is_no_run_and_is_removed_later() {
        let results = tempfile::tempdir().unwrap();
        let half = results.path().join(".removed-2026-01-31T04-00-00Z");
        fs::create_dir(&half).unwrap();
        fs::write(half.join("result.json"), "{}").unwrap();
        assert_eq!(runs(results.path()).unwrap(), [""; 0]);
        remove_leftovers(results.path()).unwrap();
        assert!(!half.exists());
    }
}
