// SPDX-License-Identifier: MIT OR Apache-2.0
//! A series after it was applied: the files it changes, and what `patch` printed about it. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The files that a series touches, after it; paths are relative to the tree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Overlay {
    /// `None` for a removed file.
    pub(crate) files: BTreeMap<PathBuf, Option<Content>>,
    /// Fuzz and offsets, for messages.
    pub(crate) notes: Vec<String>,
}

/// A file of an overlay.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// Whether it is executable.
    pub(crate) executable: bool,
}

/// What `patch` reported.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    /// Fuzz and offsets.
    pub(super) notes: Vec<String>,
    /// Hunks and files that failed.
    pub(super) failed: Vec<String>,
}

/// The fuzz, offsets and failures that `patch` printed, each with file and hunk.
pub(super) fn read_said(text: &str) -> Said {
    let mut said = Said::default();
    let mut file = "";
    for line in text.lines() {
        if let Some(name) =
            line.strip_prefix("patching file ").or_else(|| line.strip_prefix("checking file "))
        {
            file = name.split(" (").next().unwrap_or(name);
        } else if let Some(hunk) = line.strip_prefix("Hunk #") {
            let number = hunk.split(' ').next().unwrap_or_default();
            let hunk = hunk.trim_end_matches('.');
            match hunk.split_once(" succeeded at ") {
                Some((_, how)) if how.contains("fuzz") || how.contains("offset") => {
                    said.notes.push(format!("{file}: hunk {number} applied at line {how}"));
                }
                Some(_) => {}
                None => {
                    let line = hunk.rsplit_once(" at ").map_or("?", |(_, line)| line);
                    said.failed.push(format!("{file}: hunk {number} fails (at line {line})"));
                }
            }
        } else if line.starts_with("Reversed (or previously applied)") {
            said.failed.push(format!("{file}: is already applied: {line}"));
        } else if line.starts_with("can't find file") {
            let why = "this source has no such file, or the patch's file names lack a/ and b/";
            said.failed.push(format!("{line}: {why}"));
        } else if line.starts_with("The next patch would") {
            said.failed.push(line.to_owned());
        }
    }
    said
}
