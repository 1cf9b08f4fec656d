// SPDX-License-Identifier: MIT OR Apache-2.0
//! A new work tree starts as a copy of one that was built on the same source, so that only what
//! differs is compiled.
//!
//! Contract: the copy has the contents and times of the donor. The build is in-tree, so make's
//! records name files relative to it. A few name the tree itself (objtool, Rust's core): there the
//! new path takes the place of the old one, or objtool and with it every object would be rebuilt.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use walkdir::WalkDir;

use crate::host::file;
use crate::kernel::cache::{Cache, Lock};
use crate::kernel::pristine::Source;
use crate::progress::Step;

/// A tree that was built. Nobody changes it until this is dropped.
pub(super) struct Donor {
    home: PathBuf,
    touched: BTreeSet<PathBuf>,
    _lock: Lock,
}

impl Donor {
    /// The built tree on the source `id`, other than `name`, in which series changed the fewest
    /// files. It never waits: a tree in use is no donor.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn find(cache: &Cache, id: &str, name: &str) -> anyhow::Result<Option<Self>> {
        let mut best: Option<Self> = None;
        for entry in fs::read_dir(&cache.trees)?.flatten() {
            let (home, other) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let on = file::text(home.join("source")).ok();
            if other == name || other.starts_with('.') || on.as_deref() != Some(id) {
                continue;
            }
            let Some(lock) = cache.lock_if_idle(&format!("tree-{other}"))? else { continue };
            let whole = home.join("state").exists() && !home.join("building").exists();
            let touched = touched(&home);
            if whole
                && home.join("tree/vmlinux").exists()
                && best.as_ref().is_none_or(|best| touched.len() < best.touched.len())
            {
                best = Some(Self { home, touched, _lock: lock });
            }
        }
        Ok(best)
    }

    /// Makes `made`, which has the links to `source`, a copy of the donor. It will be renamed to
    /// `home`.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn copy(&self, source: &Source, made: &Path, home: &Path) -> anyhow::Result<()> {
        let (from, to) = (self.home.join("tree"), made.join("tree"));
        let step = Step::begin("copying the objects of another kernel, files", None);
        for path in &self.touched {
            let _ = fs::remove_file(to.join(path));
        }
        let pristine: BTreeSet<&Path> = source.files.iter().map(|e| e.path.as_path()).collect();
        let home = home.join("tree");
        let (old, new) = (path_text(&from)?, path_text(&home)?);
        let mut copied = 0_u64;
        for entry in WalkDir::new(&from).min_depth(1) {
            let entry = entry?;
            let path = entry.path().strip_prefix(&from)?;
            let (kind, target) = (entry.file_type(), to.join(path));
            if kind.is_dir() {
                fs::create_dir_all(&target)?;
            } else if pristine.contains(path) && !self.touched.contains(path) {
                continue;
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)?;
            } else {
                copy_with_time(entry.path(), &target)?;
                if path.extension().is_some_and(|extension| extension == "cmd") {
                    rename_in(&target, old, new)?;
                }
                copied += 1;
                step.at(copied, "");
            }
        }
        let list = self.home.join("touched");
        if list.exists() {
            copy_with_time(&list, &made.join("touched"))?;
        }
        step.end(&format!("{copied} files"));
        Ok(())
    }
}

/// The files that any series ever changed in the tree at `home`.
pub(super) fn touched(home: &Path) -> BTreeSet<PathBuf> {
    let text = file::text(home.join("touched")).unwrap_or_default();
    text.lines().map(PathBuf::from).collect()
}

/// Copies a file with its mode and time.
///
/// # Errors
/// I/O errors.
pub(super) fn copy_with_time(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    fs::set_permissions(to, PermissionsExt::from_mode(0o644))?;
    let stat = fs::metadata(from)?;
    fs::File::options().write(true).open(to)?.set_modified(stat.modified()?)?;
    fs::set_permissions(to, stat.permissions())?;
    Ok(())
}

fn path_text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Replaces `old` with `new` in a record of make, whose time stays.
fn rename_in(record: &Path, old: &str, new: &str) -> anyhow::Result<()> {
    let text = file::text(record)?;
    if text.contains(old) {
        let modified = fs::metadata(record)?.modified()?;
        fs::write(record, text.replace(old, new))?;
        fs::File::options().write(true).open(record)?.set_modified(modified)?;
    }
    Ok(())
}
