// SPDX-License-Identifier: MIT OR Apache-2.0
//! The diffstat above a diff: the only trace of what a mail lost between two hunks. Pure.

use std::sync::LazyLock;

use regex::Regex;

use super::Diff;

/// ` mm/memcontrol.c | 12 +++---`
static FILE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^ (\S[^|]*?) +\| +(\d+)(?: [+-]+)?\s*$").expect("it is a regular expression")
});
/// ` 3 files changed, 12 insertions(+), 1 deletion(-)`
static SUM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^ \d+ files? changed(?:, (\d+) insertions?\(\+\))?(?:, (\d+) deletions?\(-\))?")
        .expect("it is a regular expression")
});

impl Diff<'_> {
    /// Whether the diffstat counts more than there is: what is missing.
    pub(in super::super) fn short_of_its_stat(&self, text: &[u8]) -> Result<(), String> {
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let first = self.lines.iter().position(Option::is_some).unwrap_or_default();
        let above = &lines[..first];
        let Some(begin) = above.iter().rposition(|line| line.trim_ascii_end() == b"---") else {
            return Ok(());
        };
        above[begin..].iter().try_for_each(|line| self.is_short(&String::from_utf8_lossy(line)))
    }

    fn is_short(&self, line: &str) -> Result<(), String> {
        let number = |text: Option<regex::Match<'_>>| {
            text.and_then(|text| text.as_str().parse::<usize>().ok()).unwrap_or_default()
        };
        if let Some(sum) = SUM.captures(line) {
            let stated = (number(sum.get(1)), number(sum.get(2)));
            let found = (self.count("", '+'), self.count("", '-'));
            return match stated.0 > found.0 || stated.1 > found.1 {
                true => Err(format!(
                    "the diffstat counts {} added and {} removed lines, the diff has {} and {}: \
                     is the patch truncated?",
                    stated.0, stated.1, found.0, found.1
                )),
                false => Ok(()),
            };
        }
        let Some(of_file) = FILE.captures(line) else { return Ok(()) };
        let (name, stated) = (&of_file[1], number(of_file.get(2)));
        // git shortens a long name, and joins the two of a rename.
        if name.starts_with("...") || name.contains("=>") {
            return Ok(());
        }
        let found = self.count(name, '+') + self.count(name, '-');
        match stated > found {
            true => Err(format!(
                "{name}: the diffstat counts {stated} changed lines, the diff has {found}: is the \
                 patch truncated?"
            )),
            false => Ok(()),
        }
    }

    /// Lines with this sign in the hunks of a file; of all files if `name` is empty.
    fn count(&self, name: &str, sign: char) -> usize {
        let hunks = self.hunks.iter();
        let of_file = hunks.filter(|hunk| name.is_empty() || hunk.file == name);
        of_file.flat_map(|hunk| &hunk.lines).filter(|line| line.starts_with(sign)).count()
    }
}
