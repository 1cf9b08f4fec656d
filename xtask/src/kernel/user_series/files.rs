// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file or standard input -> its bytes, uncompressed.
//!
//! Contract: never more than [`BYTES_MAX`] bytes, and never part of a file as if it were whole.

use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::exit::{Exit, Fault};
use crate::host::file::{self, Links};
use crate::host::process;

/// More than this is no mail thread.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
const GUNZIP_DEADLINE: Duration = Duration::from_secs(60);

/// First bytes of unsupported files, what those are, and a command that makes text of them.
const OTHERS: [(&[u8], &str, &str); 6] = [
    (b"\xfd7zXZ\0", "compressed by xz", "xz -dc"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstd -dc"),
    (b"BZh", "compressed by bzip2", "bzip2 -dc"),
    (b"PK\x03\x04", "a zip archive", "unzip -p"),
    (b"\xff\xfe", "text in UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "iconv -f UTF-16 -t UTF-8"),
];

/// The bytes of a file.
///
/// # Errors
/// [`Exit::Series`] with the path; [`Exit::Usage`] if it is empty.
pub(super) fn of_path(path: &Path) -> anyhow::Result<Vec<u8>> {
    let place = path.display().to_string();
    let file = file::open(path, Links::Followed, BYTES_MAX)
        .map_err(|error| fault(&place, &error.to_string()))?;
    read(file, &place)
}

/// The bytes of standard input.
///
/// # Errors
/// As [`of_path`].
pub(super) fn of_stdin() -> anyhow::Result<Vec<u8>> {
    read(std::io::stdin(), "stdin")
}

fn read(from: impl Read, place: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes =
        file::read_from(from, BYTES_MAX + 1).map_err(|error| fault(place, &error.to_string()))?;
    bounded(&bytes, place)?;
    // gzip, as lore.kernel.org serves threads.
    if bytes.starts_with(&[0x1f, 0x8b]) {
        bytes = unpacked(&bytes, place)?;
        bounded(&bytes, place)?;
    }
    for (begin, what, command) in OTHERS {
        if bytes.starts_with(begin) {
            let hint = format!("run `{command} FILE > fix.mbx`, then use --series fix.mbx");
            return Err(fault(place, &format!("it is {what}")).hint(hint).into());
        }
    }
    if bytes.trim_ascii().is_empty() {
        return Err(Fault::new(Exit::Usage, format!("{place}: it is empty")).into());
    }
    Ok(bytes)
}

fn bounded(bytes: &[u8], place: &str) -> Result<(), Fault> {
    match bytes.len() as u64 > BYTES_MAX {
        true => Err(fault(place, &format!("more than {BYTES_MAX} bytes are no series"))),
        false => Ok(()),
    }
}

fn fault(place: &str, why: &str) -> Fault {
    Fault::new(Exit::Series, format!("{place}: {why}"))
}

fn unpacked(bytes: &[u8], place: &str) -> anyhow::Result<Vec<u8>> {
    let scratch = tempfile::tempdir().context("making a folder to unpack into")?;
    let [packed, text] = ["packed", "text"].map(|name| scratch.path().join(name));
    std::fs::write(&packed, bytes).context("writing a file to unpack")?;
    let mut command = Command::new("sh");
    command.args(["-c", "gzip -dc < \"$1\" | head -c \"$3\" > \"$2\"", "sh"]);
    command.arg(packed).arg(&text).arg((BYTES_MAX + 1).to_string());
    let output = process::capture(command, GUNZIP_DEADLINE)?;
    if !output.text.is_empty() {
        return Err(fault(place, output.text.trim()).into());
    }
    file::bytes(text).context("reading what was unpacked")
}
