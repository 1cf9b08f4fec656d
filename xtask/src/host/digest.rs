// SPDX-License-Identifier: MIT OR Apache-2.0
//! What names content: SHA-256, written in lower-case hex.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
