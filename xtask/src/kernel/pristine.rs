// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pristine trees: unpacked once, shared by hard links, and watched.
//!
//! Contract: `sources/<id>/` holds `tree/`, a `files` list and `origin`, and appears whole in one
//! step. Its files are read-only. That stops neither root nor chmod, so [`Source::written_through`]
//! finds any file that a build changed through a hard link.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use walkdir::WalkDir;

use super::cache::{self, Cache, Lock};
use crate::exit::{Exit, Fault};
use crate::host;
use crate::host::file::{self, Links};
use crate::progress::{Step, note};

/// An unpacked 6.12 takes 1.7 GB; later ones grow.
const UNPACKED_MIB: u64 = 2_500;
/// A kernel has 92,000 entries.
const ENTRIES_MAX: usize = 1_000_000;
/// The largest file of a kernel, a generated header of amdgpu, has 20 MB.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A pristine kernel tree in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Identifies the content.
    pub(crate) id: String,
    /// Where it came from, for messages.
    pub(crate) origin: String,
    /// The tree. Never written.
    pub(crate) tree: PathBuf,
    /// As the Makefile says: `6.12.117`.
    pub(crate) version: String,
    /// Every file, in order.
    pub(crate) files: Vec<Entry>,
    /// Protects it from [`forget_if_idle`].
    pub(crate) _in_use: Arc<Lock>,
}

/// One file of a pristine tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Relative to the tree.
    pub(crate) path: PathBuf,
    /// Whether it is a symbolic link.
    pub(crate) link: bool,
    stamp: Stamp,
}

/// Changes whenever a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    mtime: (i64, i64),
}

impl Source {
    /// Files whose pristine content changed, most likely by a build through a hard link.
    pub(crate) fn written_through(&self) -> Vec<&Path> {
        changed(&self.tree, &self.files).collect()
    }
}

/// The content of a file of a source, or of a work tree.
///
/// # Errors
/// I/O errors; what is no regular file, or has no size that a source file has.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    file::read(path, Links::Followed, FILE_BYTES_MAX)
}

/// The source with this id, if it is unpacked and as it was unpacked; else says what is damaged.
/// It is locked until dropped.
///
/// # Errors
/// I/O errors.
pub(crate) fn find(cache: &Cache, id: &str) -> anyhow::Result<Option<Source>> {
    let home = cache.sources.join(id);
    if !home.exists() {
        return Ok(None);
    }
    let in_use = Arc::new(cache.share(&lock_name(id), &format!("the source {id}"))?);
    if !home.exists() {
        return Ok(None);
    }
    match whole(&home) {
        Ok((origin, version, files)) => {
            let (id, tree) = (id.to_owned(), home.join("tree"));
            Ok(Some(Source { id, origin, tree, version, files, _in_use: in_use }))
        }
        Err(error) => {
            note(&format!("note: damaged source in the cache: {error:#}"));
            Ok(None)
        }
    }
}

/// Whether the source with this id is as it was unpacked. The caller holds its lock.
pub(crate) fn is_whole(cache: &Cache, id: &str) -> bool {
    whole(&cache.sources.join(id)).is_ok()
}

/// Its origin, its version and its files.
fn whole(home: &Path) -> anyhow::Result<(String, String, Vec<Entry>)> {
    let text = |name: &str| -> anyhow::Result<String> {
        let path = home.join(name);
        let bytes = read(&path).with_context(|| path.display().to_string())?;
        Ok(String::from_utf8(bytes)?)
    };
    let files = text("files")?.lines().map(parse_entry).collect::<Option<Vec<_>>>();
    let files = files.with_context(|| format!("{}/files is no list of files", home.display()))?;
    let tree = home.join("tree");
    if let Some(changed) = changed(&tree, &files).next() {
        anyhow::bail!("{} was changed", tree.join(changed).display());
    }
    Ok((text("origin")?, require_kernel_tree(&tree)?, files))
}

/// Files whose content is not what was unpacked.
fn changed<'a>(tree: &Path, files: &'a [Entry]) -> impl Iterator<Item = &'a Path> {
    let is_changed =
        |entry: &&Entry| !entry.link && stamp(&tree.join(&entry.path)).ok() != Some(entry.stamp);
    files.iter().filter(is_changed).map(|entry| entry.path.as_path())
}

/// Name of a source's lock: shared by its users, exclusive to make or remove it.
pub(crate) fn lock_name(id: &str) -> String {
    format!("source-{id}")
}

/// Removes a source that is not in use: an older state of a tree that the user edits.
///
/// # Errors
/// I/O errors.
pub(crate) fn forget_if_idle(cache: &Cache, id: &str) -> anyhow::Result<()> {
    let Some(_lock) = cache.lock_if_idle(&lock_name(id))? else { return Ok(()) };
    cache::remove(&cache.sources.join(id))
}

