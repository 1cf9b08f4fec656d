// SPDX-License-Identifier: MIT OR Apache-2.0
//! Colours, where the caller wants some.

use anstyle::{AnsiColor, Style as Paint};

use crate::outcome::CellResult;

/// How a text may look. The caller decides: colours only on a terminal and without `NO_COLOR`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// Whether colours are wanted.
    pub(crate) colour: bool,
}

impl Style {
    pub(super) fn paint(self, paint: Paint, text: &str) -> String {
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

    /// A text in the colour of how a cell went.
    pub(super) fn of(self, cell: &CellResult, text: &str) -> String {
        match (cell.judgement().as_expected, cell.flaky()) {
            (true, _) => self.good(text),
            (_, true) => self.odd(text),
            _ => self.bad(text),
        }
    }
}
