// SPDX-License-Identifier: MIT OR Apache-2.0
//! Work trees: the source with a series applied, kept between builds so that little is compiled.
//! A new one starts with the objects of another: see [`seed`].
//!
//! Contract: a tree is hard links to the pristine source. A patched file is a new file that is
//! renamed into place, never a write through a link. A file whose content stays keeps its time, so
//! make compiles only what a series changed. Files next to the tree record its state:
//!
//! | file | meaning |
//! |---|---|
//! | `source` | id of the source it stands on |
//! | `touched` | files that any series ever changed here; written before them |
//! | `state` | digest of the series; absent during a move, so an interrupted move is repeated |
//! | `building` | make runs. If found, make was killed: everything newer is removed |

mod seed;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use walkdir::WalkDir;

use self::seed::{Donor, copy_with_time, touched};
use super::cache::{self, Cache};
use super::overlay::Overlay;
use super::pristine::{self, Source};
use crate::host;
use crate::host::file;
use crate::host::file::write_whole;
use crate::progress::Step;

/// Objects and vmlinux with debug info; measured 450 MB for the default config.
const TREE_MIB: u64 = 1_500;

/// A work tree. Its owner holds its lock.
#[derive(Debug)]
pub(crate) struct Tree {
    home: PathBuf,
    source: Source,
}

impl Tree {
    /// Opens the tree called `name` on `source`, or makes it. A tree that stood on another source
    /// moves to this one; files that both sources share keep their time.
    ///
    /// # Errors
    /// [`crate::exit::Exit::Host`] without space; I/O errors.
    pub(crate) fn open(cache: &Cache, name: &str, source: &Source) -> anyhow::Result<Self> {
        host::require_free(&cache.trees, TREE_MIB, "to build a kernel")?;
        let home = cache.trees.join(name);
        let tree = Self { home, source: source.clone() };
        let Ok(id) = file::text(tree.beside("source")) else {
            tree.make(cache, name)?;
            return Ok(tree);
        };
        tree.remove_what_a_killed_make_left()?;
        if id != source.id {
            match pristine::find(cache, &id)? {
                Some(old) => tree.follow(&old)?,
                None => tree.make(cache, name)?,
            }
            forget_old_state(cache, &id)?;
        }
        Ok(tree)
    }

    /// The folder make runs in.
    pub(crate) fn dir(&self) -> PathBuf {
        self.home.join("tree")
    }

    /// A small file about this tree, next to it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Turns the tree into the pristine source with `overlay`. Returns the files written.
    ///
    /// # Errors
    /// I/O errors; the next call repairs the tree.
    pub(crate) fn move_to(&self, overlay: &Overlay, digest: &str) -> anyhow::Result<Vec<PathBuf>> {
        let state = self.beside("state");
        if state.exists() {
            fs::remove_file(&state).with_context(|| format!("removing {}", state.display()))?;
        }
        let mut touched = touched(&self.home);
        touched.extend(overlay.files.keys().cloned());
        let list: String = touched.iter().map(|path| format!("{}\n", path.display())).collect();
        write_whole(&self.beside("touched"), list.as_bytes())?;
        let mut written = Vec::new();
        for path in &touched {
            let wanted = match overlay.files.get(path) {
                Some(content) => content.as_ref().map(|c| (c.bytes.clone(), c.executable)),
                None => self.pristine_content(path)?,
            };
            if self.put(path, wanted)? {
                written.push(path.clone());
            }
        }
        write_whole(&state, digest.as_bytes())?;
        Ok(written)
    }