/// The tree unpacked last, for questions that any tree can answer.
pub(crate) fn newest_tree(cache: &Cache) -> Option<PathBuf> {
    let homes = fs::read_dir(&cache.sources).ok()?.flatten().map(|entry| entry.path());
    let trees = homes.filter(|home| home.join("files").exists());
    let newest = trees.max_by_key(|home| home.metadata().and_then(|stat| stat.modified()).ok())?;
    Some(newest.join("tree"))
}

/// Makes the source: `fill` unpacks into a folder. The caller holds the lock of the id. If there is
/// one, [`find`] refused it.
///
/// # Errors
/// Those of `fill`; [`Exit::Source`] if the result is no kernel tree; [`Exit::Host`] without space.
pub(crate) fn make(
    cache: &Cache,
    id: &str,
    origin: &str,
    fill: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    host::require_free(&cache.sources, UNPACKED_MIB, "to unpack the kernel source")?;
    let home = cache.sources.join(id);
    let made = cache::scratch(&home)?;
    let tree = made.path().join("tree");
    fs::create_dir(&tree)?;
    fill(&tree)?;
    require_kernel_tree(&tree)?;
    let step = Step::begin("listing the source", None);
    let entries = walk(&tree)?;
    let mut list = String::new();
    for entry in &entries {
        protect(&tree, entry)?;
        list.push_str(&entry_line(entry)?);
    }
    fs::write(made.path().join("files"), list)?;
    fs::write(made.path().join("origin"), origin)?;
    cache::remove(&home)?;
    cache::publish(made, &home)?;
    step.end(&format!("{} files", entries.len()));
    Ok(())
}

/// Every file and link below `root`, in order of path.
///
/// # Errors
/// I/O errors; anything that is neither file, link nor folder.
pub(crate) fn walk(root: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in WalkDir::new(root).sort_by_file_name().follow_links(false) {
        let entry = entry?;
        let kind = entry.file_type();
        if kind.is_dir() {
            continue;
        }
        let (path, link) = (entry.path(), kind.is_symlink());
        let is_supported = kind.is_file() || link;
        anyhow::ensure!(is_supported, "{} is no file, link or folder", path.display());
        let fits = entries.len() < ENTRIES_MAX;
        anyhow::ensure!(fits, "{} has over {ENTRIES_MAX} files", root.display());
        let stamp = stamp(path)?;
        entries.push(Entry { stamp, link, path: path.strip_prefix(root)?.to_owned() });
    }
    Ok(entries)
}

