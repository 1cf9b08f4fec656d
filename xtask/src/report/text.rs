// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text for a terminal: colours where the caller wants some, and tables.

use anstyle::{AnsiColor, Style as Paint};

use crate::outcome::CellResult;

/// How a text may look. The caller decides: colours only on a terminal and without `NO_COLOR`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// Whether colours are wanted.
    pub(crate) colour: bool,
}

impl Style {
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

/// Rows below a head, in columns as wide as their widest text. Texts may have colours.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
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
    pub(super) fn indented(indent: usize) -> Self {
        Self { indent, ..Self::default() }
    }

    /// Adds columns of words.
    pub(super) fn left<T: Into<String>>(self, heads: impl IntoIterator<Item = T>) -> Self {
        self.columns(heads, false)
    }

    /// Adds columns of numbers.
    pub(super) fn right<T: Into<String>>(self, heads: impl IntoIterator<Item = T>) -> Self {
        self.columns(heads, true)
    }

    fn columns<T: Into<String>>(mut self, heads: impl IntoIterator<Item = T>, right: bool) -> Self {
        self.head.extend(heads.into_iter().map(Into::into));
        self.right.resize(self.head.len(), right);
        self
    }

    /// Adds a row: a text for each column.
    pub(super) fn row(&mut self, texts: impl IntoIterator<Item = String>) {
        self.lines.push(Line::Row(texts.into_iter().collect()));
    }

    /// Adds a line of its own below the last row.
    pub(super) fn note(&mut self, text: String) {
        self.lines.push(Line::Note(text));
    }

    /// Whether it has no row.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The text, each line ended.
    pub(super) fn text(&self, style: Style) -> String {
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
        let line = |row: &[String]| {
            let padded = row.iter().zip(&widths).zip(&self.right).map(|((text, most), right)| {
                let room = " ".repeat(most - width(text));
                if *right { format!("{room}{text}") } else { format!("{text}{room}") }
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut text = format!("{indent}{}\n", style.strong(&line(&self.head)));
        for one in &self.lines {
            text.push_str(&match one {
                Line::Row(row) => format!("{indent}{}\n", line(row)),
                Line::Note(note) => format!("{note}\n"),
            });
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
        let coloured = table(Style { colour: true });
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
}
