// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a work tree is already configured: Kconfig takes 10 s and mostly repeats itself. Pure.
//!
//! Contract: a digest of everything that Kconfig reads, and of the `.config` that it wrote.

use std::path::Path;

use super::fragments::{self, Wish};
use super::overlay::Overlay;
use crate::config::Gone;
use crate::host::digest::{hex, sha256_of_parts};

/// Kconfig does not read files with these endings, except in `scripts/`, which has its tool probes.
const NOT_READ: [&str; 6] = ["c", "h", "rs", "S", "rst", "txt"];

/// The input of Kconfig.
pub(super) struct Asked<'a> {
    /// Identifies the content of the source.
    pub(super) source_id: &'a str,
    /// The series on it.
    pub(super) overlay: &'a Overlay,
    /// Symbols to set.
    pub(super) wishes: &'a [Wish],
    /// Symbols that must not exist.
    pub(super) gone: &'a [Gone],
    /// Identity of the tools.
    pub(super) toolchain: &'a str,
}

impl Asked<'_> {
    /// The digest, for a tree with this `.config`.
    pub(super) fn digest(&self, config: &[u8]) -> String {
        let Self { source_id, overlay, wishes, gone, toolchain } = self;
        let wishes = fragments::canonical(wishes);
        let mut parts = vec![config, source_id.as_bytes(), toolchain.as_bytes(), wishes.as_bytes()];
        parts.extend(gone.iter().map(|gone| gone.symbol.as_bytes()));
        for (path, content) in overlay.files.iter().filter(|(path, _)| is_read(path)) {
            parts.push(path.as_os_str().as_encoded_bytes());
            parts.push(content.as_ref().map_or(b"removed", |content| &content.bytes));
        }
        hex(&sha256_of_parts(parts))
    }
}

fn is_read(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    path.starts_with("scripts") || ending.is_none_or(|ending| !NOT_READ.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::overlay::Content;

    fn overlay(files: &[(&str, &str)]) -> Overlay {
        let content = |text: &str| Content { bytes: text.as_bytes().to_vec(), executable: false };
        let file = |(path, text): &(&str, &str)| (path.into(), Some(content(text)));
        Overlay { files: files.iter().map(file).collect(), ..Overlay::default() }
    }

    fn digest(files: &[(&str, &str)]) -> String {
        let overlay = overlay(files);
        let asked = Asked {
            source_id: "s",
            overlay: &overlay,
            wishes: &[],
            gone: &[],
            toolchain: "gcc 12",
        };
        asked.digest(b"CONFIG_A=y\n")
    }

    #[test]
    fn code_does_not_matter_and_what_kconfig_reads_does() {
        let none = digest(&[]);
        assert_eq!(digest(&[("mm/memcg.rs", "1"), ("mm/a.c", "2"), ("Doc/x.rst", "3")]), none);
        for path in ["init/Kconfig", "mm/Makefile", "scripts/min.h", "scripts/cc.sh", "Makefile"] {
            assert_ne!(digest(&[(path, "1")]), none, "{path}");
            assert_ne!(digest(&[(path, "1")]), digest(&[(path, "2")]), "{path}");
        }
    }

    #[test]
    fn another_config_or_other_tools_matter() {
        let overlay = overlay(&[]);
        let asked = |toolchain, config: &[u8]| {
            Asked { source_id: "s", overlay: &overlay, wishes: &[], gone: &[], toolchain }
                .digest(config)
        };
        assert_ne!(asked("gcc 12", b"A"), asked("gcc 13", b"A"));
        assert_ne!(asked("gcc 12", b"A"), asked("gcc 12", b"B"));
    }
}
