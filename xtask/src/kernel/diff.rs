// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the diff in a text: its lines, and the files they name. Pure.
//!
//! Contract: only lines of the diff reach `patch`. On its own, `patch` would apply an indented diff
//! (an example in a commit message, an interdiff) and skip a damaged hunk as text. Here every line
//! of a diff must be valid, or the text is refused.

mod hunk;
mod names;
mod section;
mod stat;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub(super) use hunk::Hunk;
pub(super) use names::stays_inside;
use section::Section;

/// The diff in a text.
#[derive(Debug)]
pub(super) struct Diff<'a> {
    /// One for each line of the text; `None` outside the diff.
    lines: Vec<Option<&'a [u8]>>,
    /// The files that it names, relative to the tree.
    pub(super) touches: BTreeSet<PathBuf>,
    /// Its hunks, in order.
    pub(super) hunks: Vec<Hunk>,
    /// How many files it is about; one that it is about twice counts twice.
    pub(super) sections: usize,
}

impl<'a> Diff<'a> {
    /// Reads a whole text: a message, a diff, and what a mail program added below it.
    ///
    /// # Errors
    /// `line: why`, with file and hunk.
    pub(super) fn read(text: &'a [u8]) -> Result<Self, String> {
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let mut walk = Walk::default();
        let mut kept = Vec::with_capacity(lines.len());
        for (at, line) in lines.iter().copied().enumerate() {
            let next = lines.get(at + 1).copied().unwrap_or_default();
            let in_diff = walk.line(line, next).map_err(|why| format!("{}: {why}", at + 1))?;
            kept.push(in_diff.then_some(line));
        }
        walk.end().map_err(|why| format!("{}: {why}", lines.len()))?;
        // `patch` would take half a line for a whole one.
        if kept.last().copied().flatten().is_some_and(|line| !line.ends_with(b"\n")) {
            let why = "the last line has no end: is the patch truncated?";
            return Err(format!("{}: {}: {why}", lines.len(), walk.file));
        }
        match walk.touches.is_empty() {
            true => Err("1: there is no diff in it".to_owned()),
            false => {
                let Walk { touches, found: hunks, sections, .. } = walk;
                Ok(Self { lines: kept, touches, hunks, sections })
            }
        }
    }

    /// For `patch`: the diff, with empty lines in place of all others. Line numbers that `patch`
    /// prints are then those of the original file.
    pub(super) fn text(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| line.unwrap_or(b"\n")).copied().collect()
    }

    /// Whether two diffs are equal, whatever is around them.
    pub(super) fn is_as(&self, other: &Diff<'_>) -> bool {
        self.lines.iter().flatten().eq(other.lines.iter().flatten())
    }
}

/// Whether a diff begins somewhere in the text, not quoted and not indented.
pub(super) fn is_in(text: &[u8]) -> bool {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().copied().unwrap_or_default();
        if begins_section(line, next) && !next.is_empty() || begins_names(line, next) {
            return true;
        }
    }
    false
}

/// `base-commit: HASH` or `prerequisite-patch-id: HASH`, and what else git writes there.
pub(super) fn is_basis(line: &str) -> bool {
    [
        "base-commit: ",
        "prerequisite-patch-id: ",
        "prerequisite-message-id: ",
        "prerequisite-change-id: ",
    ]
    .iter()
    .any(|key| line.starts_with(key))
}

fn begins_section(line: &[u8], next: &[u8]) -> bool {
    let Some(names) = line.strip_prefix(b"diff --git ") else { return false };
    // "diff --git is a command" may begin a line of the message.
    names.contains(&b'/') || Section::is_header(next) || next.is_empty()
}

fn begins_names(line: &[u8], next: &[u8]) -> bool {
    line.starts_with(b"--- ") && next.starts_with(b"+++ ")
}

