// SPDX-License-Identifier: MIT OR Apache-2.0
//! The seal of a run: which attempts it left, so that none can go missing unnoticed.
//!
//! Contract: it is written when the last attempt of a run has ended. A run is whole if its attempts
//! are those of the list, each with the seal that it had then. Like a seal of an attempt it finds
//! damage, deletion and edits, and not who makes new ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::seal::SEAL;
use super::{CELLS, RunFolder, read_json, readable, refused, write_json};
use crate::host::digest::sha256;
use crate::host::file::{self, Links};

/// File in the run folder.
const SEALED: &str = "sealed.json";
/// The seal of an attempt has a hash for each of a few files.
const SEAL_BYTES_MAX: u64 = 1 << 20;

/// Content of [`SEALED`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunSeal {
    /// SHA-256 of the seal of each attempt, by its folder; empty for one that could not be sealed.
    attempts: BTreeMap<String, String>,
    /// SHA-256 of `attempts` as JSON without blanks.
    list: String,
}

impl RunFolder {
    /// Seals the run, whose attempts have all ended.
    ///
    /// # Errors
    /// I/O errors, with the path.
    pub(crate) fn seal_run(&self) -> anyhow::Result<()> {
        let mut attempts = BTreeMap::new();
        for id in self.cells_if_any()? {
            for dir in self.every_attempt(&id) {
                attempts.insert(self.within(&dir), seal_of(&dir)?);
            }
        }
        let list = sha256(&serde_json::to_vec(&attempts)?);
        write_json(&self.dir.join(SEALED), &RunSeal { attempts, list })
    }

    /// Whether it was sealed as a whole. A run that was killed was not.
    pub(crate) fn is_sealed(&self) -> bool {
        self.dir.join(SEALED).symlink_metadata().is_ok()
    }

    /// Whether its attempts are those that were sealed.
    ///
    /// # Errors
    /// What is missing, was changed or was added, with its path.
    pub(crate) fn check_run(&self) -> anyhow::Result<()> {
        let place = self.dir.join(SEALED);
        if !self.is_sealed() {
            let why = "missing: the run did not end, or is of an earlier version of the harness";
            return Err(refused(&place, why));
        }
        let sealed: RunSeal = read_json(&place)?;
        if sealed.list != sha256(&serde_json::to_vec(&sealed.attempts)?) {
            return Err(refused(&place, "it is not the list that was sealed"));
        }
        for (attempt, hash) in &sealed.attempts {
            let dir = self.dir.join(attempt);
            if !dir.exists() {
                return Err(refused(&dir, "its evidence is missing"));
            }
            if *hash != seal_of(&dir)? {
                return Err(refused(&dir.join(SEAL), "it is not the seal of this run"));
            }
        }
        for id in self.cells_if_any()? {
            let mut attempts = self.every_attempt(&id).into_iter();
            let added = attempts.find(|dir| !sealed.attempts.contains_key(&self.within(dir)));
            if let Some(dir) = added {
                return Err(refused(&dir, "it was added after the run had ended"));
            }
        }
        Ok(())
    }

    /// Ids of the cells that have sealed attempts; none where the run is not sealed.
    pub(crate) fn sealed_cells(&self) -> BTreeSet<String> {
        let sealed = read_json::<RunSeal>(&self.dir.join(SEALED)).ok();
        let attempts = sealed.into_iter().flat_map(|sealed| sealed.attempts.into_keys());
        let id = |attempt: String| {
            let mut parts = attempt.split('/');
            (parts.next() == Some(CELLS)).then(|| parts.next().map(str::to_owned)).flatten()
        };
        attempts.filter_map(id).collect()
    }

    fn cells_if_any(&self) -> anyhow::Result<Vec<String>> {
        if self.has_cells() { self.cells() } else { Ok(Vec::new()) }
    }
}

/// Hash of the seal of an attempt; empty if it has none.
fn seal_of(dir: &Path) -> anyhow::Result<String> {
    let path = dir.join(SEAL);
    if path.symlink_metadata().is_err() {
        return Ok(String::new());
    }
    Ok(sha256(&readable(&path, file::read(&path, Links::Refused, SEAL_BYTES_MAX))?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A boot that was repeated.
    const ASIDE: &str = "cells/b/attempt-1.emulator-1";

    fn run(results: &Path) -> RunFolder {
        let folder = RunFolder::begin(results, jiff::Timestamp::UNIX_EPOCH).unwrap();
        folder.write_manifest(&json!({ "nonce": "1" })).unwrap();
        for cell in ["a", "b"] {
            folder.write_cell(cell, &json!({ "id": cell })).unwrap();
            for attempt in 1..=2 {
                folder
                    .write_text(&format!("cells/{cell}/attempt-{attempt}/console.log"), "x")
                    .unwrap();
                folder.seal(&folder.attempt(cell, attempt)).unwrap();
            }
        }
        folder.write_text(&format!("{ASIDE}/console.log"), "x").unwrap();
        folder.seal(&folder.dir().join(ASIDE)).unwrap();
        folder.seal_run().unwrap();
        folder.check_run().unwrap();
        folder
    }

    fn said(spoil: &dyn Fn(&RunFolder)) -> String {
        let results = tempfile::tempdir().unwrap();
        let folder = run(results.path());
        spoil(&folder);
        let error = folder.check_run().unwrap_err();
        let fault = crate::exit::fault_of(&error).unwrap();
        assert_eq!(fault.exit, crate::exit::Exit::Usage);
        fault.what.replace(&format!("{}/", folder.dir().display()), "")
    }

    #[test]
    fn no_attempt_can_go_missing_or_be_added() {
        let remove = |place: &'static str| {
            move |folder: &RunFolder| std::fs::remove_dir_all(folder.dir().join(place)).unwrap()
        };
        assert!(said(&remove("cells/a")).starts_with("cells/a/attempt-1: its evidence is missing"));
        assert!(said(&remove("cells")).starts_with("cells/a/attempt-1: its evidence is missing"));
        assert!(said(&remove("cells/b/attempt-2")).starts_with("cells/b/attempt-2: its evidence"));
        assert!(said(&remove(ASIDE)).starts_with(&format!("{ASIDE}: its evidence is missing")));
        let added = said(&|folder| {
            folder.write_text("cells/c/attempt-1/console.log", "x").unwrap();
        });
        assert!(added.starts_with("cells/c/attempt-1: it was added"), "{added}");
        let resealed = said(&|folder| {
            folder.write_text("cells/a/attempt-1/console.log", "forged").unwrap();
            folder.seal(&folder.attempt("a", 1)).unwrap();
        });
        assert!(resealed.contains("seal.json: it is not the seal of this run"), "{resealed}");
        // A cell is deleted together with its lines in the list.
        let edited = said(&|folder| {
            remove("cells/a")(folder);
            let mut sealed: RunSeal = read_json(&folder.dir().join(SEALED)).unwrap();
            sealed.attempts.retain(|attempt, _| !attempt.starts_with("cells/a/"));
            folder.write_json(SEALED, &sealed).unwrap();
        });
        assert!(edited.contains("it is not the list that was sealed"), "{edited}");
        let gone = said(&|folder| std::fs::remove_file(folder.dir().join(SEALED)).unwrap());
        assert!(gone.starts_with("sealed.json: missing"), "{gone}");
    }

    #[test]
    fn the_list_has_the_cells_even_if_they_are_gone() {
        let results = tempfile::tempdir().unwrap();
        let folder = run(results.path());
        std::fs::remove_dir_all(folder.dir().join("cells/a")).unwrap();
        assert_eq!(folder.sealed_cells().into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
