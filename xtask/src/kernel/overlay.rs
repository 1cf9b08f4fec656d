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
    /// The files that it wrote, one for each section of the diff, in order.
    pub(super) files: Vec<Patched>,
    /// Hunks that did not go in exactly where their header says.
    pub(super) landed: Vec<Landed>,
    /// Hunks and files that failed.
    pub(super) failed: Vec<String>,
}

/// A file that `patch` wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Patched {
    /// Its name after the patch.
    pub(super) file: String,
    /// The one that it was made from, where it has another name, and whether that stays.
    pub(super) from: Option<(String, Stays)>,
}

/// Whether a file from which another was made is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stays {
    /// It was copied.
    Yes,
    /// It was renamed.
    No,
}

/// Where `patch` put a hunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Landed {
    /// Which of the diff's sections the hunk is in, from 0.
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
    for line in text.lines() {
        let file = said.files.last().map_or("", |patched| patched.file.as_str());
        if let Some(name) =
            line.strip_prefix("patching file ").or_else(|| line.strip_prefix("checking file "))
        {
            said.files.push(patched(name));
        } else if let Some(hunk) = line.strip_prefix("Hunk #") {
            let number = hunk.split(' ').next().unwrap_or_default();
            let hunk = hunk.trim_end_matches('.');
            match hunk.split_once(" succeeded at ") {
                Some((_, how)) => {
                    let section = said.files.len().saturating_sub(1);
                    said.landed.push(landed(section, number, how));
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

/// `mm/new.c (renamed from mm/old.c)`, where a name that a shell would not take as one word is in
/// quotes.
fn patched(said: &str) -> Patched {
    let (file, how) = name(said);
    let old = |word| {
        let old = how.trim_start().strip_prefix(word)?.strip_suffix(')')?;
        Some(name(old).0.to_owned())
    };
    let renamed = old("(renamed from ").map(|old| (old, Stays::No));
    let from = renamed.or_else(|| Some((old("(copied from ")?, Stays::Yes)));
    Patched { file: file.to_owned(), from }
}

/// The name at the begin, without its quotes, and the rest.
fn name(said: &str) -> (&str, &str) {
    let quoted = |quote| said.strip_prefix(quote)?.split_once(quote);
    let plain = || said.find(" (").map_or((said, ""), |at| said.split_at(at));
    quoted('\'').or_else(|| quoted('"')).unwrap_or_else(plain)
}

/// `2664 with fuzz 2 (offset -78 lines)`
fn landed(section: usize, number: &str, how: &str) -> Landed {
    fn after<N: std::str::FromStr>(how: &str, word: &str) -> Option<N> {
        how.split_once(word)?.1.split([' ', ')']).next()?.parse().ok()
    }
    let fuzz = after(how, " fuzz ").unwrap_or(u32::from(how.contains("fuzz")));
    let line = how.replace(&format!(" with fuzz {fuzz}"), "");
    let offset = after(how, "(offset ").unwrap_or(0);
    Landed { section, number: number.parse().unwrap_or(0), line, offset, fuzz }
}
