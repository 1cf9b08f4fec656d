// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `diff --git` and the lines below it say of a file, and whether that is all of its change.
//!
//! A file whose part of the diff has no hunk is a usual thing (a rename, a mode, an empty file) and also what is
//! left of one where a mail was cut. `patch` ends with success on both.

/// How lines begin that git writes between `diff --git` and `--- `.
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
/// The name git has for no content, as SHA-1 and as SHA-256.
const EMPTY: [&str; 2] = [
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
];
/// Fewer digits of a name than git ever prints.
const DIGITS_MIN: usize = 4;

/// The headers of one file, with what follows each.
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
                // `patch` would write a file with the name of the commit in it.
                if value.trim_end().ends_with(" 160000") || value.trim_end() == "160000" {
                    return Err(format!("{file}: a submodule cannot be changed"));
                }
                self.0.push((header, value.trim_end().to_owned()));
            }
        }
        Ok(())
    }

    /// The part of the diff ends here, and no hunk was in it.
    pub(super) fn end(&self, file: &str) -> Result<(), String> {
        match self.is_whole() {
            true => Ok(()),
            false => Err(format!("{file}: its change is not in the patch: is the patch cut off?")),
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
            // It has the names of the old and the new content: without a hunk only where both are empty.
            let names = index.split(' ').next().and_then(|names| names.split_once(".."));
            return names.is_some_and(|(old, new)| made && is_empty(new) || gone && is_empty(old));
        }
        let whole_pairs = [("old mode ", "new mode "), ("rename from ", "rename to ")]
            .iter()
            .chain(&[("copy from ", "copy to ")])
            .all(|(one, other)| has(one) == has(other));
        let unchanged = said("similarity index ").is_none_or(|share| share == "100%");
        let says_something = has("new mode ") || has("rename to ") || has("copy to ");
        // git says `index` of every file that is new or gone.
        let is_cut = made || gone || has("dissimilarity index ");
        whole_pairs && unchanged && says_something && !is_cut
    }
}

fn is_empty(name: &str) -> bool {
    name.len() >= DIGITS_MIN && EMPTY.iter().any(|empty| empty.starts_with(name))
}
