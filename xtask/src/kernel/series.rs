// SPDX-License-Identifier: MIT OR Apache-2.0
//! A series: the patches of a `series` file, in order, and which files each one touches.
//!
//! Contract: a [`Series`] names only files inside the kernel tree, wherever `patch` could take a
//! name from; see [`super::diff`]. [`super::overlay`] applies it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::diff::{Diff, Hunk, is_basis, stays_inside};
use crate::exit::{Exit, Fault};
use crate::host::digest::{sha256, sha256_of_parts};
use crate::host::file::{self, Links};

/// Patches get reviewed; a larger file is a mistake.
const PATCH_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Patches in the order they are applied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// The series file's patches, then the extra ones.
    pub(crate) patches: Vec<Patch>,
}

/// One patch.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    /// Its path as given, for messages.
    pub(crate) name: String,
    /// Its file.
    pub(crate) file: PathBuf,
    /// Files it reads, writes, makes or removes, relative to the tree.
    pub(crate) touches: BTreeSet<PathBuf>,
    /// Its hunks.
    pub(super) hunks: Vec<Hunk>,
    /// How many files its diff is about, each as often as it is.
    pub(super) sections: usize,
    /// The diff in the file, for `patch`.
    pub(super) diff: Vec<u8>,
    text: Vec<u8>,
}

impl Series {
    /// Reads the `series` file in `folder`, if one is given, then the extra patches. Both are
    /// relative to `workspace`.
    ///
    /// # Errors
    /// [`Exit::Series`], naming file and line.
    pub(crate) fn read(
        workspace: &Path,
        folder: Option<&Path>,
        extra: &[PathBuf],
    ) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        if let Some(folder) = folder {
            let list = folder.join("series");
            let text = read_bounded(&workspace.join(&list), &list)?;
            let text = String::from_utf8_lossy(&text);
            for name in parse_list(&text)
                .map_err(|why| Fault::new(Exit::Series, format!("{}:{why}", list.display())))?
            {
                files.push(folder.join(name));
            }
        }
        files.extend(extra.iter().cloned());
        let mut patches = Vec::new();
        for name in files {
            let file = workspace.join(&name);
            let text = read_bounded(&file, &name)?;
            let diff = Diff::read(&text).map_err(|why| {
                let hint = "make the series with `git format-patch`, at the top of the kernel tree";
                Fault::new(Exit::Series, format!("{}:{why}", name.display())).hint(hint)
            })?;
            let (touches, sections) = (diff.touches.clone(), diff.sections);
            let (hunks, diff) = (diff.hunks.clone(), diff.text());
            let name = name.display().to_string();
            patches.push(Patch { name, file, touches, hunks, sections, diff, text });
        }
        Ok(Self { patches })
    }

    /// Equal for equal texts in the same order, whatever their names. Part of the image's key.
    pub(crate) fn digest(&self) -> [u8; 32] {
        sha256_of_parts(self.patches.iter().map(|patch| patch.text.as_slice()))
    }

    /// The lines with which `git format-patch --base` says what the series applies to.
    pub(super) fn basis(&self) -> Vec<String> {
        let texts = self.patches.iter().map(|patch| String::from_utf8_lossy(&patch.text));
        let mut basis: Vec<String> = Vec::new();
        for text in texts {
            let lines = text.lines().filter(|line| is_basis(line)).map(str::trim_end);
            basis.extend(
                lines
                    .filter(|l| !basis.iter().any(|k| k == l))
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            );
        }
        basis
    }

    /// KCIDB's name of a patch set: `sha256sum *.patch | cut -c-64 | sha256sum | cut -c-64`; empty
    /// without patches.
    pub(crate) fn patchset_hash(&self) -> String {
        if self.patches.is_empty() {
            return String::new();
        }
        let of_patch = |patch: &Patch| format!("{}\n", sha256(&patch.text));
        let list: String = self.patches.iter().map(of_patch).collect();
        sha256(list.as_bytes())
    }
}

fn read_bounded(path: &Path, name: &Path) -> Result<Vec<u8>, Fault> {
    let fault = |why: String| {
        Fault::new(Exit::Series, format!("{}: {why}", name.display()))
            .hint("`series` and `extra_patches` in configs/kernels name it")
    };
    file::read(path, Links::Followed, PATCH_BYTES_MAX).map_err(|error| fault(error.to_string()))
}

/// The names in a `series` file; an error is `line: why`.
pub(super) fn parse_list(text: &str) -> Result<Vec<PathBuf>, String> {
    let mut names = Vec::new();
    for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        let name = line.split('#').next().unwrap_or_default().trim();
        if name.is_empty() {
            continue;
        }
        let name = match name.split_whitespace().collect::<Vec<_>>()[..] {
            // quilt writes -p1 if asked to; patches are applied with it anyway.
            [name] | [name, "-p1"] => name,
            [_, "-p0"] => {
                return Err(format!(
                    "{at}: `{name}`: file names need a prefix (a/mm/x.c): run `quilt refresh -p1`"
                ));
            }
            _ => return Err(format!("{at}: `{name}`: one patch a line, without options but -p1")),
        };
        let path = PathBuf::from(name);
        if !stays_inside(&path) {
            return Err(format!("{at}: `{name}` leaves the folder of the series"));
        }
        if names.contains(&path) {
            return Err(format!("{at}: `{name}` is listed twice"));
        }
        names.push(path);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn minimal(old: &str, new: &str) -> String {
        format!("--- {old}\n+++ {new}\n@@ -1 +1 @@\n-x\n+y\n")
    }

    #[test]
    fn a_list_has_comments_and_one_name_a_line() {
        let names = parse_list("# about\n\n0001-a.patch # why\n  sub/0002-b.patch -p1\n").unwrap();
        assert_eq!(names, [PathBuf::from("0001-a.patch"), PathBuf::from("sub/0002-b.patch")]);
        for (text, why) in [
            ("a.patch\n../b.patch", "2: `../b.patch` leaves"),
            ("/etc/passwd", "1: `/etc/passwd` leaves"),
            ("a.patch -p0", "quilt refresh -p1"),
            ("a.patch -R", "without options but -p1"),
            ("a.patch\na.patch", "2: `a.patch` is listed twice"),
        ] {
            let error = parse_list(text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_digest_is_of_texts_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("a", &minimal("a/1", "b/1"));
        write("b", &minimal("a/2", "b/2"));
        write("c", &minimal("a/1", "b/1"));
        let digest = |names: [&str; 2]| {
            Series::read(dir.path(), None, &names.map(PathBuf::from)).unwrap().digest()
        };
        assert_eq!(digest(["a", "b"]), digest(["c", "b"]));
        assert_ne!(digest(["a", "b"]), digest(["b", "a"]));
        assert_eq!(Series::default().patchset_hash(), "");
    }

    #[test]
    fn a_missing_patch_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("p")).unwrap();
        fs::write(dir.path().join("p/series"), "0001-gone.patch\n").unwrap();
        let error = Series::read(dir.path(), Some(Path::new("p")), &[]).unwrap_err();
        assert!(error.to_string().contains("p/0001-gone.patch"), "{error}");
        assert_eq!(crate::exit::fault_of(&error).unwrap().exit, Exit::Series);
    }
}
