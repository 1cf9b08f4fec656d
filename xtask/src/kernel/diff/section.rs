// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines between `diff --git` and the first hunk, and whether they are the whole change. Pure.
//!
//! A section without a hunk is usual (a rename, a mode, an empty file), but also what is left of a
//! truncated mail. `patch` succeeds on both.

/// Lines that git writes between `diff --git` and `--- ` begin with these.
const HEADERS: [&str; 11] = [
    "old mode ",
    "new mode ",
    "new file mode ",
    "deleted file mode ",
    "similarity index ",
    "dissimilarity index ",
    "rename from ",
    "rename to ",
    "copy from ",
    "copy to ",
    "index ",
];
/// git's hash of empty content, as SHA-1 and as SHA-256.
const EMPTY: [&str; 2] = [
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
];
/// git never prints fewer digits of a hash.
const DIGITS_MIN: usize = 4;

/// The headers of one file, each with its value.
#[derive(Debug, Default)]
pub(super) struct Section(Vec<(&'static str, String)>);

impl Section {
    pub(super) fn is_header(line: &[u8]) -> bool {
        HEADERS.iter().any(|header| line.starts_with(header.as_bytes()))
    }

    /// Takes one line.
    pub(super) fn header(&mut self, line: &[u8], file: &str) -> Result<(), String> {
        let line = String::from_utf8_lossy(line);
        for header in HEADERS {
            if let Some(value) = line.strip_prefix(header) {
                let value = value.trim_end();
                // A submodule: `patch` would write a file with the commit's hash in it.
                if value == "160000" || value.ends_with(" 160000") {
                    return Err(format!("{file}: changes of submodules are not supported"));
                }
                self.0.push((header, value.to_owned()));
            }
        }
        Ok(())
    }

    /// The section ends here, without a hunk.
    pub(super) fn end(&self, file: &str) -> Result<(), String> {
        match self.is_whole() {
            true => Ok(()),
            false => Err(format!("{file}: the patch has no change of it: is it truncated?")),
        }
    }

    fn is_whole(&self) -> bool {
        let said = |header: &str| {
            let mut found = self.0.iter().filter(|(known, _)| *known == header);
            found.next().map(|(_, value)| value.as_str())
        };
        let has = |header: &str| said(header).is_some();
        let (made, gone) = (has("new file mode "), has("deleted file mode "));
        if let Some(index) = said("index ") {
            // The hashes of the old and the new content: without a hunk, both must be empty.
            let names = index.split(' ').next().and_then(|names| names.split_once(".."));
            return names.is_some_and(|(old, new)| made && is_empty(new) || gone && is_empty(old));
        }
        let pairs = [
            ("old mode ", "new mode "),
            ("rename from ", "rename to "),
            ("copy from ", "copy to "),
        ];
        let whole_pairs = pairs.iter().all(|(one, other)| has(one) == has(other));
        let unchanged = said("similarity index ").is_none_or(|share| share == "100%");
        let says_something = has("new mode ") || has("rename to ") || has("copy to ");
        // git writes `index` for every new or removed file.
        let is_cut = made || gone || has("dissimilarity index ");
        whole_pairs && unchanged && says_something && !is_cut
    }
}

fn is_empty(name: &str) -> bool {
    name.len() >= DIGITS_MIN && EMPTY.iter().any(|empty| empty.starts_with(name))
}
