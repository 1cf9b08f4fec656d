// SPDX-License-Identifier: MIT OR Apache-2.0
//! A series: what the `series` file names, in order, and which files each patch touches.
//!
//! Contract: a [`Series`] that was read names only files inside the kernel tree, in every place
//! where `patch` could take a name from. Nothing is applied here; see [`super::overlay`].

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::digest::hex;
use crate::exit::{Exit, Fault};

/// A patch is text that people review; more than this is a mistake.
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
    /// Path as given, for messages.
    pub(crate) name: String,
    /// Where it is, for `patch`.
    pub(crate) file: PathBuf,
    /// Files it reads, writes, makes or removes, relative to the tree.
    pub(crate) touches: BTreeSet<PathBuf>,
    text: Vec<u8>,
}

impl Series {
    /// Reads the `series` file in `folder`, if there is one to read, and the extra patches after it.
    /// Both are relative to `workspace`.
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
            let touches = touched(&String::from_utf8_lossy(&text)).map_err(|why| {
                Fault::new(Exit::Series, format!("{}:{why}", name.display())).hint(
                    "the series is `git format-patch` output, made at the top of the kernel tree",
                )
            })?;
            patches.push(Patch { name: name.display().to_string(), file, touches, text });
        }
        Ok(Self { patches })
    }

    /// The same for the same texts in the same order; names do not matter.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for patch in &self.patches {
            hash.update((patch.text.len() as u64).to_le_bytes());
            hash.update(&patch.text);
        }
        hash.finalize().into()
    }

    /// What KCIDB names a patch set by: `sha256sum *.patch | cut -c-64 | sha256sum | cut -c-64`, and an empty text for
    /// no patches.
    pub(crate) fn patchset_hash(&self) -> String {
        if self.patches.is_empty() {
            return String::new();
        }
        let of_patch = |patch: &Patch| format!("{}\n", hex(&Sha256::digest(&patch.text)));
        let list: String = self.patches.iter().map(of_patch).collect();
        hex(&Sha256::digest(list.as_bytes()))
    }
}

fn read_bounded(file: &Path, name: &Path) -> Result<Vec<u8>, Fault> {
    let fault = |why: String| {
        Fault::new(Exit::Series, format!("{}: {why}", name.display()))
            .hint("`series` and `extra_patches` in configs/kernels name it")
    };
    let bytes = fs::metadata(file).map_err(|error| fault(error.to_string()))?.len();
    if bytes > PATCH_BYTES_MAX {
        return Err(fault(format!("{bytes} bytes is no patch")));
    }
    fs::read(file).map_err(|error| fault(error.to_string()))
}

