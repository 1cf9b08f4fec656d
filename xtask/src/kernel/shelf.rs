// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is in the cache, how large it is, and since when nobody used it; and its removal.
//!
//! Contract: what is in use is never removed. A user holds a lock: builds those of [`Cache`], runs
//! one on a file of the image and of the guest ([`file::hold`]). A use renews the time of a file.
//! Snapshots have no name ([`crate::vm::snapshot`]): none is left behind.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use walkdir::WalkDir;

use super::cache::{self, Cache, Lock};
use super::image::MANIFEST;
use super::pristine;
use crate::host::file;

/// Kinds of things, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A built kernel.
    Image,
    /// A work tree. It shares files with its source.
    Tree,
    /// An unpacked source.
    Source,
    /// A package or tarball of a source.
    Download,
    /// A packed guest.
    Guest,
    /// A tool that was built or installed: bindgen, and what tests read reports with.
    Tool,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Image => "image",
            Self::Tree => "tree",
            Self::Source => "source",
            Self::Download => "download",
            Self::Guest => "guest",
            Self::Tool => "tool",
        })
    }
}

/// Sources before trees: the shared files are theirs.
const KINDS: [Kind; 6] =
    [Kind::Source, Kind::Tree, Kind::Image, Kind::Download, Kind::Guest, Kind::Tool];

/// One thing in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its name in its folder.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What its removal frees, bytes; files that a source shares with trees count for the source.
    pub(crate) bytes: u64,
    /// How long nobody has used it.
    pub(crate) idle: Duration,
}

/// Everything in the cache that can be rebuilt or fetched again.
///
/// # Errors
/// A folder that cannot be read.
pub(crate) fn items(cache: &Cache) -> anyhow::Result<Vec<Item>> {
    let mut counted = BTreeSet::new();
    let mut items = Vec::new();
    for kind in KINDS {
        let folder = folder(cache, kind);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_file = entry.file_type().is_ok_and(|it| it.is_file());
            let flat = matches!(kind, Kind::Download | Kind::Guest);
            // What begins with a dot is unfinished; apt's state is no download.
            if name.starts_with('.') || name.ends_with(".used") || is_file != flat {
                continue;
            }
            let path = entry.path();
            let (bytes, idle) = (size(&path, &mut counted), idle(cache, kind, &name, &path));
            items.push(Item { kind, name, path, bytes, idle });
        }
    }
    items.sort_by(|a, b| (a.kind, a.idle, &a.name).cmp(&(b.kind, b.idle, &b.name)));
    Ok(items)
}

/// Removes it, if nobody uses it or has used it for `idle_min`; whether it did.
///
/// # Errors
/// I/O errors.
pub(crate) fn remove(cache: &Cache, item: &Item, idle_min: Duration) -> anyhow::Result<bool> {
    let Some(locks) = locks(cache, item)? else { return Ok(false) };
    // Under the locks: it may have been used meanwhile.
    if idle(cache, item.kind, &item.name, &item.path) < idle_min {
        return Ok(false);
    }
    cache::remove(&item.path)?;
    if item.kind == Kind::Guest {
        let _ = fs::remove_file(file::used(&item.path));
    }
    drop(locks);
    Ok(true)
}

/// All locks of a thing, or none if one of them is held.
fn locks(cache: &Cache, item: &Item) -> anyhow::Result<Option<(Vec<Lock>, Option<fs::File>)>> {
    let Item { kind, name, path, .. } = item;
    let (names, held) = match kind {
        Kind::Image => (vec![format!("image-{name}")], Some(path.join(MANIFEST))),
        Kind::Tree => (vec![format!("tree-{name}")], None),
        Kind::Source => (vec![pristine::lock_name(name)], None),
        Kind::Tool => (vec![tool_lock(name)], None),
        Kind::Download => (download_locks(cache, name), None),
        Kind::Guest => (Vec::new(), Some(file::used(path))),
    };
    let mut locks = Vec::new();
    for name in names {
        let Some(lock) = cache.lock_if_idle(&name)? else { return Ok(None) };
        locks.push(lock);
    }
    let file = match held.filter(|file| file.exists()) {
        Some(file) => match file::hold_alone(&file)? {
            Some(file) => Some(file),
            None => return Ok(None),
        },
        None => None,
    };
    Ok(Some((locks, file)))
}

/// A tarball's name begins like its lock.
fn download_locks(cache: &Cache, name: &str) -> Vec<String> {
    let tarball = name.split('-').next().unwrap_or_default();
    let locks = fs::read_dir(&cache.locks).into_iter().flatten().flatten();
    let names = locks.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let own = names.filter_map(|lock| Some(lock.strip_suffix(".lock")?.to_owned()));
    let own = own.filter(|lock| lock.starts_with(&format!("download-{tarball}")));
    own.chain(["apt".to_owned()]).collect()
}

fn folder(cache: &Cache, kind: Kind) -> PathBuf {
    match kind {
        Kind::Image => cache.images.clone(),
        Kind::Tree => cache.trees.clone(),
        Kind::Source => cache.sources.clone(),
        Kind::Download => cache.downloads.clone(),
        Kind::Guest => cache.root().join("guest"),
        Kind::Tool => cache.tools.clone(),
    }
}

/// Name of the lock that a user of a tool shares.
pub(super) fn tool_lock(name: &str) -> String {
    format!("tool-{name}")
}