/// Puts `entries` of `from` into `to`: links anew, files by `place`.
///
/// # Errors
/// I/O errors, and those of `place`.
pub(crate) fn replicate(
    entries: &[Entry],
    from: &Path,
    to: &Path,
    step: &Step,
    place: impl Fn(&Path, &Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut folder = PathBuf::new();
    for (done, entry) in entries.iter().enumerate() {
        let (from, to) = (from.join(&entry.path), to.join(&entry.path));
        if let Some(parent) = to.parent().filter(|parent| *parent != folder) {
            fs::create_dir_all(parent)?;
            folder = parent.to_owned();
        }
        match entry.link {
            true => std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?,
            false => place(&from, &to)?,
        }
        step.at(done as u64, "");
    }
    Ok(())
}

/// The version of a kernel tree.
///
/// # Errors
/// [`Exit::Source`] if it is no kernel tree, with what is missing.
pub(crate) fn require_kernel_tree(tree: &Path) -> anyhow::Result<String> {
    let fault = |what: &str| {
        Fault::new(Exit::Source, format!("{} is no kernel tree: {what}", tree.display()))
            .hint("a kernel tree has Makefile, Kconfig, arch/, mm/ and scripts/ at the top")
    };
    for part in ["Makefile", "Kconfig", "arch", "mm", "scripts"] {
        if !tree.join(part).exists() {
            return Err(fault(&format!("it has no {part}")).into());
        }
    }
    let makefile = read(&tree.join("Makefile"))?;
    version(&String::from_utf8_lossy(&makefile))
        .ok_or_else(|| fault("its Makefile states no VERSION").into())
}

fn version(makefile: &str) -> Option<String> {
    let value = |name: &str| {
        let mut pairs = makefile.lines().take(20).filter_map(|line| line.split_once('='));
        pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    let (major, minor) = (value("VERSION")?, value("PATCHLEVEL")?);
    let patch = value("SUBLEVEL").unwrap_or("0");
    Some(format!("{major}.{minor}.{patch}{}", value("EXTRAVERSION").unwrap_or_default()))
}

fn stamp(path: &Path) -> anyhow::Result<Stamp> {
    let stat = path.symlink_metadata().with_context(|| path.display().to_string())?;
    Ok(Stamp { size: stat.len(), mtime: (stat.mtime(), stat.mtime_nsec()) })
}

fn protect(tree: &Path, entry: &Entry) -> anyhow::Result<()> {
    if entry.link {
        return Ok(());
    }
    let path = tree.join(&entry.path);
    let mode = path.symlink_metadata()?.permissions().mode();
    // Readable by all users, writable by none.
    fs::set_permissions(&path, fs::Permissions::from_mode((mode | 0o444) & !0o222))
        .with_context(|| format!("making {} read-only", path.display()))
}

fn entry_line(entry: &Entry) -> anyhow::Result<String> {
    let path = entry.path.to_str().filter(|path| !path.contains('\n'));
    let path =
        path.with_context(|| format!("{:?} has a name that cannot be listed", entry.path))?;
    let Stamp { size, mtime: (s, ns) } = entry.stamp;
    Ok(format!("{} {size} {s}.{ns} {path}\n", if entry.link { 'l' } else { 'f' }))
}

fn parse_entry(line: &str) -> Option<Entry> {
    let mut parts = line.splitn(4, ' ');
    let link = parts.next()? == "l";
    let size = parts.next()?.parse().ok()?;
    let (s, ns) = parts.next()?.split_once('.')?;
    let stamp = Stamp { size, mtime: (s.parse().ok()?, ns.parse().ok()?) };
    Some(Entry { path: parts.next()?.into(), link, stamp })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A folder that passes for a kernel tree, with a Makefile that builds in a blink.
    pub(crate) fn fake_kernel(root: &Path) {
        for dir in ["arch", "mm", "scripts"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        fs::write(
            root.join("Makefile"),
            "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\nEXTRAVERSION = -rc1\n",
        )
        .unwrap();
        fs::write(root.join("Kconfig"), "mainmenu \"x\"\n").unwrap();
        fs::write(root.join("mm/a.c"), "1\n2\n3\n").unwrap();
        fs::write(root.join("mm/b.c"), "b\n").unwrap();
        fs::write(root.join("scripts/x.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("scripts/x.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("../mm", root.join("arch/link")).unwrap();
    }

    /// A cache with that as a source.
    pub(crate) fn fake_source(id: &str) -> (tempfile::TempDir, Cache, Source) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        make(&cache, id, "fake", |dest| {
            fake_kernel(dest);
            Ok(())
        })
        .unwrap();
        let source = find(&cache, id).unwrap().unwrap();
        (dir, cache, source)
    }

    #[test]
    fn a_source_is_whole_listed_and_read_only() {
        let (_dir, cache, source) = fake_source("s1");
        let again = find(&cache, "s1").unwrap().unwrap();
        assert_eq!((again.version.as_str(), again.origin.as_str()), ("6.12.117-rc1", "fake"));
        assert_eq!(again.files, source.files);
        let names: Vec<_> = source.files.iter().map(|e| e.path.display().to_string()).collect();
        assert_eq!(names, ["Kconfig", "Makefile", "arch/link", "mm/a.c", "mm/b.c", "scripts/x.sh"]);
        let mode =
            |name: &str| fs::metadata(source.tree.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("mm/a.c") & 0o222, mode("scripts/x.sh") & 0o111), (0, 0o111));
    }

    #[test]
    fn a_write_into_a_pristine_file_is_found() {
        let (_dir, cache, source) = fake_source("s1");
        assert!(source.written_through().is_empty());
        let file = source.tree.join("mm/b.c");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&file, "x\n").unwrap();
        assert_eq!(source.written_through(), [Path::new("mm/b.c")]);
        assert!(find(&cache, "s1").unwrap().is_none(), "it passed for whole");
    }

    #[test]
    fn a_source_is_forgotten_only_when_nobody_uses_it() {
        let (_dir, cache, source) = fake_source("s1");
        forget_if_idle(&cache, "s1").unwrap();
        assert!(find(&cache, "s1").unwrap().is_some());
        drop(source);
        forget_if_idle(&cache, "s1").unwrap();
        assert!(find(&cache, "s1").unwrap().is_none());
    }

    #[test]
    fn what_is_no_kernel_or_breaks_off_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let error =
            make(&cache, "s", "fake", |dest| Ok(fs::write(dest.join("Makefile"), "all:\n")?))
                .unwrap_err();
        assert_eq!(crate::exit::fault_of(&error).unwrap().exit, Exit::Source);
        assert!(error.to_string().contains("it has no Kconfig"), "{error}");
        make(&cache, "s", "fake", |_| anyhow::bail!("tar ended")).unwrap_err();
        assert!(find(&cache, "s").unwrap().is_none());
    }
}
