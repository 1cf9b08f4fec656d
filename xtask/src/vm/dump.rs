// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest's memory in a file, for drgn: what QEMU leaves out of its header.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::host::file;

/// Without this, no dump is written. It may be as large as the guest.
pub(super) const FREE_MIB: u64 = 4096;

/// Where the header of the format begins, at most.
const HEAD_BYTES: u64 = 16 << 10;
const SIGNATURE: &[u8] = b"KDUMP   ";
/// Names of the system after signature and version, 65 bytes each.
const NAMES_AT: usize = 12;
const NAME_BYTES: usize = 65;

/// Fills in the names of the system, which QEMU leaves empty: libkdumpfile takes a header without
/// them for damaged.
pub(super) fn name_system(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    let mut file = File::options().read(true).write(true).open(path)?;
    let head = file::read_from((&mut file).take(HEAD_BYTES), HEAD_BYTES)?;
    let at = head.windows(SIGNATURE.len()).position(|bytes| bytes == SIGNATURE);
    let at = at.ok_or_else(|| io::Error::other("it has no header of a kdump"))?;
    for (index, name) in ["Linux", "guest", "unknown", "#1"].into_iter().enumerate() {
        file.seek(SeekFrom::Start((at + NAMES_AT + index * NAME_BYTES) as u64))?;
        file.write_all(name.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_where_the_format_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dump");
        let mut bytes = vec![0; 9000];
        bytes[4112..4120].copy_from_slice(SIGNATURE);
        fs::write(&path, &bytes).unwrap();
        name_system(&path).unwrap();
        let named = fs::read(&path).unwrap();
        assert_eq!(&named[4124..4130], b"Linux\0");
        assert_eq!(&named[4124 + 65..4124 + 71], b"guest\0");
        fs::write(&path, vec![0; 9000]).unwrap();
        assert!(name_system(&path).unwrap_err().to_string().contains("no header"));
    }
}
