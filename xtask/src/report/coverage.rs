// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `coverage` prints: lines that never ran, with their neighbours, and the sums.

use super::Style;
use crate::coverage::{Coverage, FileCoverage, Line, State};

/// Added lines shown before and after one that never ran.
const CONTEXT: usize = 2;

/// The listing, the table and the sum; `cells` says what was run, `folder` where the result is.
pub(crate) fn coverage(coverage: &Coverage, cells: &str, folder: &str, style: Style) -> String {
    let mut text = String::new();
    for file in &coverage.files {
        text.push_str(&listing(file, style));
    }
    text.push_str(&table(coverage, style));
    if !coverage.stale.is_empty() {
        text.push_str(&format!("\n{}\n", style.bad("reasons that are none")));
        coverage.stale.iter().for_each(|stale| text.push_str(&format!("  {stale}\n")));
    }
    let code = coverage.count(|state| *state != State::NoCode);
    let ran = coverage.count(|state| *state == State::Run);
    let sum = format!(
        "{ran} of {code} added lines with code have run, {} are explained, {} are not",
        coverage.count(explained),
        coverage.count(|state| *state == State::Never),
    );
    let sum = if coverage.good() { style.good(&sum) } else { style.bad(&sum) };
    text.push_str(&format!("\n{cells}\n{sum}\nevidence: {folder}\n"));
    text
}

fn explained(state: &State) -> bool {
    matches!(state, State::Explained { .. })
}

/// The lines of a file that never ran, each with the added lines around it.
fn listing(file: &FileCoverage, style: Style) -> String {
    let never = |line: &Line| line.state == State::Never || explained(&line.state);
    let shown = |at: usize| {
        let around = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(file.lines.len());
        file.lines[around].iter().any(|other| {
            never(other) && other.number.abs_diff(file.lines[at].number) <= CONTEXT as u64
        })
    };
    let mut text = String::new();
    let (mut before, mut why) = (0, "");
    for (_, line) in file.lines.iter().enumerate().filter(|(at, _)| shown(*at)) {
        if before > 0 && before + 1 != line.number {
            text.push_str("     ...\n");
        }
        before = line.number;
        let (mark, note) = match &line.state {
            State::Never => (style.bad("never"), String::new()),
            State::Explained { why: same } if same == why => ("  why".to_owned(), String::new()),
            State::Explained { why: new } => {
                why = new;
                ("  why".to_owned(), format!("            why: {new}\n"))
            }
            State::Run => ("  run".to_owned(), String::new()),
            State::NoCode => ("     ".to_owned(), String::new()),
        };
        let said = format!("{mark} {:5}  {}", line.number, line.text.replace('\t', "    "));
        text.push_str(&format!("{note}{}\n", said.trim_end()));
    }
    match (text.is_empty(), &file.absent) {
        (false, _) => format!("{}\n{text}\n", style.strong(&file.path)),
        (true, Some(State::Explained { why })) => {
            format!(
                "{}\n  why        not compiled into this kernel: {why}\n\n",
                style.strong(&file.path)
            )
        }
        (true, Some(_)) => {
            let mark = style.bad("never");
            format!("{}\n{mark}        not compiled into this kernel\n\n", style.strong(&file.path))
        }
        (true, None) => String::new(),
    }
}

fn table(coverage: &Coverage, style: Style) -> String {
    let width = coverage.files.iter().map(|file| file.path.len()).max().unwrap_or(0).max(4);
    let head = format!("{:width$}  added  with code  run  never run  explained", "file");
    let mut text = format!("{}\n", style.strong(&head));
    for file in &coverage.files {
        text.push_str(&row(&file.path, width, file.lines.iter()));
    }
    let all = coverage.files.iter().flat_map(|file| &file.lines);
    text.push_str(&row("", width, all));
    text
}

fn row<'a>(name: &str, width: usize, lines: impl Iterator<Item = &'a Line>) -> String {
    let (mut added, mut ran, mut never, mut why) = (0, 0, 0, 0);
    for line in lines {
        added += 1;
        match line.state {
            State::NoCode => {}
            State::Run => ran += 1,
            State::Never => never += 1,
            State::Explained { .. } => (never, why) = (never + 1, why + 1),
        }
    }
    let code = ran + never;
    format!("{name:width$}  {added:5}  {code:9}  {ran:3}  {never:9}  {why:9}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, text: &str, state: State) -> Line {
        Line { number, text: text.into(), state }
    }

    #[test]
    fn what_never_ran_is_shown_with_its_neighbours_and_counted() {
        let explained = State::Explained { why: "memory is there".into() };
        let lines = vec![
            line(1, "far", State::Run),
            line(4, "\tif (!p)", State::Run),
            line(5, "\t\treturn;", State::Never),
            line(6, "}", State::NoCode),
            line(20, "a();", explained.clone()),
            line(21, "b();", explained),
        ];
        let file = FileCoverage { path: "mm/a.c".into(), absent: None, lines };
        let whole = Coverage { files: vec![file], stale: vec!["c:1: gone".into()] };
        let text = coverage(&whole, "2 cells", "results/x", Style::default());
        let expected = "\
mm/a.c
  run     4      if (!p)
never     5          return;
          6  }
     ...
            why: memory is there
  why    20  a();
  why    21  b();

file    added  with code  run  never run  explained
mm/a.c      6          5    2          3          2
            6          5    2          3          2

reasons that are none
  c:1: gone

2 cells
2 of 5 added lines with code have run, 2 are explained, 1 are not
evidence: results/x
";
        assert_eq!(text, expected);
    }
}
