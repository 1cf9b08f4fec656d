// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happens while a command works, as data.

use std::time::Duration;

use serde::Serialize;

use super::plain_line;

/// What happens while a command works: each becomes a text for people, or with
/// `--message-format json` a line of JSON. docs/formats.md lists the members.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event<'a> {
    /// A remark.
    Note {
        /// In words.
        text: &'a str,
    },
    /// A step of work begins.
    StepBegan {
        /// Its name.
        step: &'a str,
        /// Units of work (files, cells, bytes), if their number is known.
        total: Option<u64>,
    },
    /// How far a step is, at most every 10 s.
    StepAt {
        /// Its name.
        step: &'a str,
        /// Units that are done.
        done: u64,
        /// Units of work, if their number is known.
        total: Option<u64>,
        /// What is in progress.
        doing: &'a str,
        /// Since it began, seconds.
        elapsed_s: f64,
    },
    /// A step has ended.
    StepEnded {
        /// Its name.
        step: &'a str,
        /// How, in words.
        outcome: &'a str,
        /// It took so long, seconds.
        elapsed_s: f64,
    },
    /// An attempt at a cell has ended.
    CellEnded {
        /// Id of the cell.
        cell: &'a str,
        /// 1, or 2 for the run again, alone.
        attempt: u32,
        /// For example `FAIL`.
        verdict: &'a str,
        /// Rules that are broken, for example `I1,I3`.
        breaks: &'a str,
        /// Whether that was expected.
        as_expected: bool,
        /// It took so long, milliseconds.
        wall_ms: u64,
        /// The reason for the verdict.
        why: &'a str,
        /// The same for people.
        #[serde(skip)]
        line: &'a str,
    },
    /// A part of the result, as people read it.
    Text {
        /// With its line breaks.
        text: &'a str,
    },
    /// A run has its result.
    RunEnded {
        /// Name of the run.
        run: &'a str,
        /// Path of `result.json`.
        result: &'a str,
        /// Path of `report.html`.
        report: &'a str,
        /// Exit code of the command.
        exit: u8,
    },
    /// The command failed.
    Failed {
        /// What happened, and what to do.
        text: &'a str,
        /// Exit code of the command.
        exit: u8,
    },
}

impl Event<'_> {
    /// The text for people; `None` if they see it in another way.
    pub(super) fn text(&self) -> Option<String> {
        Some(match self {
            Self::Note { text } | Self::CellEnded { line: text, .. } => (*text).to_owned(),
            Self::Failed { text, .. } => (*text).to_owned(),
            Self::StepBegan { step, .. } => format!("{step} ..."),
            Self::StepAt { step, done, total, doing, elapsed_s } => {
                let line = plain_line(step, *done, *total, Duration::from_secs_f64(*elapsed_s));
                if doing.is_empty() { line } else { format!("{line}; {doing}") }
            }
            Self::StepEnded { step, outcome, elapsed_s } => {
                format!("{step}: {outcome} ({elapsed_s:.1} s)")
            }
            Self::Text { .. } | Self::RunEnded { .. } => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_of_json_with_its_name() {
        let line = |event| serde_json::to_string(&event).unwrap();
        let cell = Event::CellEnded {
            cell: "a.v2.b.c.r1",
            attempt: 1,
            verdict: "FAIL",
            breaks: "I1",
            as_expected: false,
            wall_ms: 12,
            why: "open() failed",
            line: "for people",
        };
        assert_eq!(
            line(cell),
            r#"{"event":"cell-ended","cell":"a.v2.b.c.r1","attempt":1,"verdict":"FAIL","breaks":"I1","as_expected":false,"wall_ms":12,"why":"open() failed"}"#
        );
        let text = "two\nlines";
        assert_eq!(line(Event::Text { text }), r#"{"event":"text","text":"two\nlines"}"#);
        assert_eq!(Event::Text { text }.text(), None, "it is on stdout already");
    }
}
