// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that VMs boot from stay as they were when the first VM of this process got them.
//!
//! They are hashed when a run begins. Somebody may replace or damage one while it runs, and the
//! kernel under test would get the blame. Where size and times are the same, so is the content; a
//! file that was only touched, or published again, has the same hash.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::command::Spec;
use crate::host::file::sha256_of;

/// What changes with the content of a file: its identity, size and times.
type Stamp = (u64, u64, u64, i64, i64);

/// Stamp and hash of each file; `None` if it was not there.
static SEEN: Mutex<BTreeMap<PathBuf, Option<(Stamp, String)>>> = Mutex::new(BTreeMap::new());

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
    let looked = || is.and_then(|stamp| Some((stamp, sha256_of(path).ok()?)));
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let was = seen.entry(path.to_owned()).or_insert_with(looked);
    if was.as_ref().map(|(stamp, _)| *stamp) == is {
        return Ok(());
    }
    let now = looked();
    let hash = |it: &Option<(Stamp, String)>| it.as_ref().map(|(_, hash)| hash.clone());
    if hash(&now) != hash(was) {
        return Err(format!("{} was changed while VMs used it", path.display()));
    }
    *was = now;
    Ok(())
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
        let publish = |text: &str| {
            let beside = dir.path().join("new");
            fs::write(&beside, text).unwrap();
            fs::rename(&beside, &path).unwrap();
        };
        publish("one");
        assert_eq!(same(&path), Ok(()), "published again");
        publish("two");
        assert!(same(&path).unwrap_err().ends_with("bzImage was changed while VMs used it"));
        fs::remove_file(&path).unwrap();
        assert!(same(&path).is_err());
    }
}
