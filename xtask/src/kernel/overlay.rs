// SPDX-License-Identifier: MIT OR Apache-2.0
//! A series after it was applied: the files it changes, and what `patch` printed about it. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::symbols::Touched;

/// The files that a series touches, after it; paths are relative to the tree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Overlay {
    /// `None` for a removed file.
    pub(crate) files: BTreeMap<PathBuf, Option<Content>>,
    /// Offsets, for messages.
    pub(crate) notes: Vec<String>,
    /// Hunks that needed fuzz, or went into another function than their heading names.
    pub(crate) doubtful: Vec<String>,
    /// Which patch wrote which lines.
    pub(crate) touched: Touched,
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
    /// Hunks that did not go in exactly where their header says.
    pub(super) landed: Vec<Landed>,
    /// Hunks and files that failed.
    pub(super) failed: Vec<String>,
}

/// Where `patch` put a hunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Landed {
    /// The file after the patch.
    pub(super) file: String,
    /// Which of the diff's sections about this file the hunk is in, from 0.
    pub(super) section: usize,
    /// Number of the hunk, from 1.
    pub(super) number: u32,
    /// The line of the new file, and how far that is from the one in the header.
    pub(super) line: String,
    /// Lines between the old line in the header and that of the file before the patch.
    pub(super) offset: i64,
    /// Lines of context that were ignored at each end.
    pub(super) fuzz: u32,
}

/// The fuzz, offsets and failures that `patch` printed, each with file and hunk.
pub(super) fn read_said(text: &str) -> Said {
    let mut said = Said::default();
    let mut files: Vec<&str> = Vec::new();
    for line in text.lines() {
        let file = files.last().copied().unwrap_or_default();
        if let Some(name) =
            line.strip_prefix("patching file ").or_else(|| line.strip_prefix("checking file "))
        {
            files.push(name.split(" (").next().unwrap_or(name));
        } else if let Some(hunk) = line.strip_prefix("Hunk #") {
            let number = hunk.split(' ').next().unwrap_or_default();
            let hunk = hunk.trim_end_matches('.');
            match hunk.split_once(" succeeded at ") {
                Some((_, how)) => {
                    let section = files.iter().filter(|known| **known == file).count() - 1;
                    said.landed.push(landed(file, section, number, how));
                }
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

/// `2664 with fuzz 2 (offset -78 lines)`
fn landed(file: &str, section: usize, number: &str, how: &str) -> Landed {
    fn after<N: std::str::FromStr>(how: &str, word: &str) -> Option<N> {
        how.split_once(word)?.1.split([' ', ')']).next()?.parse().ok()
    }
    let fuzz = after(how, " fuzz ").unwrap_or(u32::from(how.contains("fuzz")));
    let line = how.replace(&format!(" with fuzz {fuzz}"), "");
    let offset = after(how, "(offset ").unwrap_or(0);
    let (file, number) = (file.to_owned(), number.parse().unwrap_or(0));
    Landed { file, section, number, line, offset, fuzz }
}
