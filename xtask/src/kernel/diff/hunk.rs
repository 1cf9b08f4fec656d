// SPDX-License-Identifier: MIT OR Apache-2.0
//! One hunk of a diff: where it is meant to go, and its lines. Pure.

use std::path::PathBuf;

/// A hunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Hunk {
    /// The file before the patch, relative to the tree.
    pub(in super::super) old: PathBuf,
    /// The file after it.
    pub(in super::super) file: String,
    /// Which of the diff's sections it is in, from 0.
    pub(in super::super) section: usize,
    /// Its number in the section, from 1.
    pub(in super::super) number: u32,
    /// Its first line in the old file, from 1.
    pub(in super::super) old_line: u64,
    /// What stands behind the second `@@`: the function that it is in, where a tool wrote one.
    pub(in super::super) heading: String,
    /// Its lines, each with its sign.
    pub(in super::super) lines: Vec<String>,
}

/// `@@ -12,3 +12,4 @@ f` -> (12, "f"), and the lines it counts in the old and the new file.
pub(super) fn header(line: &str) -> Option<(Hunk, u64, u64)> {
    let text = line.strip_prefix("@@ ")?;
    let mut words = text.split_whitespace();
    let mut range = |sign: char| {
        let range = words.next()?.strip_prefix(sign)?;
        let (line, count) = range.split_once(',').unwrap_or((range, "1"));
        Some((line.parse::<u64>().ok()?, count.parse::<u64>().ok()?))
    };
    let ((old_line, old), (_, new)) = (range('-')?, range('+')?);
    words.next()?.starts_with("@@").then_some(())?;
    let heading = text.split_once("@@").map_or("", |(_, heading)| heading.trim()).to_owned();
    Some((Hunk { old_line, heading, ..Hunk::default() }, old, new))
}
