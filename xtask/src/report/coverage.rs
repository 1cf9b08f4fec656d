// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `coverage` prints: lines that never ran, with their neighbours, and the sums.

use super::text::{Style, Table};
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
    let sum = style.good_if(coverage.good(), &sum);
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
    let mut table = Table::default().left(["file"]).right([
        "added",
        "with code",
        "run",
        "never run",
        "explained",
    ]);
    for file in &coverage.files {
        table.row(row(&file.path, file.lines.iter()));
    }
    table.row(row("", coverage.files.iter().flat_map(|file| &file.lines)));
    table.text(style)
}

fn row<'a>(name: &str, lines: impl Iterator<Item = &'a Line> + Clone) -> [String; 6] {
    let count = |of: fn(&State) -> bool| lines.clone().filter(|line| of(&line.state)).count();
    let code = count(|state| *state != State::NoCode);
    let ran = count(|state| *state == State::Run);
    let counts = [lines.clone().count(), code, ran, code - ran, count(explained)];
    let [added, code, ran, never, why] = counts.map(|count| count.to_string());
    [name.to_owned(), added, code, ran, never, why]
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
        insta::assert_snapshot!(text);
    }
}
