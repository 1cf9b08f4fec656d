// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text for a terminal: colours where the caller wants some, and tables.

use anstyle::{AnsiColor, Style as Paint};

use crate::outcome::CellResult;

/// How a text may look. The caller decides: colours only on a terminal and without `NO_COLOR`, and
/// how wide it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// Whether colours are wanted.
    pub(crate) colour: bool,
    /// Columns that there are; `None`: lines may be as long as they need.
    pub(crate) columns: Option<usize>,
}

impl Style {
    /// The text with each line that is too long continued below, further in. A command stays whole,
    /// so that it can be copied.
    pub(crate) fn folded(self, text: &str) -> String {
        let Some(columns) = self.columns else { return text.to_owned() };
        let fold = |line: &str| {
            let indent = line.len() - line.trim_start().len();
            if width(line) <= columns || line.trim_start().starts_with("cargo ") {
                return line.to_owned();
            }
            let below = " ".repeat((indent + CONTINUED).min(columns / 2));
            // Paths and names of runs have hyphens, and are copied.
            let whole = textwrap::WordSplitter::NoHyphenation;
            let options = textwrap::Options::new(columns).break_words(false).word_splitter(whole);
            textwrap::fill(line, options.subsequent_indent(&below))
        };
        text.split('\n').map(fold).collect::<Vec<_>>().join("\n")
    }

    fn paint(self, paint: Paint, text: &str) -> String {
        if self.colour { format!("{paint}{text}{paint:#}") } else { text.to_owned() }
    }

    pub(super) fn good(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default(), text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), text)
    }

    pub(super) fn odd(self, text: &str) -> String {
        self.paint(AnsiColor::Yellow.on_default(), text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.paint(Paint::new().bold(), text)
    }

    /// The sum of a report: green or red.
    pub(super) fn good_if(self, good: bool, text: &str) -> String {
        if good { self.good(text) } else { self.bad(text) }
    }

    /// A text in the colour of how a cell went.
    pub(super) fn of(self, cell: &CellResult, text: &str) -> String {
        match (cell.judgement().as_expected, cell.flaky()) {
            (true, _) => self.good(text),
            (_, true) => self.odd(text),
            _ => self.bad(text),
        }
    }
}

/// How much further in a line is continued.
const CONTINUED: usize = 4;

/// Rows below a head, in columns as wide as their widest text. Texts may have colours. A head
/// without words is left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    indent: usize,
    head: Vec<String>,
    /// For each column whether it is aligned to the right.
    right: Vec<bool>,
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
enum Line {
    Row(Vec<String>),
    Note(String),
}

impl Table {
    /// A table whose lines begin with so many blanks.
    pub(crate) fn indented(indent: usize) -> Self {
        Self { indent, ..Self::default() }
    }

    /// Adds columns of words.
    pub(crate) fn left<T: Into<String>>(self, heads: impl IntoIterator<Item = T>) -> Self {
        self.columns(heads, false)
    }

    /// Adds columns of numbers.
    pub(crate) fn right<T: Into<String>>(self, heads: impl IntoIterator<Item = T>) -> Self {
        self.columns(heads, true)
    }

    fn columns<T: Into<String>>(mut self, heads: impl IntoIterator<Item = T>, right: bool) -> Self {
        self.head.extend(heads.into_iter().map(Into::into));
        self.right.resize(self.head.len(), right);
        self
    }

    /// Adds a row: a text for each column.
    pub(crate) fn row(&mut self, texts: impl IntoIterator<Item = String>) {
        self.lines.push(Line::Row(texts.into_iter().collect()));
    }

    /// Adds a line of its own below the last row.
    pub(crate) fn note(&mut self, text: String) {
        self.lines.push(Line::Note(text));
    }

    /// Whether it has no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Of a table that is too wide the last columns are left out, and named below it; the first
    /// two stay.
    fn shown(&self, widths: &[usize], columns: Option<usize>) -> usize {
        let Some(columns) = columns else { return widths.len() };
        let fits = |shown: &usize| {
            let gaps = 2 * (shown - 1);
            self.indent + widths[..*shown].iter().sum::<usize>() + gaps <= columns
        };
        (2..widths.len() + 1).rev().find(fits).unwrap_or(widths.len().min(2))
    }

