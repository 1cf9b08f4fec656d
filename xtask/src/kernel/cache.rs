// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cache folder: what is expensive is made once.
//!
//! Contract: whatever has its final name is whole. It is made under a temporary name and renamed.
//! What a killed process left under a temporary name is never read, and the next holder of the lock
//! removes it. Two processes that want the same thing wait for each other: visibly, with a limit.
//!
//! ```text
//! downloads/  .deb files, tarballs, apt's own state
//! sources/    unpacked pristine sources, by content
//! series/     patches of --series, by content
//! trees/      work trees, by name
//! images/     built kernels, by key
//! tools/      bindgen
//! disk/       scratch disks (of `vm`)
//! guest/      packed guests (of `vm`)
//! locks/      one file a lock; empty files are normal
//! ```

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use fs4::fs_std::FileExt;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::exit::{Exit, Fault};
use crate::host::file;
use crate::host::stop::unless_process_asked;
use crate::progress::Step;

/// Longest wait for another process; longer than any build takes.
const LOCK_WAIT: Duration = Duration::from_secs(2 * 60 * 60);
/// No build, download or unpacking takes that long.
const UNFINISHED_AGE: Duration = Duration::from_secs(24 * 60 * 60);
const LOCK_POLL: Duration = Duration::from_millis(200);

/// The cache folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
    /// Downloads.
    pub(super) downloads: PathBuf,
    /// Unpacked sources, by content.
    pub(super) sources: PathBuf,
    /// Patches of `--series`, by content.
    pub(super) series: PathBuf,
    /// Work trees, by name.
    pub(super) trees: PathBuf,
    /// Built kernels, by key.
    pub(super) images: PathBuf,
    /// Tools built by the harness.
    pub(super) tools: PathBuf,
    /// Locks, by name.
    pub(super) locks: PathBuf,
}

/// Held until dropped; the kernel drops it when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Cache {
    /// The default place, from `$XDG_CACHE_HOME` and `$HOME`.
    ///
    /// # Errors
    /// [`Exit::Usage`] if neither is set.
    pub(crate) fn default_root(
        xdg: Option<OsString>,
        home: Option<OsString>,
    ) -> anyhow::Result<PathBuf> {
        let usable =
            |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
        match (usable(xdg), usable(home)) {
            (Some(xdg), _) => Ok(xdg.join("memcg-harness")),
            (None, Some(home)) => Ok(home.join(".cache/memcg-harness")),
            (None, None) => Err(Fault::new(Exit::Usage, "neither XDG_CACHE_HOME nor HOME is set")
                .hint("set the cache folder with --cache DIR")
                .into()),
        }
    }

    /// Opens the cache and makes its folders.
    ///
    /// # Errors
    /// I/O errors, with the path.
    pub(crate) fn open(root: &Path) -> anyhow::Result<Self> {
        let root =
            std::path::absolute(root).with_context(|| format!("the cache {}", root.display()))?;
        // make splits paths at blanks and colons.
        if root.to_string_lossy().contains(|c: char| c.is_whitespace() || c == ':') {
            let what = format!("{root:?} has a blank or a colon: no kernel can be built there");
            return Err(Fault::new(Exit::Usage, what)
                .hint("choose another cache folder with --cache DIR")
                .into());
        }
        let room = |name: &str| {
            let path = root.join(name);
            fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
            ours_alone(&path)?;
            anyhow::Ok(path)
        };
        room("")?;
        let (downloads, sources, series) = (room("downloads")?, room("sources")?, room("series")?);
        let (trees, images, tools) = (room("trees")?, room("images")?, room("tools")?);
        let locks = room("locks")?;
        for entry in walkdir::WalkDir::new(&root).max_depth(1).into_iter().flatten() {
            file::remove_unfinished(entry.path(), UNFINISHED_AGE);
        }
        Ok(Self { downloads, sources, series, trees, images, tools, locks, root })
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Waits until no other process works on `name`. `what` is shown: "waiting for … of `what`".
    ///
    /// # Errors
    /// [`Exit::Host`] after two hours; [`Exit::Interrupted`]; I/O errors.
    pub(crate) fn lock(&self, name: &str, what: &str) -> anyhow::Result<Lock> {
        let (mut file, path) = self.lock_file(name)?;
        if !file.try_lock_exclusive()? {
            wait_for(&mut file, &path, what, &|file| file.try_lock_exclusive())?;
        }
        // For the message of whoever waits.
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(Lock { _file: file })
    }

    /// A shared lock on `name`: waits until no process has it exclusively.
    ///
    /// # Errors
    /// As [`Cache::lock`].
    pub(crate) fn share(&self, name: &str, what: &str) -> anyhow::Result<Lock> {
        let (mut file, path) = self.lock_file(name)?;
        // Qualified: the standard library now has a method of this name.
        if !FileExt::try_lock_shared(&file)? {
            wait_for(&mut file, &path, what, &|file| FileExt::try_lock_shared(file))?;
        }
        // The last use: see `shelf`.
        let _ = file.set_modified(SystemTime::now());
        Ok(Lock { _file: file })
    }

    /// The exclusive lock of `name` if it is free; does not wait.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn lock_if_idle(&self, name: &str) -> anyhow::Result<Option<Lock>> {
        let is_new = !self.locks.join(format!("{name}.lock")).exists();
        let (file, _) = self.lock_file(name)?;
        if !file.try_lock_exclusive()? {
            return Ok(None);
        }
        if is_new {
            // To look is no use: see `shelf`.
            let _ = file.set_modified(SystemTime::UNIX_EPOCH);
        }
        Ok(Some(Lock { _file: file }))
    }

    fn lock_file(&self, name: &str) -> anyhow::Result<(File, PathBuf)> {
        let path = self.locks.join(format!("{name}.lock"));
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        // What it holds is replaced: it must not lead elsewhere.
        options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
        let opening = || format!("opening the lock {}", path.display());
        let file = options.open(&path).with_context(opening)?;
        let is_file = file.metadata().with_context(opening)?.is_file();
        ensure!(is_file, "the lock {} is not a regular file", path.display());
        Ok((file, path))
    }
}