/// The names in a `series` file; an error is `line: why`.
pub(super) fn parse_list(text: &str) -> Result<Vec<PathBuf>, String> {
    let mut names = Vec::new();
    for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        let name = line.split('#').next().unwrap_or_default().trim();
        if name.is_empty() {
            continue;
        }
        if name.contains(char::is_whitespace) {
            return Err(format!("{at}: `{name}`: one patch a line, without options"));
        }
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

fn stays_inside(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// The files a patch names, without their first component; an error is `line: why`.
///
/// Looks at the same lines `patch` takes names from, and counts the lines of hunks, so that a
/// removed line which begins with `-- ` is not mistaken for a header.
pub(super) fn touched(text: &str) -> Result<BTreeSet<PathBuf>, String> {
    let mut found = BTreeSet::new();
    let (mut hunks, mut old_left, mut new_left) = (0, 0_u64, 0_u64);
    for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        if old_left > 0 || new_left > 0 {
            match line.as_bytes().first() {
                Some(b'-') => old_left = old_left.saturating_sub(1),
                Some(b'+') => new_left = new_left.saturating_sub(1),
                Some(b'\\') => {}
                Some(b' ') | None => {
                    old_left = old_left.saturating_sub(1);
                    new_left = new_left.saturating_sub(1);
                }
                Some(_) => {
                    return Err(format!(
                        "{at}: hunk {hunks} ends before its last line: is the patch cut off?"
                    ));
                }
            }
            continue;
        }
        if let Some(counts) = line.strip_prefix("@@ ") {
            (old_left, new_left) =
                hunk_counts(counts).ok_or_else(|| format!("{at}: not a hunk header: {line}"))?;
            hunks += 1;
            continue;
        }
        for name in names_in(line).map_err(|why| format!("{at}: {why}"))? {
            found.insert(inside_tree(name).map_err(|why| format!("{at}: {why}"))?);
        }
        if line.starts_with("GIT binary patch") {
            return Err(format!("{at}: a binary patch cannot be applied"));
        }
    }
    match (old_left > 0 || new_left > 0, found.is_empty()) {
        (true, _) => Err(format!("{}: the last hunk is cut off", text.lines().count())),
        (_, true) => Err("1: there is no patch in it".to_owned()),
        _ => Ok(found),
    }
}

/// Names in a header line, first component still there or already gone (renames): `(name, strip)`.
fn names_in(line: &str) -> Result<Vec<(&str, bool)>, String> {
    for prefix in ["rename from ", "rename to ", "copy from ", "copy to "] {
        if let Some(name) = line.strip_prefix(prefix) {
            return Ok(vec![(name, false)]);
        }
    }
    for prefix in ["--- ", "+++ "] {
        if let Some(name) = line.strip_prefix(prefix) {
            let name = name.split('\t').next().unwrap_or_default().trim_end();
            return Ok(if name == "/dev/null" { vec![] } else { vec![(name, true)] });
        }
    }
    if let Some(names) = line.strip_prefix("diff --git ") {
        return match names.split(' ').collect::<Vec<_>>()[..] {
            [old, new] => Ok(vec![(old, true), (new, true)]),
            _ => Err(format!("file names with blanks are not supported: {names}")),
        };
    }
    match line.strip_prefix("Index: ") {
        Some(name) => Ok(vec![(name, true)]),
        None => Ok(vec![]),
    }
}

fn inside_tree((name, strip): (&str, bool)) -> Result<PathBuf, String> {
    if name.starts_with('"') {
        return Err(format!("file names in quotes are not supported: {name}"));
    }
    let inner = match name.split_once('/') {
        _ if !strip => name,
        Some((first, inner)) if !first.is_empty() && first != ".." => inner,
        _ => {
            return Err(format!(
                "`{name}` does not look like a/FILE: the path leaves the tree or lacks its first part"
            ));
        }
    };
    let path = PathBuf::from(inner);
    if !stays_inside(&path) || inner.contains("//") {
        return Err(format!("`{name}` leaves the kernel tree"));
    }
    if path.iter().any(|part| part == ".git") {
        return Err(format!("`{name}` is inside .git"));
    }
    Ok(path)
}

/// `-12,3 +12,4 @@ …` -> (3, 4)
fn hunk_counts(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split(' ');
    let mut count = |sign: char| {
        let range = words.next()?.strip_prefix(sign)?;
        match range.split_once(',') {
            Some((_, count)) => count.parse().ok(),
            None => Some(1),
        }
    };
    Some((count('-')?, count('+')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> Result<Vec<String>, String> {
        touched(text).map(|set| set.iter().map(|path| path.display().to_string()).collect())
    }

    fn minimal(old: &str, new: &str) -> String {
        format!("--- {old}\n+++ {new}\n@@ -1 +1 @@\n-x\n+y\n")
    }

    #[test]
    fn a_list_has_comments_and_one_name_a_line() {
        let names = parse_list("# about\n\n0001-a.patch # why\n  sub/0002-b.patch\n").unwrap();
        assert_eq!(names, [PathBuf::from("0001-a.patch"), PathBuf::from("sub/0002-b.patch")]);
        for (text, why) in [
            ("a.patch\n../b.patch", "2: `../b.patch` leaves"),
            ("/etc/passwd", "1: `/etc/passwd` leaves"),
            ("a.patch -p0", "without options"),
            ("a.patch\na.patch", "2: `a.patch` is listed twice"),
        ] {
            let error = parse_list(text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }

    #[test]
    fn names_come_from_every_header_and_not_from_hunks() {
        let text = "From 1 Mon Sep 17\nSubject: x\n---\n mm/a.c | 2 +-\n\n\
            diff --git a/mm/a.c b/mm/a.c\n--- a/mm/a.c\n+++ b/mm/a.c\n@@ -1,3 +1,2 @@ f\n x\n--- a/../../evil\n y\n\
            diff --git a/old.c b/new.c\nrename from old.c\nrename to new.c\n\
            diff --git a/fresh b/fresh\nnew file mode 100644\n--- /dev/null\n+++ b/fresh\n@@ -0,0 +1 @@\n+hi\n-- \n2.39\n";
        assert_eq!(files(text).unwrap(), ["fresh", "mm/a.c", "new.c", "old.c"]);
    }

    #[test]
    fn a_path_that_leaves_the_tree_is_refused_wherever_it_stands() {
        for text in [
            minimal("a/../x", "b/x"),
            minimal("a/x", "b/x/../../y"),
            minimal("/etc/passwd", "b/x"),
            minimal("a/x", "../x"),
            minimal("a//etc/passwd", "b/x"),
            minimal("a/.git/config", "b/.git/config"),
            minimal("a/./x", "b/x"),
            minimal("x", "x"),
            "diff --git a/x b/../y\nrename from x\nrename to ../y\n".to_owned(),
            "rename from x\nrename to /y\n".to_owned(),
            "Index: a/../../x\n".to_owned() + &minimal("a/x", "b/x"),
        ] {
            let error = files(&text).expect_err(&text);
            assert!(error.contains("tree") || error.contains(".git"), "{text}: {error}");
        }
    }

    #[test]
    fn a_cut_off_patch_is_refused() {
        let whole = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n";
        assert_eq!(files(whole).unwrap(), ["x"]);
        assert!(files(&whole[..whole.len() - 3]).unwrap_err().contains("cut off"));
        assert!(files("").unwrap_err().contains("no patch"));
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