    /// The text, each line ended.
    pub(crate) fn text(&self, style: Style) -> String {
        let rows = self.lines.iter().filter_map(|line| match line {
            Line::Row(row) => Some(row),
            Line::Note(_) => None,
        });
        let mut widths = vec![0; self.head.len()];
        for row in rows.chain([&self.head]) {
            for (most, text) in widths.iter_mut().zip(row) {
                *most = width(text).max(*most);
            }
        }
        let indent = " ".repeat(self.indent);
        let shown = self.shown(&widths, style.columns);
        let line = |row: &[String]| {
            let padded = row.iter().take(shown).zip(&widths).zip(&self.right).map(
                |((text, most), right)| {
                    let room = " ".repeat(most - width(text));
                    if *right { format!("{room}{text}") } else { format!("{text}{room}") }
                },
            );
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut text = match self.head.iter().all(String::is_empty) {
            true => String::new(),
            false => format!("{indent}{}\n", style.strong(&line(&self.head))),
        };
        for one in &self.lines {
            text.push_str(&match one {
                Line::Row(row) => format!("{indent}{}\n", line(row)),
                Line::Note(note) => format!("{note}\n"),
            });
        }
        let hidden = &self.head[shown..];
        if let Some(columns) = style.columns.filter(|_| !hidden.is_empty()) {
            text.push_str(&format!(
                "{indent}not shown in {columns} columns: {}\n",
                hidden.join(", ")
            ));
        }
        text
    }
}

/// Columns of a terminal that a text takes: an escape sequence of a colour takes none.
fn width(text: &str) -> usize {
    let mut is_escape = false;
    let is_shown = |c: &char| {
        let shown = !is_escape && *c != '\u{1b}';
        is_escape = !shown && *c != 'm';
        shown
    };
    text.chars().filter(is_shown).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_text_and_colours_take_no_room() {
        let table = |style: Style| {
            let mut table = Table::indented(2).left(["name"]).right(["cells"]).left(["how"]);
            table.row([style.good("ü"), "12".to_owned(), "x".to_owned()]);
            table.note("    a note".to_owned());
            table.row(["longer".to_owned(), style.bad("5"), String::new()]);
            table.text(style)
        };
        let plain = "  name    cells  how\n  ü          12  x\n    a note\n  longer      5\n";
        assert_eq!(table(Style::default()), plain);
        let coloured = table(Style { colour: true, columns: None });
        assert_ne!(coloured, plain);
        let mut bare = String::new();
        for part in coloured.split('\u{1b}') {
            bare.push_str(
                part.split_once('m')
                    .filter(|_| part.starts_with('['))
                    .map_or(part, |(_, rest)| rest),
            );
        }
        assert_eq!(bare, plain);
    }

    #[test]
    fn a_head_without_words_is_left_out() {
        let mut table = Table::default().left(["", ""]);
        table.row(["a", "1"].map(str::to_owned));
        table.row(["bcd", "2"].map(str::to_owned));
        assert_eq!(table.text(Style::default()), "a    1\nbcd  2\n");
    }

    #[test]
    fn what_is_too_wide_is_left_out_and_named() {
        let table = |columns| {
            let mut table =
                Table::indented(2).left(["name", "", "verdict"]).right(["load", "kills"]);
            table.row(["open", "v2", "FAIL I1", "1.2 s", "12"].map(str::to_owned));
            table.text(Style { colour: false, columns })
        };
        let whole = "  name      verdict   load  kills\n  open  v2  FAIL I1  1.2 s     12\n";
        assert_eq!(table(None), whole);
        assert_eq!(table(Some(33)), whole);
        assert_eq!(
            table(Some(32)),
            "  name      verdict   load\n  open  v2  FAIL I1  1.2 s\n  \
             not shown in 32 columns: kills\n"
        );
        assert!(table(Some(1)).starts_with("  name\n  open  v2\n"));
    }

    #[test]
    fn a_long_line_is_continued_and_a_command_stays_whole() {
        let style = Style { colour: false, columns: Some(24) };
        assert_eq!(
            style.folded(
                "FIXED  open: the baseline fails here\n  cargo xtask show a-long.cell.id\n"
            ),
            "FIXED  open: the\n    baseline fails here\n  cargo xtask show a-long.cell.id\n"
        );
        assert_eq!(Style::default().folded(&"x ".repeat(60)), "x ".repeat(60));
    }
}
