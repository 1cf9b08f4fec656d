// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one writer under `results/`, and the reader that makes reports without QEMU.
//!
//! A run folder is named after its start in UTC. Files are published whole (written under another
//! name, then renamed), except the logs of cells, to which `evidence::store` appends.
//! What is read may be damaged or forged: only regular files of bounded size, reached without
//! links.

mod old;
mod run_seal;
mod seal;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use fs4::fs_std::FileExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exit::{Exit, Fault};
use crate::host::file::{self, Links, UNFINISHED, UNFINISHED_AGE, write_whole};

pub(crate) use old::{begun, is_running, latest, named_like_runs, remove, remove_leftovers};

const LATEST: &str = "latest";
const MANIFEST: &str = "manifest.json";
const RESULT: &str = "result.json";
const REPORT: &str = "report.txt";
/// The user's patches.
pub(crate) const SERIES: &str = "series";
const CELLS: &str = "cells";
/// A cell as planned.
const PLANNED: &str = "cell.json";
const BOOTS: &str = "boots";
/// Locked by the process that writes to the folder, until it exits.
const RUNNING: &str = ".running";
/// Runs that begin in the same second get a number; more than this is something else.
const SAME_SECOND_MAX: u32 = 100;
/// A cell that was not as expected is tried twice.
const ATTEMPTS_MAX: u32 = 2;
/// A soak of 10,000 cells has a result of a third of this.
const STORED_BYTES_MAX: u64 = 1 << 30;

/// A run folder.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder {
    /// Name of the folder.
    pub(crate) id: String,
    dir: PathBuf,
    /// Lock of [`RUNNING`], if this process started the run.
    _running: Option<Arc<File>>,
    /// Whether `latest` points to it only when its report is written.
    latest_at_end: bool,
}

impl RunFolder {
    /// Makes a folder named after the second (or with `-2`, …) and points `latest` at it.
    ///
    /// # Errors
    /// I/O errors: disk full, no permission.
    pub(crate) fn begin(results: &Path, started: jiff::Timestamp) -> anyhow::Result<Self> {
        let folder = Self::create(results, &stamp(started))?;
        point_latest(folder.results(), &folder.id)?;
        Ok(folder)
    }

    /// The same, but `latest` follows when the report is written.
    ///
    /// # Errors
    /// As [`RunFolder::begin`].
    pub(crate) fn begin_apart(results: &Path, started: jiff::Timestamp) -> anyhow::Result<Self> {
        Ok(Self { latest_at_end: true, ..Self::create(results, &stamp(started))? })
    }

    fn create(results: &Path, stamp: &str) -> anyhow::Result<Self> {
        let made = || format!("cannot make a run folder in {}", results.display());
        fs::create_dir_all(results).with_context(made)?;
        let results = &fs::canonicalize(results).with_context(made)?;
        file::remove_unfinished(results, UNFINISHED_AGE);
        for number in 1..=SAME_SECOND_MAX {
            let id = if number == 1 { stamp.to_owned() } else { format!("{stamp}-{number}") };
            let dir = results.join(&id);
            match fs::create_dir(&dir) {
                Ok(()) => {
                    let running = File::create(dir.join(RUNNING)).with_context(made)?;
                    running.try_lock_exclusive().with_context(made)?;
                    let _running = Some(Arc::new(running));
                    return Ok(Self { id, dir, _running, latest_at_end: false });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(made),
            }
        }
        Err(Fault::new(Exit::Host, format!("{}: too many runs named {stamp}", results.display()))
            .into())
    }

    /// Finds a run by its name; `latest` is one.
    ///
    /// # Errors
    /// [`Exit::Usage`] when there is none.
    pub(crate) fn open(results: &Path, name: &str) -> anyhow::Result<Self> {
        let dir = results.join(name);
        let dir = fs::canonicalize(&dir).map_err(|_| {
            Fault::new(Exit::Usage, format!("no run `{name}` in {}", results.display()))
                .hint("`cargo xtask list runs` lists the runs; `cargo xtask run-matrix` makes one")
        })?;
        Self::at(&dir)
    }

    /// The run in this folder, which may be anywhere.
    ///
    /// # Errors
    /// A folder that cannot be found.
    pub(crate) fn at(dir: &Path) -> anyhow::Result<Self> {
        let dir =
            fs::canonicalize(dir).with_context(|| format!("cannot open {}", dir.display()))?;
        let id = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { id, dir, _running: None, latest_at_end: false })
    }

