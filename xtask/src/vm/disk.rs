// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ext4 image that every cell gets as `/dev/vda`.
//!
//! Contract: made once and never written to again; a VM writes to its own throw-away overlay. The
//! name follows the recipe. Its hash lies beside it: a damaged image is regenerated.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::exit::Exit;
use crate::host::digest::sha256;
use crate::host::file::{self, Links, publish, sha256_of, write_whole};
use crate::host::{self, process};
use crate::progress::note;

const MKFS_DEADLINE: Duration = Duration::from_secs(60);

/// More than a hash in hex.
const SUM_BYTES_MAX: u64 = 128;
/// Size of the image, MiB. It is sparse: an empty file system takes 0.4 MiB of the host's disk.
const SIZE_MIB: u64 = 256;

/// No journal: its commits would add I/O at times of their own. One inode per 4 KiB (65536): the
/// lookup workload makes many small entries. Fixed UUID and hash seed: the same names fall into the
/// same directory blocks in every image.
const OPTIONS: &str = "-q -F -O ^has_journal -i 4096 -m 0 -L scratch \
    -U 6d656d63-6700-4000-8000-000000000001 \
    -E hash_seed=6d656d63-6700-4000-8000-000000000002,lazy_itable_init=1,nodiscard";

/// The image, made if it is not there yet.
///
/// # Errors
/// [`Exit::MissingTool`] without `mkfs.ext4`; the cache cannot be written to.
pub(crate) fn scratch(cache: &Path) -> anyhow::Result<PathBuf> {
    let hash = sha256(format!("{SIZE_MIB} {OPTIONS}").as_bytes());
    let path = cache.join("disk").join(format!("scratch-{}.ext4", &hash[..12]));
    let sum = path.with_extension("sha256");
    if path.exists() {
        let known = file::read(&sum, Links::Followed, SUM_BYTES_MAX).ok();
        if known.is_some_and(|known| sha256_of(&path).is_ok_and(|is| is.as_bytes() == known)) {
            return Ok(path);
        }
        note(&format!("note: {} was damaged: regenerating it", path.display()));
    }
    publish(&path, |file| {
        file.as_file().set_len(SIZE_MIB << 20)?;
        make_file_system(file.path())?;
        let mut permissions = file.as_file().metadata()?.permissions();
        permissions.set_mode(0o444);
        Ok(file.as_file().set_permissions(permissions)?)
    })?;
    write_whole(&sum, sha256_of(&path)?.as_bytes())?;
    Ok(path)
}

fn make_file_system(image: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(host::require_program("mkfs.ext4", "e2fsprogs")?);
    // e2fsprogs' own variable for reproducible images; newer ones know the common one too.
    command.env("E2FSPROGS_FAKE_TIME", "1").env("SOURCE_DATE_EPOCH", "1");
    command.args(OPTIONS.split(' ')).arg(image);
    process::succeed(command, MKFS_DEADLINE, Exit::Host)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_recipe_gives_the_same_image() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (a, b) = (scratch(one.path()).unwrap(), scratch(two.path()).unwrap());
        assert_eq!(a.file_name(), b.file_name());
        assert!(Command::new("cmp").arg(&a).arg(&b).status().unwrap().success());
        assert!(std::fs::metadata(&a).unwrap().permissions().readonly());
        assert_eq!(scratch(one.path()).unwrap(), a);
        let same = || Command::new("cmp").arg("-s").arg(&a).arg(&b).status().unwrap().success();
        std::fs::set_permissions(&a, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&a, "cut off").unwrap();
        assert!(!same());
        assert_eq!(scratch(one.path()).unwrap(), a);
        assert!(same());
    }
}
