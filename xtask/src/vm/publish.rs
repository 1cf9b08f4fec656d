// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that are whole or not there.
//!
//! Contract: a file under its final name has all its bytes; what fails half-way leaves nothing.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use tempfile::NamedTempFile;

/// Makes a file beside its final name and renames it; of two at once the last one wins.
///
/// # Errors
/// What `fill` fails with, or the folder cannot be written to.
pub(super) fn publish(
    path: &Path,
    fill: impl FnOnce(&mut NamedTempFile) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let cannot = || format!("cannot write {}", path.display());
    std::fs::create_dir_all(dir).with_context(cannot)?;
    let mut file = NamedTempFile::new_in(dir).with_context(cannot)?;
    fill(&mut file).with_context(cannot)?;
    file.flush().with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_filled_is_not_there() {
        let cache = tempfile::tempdir().unwrap();
        let path = cache.path().join("a/b");
        assert!(publish(&path, |_| anyhow::bail!("no")).is_err());
        assert_eq!(std::fs::read_dir(cache.path().join("a")).unwrap().count(), 0);
    }
}