    /// Whether everything was written: the report is the last file.
    pub(crate) fn has_ended(&self) -> bool {
        self.dir.join(REPORT).exists()
    }

    /// Whether it has a result.
    pub(crate) fn has_result(&self) -> bool {
        self.dir.join(RESULT).exists()
    }

    /// Whether there is evidence of cells, readable or not.
    pub(crate) fn has_cells(&self) -> bool {
        self.dir
            .join(CELLS)
            .symlink_metadata()
            .map_or_else(|error| error.kind() != ErrorKind::NotFound, |_| true)
    }

    /// A path in the folder, relative to it.
    pub(crate) fn within(&self, path: &Path) -> String {
        path.strip_prefix(&self.dir).unwrap_or(path).display().to_string()
    }

    /// Copies what a part left, except its results: evidence under the same names, and files that
    /// each part has under the number of the part. The manifest is already there.
    ///
    /// # Errors
    /// What is not as it was sealed, with its path; I/O errors.
    pub(crate) fn adopt(&self, part: &Self, number: u32) -> anyhow::Result<()> {
        for file in [MANIFEST, "part.json"] {
            let value: serde_json::Value = read_json(&part.dir.join(file))?;
            self.write_json(&format!("parts/{number}/{file}"), &value)?;
        }
        for id in part.cells()? {
            self.write_cell(&id, &part.read_cell::<serde_json::Value>(&id)?)?;
            for from in part.every_attempt(&id) {
                self.adopt_sealed(part, &from, &self.dir.join(part.within(&from)))?;
            }
        }
        for from in part.boots() {
            let (name, attempt) = (from.parent().and_then(Path::file_name), from.file_name());
            let name = name.unwrap_or_default().to_string_lossy();
            let boot = self.dir.join(BOOTS).join(format!("{name}-part-{number}"));
            self.adopt_sealed(part, &from, &boot.join(attempt.unwrap_or_default()))?;
        }
        Ok(())
    }

    /// Removes what killed processes left unfinished in it.
    pub(crate) fn remove_unfinished(&self) {
        let entries = walkdir::WalkDir::new(&self.dir).into_iter().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_dir());
        folders.for_each(|folder| file::remove_unfinished(folder.path(), UNFINISHED_AGE));
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder that it is in.
    pub(crate) fn results(&self) -> &Path {
        self.dir.parent().unwrap_or(&self.dir)
    }

    /// The run's copy of the user's patches, if it has one.
    pub(crate) fn series(&self) -> Option<PathBuf> {
        Some(self.dir.join(SERIES)).filter(|folder| folder.is_dir())
    }

    /// Folder of a cell's attempt, from 1.
    pub(crate) fn attempt(&self, cell: &str, attempt: u32) -> PathBuf {
        self.cell(cell).join(format!("attempt-{attempt}"))
    }

    /// Folder of the attempt, from 1, at a boot that cells share.
    pub(crate) fn boot(&self, name: &str, attempt: u32) -> PathBuf {
        self.dir.join(BOOTS).join(name).join(format!("attempt-{attempt}"))
    }

    /// Folders of the attempts at boots that cells share.
    pub(crate) fn boots(&self) -> Vec<PathBuf> {
        let names = fs::read_dir(self.dir.join(BOOTS)).into_iter().flatten().flatten();
        let attempts = names.flat_map(|name| fs::read_dir(name.path()).into_iter().flatten());
        attempts.flatten().map(|attempt| attempt.path()).collect()
    }

