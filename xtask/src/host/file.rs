// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that are whole or absent, their hash, and the one way to read a file that others wrote.
//!
//! Contract: a file with its final name has all its bytes. A failed write leaves nothing behind.
//! All users may read the file. What is read is a regular file of bounded size, so a FIFO, a device
//! or a huge file is refused before anything waits for it or fills memory. A test keeps other ways
//! to read a file out of the rest of the code.

use std::fs::{self, File};
use std::io::{self, Error, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use fs4::fs_std::FileExt as _;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::digest::hex;

/// Begins the name of a file that is being written; its writer holds a lock on it.
pub(crate) const UNFINISHED: &str = ".tmp-";
/// Younger ones may not be locked yet.
pub(crate) const UNFINISHED_AGE: Duration = Duration::from_secs(5);

/// How a path may lead to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// Through symbolic links: a user named it.
    Followed,
    /// Through none: it was stored, and a link in its place could lead anywhere.
    Refused,
}

/// A text that is read whole is shorter than this: a config, a log, a file of procfs.
const TEXT_BYTES_MAX: u64 = 64 << 20;
/// Any other file: a `vmlinux` with debug information has 300 MB.
const BYTES_MAX: u64 = 2 << 30;

/// Opens a regular file of at most `bytes_max` bytes; waits for nothing.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for any other file, with the reason; I/O errors. None has the path.
pub(crate) fn open(path: &Path, links: Links, bytes_max: u64) -> io::Result<File> {
    let refused = |why: &str| Error::new(ErrorKind::InvalidInput, why.to_owned());
    let is_file = |stat: &fs::Metadata| match stat.is_file() {
        true => Ok(()),
        false => Err(refused("not a regular file")),
    };
    // Before it is opened: opening a device can have effects.
    is_file(&fs::metadata(path)?)?;
    let resolve = match links {
        Links::Followed => ResolveFlag::empty(),
        Links::Refused => ResolveFlag::RESOLVE_NO_SYMLINKS,
    };
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file: File = match openat2(AT_FDCWD, path, OpenHow::new().flags(flags).resolve(resolve)) {
        Ok(fd) => fd.into(),
        Err(Errno::ELOOP) => return Err(refused("a symbolic link leads there")),
        Err(error) => return Err(error.into()),
    };
    let stat = file.metadata()?;
    is_file(&stat)?;
    if stat.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    Ok(file)
}

/// The content of such a file.
///
/// # Errors
/// As [`open`].
pub(crate) fn read(path: &Path, links: Links, bytes_max: u64) -> io::Result<Vec<u8>> {
    // Files of procfs have no size.
    read_from(open(path, links, bytes_max)?, bytes_max)
}

/// All that comes from a reader.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if that is more than `bytes_max` bytes; I/O errors.
pub(crate) fn read_from(reader: impl io::Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(bytes_max + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > bytes_max {
        true => Err(too_large(bytes_max)),
        false => Ok(bytes),
    }
}

/// A text of ordinary size.
///
/// # Errors
/// As [`open`]; [`ErrorKind::InvalidData`] for one that is not UTF-8.
pub(crate) fn text(path: impl AsRef<Path>) -> io::Result<String> {
    let bytes = read(path.as_ref(), Links::Followed, TEXT_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "not UTF-8 text"))
}

/// A file of ordinary size.
///
/// # Errors
/// As [`open`].
pub(crate) fn bytes(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    read(path.as_ref(), Links::Followed, BYTES_MAX)
}

fn too_large(bytes_max: u64) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("larger than {bytes_max} bytes"))
}

/// Writes a file under a temporary name and renames it. Makes the folders above it.
///
/// # Errors
/// I/O errors, with the path.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    publish(path, |file| Ok(file.write_all(bytes)?))
}

/// The same for content that `fill` writes. The last of two writers wins.
///
/// # Errors
/// Those of `fill`, and I/O errors, with the path.
pub(crate) fn publish(
    path: &Path,
    fill: impl FnOnce(&mut NamedTempFile) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        // A temporary file is private by default.
        let readable = fs::Permissions::from_mode(0o644);
        let mut file =
            tempfile::Builder::new().prefix(UNFINISHED).permissions(readable).tempfile_in(dir)?;
        file.as_file().lock_exclusive()?;
        fill(&mut file)?;
        file.flush()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Removes what killed writers left unfinished in a folder, if it is older than that. An error
/// leaves it for the next time.
pub(crate) fn remove_unfinished(dir: &Path, age: Duration) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries.filter(|e| e.file_name().to_string_lossy().starts_with(UNFINISHED)) {
        let path = entry.path();
        if !is_abandoned(&path, age).unwrap_or(false) {
            continue;
        }
        let _ = match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
    }
}

/// Whether nobody writes to it any more.
fn is_abandoned(path: &Path, age_min: Duration) -> io::Result<bool> {
    let stat = fs::symlink_metadata(path)?;
    let age = SystemTime::now().duration_since(stat.modified()?).unwrap_or_default();
    if age < age_min {
        return Ok(false);
    }
    if !stat.is_file() && !stat.is_dir() {
        return Ok(true);
    }
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW);
    let file: File = openat2(AT_FDCWD, path, how)?.into();
    file.try_lock_exclusive()
}

