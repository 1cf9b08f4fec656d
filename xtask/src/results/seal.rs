// SPDX-License-Identifier: MIT OR Apache-2.0
//! Seals: which files an attempt left, so that evidence is not believed once it was changed.
//!
//! Contract: an attempt is as it was recorded if its files, the cell as planned, the manifest of
//! the run and the place in the run folder are those of its seal. That finds damage, edits and
//! evidence put in another place. It cannot find who writes new seals too: a seal has no secret.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{MANIFEST, PLANNED, RunFolder, STORED_BYTES_MAX, refused, write_json};
use crate::host::digest::sha256;
use crate::host::file::{self, Links, UNFINISHED};

/// File in the folder of an attempt.
pub(super) const SEAL: &str = "seal.json";
/// Files in the run folder that say what was planned, where the command has one.
const PLANS: [&str; 2] = ["trials.json", "part.json"];
/// Fields of the manifest that the end of a run changes.
const CHANGING: [&str; 3] = ["duration_ms", "interrupted", "steal_percent"];

/// Content of [`SEAL`]. Hashes are SHA-256, hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    /// Of the manifest, without what the end of the run changes.
    manifest: String,
    /// Of those of [`PLANS`] that there are, by name.
    #[serde(default)]
    plans: BTreeMap<String, String>,
    /// Of the cell as planned; `None` for a boot that cells share.
    cell: Option<String>,
    /// The folder of the attempt, relative to the run folder.
    attempt: String,
    /// Of the other files in the folder, by name.
    files: BTreeMap<String, String>,
}

impl RunFolder {
    /// Seals the folder of an attempt, which has ended.
    ///
    /// # Errors
    /// I/O errors, with the path; a file in it that is not a regular file.
    pub(crate) fn seal(&self, dir: &Path) -> anyhow::Result<()> {
        write_json(&dir.join(SEAL), &self.seal_of(dir)?)
    }

    /// Whether the folder of an attempt is as it was sealed.
    ///
    /// # Errors
    /// What is missing or was changed, with its path.
    pub(crate) fn check_seal(&self, dir: &Path) -> anyhow::Result<()> {
        self.sealed(dir).map(drop)
    }

    /// Whether the attempt in this folder has a seal, right or wrong.
    pub(crate) fn has_seal(&self, dir: &Path) -> bool {
        dir.join(SEAL).symlink_metadata().is_ok()
    }

    /// Copies the sealed files of an attempt of another run into this one, and seals them.
    ///
    /// # Errors
    /// What is missing or was changed, with its path; I/O errors.
    pub(super) fn adopt_sealed(&self, from: &Self, dir: &Path, to: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
        for (name, hash) in from.sealed(dir)?.files {
            let bytes = read(&dir.join(&name))?;
            // It may have changed since.
            if sha256(&bytes) != hash {
                return Err(refused(&dir.join(&name), "it was changed"));
            }
            file::write_whole(&to.join(&name), &bytes)?;
        }
        self.seal(to)
    }

    fn sealed(&self, dir: &Path) -> anyhow::Result<Seal> {
        let place = dir.join(SEAL);
        if !dir.exists() {
            return Err(refused(dir, "its evidence is missing"));
        }
        if !place.exists() {
            return Err(refused(&place, "missing: the harness ended while the attempt ran"));
        }
        let (sealed, is): (Seal, Seal) = (super::read_json(&place)?, self.seal_of(dir)?);
        let changed = "it is not the file that was sealed";
        if sealed.attempt != is.attempt {
            return Err(refused(&place, &format!("it is the seal of {}", sealed.attempt)));
        }
        if sealed.manifest != is.manifest {
            return Err(refused(&self.dir.join(MANIFEST), changed));
        }
        if let Some(plan) = PLANS.iter().find(|it| sealed.plans.get(**it) != is.plans.get(**it)) {
            return Err(refused(&self.dir.join(plan), changed));
        }
        if sealed.cell != is.cell {
            return Err(refused(&dir.with_file_name(PLANNED), changed));
        }
        let names = sealed.files.keys().chain(is.files.keys());
        match names.into_iter().find(|name| sealed.files.get(*name) != is.files.get(*name)) {
            Some(name) => Err(refused(&dir.join(name), changed)),
            None => Ok(sealed),
        }
    }

