// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that are whole or absent, and their hash.
//!
//! Contract: a file with its final name has all its bytes. A failed write leaves nothing behind.
//! All users may read the file.

use std::fs::{self, File};
use std::io;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::digest::hex;

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
            tempfile::Builder::new().prefix(".tmp-").permissions(readable).tempfile_in(dir)?;
        fill(&mut file)?;
        file.flush()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// SHA-256 of a file, lower-case hex.
///
/// # Errors
/// I/O errors, with the path.
pub(crate) fn sha256_of(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash).with_context(|| format!("reading {}", path.display()))?;
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
