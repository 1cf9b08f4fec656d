// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the user's program printed, as a page shows it: the beginning and the end, line by line,
//! without characters that a terminal would act on.

use protocol::Transcript;

use crate::evidence::console::printable;

/// Lines that are shown of the beginning, and of the end.
const LINES: usize = 30;

/// Characters of a line that are shown.
const LINE_CHARS: usize = 240;

/// The lines to show; none if it printed nothing.
pub(super) fn lines(transcript: &Transcript) -> Vec<String> {
    let Transcript { bytes, head, tail, .. } = transcript;
    let (head, tail) = (split(head), split(tail));
    if tail.is_empty() && head.len() <= 2 * LINES {
        return head;
    }
    // The end of a short output is in its head.
    let last = if tail.is_empty() { &head } else { &tail };
    let last = last[last.len().saturating_sub(LINES)..].iter().cloned();
    let gap = format!("[... {bytes} bytes in all; more is in events.jsonl ...]");
    head.iter().take(LINES).cloned().chain([gap]).chain(last).collect()
}

fn split(text: &str) -> Vec<String> {
    let cut = |line: &str| line.trim_end_matches('\r').chars().take(LINE_CHARS).collect();
    printable(text).lines().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(head: &str, tail: &str) -> Vec<String> {
        let (head, tail) = (head.to_owned(), tail.to_owned());
        lines(&Transcript { not_started: None, bytes: 7, head, tail })
    }

    #[test]
    fn a_short_output_is_shown_whole_and_a_long_one_by_both_ends() {
        assert_eq!(shown("", ""), [""; 0]);
        assert_eq!(shown("a\x1b[2J\nb", ""), ["a\u{fffd}[2J", "b"]);
        let many: String = (0..1000).map(|number| format!("{number}\n")).collect();
        let gap = "[... 7 bytes in all; more is in events.jsonl ...]";
        let long = shown(&many, "");
        assert_eq!((long[0].as_str(), long[29].as_str(), long[30].as_str()), ("0", "29", gap));
        assert_eq!((long[31].as_str(), long[60].as_str(), long.len()), ("970", "999", 61));
        assert_eq!(shown(&many, "x\ny\n")[30..], [gap, "x", "y"]);
        assert_eq!(shown(&"x".repeat(1 << 20), "")[0].len(), LINE_CHARS);
    }
}
