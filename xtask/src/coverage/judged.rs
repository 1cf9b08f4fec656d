// SPDX-License-Identifier: MIT OR Apache-2.0
//! Added lines, their code and what ran -> which lines ran, which never did, and which of those are
//! excused.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Code, File, LineTable};
use crate::config::Reason;

/// What is known of an added line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    /// Comment, declaration, brace, optimised away, or merged with other lines without a rest.
    NoCode,
    /// Some cell has come here.
    Run,
    /// None has, and no reason is stated.
    Never,
    /// None has, for this reason.
    Explained {
        /// In words.
        why: String,
    },
}

/// An added line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    /// Number in the patched file, from 1.
    pub(crate) number: u64,
    /// What it says.
    pub(crate) text: String,
    /// What is known of it.
    #[serde(flatten)]
    pub(crate) state: State,
}

/// The added lines of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FileCoverage {
    /// Relative to the tree.
    pub(crate) path: String,
    /// Set for a source file that is not compiled into this kernel: whether that is explained.
    pub(crate) absent: Option<State>,
    /// In order.
    pub(crate) lines: Vec<Line>,
}

/// The added lines of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Coverage {
    /// By path.
    pub(crate) files: Vec<FileCoverage>,
    /// Reasons that are none: what is wrong with each.
    pub(crate) stale: Vec<String>,
}

impl Coverage {
    /// How many lines are in such a state.
    pub(crate) fn count(&self, of: impl Fn(&State) -> bool) -> usize {
        self.files.iter().flat_map(|file| &file.lines).filter(|line| of(&line.state)).count()
    }

    /// Whether something ran, and everything that did not is explained.
    pub(crate) fn good(&self) -> bool {
        let absent = self.files.iter().any(|file| file.absent == Some(State::Never));
        let some = self.count(|state| *state == State::Run) > 0;
        some && !absent && self.stale.is_empty() && self.count(|state| *state == State::Never) == 0
    }
}

/// Judges every added line of `files` by the addresses that were executed.
pub(crate) fn judge(
    files: &[File],
    table: &LineTable,
    executed: &BTreeSet<u64>,
    reasons: &[Reason],
) -> Coverage {
    let mut coverage = Coverage::default();
    for file in files.iter().filter(|file| !file.added.is_empty()) {
        let texts: Vec<&str> = file.text.lines().collect();
        let line = |&number: &u64| {
            let text = usize::try_from(number - 1).ok().and_then(|at| texts.get(at));
            let text = text.copied().unwrap_or_default();
            let code = table.lines.get(&(file.path.clone(), number));
            let ran = code.and_then(|code| ran(code, &table.shared, executed));
            let state = match ran.filter(|_| says_something(text)) {
                None => State::NoCode,
                Some(true) => State::Run,
                Some(false) => State::Never,
            };
            Line { number, text: text.to_owned(), state }
        };
        let source = file.path.ends_with(".c") || file.path.ends_with(".rs");
        let absent = (source && !table.files.contains(&file.path)).then_some(State::Never);
        let lines = file.added.iter().map(line).collect();
        coverage.files.push(FileCoverage { path: file.path.clone(), absent, lines });
    }
    for reason in reasons {
        if let Err(why) = excuse(reason, files, &mut coverage.files) {
            coverage.stale.push(format!("{}: {why}", reason.place));
        }
    }
    coverage
}