    /// Marks that make runs; see the contract.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn begin_build(&self) -> anyhow::Result<()> {
        write_whole(&self.beside("building"), b"")
    }

    /// Marks that make ended by itself, successful or not.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn end_build(&self) -> anyhow::Result<()> {
        fs::remove_file(self.beside("building")).context("removing the mark of a running build")
    }

    /// Removes the tree; the next build starts from nothing.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn remove(self) -> anyhow::Result<()> {
        cache::remove(&self.home)
    }

    fn make(&self, cache: &Cache, name: &str) -> anyhow::Result<()> {
        let step = Step::begin("making a work tree, files", Some(self.source.files.len() as u64));
        cache::remove(&self.home)?;
        let made = cache::scratch(&self.home)?;
        let link = |from: &Path, to: &Path| match fs::hard_link(from, to) {
            Ok(()) => Ok(()),
            // Some file systems have no hard links. A copy must keep the time of the file.
            Err(_) => copy_with_time(from, to),
        };
        let Source { tree, files, .. } = &self.source;
        pristine::replicate(files, tree, &made.path().join("tree"), &step, link)?;
        step.end(&format!("{} files", files.len()));
        if let Some(donor) = Donor::find(cache, &self.source.id, name)? {
            donor.copy(&self.source, made.path(), &self.home)?;
        }
        fs::write(made.path().join("source"), &self.source.id)?;
        cache::publish(made, &self.home)
    }

    /// Writes what differs between the old source of the tree and its new one. Files that a series
    /// ever touched are left to [`Tree::move_to`].
    fn follow(&self, old: &Source) -> anyhow::Result<()> {
        let step = Step::begin("following the source, files", Some(self.source.files.len() as u64));
        let _ = fs::remove_file(self.beside("state"));
        let touched = touched(&self.home);
        let new: BTreeMap<&Path, bool> =
            self.source.files.iter().map(|e| (e.path.as_path(), e.link)).collect();
        let mut written = 0;
        for entry in
            old.files.iter().filter(|entry| new.get(entry.path.as_path()) != Some(&entry.link))
        {
            // Gone, or no longer the kind of thing it was.
            let _ = fs::remove_file(self.dir().join(&entry.path));
        }
        for (done, (path, link)) in new.iter().enumerate() {
            step.at(done as u64, "");
            let (from, to) = (self.source.tree.join(path), self.dir().join(path));
            if touched.contains(*path)
                || same(&from, &old.tree.join(path), *link) && to.symlink_metadata().is_ok()
            {
                continue;
            }
            written += 1;
            if *link {
                let _ = fs::remove_file(&to);
                fs::create_dir_all(to.parent().unwrap_or(&self.home))?;
                std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
            } else {
                self.put(path, self.pristine_content(path)?)?;
            }
        }
        write_whole(&self.beside("source"), self.source.id.as_bytes())?;
        step.end(&format!("{written} differ"));
        Ok(())
    }

    fn pristine_content(&self, path: &Path) -> anyhow::Result<Option<(Vec<u8>, bool)>> {
        let file = self.source.tree.join(path);
        match fs::metadata(&file) {
            Ok(stat) => {
                let bytes = pristine::read(&file);
                let bytes = bytes.with_context(|| format!("reading {}", file.display()))?;
                Ok(Some((bytes, stat.permissions().mode() & 0o100 != 0)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    /// Writes one file; false if it has this content already. Even pristine content gets a new
    /// time, and is not linked again, so that make sees a change.
    fn put(&self, path: &Path, wanted: Option<(Vec<u8>, bool)>) -> anyhow::Result<bool> {
        let file = self.dir().join(path);
        let Some((bytes, executable)) = wanted else {
            let present = file.symlink_metadata().is_ok();
            if present {
                fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
            }
            return Ok(present);
        };
        let is_executable =
            fs::metadata(&file).is_ok_and(|stat| stat.permissions().mode() & 0o100 != 0);
        let present = pristine::read(&file).ok();
        if present.as_deref() == Some(&bytes) && is_executable == executable {
            return Ok(false);
        }
        fs::create_dir_all(file.parent().unwrap_or(&self.home))?;
        write_whole(&file, &bytes)?;
        let mode = if executable { 0o555 } else { 0o444 };
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        Ok(true)
    }

    fn remove_what_a_killed_make_left(&self) -> anyhow::Result<()> {
        let mark = self.beside("building");
        let Ok(begun) = mark.metadata().map(|stat| (stat.mtime(), stat.mtime_nsec())) else {
            return Ok(());
        };
        let step = Step::begin("removing leftovers of a killed build", None);
        let keep: BTreeSet<&Path> =
            self.source.files.iter().map(|entry| entry.path.as_path()).collect();
        let touched = touched(&self.home);
        let (root, mut removed) = (self.dir(), 0_u64);
        for entry in WalkDir::new(&root) {
            let entry = entry?;
            let path = entry.path().strip_prefix(&root)?;
            let stat = entry.metadata()?;
            let is_source = keep.contains(path) || touched.contains(path);
            if !stat.is_dir() && !is_source && (stat.mtime(), stat.mtime_nsec()) >= begun {
                fs::remove_file(entry.path())
                    .with_context(|| format!("removing {}", entry.path().display()))?;
                removed += 1;
                step.at(removed, "");
            }
        }
        fs::remove_file(&mark)?;
        step.end(&format!("{removed} files"));
        Ok(())
    }
}

/// Whether two pristine files, or links, are equal. Most files that differ do so in size.
fn same(new: &Path, old: &Path, link: bool) -> bool {
    if link {
        return fs::read_link(new).ok() == fs::read_link(old).ok();
    }
    let (Ok(a), Ok(b)) = (fs::metadata(new), fs::metadata(old)) else { return false };
    let alike = a.len() == b.len() && a.permissions() == b.permissions();
    alike
        && (a.ino() == b.ino()
            || matches!((pristine::read(new), pristine::read(old)), (Ok(a), Ok(b)) if a == b))
}

/// Removes the trees that stand on the source `id`. The caller holds its lock, so none is in use.
///
/// # Errors
/// I/O errors.
pub(crate) fn remove_all_on(cache: &Cache, id: &str) -> anyhow::Result<()> {
    for entry in fs::read_dir(&cache.trees)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(_lock) = cache.lock_if_idle(&format!("tree-{name}"))? else { continue };
        if file::text(entry.path().join("source")).is_ok_and(|on| on == id) {
            cache::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Each edit of a user's tree makes another source of 1.7 GB; the last one is enough. Downloaded
/// sources stay.
fn forget_old_state(cache: &Cache, id: &str) -> anyhow::Result<()> {
    let local = id.starts_with("git-") || id.starts_with("dir-");
    let trees = fs::read_dir(&cache.trees)?.flatten();
    let used = trees
        .filter_map(|tree| file::text(tree.path().join("source")).ok())
        .any(|other| other == id);
    if local && !used && cache.sources.join(id).exists() {
        pristine::forget_if_idle(cache, id)?;
    }
    Ok(())
}