    fn seal_of(&self, dir: &Path) -> anyhow::Result<Seal> {
        let cell = dir.with_file_name(PLANNED);
        let cell = cell.exists().then(|| anyhow::Ok(sha256(&read(&cell)?))).transpose()?;
        let (mut files, mut plans) = (BTreeMap::new(), BTreeMap::new());
        for plan in PLANS.map(|name| self.dir.join(name)).iter().filter(|path| path.exists()) {
            plans.insert(self.within(plan), sha256(&read(plan)?));
        }
        for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let name = entry.with_context(|| format!("cannot read {}", dir.display()))?.file_name();
            let name = name.to_string_lossy().into_owned();
            if name != SEAL && !name.starts_with(UNFINISHED) {
                files.insert(name.clone(), sha256(&read(&dir.join(name))?));
            }
        }
        let (manifest, attempt) = (self.identity()?, self.within(dir));
        Ok(Seal { manifest, plans, cell, attempt, files })
    }

    /// Hash of what the manifest says from begin to end of the run.
    fn identity(&self) -> anyhow::Result<String> {
        let mut manifest: BTreeMap<String, serde_json::Value> =
            super::read_json(&self.dir.join(MANIFEST))?;
        CHANGING.iter().for_each(|field| drop(manifest.remove(*field)));
        Ok(sha256(&serde_json::to_vec(&manifest)?))
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    super::readable(path, file::read(path, Links::Refused, STORED_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(folder: &RunFolder, place: &str, text: &str) {
        folder.write_text(place, text).unwrap();
    }

    /// A run of two cells with an attempt each.
    fn run(results: &Path, nonce: &str) -> RunFolder {
        let folder = RunFolder::begin(results, jiff::Timestamp::UNIX_EPOCH).unwrap();
        folder.write_manifest(&json!({ "nonce": nonce, "duration_ms": 0, "slowdown": 1 })).unwrap();
        for cell in ["a", "b"] {
            folder.write_cell(cell, &json!({ "id": cell })).unwrap();
            write(&folder, &format!("cells/{cell}/attempt-1/console.log"), "alike");
            write(&folder, &format!("cells/{cell}/attempt-1/events.jsonl"), cell);
            folder.seal(&folder.attempt(cell, 1)).unwrap();
        }
        folder
    }

    /// What is said of the first attempt at the first cell, without the path of the run folder.
    fn said(folder: &RunFolder) -> String {
        match folder.check_seal(&folder.attempt("a", 1)) {
            Ok(()) => String::new(),
            Err(error) => {
                let fault = crate::exit::fault_of(&error).unwrap();
                assert_eq!(fault.exit, crate::exit::Exit::Usage);
                fault.what.replace(&format!("{}/", folder.dir().display()), "")
            }
        }
    }

    #[test]
    fn whatever_is_not_as_sealed_is_named() {
        let results = tempfile::tempdir().unwrap();
        let changed = |name: &str| format!("{name}: it is not the file that was sealed");
        let attempt = |name: &str| changed(&format!("cells/a/attempt-1/{name}"));
        let spoilt = |spoil: &dyn Fn(&RunFolder)| {
            let folder = run(results.path(), "1");
            assert_eq!(said(&folder), "");
            spoil(&folder);
            said(&folder)
        };
        let edit = |place: &'static str| spoilt(&|folder| write(folder, place, "{}"));
        assert_eq!(edit("cells/a/attempt-1/console.log"), attempt("console.log"));
        assert_eq!(edit("cells/a/attempt-1/code.txt"), attempt("code.txt"), "one too many");
        assert_eq!(edit("cells/a/cell.json"), changed("cells/a/cell.json"));
        assert_eq!(edit("manifest.json"), changed("manifest.json"));
        assert_eq!(edit("trials.json"), changed("trials.json"));
        assert_eq!(edit("cells/a/attempt-1/.tmp-x"), "", "left by a killed process");
        let end = json!({ "nonce": "1", "duration_ms": 7, "slowdown": 1, "interrupted": true });
        assert_eq!(spoilt(&|folder| folder.write_manifest(&end).unwrap()), "");
        let slower = json!({ "nonce": "1", "duration_ms": 0, "slowdown": 99 });
        let said = spoilt(&|folder| folder.write_manifest(&slower).unwrap());
        assert_eq!(said, changed("manifest.json"));
        let missing = |name: &'static str| {
            spoilt(&|folder| fs::remove_file(folder.attempt("a", 1).join(name)).unwrap())
        };
        assert_eq!(missing("console.log"), attempt("console.log"));
        assert!(missing("seal.json").contains("attempt-1/seal.json: missing"));
        let replaced = |by: &dyn Fn(&Path)| {
            spoilt(&|folder| {
                let console = folder.attempt("a", 1).join("console.log");
                fs::remove_file(&console).unwrap();
                by(&console);
            })
        };
        let link = |to: &'static str| move |at: &Path| std::os::unix::fs::symlink(to, at).unwrap();
        let fifo = |at: &Path| nix::unistd::mkfifo(at, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let huge = |at: &Path| {
            fs::File::create(at).unwrap().set_len(10 << 30).unwrap();
        };
        let is = |why: &str| format!("cells/a/attempt-1/console.log: {why}");
        assert_eq!(replaced(&link("/etc/hostname")), is("a symbolic link leads there"));
        assert_eq!(replaced(&link("events.jsonl")), is("a symbolic link leads there"));
        assert_eq!(replaced(&link("/dev/zero")), is("not a regular file"));
        assert_eq!(replaced(&fifo), is("not a regular file"));
        assert!(replaced(&huge).contains("console.log: larger than"));
    }

    #[test]
    fn evidence_of_another_cell_or_run_is_not_taken() {
        let results = tempfile::tempdir().unwrap();
        let put = |from: &RunFolder, cell: &str, to: &RunFolder| {
            for name in ["console.log", "events.jsonl", "seal.json"] {
                let file = |run: &RunFolder, cell| run.attempt(cell, 1).join(name);
                fs::copy(file(from, cell), file(to, "a")).unwrap();
            }
        };
        let (one, other) = (run(results.path(), "1"), run(results.path(), "2"));
        put(&one, "b", &one);
        assert!(said(&one).contains("it is the seal of cells/b/attempt-1"), "{}", said(&one));
        put(&other, "a", &one);
        assert!(said(&one).contains("manifest.json: it is not the file"), "{}", said(&one));
    }

    #[test]
    fn only_sealed_files_are_adopted() {
        let results = tempfile::tempdir().unwrap();
        let part = run(results.path(), "1");
        let whole = RunFolder::begin(results.path(), jiff::Timestamp::UNIX_EPOCH).unwrap();
        whole.write_manifest(&json!({ "nonce": "whole" })).unwrap();
        let (from, to) = (part.attempt("a", 1), whole.attempt("a", 1));
        whole.adopt_sealed(&part, &from, &to).unwrap();
        whole.check_seal(&to).unwrap();
        assert_eq!(fs::read_to_string(to.join("events.jsonl")).unwrap(), "a");
        write(&part, "cells/a/attempt-1/console.log", "forged");
        assert!(whole.adopt_sealed(&part, &from, &to).is_err());
    }
}