/// What the previous line was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Place {
    /// Text.
    Message,
    /// Nothing yet, or a line of `diff -r` before the names.
    #[default]
    Between,
    /// `diff --git` or a line below it.
    Section,
    /// `--- `
    Old,
    /// `+++ `
    Named,
    /// In a hunk; the lines of the old and the new file that are left.
    Hunk(u64, u64),
    /// The last line of a hunk.
    After,
    /// Blank lines below a hunk.
    Below,
}

#[derive(Default)]
struct Walk {
    place: Place,
    section: Section,
    /// The current file, for messages.
    file: String,
    /// Its hunks so far.
    hunks: u32,
    /// The current file before the patch.
    old: PathBuf,
    touches: BTreeSet<PathBuf>,
    /// All hunks so far.
    found: Vec<Hunk>,
    /// All sections so far.
    sections: usize,
}

impl Walk {
    /// Whether the line belongs to the diff.
    fn line(&mut self, line: &[u8], next: &[u8]) -> Result<bool, String> {
        match self.place {
            Place::Hunk(old, new) => self.in_hunk(line, old, new).map(|()| true),
            Place::Old => {
                self.names(line)?;
                self.place = Place::Named;
                Ok(true)
            }
            Place::Named => self.hunk_header(line).map(|()| true),
            Place::Section => self.in_section(line, next),
            Place::After => self.after_hunk(line, next),
            Place::Below => self.below_hunk(line, next),
            Place::Message | Place::Between => self.elsewhere(line, next),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        match self.place {
            Place::Hunk(..) => {
                Err(format!("{}: hunk {} is truncated at the end", self.file, self.hunks))
            }
            Place::Old | Place::Named => Err(self.without_hunk()),
            Place::Section => self.section.end(&self.file),
            _ => Ok(()),
        }
    }

    fn in_hunk(&mut self, line: &[u8], old: u64, new: u64) -> Result<(), String> {
        let (olds, news) = match line.first() {
            Some(b'-') => (1, 0),
            Some(b'+') => (0, 1),
            Some(b'\\') => (0, 0),
            // Editors and mail programs remove the blank of an empty line.
            Some(b' ' | b'\n' | b'\r') => (1, 1),
            _ => {
                let Self { file, hunks, .. } = self;
                return Err(format!("{file}: hunk {hunks} is too short: is the patch truncated?"));
            }
        };
        let (Some(old), Some(new)) = (old.checked_sub(olds), new.checked_sub(news)) else {
            return Err(self.miscounted());
        };
        if let Some(hunk) = self.found.last_mut() {
            hunk.lines
                .push(String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned());
        }
        self.place = if old + new == 0 { Place::After } else { Place::Hunk(old, new) };
        Ok(())
    }

    /// An edited hunk: `patch` would skip the extra lines as text.
    fn miscounted(&self) -> String {
        format!("{}: hunk {} does not match the line counts in its header", self.file, self.hunks)
    }

    fn without_hunk(&self) -> String {
        format!("{}: no hunk follows the file name: is the patch truncated?", self.file)
    }

    fn hunk_header(&mut self, line: &[u8]) -> Result<(), String> {
        if self.place == Place::Named && !line.starts_with(b"@@") {
            return Err(self.without_hunk());
        }
        let text = String::from_utf8_lossy(line);
        self.hunks += 1;
        let (hunk, old, new) = hunk::header(&text).ok_or_else(|| {
            let (file, hunks) = (&self.file, self.hunks);
            format!("{file}: hunk {hunks}: malformed header: {}", text.trim_end())
        })?;
        self.found.push(Hunk {
            old: self.old.clone(),
            file: self.file.clone(),
            section: self.sections.saturating_sub(1),
            number: self.hunks,
            ..hunk
        });
        self.place = if old + new == 0 { Place::After } else { Place::Hunk(old, new) };
        Ok(())
    }

    fn in_section(&mut self, line: &[u8], next: &[u8]) -> Result<bool, String> {
        if Section::is_header(line) {
            self.section.header(line, &self.file)?;
            self.touches.extend(names::of(line)?);
            return Ok(true);
        }
        if begins_names(line, next) {
            return self.old_name(line).map(|()| true);
        }
        if line.starts_with(b"--- ") {
            return Err(self.without_hunk());
        }
        if line.starts_with(b"GIT binary patch") || line.starts_with(b"Binary files ") {
            return Err(format!("{}: binary patches are not supported", self.file));
        }
        self.section.end(&self.file)?;
        self.place = Place::Between;
        self.elsewhere(line, next)
    }

    fn after_hunk(&mut self, line: &[u8], next: &[u8]) -> Result<bool, String> {
        if begins_names(line, next) {
            return self.old_name(line).map(|()| true);
        }
        let begins = |what: &[u8]| what.starts_with(line);
        if next.is_empty() && (begins(b"diff --git ") || begins(b"@@")) {
            let file = &self.file;
            return Err(format!(
                "{file}: text after the last hunk is cut: is the patch truncated?"
            ));
        }
        match line.first() {
            Some(b'\\') => Ok(true),
            _ if line.starts_with(b"@@") => self.hunk_header(line).map(|()| true),
            _ if line.trim_ascii().is_empty() => {
                self.place = Place::Below;
                Ok(false)
            }
            // The line above a signature, and the one of b4 above the base commit.
            Some(b'-') if matches!(line.trim_ascii_end(), b"--" | b"---") => {
                self.place = Place::Message;
                Ok(false)
            }
            Some(b'+' | b'-' | b' ' | b'\t') => Err(self.miscounted()),
            _ => self.elsewhere(line, next),
        }
    }

    fn below_hunk(&mut self, line: &[u8], next: &[u8]) -> Result<bool, String> {
        if line.trim_ascii().is_empty() {
            return Ok(false);
        }
        // A line `-Name` may be a signature. These two can only be part of a hunk.
        if line.starts_with(b"@@") || line.starts_with(b"+") {
            let Self { file, hunks, .. } = self;
            return Err(format!("{file}: a blank line ends hunk {hunks}, but the diff goes on"));
        }
        self.elsewhere(line, next)
    }

    /// A line outside any file's section of the diff.
    fn elsewhere(&mut self, line: &[u8], next: &[u8]) -> Result<bool, String> {
        let text = String::from_utf8_lossy(line);
        if begins_section(line, next) {
            self.section = Section::default();
            self.sections += 1;
            (self.file, self.hunks) = (String::new(), 0);
            self.names(line)?;
            self.place = Place::Section;
            return Ok(true);
        }
        if begins_names(line, next) {
            return self.old_name(line).map(|()| true);
        }
        if text.starts_with("@@ -") {
            return Err(format!("a hunk without a file name: {}", text.trim_end()));
        }
        let of_merge = line.starts_with(b"diff --cc ") || line.starts_with(b"diff --combined ");
        if of_merge && next.starts_with(b"index ") {
            return Err(format!("diffs of merges are not supported: {}", text.trim_end()));
        }
        let ends_a_file = matches!(self.place, Place::After | Place::Between);
        if ends_a_file && (text.starts_with("Binary files ") || text.starts_with("Only in ")) {
            return Err(format!("the patch lacks the content of a file: {}", text.trim_end()));
        }
        let goes_on = line.trim_ascii().is_empty() && self.place == Place::Between;
        self.place = match goes_on || ends_a_file && line.starts_with(b"diff -") {
            true => Place::Between,
            false => Place::Message,
        };
        Ok(false)
    }

    fn old_name(&mut self, line: &[u8]) -> Result<(), String> {
        self.sections += usize::from(self.place != Place::Section);
        (self.file, self.hunks) = (String::new(), 0);
        self.names(line)?;
        self.old = PathBuf::from(&self.file);
        self.place = Place::Old;
        Ok(())
    }

    fn names(&mut self, line: &[u8]) -> Result<(), String> {
        for path in names::of(line)? {
            self.file = path.display().to_string();
            self.touches.insert(path);
        }
        Ok(())
    }
}
