// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which patch of a series last wrote each line of the patched tree. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The lines that a series wrote and that are still there; the others are those of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Touched {
    /// By file, relative to the tree; in the order of lines.
    files: BTreeMap<String, Vec<Span>>,
}

/// Lines of one file, one below the other, from one patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Span {
    /// The first, from 1.
    first: u64,
    /// How many.
    lines: u64,
    /// Name of the patch.
    patch: String,
}

/// A hunk at the place where it went in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<'a> {
    /// Its first line in the file before the patch, from 1; of a hunk that only adds, the line
    /// below which it adds.
    pub(crate) old_line: u64,
    /// Its lines, each with its sign.
    pub(crate) lines: &'a [String],
}

impl Touched {
    /// The patch that last wrote this line.
    pub(crate) fn patch(&self, file: &str, line: u64) -> Option<&str> {
        let spans = self.files.get(file)?;
        let span = spans.iter().find(|span| (span.first..span.first + span.lines).contains(&line));
        span.map(|span| span.patch.as_str())
    }

    /// What is known after `patch` made `new` of the file `old` with these hunks, in their order.
    pub(crate) fn apply(&mut self, patch: &str, old: &str, new: &str, hunks: &[Placed<'_>]) {
        let before: BTreeMap<u64, String> =
            self.files.get(old).map(|it| lines(it)).unwrap_or_default();
        let mut after = BTreeMap::new();
        let (mut from, mut to) = (1, 1);
        for hunk in hunks {
            let only_adds = hunk.lines.iter().all(|line| line.starts_with(['+', '\\']));
            let begin = (hunk.old_line + u64::from(only_adds)).max(from);
            let kept = before.range(from..begin);
            after.extend(kept.map(|(line, who)| (line - from + to, who.clone())));
            (from, to) = (begin, to + begin - from);
            for line in hunk.lines {
                match line.as_bytes().first() {
                    Some(b'+') => {
                        after.insert(to, patch.to_owned());
                        to += 1;
                    }
                    Some(b'-') => from += 1,
                    Some(b'\\') => {}
                    _ => {
                        after.extend(before.get(&from).map(|who| (to, who.clone())));
                        (from, to) = (from + 1, to + 1);
                    }
                }
            }
        }
        let rest = before.range(from..);
        after.extend(rest.map(|(line, who)| (line - from + to, who.clone())));
        self.files.insert(new.to_owned(), spans(after));
    }
}

fn lines(spans: &[Span]) -> BTreeMap<u64, String> {
    let one = |span: &Span| {
        let patch = span.patch.clone();
        (span.first..span.first + span.lines).map(move |line| (line, patch.clone()))
    };
    spans.iter().flat_map(one).collect()
}

fn spans(lines: BTreeMap<u64, String>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (line, patch) in lines {
        match spans.last_mut() {
            Some(last) if last.patch == patch && last.first + last.lines == line => last.lines += 1,
            _ => spans.push(Span { first: line, lines: 1, patch }),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies a patch, `(old line, lines)` a hunk, and tells who wrote the lines 1 to 9.
    fn apply(touched: &mut Touched, patch: &str, hunks: &[(u64, &[&str])]) -> String {
        let lines: Vec<Vec<String>> = hunks
            .iter()
            .map(|(_, lines)| lines.iter().map(|line| (*line).to_owned()).collect())
            .collect();
        let placed: Vec<Placed<'_>> = hunks
            .iter()
            .zip(&lines)
            .map(|((old_line, _), lines)| Placed { old_line: *old_line, lines })
            .collect();
        touched.apply(patch, "mm/n", "mm/n", &placed);
        (1..=9).map(|line| touched.patch("mm/n", line).unwrap_or(".")).collect()
    }

    #[test]
    fn a_line_is_of_the_last_patch_that_wrote_it_wherever_it_moves() {
        let mut touched = Touched::default();
        assert_eq!(apply(&mut touched, "a", &[(4, &[" 4", "-5", "+five", " 6"])]), "....a....");
        // Two lines on top, and below the first change.
        let more: &[(u64, &[&str])] = &[(1, &["+x", "+y", " 1"]), (6, &["+z"])];
        assert_eq!(apply(&mut touched, "b", more), "bb....a.b");
        assert_eq!(apply(&mut touched, "c", &[(2, &["-y"]), (7, &["-five", "+V"])]), "b....c.b.");
        assert_eq!(apply(&mut touched, "d", &[(6, &["-V"])]), "b.....b..");
        assert_eq!(touched.patch("mm/other", 1), None);
    }

    #[test]
    fn a_new_file_is_of_its_patch_and_takes_its_lines_along_when_renamed() {
        let mut touched = Touched::default();
        assert_eq!(apply(&mut touched, "a", &[(0, &["+1", "+2"])]), "aa.......");
        let lines = [" 1", "-2", "+two", "\\ No newline at end of file"].map(str::to_owned);
        touched.apply("b", "mm/n", "mm/m", &[Placed { old_line: 1, lines: &lines }]);
        let of = |line| touched.patch("mm/m", line);
        assert_eq!([of(1), of(2), of(3)], [Some("a"), Some("b"), None]);
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let mut touched = Touched::default();
        apply(&mut touched, "a", &[(0, &["+1", "+2"])]);
        let text = serde_json::to_string(&touched).unwrap();
        assert_eq!(text, r#"{"mm/n":[{"first":1,"lines":2,"patch":"a"}]}"#);
        assert_eq!(serde_json::from_str::<Touched>(&text).unwrap(), touched);
    }
}
