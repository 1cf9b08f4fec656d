// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that VMs boot from stay as they were when the first VM of this process got them.
//!
//! They are hashed when a run begins. Somebody may replace or damage one while it runs, and the
//! kernel under test would get the blame. A file that changes gets another size or another time.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::command::Spec;

/// What changes with the content of a file: its identity, size and times.
type Stamp = (u64, u64, u64, i64, i64);

static SEEN: Mutex<BTreeMap<PathBuf, Option<Stamp>>> = Mutex::new(BTreeMap::new());

/// Whether the files of a VM are as they were; where it is `restored`, it reads only its disk.
///
/// # Errors
/// The file that is missing or was changed.
pub(super) fn unchanged(spec: &Spec, restored: bool) -> Result<(), String> {
    let booted = [&spec.kernel, &spec.initramfs].into_iter().filter(|_| !restored);
    booted.chain(&spec.disk).try_for_each(|path| same(Path::new(path)))
}

fn same(path: &Path) -> Result<(), String> {
    // Of one that was never there QEMU says so.
    let is = fs::metadata(path)
        .ok()
        .map(|stat| (stat.dev(), stat.ino(), stat.size(), stat.mtime(), stat.mtime_nsec()));
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    match *seen.entry(path.to_owned()).or_insert(is) == is {
        true => Ok(()),
        false => Err(format!("{} was changed while VMs used it", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bzImage");
        fs::write(&path, "one").unwrap();
        assert_eq!((same(&path), same(&path)), (Ok(()), Ok(())));
        let beside = dir.path().join("new");
        fs::write(&beside, "one").unwrap();
        fs::rename(&beside, &path).unwrap();
        assert!(same(&path).unwrap_err().ends_with("bzImage was changed while VMs used it"));
        fs::remove_file(&path).unwrap();
        assert!(same(&path).is_err());
    }
}