/// Who can write to the cache decides what boots.
fn ours_alone(folder: &Path) -> anyhow::Result<()> {
    let stat = fs::metadata(folder).with_context(|| format!("reading {}", folder.display()))?;
    let (owner, user) = (stat.uid(), geteuid().as_raw());
    let why = match (owner == user, stat.mode() & 0o002 == 0) {
        (true, true) => return Ok(()),
        (false, _) => format!("belongs to user {owner}, and you are user {user}"),
        (true, false) => "can be written to by every user".to_owned(),
    };
    Err(Fault::new(Exit::Host, format!("the cache folder {} {why}", folder.display()))
        .hint("what boots comes from there: use a folder of your own with --cache DIR")
        .into())
}

/// A process number.
const HOLDER_BYTES_MAX: u64 = 32;

fn wait_for(
    file: &mut File,
    path: &Path,
    what: &str,
    try_lock: &dyn Fn(&File) -> std::io::Result<bool>,
) -> anyhow::Result<()> {
    let holder = file::read_from(&mut *file, HOLDER_BYTES_MAX).unwrap_or_default();
    let holder = String::from_utf8_lossy(&holder).into_owned();
    let step = Step::begin(format!("waiting for another build of {what} (process {holder})"), None);
    let begun = Instant::now();
    while !try_lock(file)? {
        unless_process_asked()?;
        if begun.elapsed() > LOCK_WAIT {
            let text = format!("process {holder} has held {} for two hours", path.display());
            let hint = "if that process hangs, end it and try again";
            return Err(Fault::new(Exit::Host, text).hint(hint).into());
        }
        step.at(0, "");
        std::thread::sleep(LOCK_POLL);
    }
    step.end("done");
    Ok(())
}

/// A temporary folder next to `dest`, for [`publish`]. The caller holds the lock of `dest`.
///
/// # Errors
/// I/O errors.
pub(crate) fn scratch(dest: &Path) -> anyhow::Result<TempDir> {
    let (parent, prefix) = beside(dest)?;
    for entry in fs::read_dir(parent).with_context(|| format!("reading {}", parent.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            remove_all(&entry.path())?;
        }
    }
    tempfile::Builder::new()
        .prefix(&prefix)
        // A temporary folder is private by default.
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(parent)
        .with_context(|| format!("making a folder in {}", parent.display()))
}

/// Moves a finished folder to its final name, in one step.
///
/// # Errors
/// I/O errors.
pub(crate) fn publish(made: TempDir, dest: &Path) -> anyhow::Result<()> {
    let made = made.keep();
    fs::rename(&made, dest)
        .with_context(|| format!("moving {} to {}", made.display(), dest.display()))
}