/// The file that stands for the use of another one, whose own time must not change.
pub(crate) fn used(path: &Path) -> PathBuf {
    path.with_extension("used")
}

/// Marks a file in use until the result is dropped, and renews its time. Makes it if it is not
/// there.
///
/// # Errors
/// I/O errors; it is no regular file; another process is about to remove it.
pub(crate) fn hold(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    // A FIFO would wait for a reader for ever.
    options.custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    let file = options.append(true).create(true).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let _ = file.set_modified(SystemTime::now());
    match fs4::fs_std::FileExt::try_lock_shared(&file)? {
        true => Ok(file),
        false => Err(Error::new(ErrorKind::WouldBlock, "it is being removed")),
    }
}

/// Marks what is used beside a file, as [`hold`]. What is there instead of the mark goes.
///
/// # Errors
/// As [`hold`].
pub(crate) fn hold_used(path: &Path) -> io::Result<File> {
    let mark = used(path);
    if mark.symlink_metadata().is_ok_and(|stat| !stat.is_file()) {
        fs::remove_file(&mark)?;
    }
    hold(&mark)
}

/// The same for the one who removes it; `None` if it is in use.
///
/// # Errors
/// I/O errors; it is no regular file.
pub(crate) fn hold_alone(path: &Path) -> io::Result<Option<File>> {
    let file = open(path, Links::Followed, u64::MAX)?;
    Ok(file.try_lock_exclusive()?.then_some(file))
}

/// Sets the time of a file to now, as far as it is ours.
pub(crate) fn renew(path: &Path) {
    let file = open(path, Links::Followed, u64::MAX);
    let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
}

/// SHA-256 of a file, lower-case hex.
///
/// # Errors
/// I/O errors, with the path.
pub(crate) fn sha256_of(path: &Path) -> anyhow::Result<String> {
    let mut file = open(path, Links::Followed, u64::MAX)
        .with_context(|| format!("opening {}", path.display()))?;
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash).with_context(|| format!("reading {}", path.display()))?;
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An open of a FIFO waits for the other end.
    #[test]
    fn a_mark_that_is_a_fifo_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let guest = folder.path().join("guest.cpio");
        let fifo = used(&guest);
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(hold(&fifo).is_err() && hold_alone(&fifo).is_err());
        renew(&fifo);
        let held = hold_used(&guest).unwrap();
        assert!(hold_alone(&fifo).unwrap().is_none(), "it is held");
        drop(held);
        assert!(hold_alone(&fifo).unwrap().is_some());
    }

    #[test]
    fn a_file_that_cannot_be_filled_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        assert!(publish(&path, |_| anyhow::bail!("no")).is_err());
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 0);
    }

    #[test]
    fn a_file_is_replaced_whole_and_everybody_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_whole(&path, b"long content").unwrap();
        write_whole(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }
    #[test]
    fn only_a_regular_file_of_bounded_size_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "12345").unwrap();
        fs::create_dir(at("folder")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (link, to) in
            [("link", "file"), ("loop", "loop"), ("through", "."), ("zero", "/dev/zero")]
        {
            std::os::unix::fs::symlink(to, at(link)).unwrap();
        }
        let said = |name: &str, links, bytes_max| match read(&at(name), links, bytes_max) {
            Ok(bytes) => String::from_utf8(bytes).unwrap(),
            Err(error) => error.to_string(),
        };
        use Links::{Followed, Refused};
        for links in [Followed, Refused] {
            assert_eq!(said("file", links, 5), "12345");
            assert_eq!(said("file", links, 4), "larger than 4 bytes");
            for other in ["folder", "fifo", "zero"] {
                assert_eq!(said(other, links, 5), "not a regular file", "{other}");
            }
            assert!(said("loop", links, 5).contains("symbolic link"));
        }
        for link in ["link", "through/file"] {
            assert_eq!(said(link, Followed, 5), "12345");
            assert_eq!(said(link, Refused, 5), "a symbolic link leads there");
        }
        assert_eq!(text(at("link")).unwrap(), "12345");
        assert_eq!(bytes(at("link")).unwrap(), b"12345");
        fs::write(at("latin"), b"\xfc").unwrap();
        assert_eq!(text(at("latin")).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(text(at("fifo")).unwrap_err().kind(), ErrorKind::InvalidInput);
        File::create(at("long")).unwrap().set_len(TEXT_BYTES_MAX + 1).unwrap();
        assert!(text(at("long")).unwrap_err().to_string().starts_with("larger than"));
        // It says that it is empty, and never ends.
        let endless = read(Path::new("/proc/self/environ"), Followed, 0).unwrap_err();
        assert_eq!(endless.to_string(), "larger than 0 bytes");
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_and_what_is_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        let old = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(&path).unwrap();
            let file = File::open(&path).unwrap();
            file.set_modified(SystemTime::now() - 2 * UNFINISHED_AGE).unwrap();
            (path, file)
        };
        let ((left, _), (locked, lock)) = (old(".tmp-a"), old(".tmp-b"));
        lock.lock_exclusive().unwrap();
        let (kept, _) = old("tmp-a");
        let new = dir.path().join(".tmp-new");
        fs::write(&new, "").unwrap();
        remove_unfinished(dir.path(), UNFINISHED_AGE);
        assert!(!left.exists());
        assert!(locked.exists() && kept.exists() && new.exists());
    }
}