    /// Writes what ran and where.
    pub(crate) fn write_manifest(&self, manifest: &impl Serialize) -> anyhow::Result<()> {
        write_json(&self.dir.join(MANIFEST), manifest)
    }

    /// Reads what ran and where.
    pub(crate) fn read_manifest<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        self.read_what_runs_leave(MANIFEST)
    }

    /// Ids of the cells that were planned, in alphabetical order.
    pub(crate) fn cells(&self) -> anyhow::Result<Vec<String>> {
        let dir = self.dir.join(CELLS);
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(refused(&dir, "the run has no cells"));
            }
            entries => entries.with_context(|| format!("cannot read {}", dir.display()))?,
        };
        let mut ids: Vec<String> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// Folders of the attempts at a cell that were started, in order.
    pub(crate) fn attempts(&self, cell: &str) -> Vec<PathBuf> {
        let numbers = 1..=ATTEMPTS_MAX;
        numbers.map(|number| self.attempt(cell, number)).take_while(|dir| dir.exists()).collect()
    }

    /// Moves the folder of an attempt aside, beside it, so that the attempt can be repeated. The
    /// new name ends with why and the first free number.
    ///
    /// # Errors
    /// A folder that cannot be moved.
    pub(crate) fn put_aside(&self, attempt: &Path, why: &str) -> anyhow::Result<PathBuf> {
        let named = |number: u32| {
            let mut name = attempt.as_os_str().to_owned();
            name.push(format!(".{why}-{number}"));
            PathBuf::from(name)
        };
        let free = (1..).map(named).find(|path| !path.exists());
        let aside = free.with_context(|| format!("move {}", attempt.display()))?;
        fs::rename(attempt, &aside).with_context(|| format!("move {}", attempt.display()))?;
        Ok(aside)
    }

    /// Folders of the attempts at a cell, and of those that were moved aside.
    fn every_attempt(&self, cell: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.cell(cell)).into_iter().flatten().flatten();
        let is_aside = |path: &PathBuf| path.is_dir() && path.extension().is_some();
        let mut aside: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_aside).collect();
        aside.sort();
        [self.attempts(cell), aside].concat()
    }

    /// Writes a cell as planned.
    pub(crate) fn write_cell(&self, id: &str, cell: &impl Serialize) -> anyhow::Result<()> {
        let dir = self.cell(id);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        write_json(&dir.join(PLANNED), cell)
    }

    /// Reads a cell as planned.
    pub(crate) fn read_cell<T: DeserializeOwned>(&self, id: &str) -> anyhow::Result<T> {
        read_json(&self.cell(id).join(PLANNED))
    }

    /// Writes the results.
    pub(crate) fn write_result(&self, result: &impl Serialize) -> anyhow::Result<()> {
        self.write_json(RESULT, result)
    }

    /// Writes the report: the last file of a run.
    pub(crate) fn write_report(&self, report: &str) -> anyhow::Result<()> {
        write_whole(&self.dir.join(REPORT), report.as_bytes())?;
        match self.latest_at_end {
            true => point_latest(self.results(), &self.id),
            false => Ok(()),
        }
    }

    /// Writes another file of JSON into the folder.
    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        write_json(&self.dir.join(name), value)
    }

    /// Writes another text file into the folder, and makes the folders above it.
    pub(crate) fn write_text(&self, place: &str, text: &str) -> anyhow::Result<()> {
        let path = self.dir.join(place);
        let dir = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        write_whole(&path, text.as_bytes())
    }

    /// Reads the results.
    ///
    /// # Errors
    /// [`Exit::Usage`] if the run left none; a file that cannot be read.
    pub(crate) fn read_result<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        self.read_what_runs_leave(RESULT)
    }

    fn read_what_runs_leave<T: DeserializeOwned>(&self, file: &str) -> anyhow::Result<T> {
        let path = self.dir.join(file);
        if !path.exists() {
            return Err(Fault::new(Exit::Usage, format!("run {} has no {file}", self.id))
                .hint(
                    "check-series, coverage and kselftest leave none; for a run that was \
                        killed, `cargo xtask report` makes it",
                )
                .into());
        }
        read_json(&path)
    }

    fn cell(&self, id: &str) -> PathBuf {
        self.dir.join(CELLS).join(id)
    }
}