fn beside(dest: &Path) -> anyhow::Result<(&Path, String)> {
    let parent = dest.parent().with_context(|| format!("{} has no parent", dest.display()))?;
    let name = dest.file_name().with_context(|| format!("{} has no name", dest.display()))?;
    Ok((parent, format!(".tmp-{}-", name.to_string_lossy())))
}

/// Removes `folder`, or what is in its place. Its name goes first: half of it must not look whole.
///
/// # Errors
/// I/O errors.
pub(crate) fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.symlink_metadata().is_err() {
        return Ok(());
    }
    let (parent, prefix) = beside(folder)?;
    let dead = parent.join(format!("{prefix}dead"));
    if dead.exists() {
        remove_all(&dead)?;
    }
    fs::rename(folder, &dead).with_context(|| format!("removing {}", folder.display()))?;
    remove_all(&dead)
}

fn remove_all(folder: &Path) -> anyhow::Result<()> {
    let removed = match folder.symlink_metadata().is_ok_and(|stat| stat.is_dir()) {
        true => fs::remove_dir_all(folder),
        false => fs::remove_file(folder),
    };
    removed.with_context(|| format!("removing {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn the_place_follows_xdg_then_home() {
        let root = |xdg: Option<&str>, home: Option<&str>| {
            Cache::default_root(xdg.map(Into::into), home.map(Into::into))
                .map(|p| p.display().to_string())
                .ok()
        };
        assert_eq!(root(Some("/x"), Some("/h")).unwrap(), "/x/memcg-harness");
        assert_eq!(root(Some(""), Some("/h")).unwrap(), "/h/.cache/memcg-harness");
        assert_eq!(root(None, None), None);
    }

    #[test]
    fn the_second_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let held = cache.lock("tree-a", "tree a").unwrap();
        let released = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _second = cache.lock("tree-a", "tree a").unwrap();
                assert!(released.load(Ordering::SeqCst), "got the lock while it was held");
            });
            let _other = cache.lock("tree-b", "tree b").unwrap();
            std::thread::sleep(Duration::from_millis(500));
            released.store(true, Ordering::SeqCst);
            drop(held);
        });
    }

    #[test]
    fn what_is_in_use_is_shared_and_not_idle() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let first = cache.share("source-a", "a").unwrap();
        let second = cache.share("source-a", "a").unwrap();
        assert!(cache.lock_if_idle("source-a").unwrap().is_none());
        drop(first);
        assert!(cache.lock_if_idle("source-a").unwrap().is_none());
        drop(second);
        assert!(cache.lock_if_idle("source-a").unwrap().is_some());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("abc");
        fs::create_dir(dir.path().join(".tmp-abc-x1")).unwrap();
        fs::create_dir(dir.path().join(".tmp-abd-x1")).unwrap();
        let made = scratch(&dest).unwrap();
        fs::write(made.path().join("f"), "1").unwrap();
        assert!(!dest.exists());
        publish(made, &dest).unwrap();
        assert_eq!(fs::read_to_string(dest.join("f")).unwrap(), "1");
        assert_eq!(fs::metadata(&dest).unwrap().mode() & 0o777, 0o755);
        assert!(!dir.path().join(".tmp-abc-x1").exists());
        assert!(dir.path().join(".tmp-abd-x1").exists());
    }

    #[test]
    fn a_path_that_make_cannot_take_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = Cache::open(&dir.path().join("a b")).unwrap_err();
        assert_eq!(crate::exit::fault_of(&error).unwrap().exit, Exit::Usage);
    }
    #[test]
    fn a_cache_of_another_user_or_of_everybody_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Cache::open(dir.path()).unwrap();
        let images = dir.path().join("images");
        let refused = || Cache::open(dir.path()).unwrap_err().to_string();
        fs::set_permissions(&images, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(refused().ends_with("images can be written to by every user"), "{}", refused());
        fs::set_permissions(&images, fs::Permissions::from_mode(0o755)).unwrap();
        // Only root can give a folder away.
        if geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(65534), None).unwrap();
            assert!(refused().contains("belongs to user 65534, and you are user 0"));
        }
    }

    #[test]
    fn a_lock_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let (precious, locks) = (dir.path().join("precious"), dir.path().join("locks"));
        fs::write(&precious, "kept").unwrap();
        std::os::unix::fs::symlink(&precious, locks.join("a.lock")).unwrap();
        assert!(cache.lock("a", "a").unwrap_err().to_string().contains("a.lock"));
        assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
        nix::unistd::mkfifo(&locks.join("b.lock"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(cache.lock("b", "b").unwrap_err().to_string().contains("not a regular file"));
    }
}
