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
    /// How many; none where lines were removed above the first.
    lines: u64,
    /// Name of the patch.
    patch: String,
}

/// A file that a patch writes.
#[derive(Clone, Debug)]
pub(crate) struct Change<'a> {
    /// Its name after the patch.
    pub(crate) file: &'a str,
    /// The file that it was made from, where it has another name, and whether that stays.
    pub(crate) from: Option<(&'a str, bool)>,
    /// What changed, in order.
    pub(crate) hunks: Vec<Placed<'a>>,
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

/// What is known of one line.
#[derive(Clone, Debug, Default)]
struct Mark {
    wrote: Option<String>,
    removed_above: Option<String>,
}

impl Touched {
    /// The patch that last wrote this line.
    pub(crate) fn patch(&self, file: &str, line: u64) -> Option<&str> {
        let mut spans = self.files.get(file)?.iter();
        let span = spans.find(|span| (span.first..span.first + span.lines).contains(&line))?;
        Some(span.patch.as_str())
    }

    /// Whether a patch wrote this line, or removed the one above or below it.
    pub(crate) fn changed(&self, file: &str, line: u64) -> bool {
        let mut spans = self.files.get(file).into_iter().flatten();
        spans.any(|Span { first, lines, .. }| match lines {
            0 => [line, line + 1].contains(first),
            lines => (*first..first + lines).contains(&line),
        })
    }

    /// What is known after a patch made these changes, in their order.
    pub(crate) fn apply(&mut self, patch: &str, changes: &[Change<'_>]) {
        let before = self.files.clone();
        let written = |at: usize, file: &str| changes[..at].iter().any(|it| it.file == file);
        for (at, Change { file, from, hunks }) in changes.iter().enumerate() {
            // Files may swap their names; a second diff of a file goes on from the first.
            let old = match from {
                Some((old, _)) => before.get(*old),
                None if written(at, file) => self.files.get(*file),
                None => before.get(*file),
            };
            let marks = old.map(|spans| marks(spans)).unwrap_or_default();
            self.files.insert((*file).to_owned(), spans(&changed(patch, &marks, hunks)));
        }
        for (old, _) in changes.iter().filter_map(|it| it.from).filter(|(_, stays)| !stays) {
            if !written(changes.len(), old) {
                self.files.remove(old);
            }
        }
        self.files.retain(|_, spans| !spans.is_empty());
    }
}

/// The marks of a file after these hunks.
fn changed(patch: &str, before: &BTreeMap<u64, Mark>, hunks: &[Placed<'_>]) -> BTreeMap<u64, Mark> {
    let mut after: BTreeMap<u64, Mark> = BTreeMap::new();
    let (mut from, mut to) = (1, 1);
    for hunk in hunks {
        let only_adds = hunk.lines.iter().all(|line| line.starts_with(['+', '\\']));
        let begin = (hunk.old_line + u64::from(only_adds)).max(from);
        let kept = before.range(from..begin);
        after.extend(kept.map(|(line, mark)| (line - from + to, mark.clone())));
        (from, to) = (begin, to + begin - from);
        // Where lines were removed and none was written.
        let mut seam = None;
        let mut seams = Vec::new();
        for line in hunk.lines {
            match line.as_bytes().first() {
                Some(b'+') => {
                    let wrote = Some(patch.to_owned());
                    after.insert(to, Mark { wrote, removed_above: None });
                    (to, seam) = (to + 1, None);
                }
                Some(b'-') => (from, seam) = (from + 1, Some(to)),
                Some(b'\\') => {}
                _ => {
                    after.extend(before.get(&from).map(|mark| (to, mark.clone())));
                    seams.extend(seam.take());
                    (from, to) = (from + 1, to + 1);
                }
            }
        }
        if let Some(end) = seam {
            // The first line below the hunk is still to come.
            after.extend(before.get(&from).map(|mark| (to, mark.clone())));
            seams.push(end);
            (from, to) = (from + 1, to + 1);
        }
        for line in seams {
            after.entry(line).or_default().removed_above = Some(patch.to_owned());
        }
    }
    let rest = before.range(from..);
    after.extend(rest.map(|(line, mark)| (line - from + to, mark.clone())));
    after
}

fn marks(spans: &[Span]) -> BTreeMap<u64, Mark> {
    let mut marks: BTreeMap<u64, Mark> = BTreeMap::new();
    for Span { first, lines, patch } in spans {
        if *lines == 0 {
            marks.entry(*first).or_default().removed_above = Some(patch.clone());
        }
        for line in *first..first + lines {
            marks.entry(line).or_default().wrote = Some(patch.clone());
        }
    }
    marks
}

fn spans(marks: &BTreeMap<u64, Mark>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (&first, Mark { wrote, removed_above }) in marks {
        let seam = |patch: &String| Span { first, lines: 0, patch: patch.clone() };
        spans.extend(removed_above.as_ref().map(seam));
        let Some(patch) = wrote else { continue };
        match spans.last_mut() {
            Some(last) if last.patch == *patch && last.first + last.lines == first => {
                last.lines += 1;
            }
            _ => spans.push(Span { first, lines: 1, patch: patch.clone() }),
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
        touched.apply(patch, &[Change { file: "mm/n", from: None, hunks: placed }]);
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
        let hunks = vec![Placed { old_line: 1, lines: &lines }];
        let renamed = |old, file, stays| Change { file, from: Some((old, stays)), hunks: vec![] };
        touched.apply("b", &[Change { hunks, ..renamed("mm/n", "mm/m", false) }]);
        let of = |touched: &Touched, file| {
            [1, 2, 3].map(|at| touched.patch(file, at).map(str::to_owned))
        };
        let own = |names: [&str; 2]| [Some(names[0].to_owned()), Some(names[1].to_owned()), None];
        assert_eq!(of(&touched, "mm/m"), own(["a", "b"]));
        assert_eq!(of(&touched, "mm/n"), [None, None, None], "it is gone");
        touched.apply("c", &[renamed("mm/m", "mm/copy", true)]);
        touched.apply("d", &[Change { file: "mm/x", from: None, hunks: vec![] }]);
        let x = ["+x".to_owned(), "+y".to_owned()];
        let hunks = vec![Placed { old_line: 0, lines: &x }];
        touched.apply("e", &[Change { file: "mm/x", from: None, hunks }]);
        touched.apply("f", &[renamed("mm/x", "mm/copy", false), renamed("mm/copy", "mm/x", false)]);
        assert_eq!(of(&touched, "mm/m"), own(["a", "b"]), "copied");
        assert_eq!(of(&touched, "mm/x"), own(["a", "b"]), "swapped");
        assert_eq!(of(&touched, "mm/copy"), own(["e", "e"]), "swapped");
    }

    #[test]
    fn where_lines_were_only_removed_both_neighbours_are_changed() {
        let mut touched = Touched::default();
        let who = apply(&mut touched, "a", &[(4, &[" 4", "-5", " 6"]), (9, &["-9"])]);
        assert_eq!(who, ".........");
        let changed = |touched: &Touched| -> Vec<u64> {
            (1..=12).filter(|line| touched.changed("mm/n", *line)).collect()
        };
        assert_eq!(changed(&touched), [4, 5, 7, 8]);
        apply(&mut touched, "b", &[(0, &["+x"])]);
        assert_eq!(changed(&touched), [1, 5, 6, 8, 9]);
        // A line in its place is of who writes it.
        apply(&mut touched, "c", &[(6, &["-6", "+six"])]);
        assert_eq!(changed(&touched), [1, 6, 8, 9]);
        apply(&mut touched, "d", &[(6, &["-six", "-7"])]);
        assert_eq!(changed(&touched), [1, 5, 6, 7]);
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