/// Names of the runs that ended, oldest first.
pub(crate) fn runs(results: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match fs::read_dir(results) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", results.display()))?,
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join(RESULT).exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != LATEST && !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

/// A symbolic link cannot be replaced in place: a new one is made and renamed over it.
fn point_latest(results: &Path, id: &str) -> anyhow::Result<()> {
    let beside = results.join(format!("{UNFINISHED}{LATEST}-{id}"));
    std::os::unix::fs::symlink(id, &beside)
        .and_then(|()| fs::rename(&beside, results.join(LATEST)))
        .with_context(|| format!("cannot point {} at {id}", results.join(LATEST).display()))
}

fn stamp(started: jiff::Timestamp) -> String {
    started.strftime("%Y-%m-%dT%H-%M-%SZ").to_string()
}

fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    write_whole(path, text.as_bytes())
}

/// Reads a file of a run folder.
///
/// # Errors
/// [`Exit::Usage`] for a file that the harness did not write like that; I/O errors, with the path.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let bytes = readable(path, file::read(path, Links::Refused, STORED_BYTES_MAX))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| refused(path, &format!("not in the format of this version: {error}")))
}

/// What is no file that the harness wrote is the fault of who names the run.
fn readable<T>(path: &Path, read: std::io::Result<T>) -> anyhow::Result<T> {
    read.map_err(|error| match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::NotADirectory => {
            refused(path, &error.to_string())
        }
        _ => anyhow::Error::new(error).context(format!("cannot read {}", path.display())),
    })
}

fn refused(path: &Path, why: &str) -> anyhow::Error {
    Fault::new(Exit::Usage, format!("{}: {why}", path.display())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_the_same_second_get_numbers_and_latest_follows() {
        let results = tempfile::tempdir().unwrap();
        let begun = "2026-01-31T04:00:00Z".parse().unwrap();
        let first = RunFolder::begin(results.path(), begun).unwrap();
        let second = RunFolder::begin(results.path(), begun).unwrap();
        assert_eq!(first.id, "2026-01-31T04-00-00Z");
        assert_eq!(second.id, "2026-01-31T04-00-00Z-2");
        let latest = || RunFolder::open(results.path(), "latest").unwrap().id;
        assert_eq!(latest(), second.id);
        let apart = RunFolder::begin_apart(results.path(), begun).unwrap();
        assert_eq!(latest(), second.id);
        apart.write_report("whole").unwrap();
        assert_eq!(latest(), apart.id);
    }

    #[test]
    fn only_runs_that_ended_are_listed() {
        let results = tempfile::tempdir().unwrap();
        assert_eq!(runs(&results.path().join("none")).unwrap(), [""; 0]);
        let ended = RunFolder::create(results.path(), "a").unwrap();
        RunFolder::create(results.path(), "b").unwrap();
        ended.write_result(&serde_json::json!({"x": 1})).unwrap();
        assert_eq!(runs(results.path()).unwrap(), ["a"]);
        assert_eq!(ended.read_result::<serde_json::Value>().unwrap()["x"], 1);
    }

    #[test]
    fn an_unknown_run_is_a_usage_fault() {
        let results = tempfile::tempdir().unwrap();
        let error = RunFolder::open(results.path(), "x").unwrap_err();
        assert_eq!(crate::exit::fault_of(&error).unwrap().exit, Exit::Usage);
    }
}