/// Since the last time that one of the files changed which a use renews.
fn idle(cache: &Cache, kind: Kind, name: &str, path: &Path) -> Duration {
    let lock = |name: String| cache.locks.join(format!("{name}.lock"));
    let renewed = match kind {
        Kind::Image => vec![path.join(MANIFEST)],
        Kind::Source => vec![path.to_owned(), lock(pristine::lock_name(name))],
        Kind::Tool => vec![path.to_owned(), lock(tool_lock(name))],
        Kind::Guest => vec![path.to_owned(), file::used(path)],
        Kind::Tree | Kind::Download => vec![path.to_owned()],
    };
    let newest = renewed.iter().filter_map(|file| fs::metadata(file).ok()?.modified().ok()).max();
    // One that is not whole was never used.
    let newest = newest.or_else(|| fs::metadata(path).ok()?.modified().ok());
    newest.and_then(|time| SystemTime::now().duration_since(time).ok()).unwrap_or_default()
}

/// Bytes that a folder takes on the disk.
pub(crate) fn taken(path: &Path) -> u64 {
    size(path, &mut BTreeSet::new())
}

/// Bytes on the disk that have not been counted before.
fn size(path: &Path, counted: &mut BTreeSet<(u64, u64)>) -> u64 {
    let entries = WalkDir::new(path).into_iter().flatten();
    let stats = entries.filter_map(|entry| entry.metadata().ok());
    stats.filter(|stat| counted.insert((stat.dev(), stat.ino()))).map(|it| it.blocks() * 512).sum()
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;

    use super::*;
    use crate::kernel::pristine::tests::fake_source;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn aged(path: &Path, days: u32) {
        let then = SystemTime::now() - days * DAY;
        let file = fs::File::open(path).unwrap();
        file.set_times(FileTimes::new().set_modified(then)).unwrap();
    }

    /// A cache with one thing of each kind, ten days old.
    fn cache() -> (tempfile::TempDir, Cache) {
        let (dir, cache, source) = fake_source("s1");
        drop(source);
        let tool = cache.tools.join("b-0.1");
        let folders = [cache.images.join("k1"), cache.trees.join("t1"), dir.path().join("guest")];
        for folder in folders.iter().chain([&tool]) {
            fs::create_dir(folder).unwrap();
        }
        fs::create_dir(cache.downloads.join("apt")).unwrap();
        let manifest = cache.images.join("k1").join(MANIFEST);
        let files =
            [manifest.clone(), dir.path().join("guest/g1.cpio"), cache.downloads.join("x.deb")];
        files.iter().for_each(|file| fs::write(file, "text").unwrap());
        let lock = cache.locks.join("source-s1.lock");
        let folders = [cache.trees.join("t1"), cache.sources.join("s1"), lock, tool];
        files.iter().chain(&folders).for_each(|path| aged(path, 10));
        (dir, cache)
    }

    fn removed(cache: &Cache, days: u32) -> Vec<String> {
        let items = items(cache).unwrap();
        let gone = items.iter().filter(|item| remove(cache, item, days * DAY).unwrap());
        gone.map(|item| item.name.clone()).collect()
    }

    #[test]
    fn what_nobody_used_for_long_goes_and_nothing_younger() {
        let (dir, cache) = cache();
        assert_eq!(removed(&cache, 11), [""; 0]);
        assert_eq!(removed(&cache, 9), ["k1", "t1", "s1", "x.deb", "g1.cpio", "b-0.1"]);
        assert!(items(&cache).unwrap().is_empty());
        assert!(dir.path().join("downloads/apt").exists(), "apt's state is no download");
    }

    #[test]
    fn what_is_in_use_stays_however_old() {
        let (dir, cache) = cache();
        let guest = dir.path().join("guest/g1.cpio");
        let manifest = cache.images.join("k1").join(MANIFEST);
        let used = file::used(&guest);
        let held = [file::hold(&used).unwrap(), file::hold(&manifest).unwrap()];
        let locks = ["tree-t1", "source-s1", "apt"].map(|name| cache.lock(name, name).unwrap());
        let tool = cache.share(&tool_lock("b-0.1"), "b").unwrap();
        let age_locks = || {
            for name in ["source-s1.lock", "tool-b-0.1.lock"] {
                aged(&cache.locks.join(name), 10);
            }
        };
        for path in [&used, &manifest] {
            aged(path, 10);
        }
        age_locks();
        assert_eq!(removed(&cache, 9), [""; 0]);
        drop((held, locks, tool));
        age_locks();
        assert_eq!(removed(&cache, 9).len(), 6);
    }

    #[test]
    fn a_use_renews() {
        let (dir, cache) = cache();
        let guest = dir.path().join("guest/g1.cpio");
        let before = fs::metadata(&guest).unwrap().modified().unwrap();
        drop(file::hold(&file::used(&guest)).unwrap());
        // VMs that boot from it would notice a change.
        assert_eq!(fs::metadata(&guest).unwrap().modified().unwrap(), before);
        drop(file::hold(&cache.images.join("k1").join(MANIFEST)).unwrap());
        drop(cache.share("source-s1", "s1").unwrap());
        drop(cache.share(&tool_lock("b-0.1"), "b").unwrap());
        assert_eq!(removed(&cache, 9), ["t1", "x.deb"]);
    }

    #[test]
    fn a_file_that_a_tree_shares_with_its_source_counts_once() {
        let (_dir, cache) = cache();
        let shared = cache.sources.join("s1/tree/mm/a.c");
        let bytes = |kind| {
            let items = items(&cache).unwrap();
            items.iter().filter(|item| item.kind == kind).map(|item| item.bytes).sum::<u64>()
        };
        let before = bytes(Kind::Tree);
        fs::hard_link(shared, cache.trees.join("t1/a.c")).unwrap();
        assert_eq!(bytes(Kind::Tree), before);
        fs::write(cache.trees.join("t1/a.o"), vec![1; 9000]).unwrap();
        assert!(bytes(Kind::Tree) >= before + 9000);
    }
}