/// Braces have the code that a function ends with, whichever way it came to its end.
fn says_something(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// A statement has run when control came to its beginning. What has no beginning has run when an
/// instruction of its own has, or a part of it that no other line shares: the compiler merges equal
/// ends of branches, and the instructions of one are then those of all. What has nothing but such
/// instructions cannot be distinguished from the others: `None`.
fn ran(code: &Code, shared: &BTreeSet<u64>, executed: &BTreeSet<u64>) -> Option<bool> {
    if !code.starts.is_empty() {
        return Some(code.starts.iter().any(|start| executed.contains(start)));
    }
    let touched = |&(begin, end): &(u64, u64)| executed.range(begin..end).next().is_some();
    let alone = code.parts.iter().filter(|(begin, _)| !shared.contains(begin));
    let mut own = code.own.iter().chain(alone).peekable();
    own.peek()?;
    Some(own.any(touched))
}

/// Marks the lines that a reason is about; why it is none otherwise.
fn excuse(reason: &Reason, files: &[File], judged: &mut [FileCoverage]) -> Result<(), String> {
    let Reason { place: _, file: path, after, lines, sometimes, why } = reason;
    let file = files.iter().find(|file| file.path == *path);
    let known = judged.iter_mut().find(|file| file.path == *path);
    let (Some(file), Some(judged)) = (file, known) else {
        return Err(format!("the series adds no line to {path}"));
    };
    let explained = State::Explained { why: why.clone() };
    if lines.is_empty() {
        return match &mut judged.absent {
            Some(state) => {
                *state = explained;
                Ok(())
            }
            None => Err(format!("{path} is compiled into this kernel: name the lines")),
        };
    }
    let mut excused = false;
    for number in block(&file.text, after.as_deref(), lines) {
        let Some(line) = judged.lines.iter_mut().find(|line| line.number == number) else {
            continue;
        };
        match line.state {
            State::Run if *sometimes => excused = true,
            State::Run => {
                return Err(format!("{path}:{number} has run: {}", line.text.trim()));
            }
            State::Never => (line.state, excused) = (explained.clone(), true),
            // Two reasons for one line: the first stands.
            State::NoCode | State::Explained { .. } => {}
        }
    }
    match excused {
        true => Ok(()),
        false => Err(format!("no line of {path} that never ran is `{}`", lines.join(" / "))),
    }
}

/// Numbers of the lines that say this, one after the other, wherever they stand after `after`.
fn block(text: &str, after: Option<&str>, wanted: &[String]) -> Vec<u64> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = |at: &usize| {
        let before = at.checked_sub(1).map(|before| lines[before]);
        lines[*at..].len() >= wanted.len()
            && lines[*at..].iter().zip(wanted).all(|(line, wanted)| line == wanted)
            && (after.is_none() || after == before)
    };
    let places = (0..lines.len()).filter(begins);
    places.flat_map(|at| (at..at + wanted.len()).map(|at| at as u64 + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const TEXT: &str = "int f(int *p)\n{\n\tif (!p)\n\t\treturn 0;\n\tif (*p)\n\t\treturn 0;\n\treturn g(p);\n\th();\n}\n";

    fn file(path: &str) -> File {
        File { path: path.into(), text: TEXT.into(), added: (1..=9).collect() }
    }

    fn table() -> LineTable {
        let none = Code::default();
        let start = |at| Code { starts: [at].into(), own: vec![(at + 1, at + 4)], ..none.clone() };
        let part = |parts: &[(u64, u64)]| Code { parts: parts.into(), ..none.clone() };
        let lines = [
            (3, start(100)),
            // One of its two is shared with the statement that begins at 130.
            (4, part(&[(120, 124), (130, 132)])),
            (5, start(110)),
            (6, part(&[(130, 132)])),
            (7, start(130)),
            (8, Code { own: vec![(140, 144)], parts: vec![(130, 132)], ..none.clone() }),
            (9, start(150)),
        ];
        let place = |(line, code)| (("a.c".to_owned(), line), code);
        LineTable {
            lines: lines.into_iter().map(place).collect::<BTreeMap<_, _>>(),
            files: BTreeSet::from(["a.c".to_owned()]),
            shared: BTreeSet::from([130]),
            functions: Vec::new(),
        }
    }

    fn reason(after: Option<&str>, lines: &[&str]) -> Reason {
        Reason {
            place: "c:1".into(),
            file: "a.c".into(),
            after: after.map(str::to_owned),
            lines: lines.iter().map(|&line| line.to_owned()).collect(),
            sometimes: false,
            why: "because".into(),
        }
    }

    fn judged(executed: &[u64], reasons: &[Reason]) -> Coverage {
        judge(&[file("a.c")], &table(), &executed.iter().copied().collect(), reasons)
    }

    fn state(coverage: &Coverage, number: u64) -> State {
        coverage.files[0].lines.iter().find(|line| line.number == number).unwrap().state.clone()
    }

    #[test]
    fn a_line_has_run_when_control_came_to_its_beginning() {
        let coverage = judged(&[100, 101, 111], &[]);
        assert_eq!(state(&coverage, 1), State::NoCode);
        assert_eq!(state(&coverage, 9), State::NoCode, "a brace");
        assert_eq!(state(&coverage, 3), State::Run);
        // Only moved instructions of it.
        assert_eq!(state(&coverage, 5), State::Never);
        assert!(!coverage.good());
    }

    #[test]
    fn merged_code_speaks_for_the_statement_that_begins_there() {
        let coverage = judged(&[100, 110, 130], &[]);
        assert_eq!(state(&coverage, 7), State::Run);
        assert_eq!(state(&coverage, 4), State::Never, "its own part has not run");
        assert_eq!(state(&coverage, 6), State::NoCode, "it has no part of its own");
        assert_eq!(state(&coverage, 8), State::Never, "its own part has not run");
        assert_eq!(state(&judged(&[122], &[]), 4), State::Run);
        assert_eq!(state(&judged(&[141], &[]), 8), State::Run);
    }

    #[test]
    fn everything_run_or_explained_is_good_and_nothing_run_is_not() {
        let zero = reason(Some("if (!p)"), &["return 0;"]);
        let coverage = judged(&[100, 110, 130, 140], std::slice::from_ref(&zero));
        assert_eq!(state(&coverage, 4), State::Explained { why: "because".into() });
        assert!(coverage.good(), "{coverage:?}");
        assert!(judged(&[100, 110, 122, 130, 140], &[]).good());
        let all = reason(None, &["if (!p)", "return 0;", "if (*p)", "return 0;", "return g(p);"]);
        let coverage = judged(&[], &[all]);
        assert!(coverage.stale.is_empty() && !coverage.good(), "nothing ran: {coverage:?}");
    }

    #[test]
    fn a_reason_for_what_ran_or_for_nothing_is_stale() {
        let stale = |executed: &[u64], reason| judged(executed, &[reason]).stale.join("\n");
        let run = stale(&[100, 110, 122, 130, 140], reason(Some("if (!p)"), &["return 0;"]));
        assert_eq!(run, "c:1: a.c:4 has run: return 0;");
        let both = stale(&[100, 110, 130], reason(None, &["if (!p)", "return 0;"]));
        assert_eq!(both, "c:1: a.c:3 has run: if (!p)", "one of two lines has run");
        let gone = stale(&[], reason(None, &["return 1;"]));
        assert_eq!(gone, "c:1: no line of a.c that never ran is `return 1;`");
        assert!(stale(&[], reason(None, &["{"])).contains("no line of a.c"), "no code");
        let whole = stale(&[], reason(None, &[]));
        assert_eq!(whole, "c:1: a.c is compiled into this kernel: name the lines");
        let other = Reason { file: "b.c".into(), ..reason(None, &["}"]) };
        assert_eq!(stale(&[], other), "c:1: the series adds no line to b.c");
        assert!(!judged(&[100, 110, 122, 130, 140], &[reason(None, &["nowhere"])]).good());
    }

    #[test]
    fn what_is_a_matter_of_timing_may_have_run_but_must_be_there() {
        let sometimes =
            |lines: &[&str]| Reason { sometimes: true, ..reason(Some("if (!p)"), lines) };
        assert!(judged(&[100, 110, 122, 130, 140, 150], &[sometimes(&["return 0;"])]).good());
        assert!(judged(&[100, 110, 130, 140, 150], &[sometimes(&["return 0;"])]).good());
        let gone = judged(&[100, 110, 122, 130, 140, 150], &[sometimes(&["return 1;"])]);
        assert_eq!(gone.stale.len(), 1, "{gone:?}");
    }

    #[test]
    fn a_source_that_is_not_in_the_kernel_needs_a_reason_too() {
        let ran = BTreeSet::from([100, 110, 122, 130, 140]);
        let judge = |path: &str, reasons: &[Reason]| {
            judge(&[file("a.c"), file(path)], &table(), &ran, reasons)
        };
        assert!(!judge("tools/b.c", &[]).good());
        let tools = Reason { file: "tools/b.c".into(), ..reason(None, &[]) };
        assert!(judge("tools/b.c", &[tools]).good());
        // A header whose functions nobody calls has no code anywhere.
        assert!(judge("b.h", &[]).good());
    }
}
