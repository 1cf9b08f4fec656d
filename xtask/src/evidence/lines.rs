// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes -> lines, whatever the bytes are. Pure.
//!
//! Contract: memory is bounded by the longest line allowed. A longer line is returned cut and
//! marked, and its rest is skipped. `rest` returns a last line without an end.

/// Splits a stream of bytes into lines.
#[derive(Debug)]
pub(crate) struct Lines {
    bytes_max: usize,
    partial: Vec<u8>,
    skipping: bool,
}

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// As it came.
    Whole(Vec<u8>),
    /// Its beginning: it was longer than allowed, or the stream ended in it.
    Cut(Vec<u8>),
}

impl Lines {
    /// Lines of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, partial: Vec::new(), skipping: false }
    }

    /// The lines that end in these bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            if !self.skipping {
                let room = self.bytes_max - self.partial.len();
                self.partial.extend_from_slice(&text[..text.len().min(room)]);
                if text.len() > room {
                    self.skipping = true;
                    lines.push(Line::Cut(std::mem::take(&mut self.partial)));
                }
            }
            if ends && !std::mem::take(&mut self.skipping) {
                lines.push(Line::Whole(std::mem::take(&mut self.partial)));
            }
        }
        lines
    }

    /// What came after the last line's end, if anything.
    pub(crate) fn rest(&mut self) -> Option<Line> {
        (!self.partial.is_empty()).then(|| Line::Cut(std::mem::take(&mut self.partial)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_arrive() {
        let bytes = b"one\n\ntwo and more\nth";
        for size in 1..=bytes.len() {
            let mut lines = Lines::new(100);
            let got: Vec<Line> = bytes.chunks(size).flat_map(|chunk| lines.push(chunk)).collect();
            assert_eq!(got, [whole("one"), whole(""), whole("two and more")], "chunks of {size}");
            assert_eq!(lines.rest(), Some(Line::Cut(b"th".to_vec())));
            assert_eq!(lines.rest(), None);
        }
    }

    #[test]
    fn a_line_too_long_is_cut_once_and_the_next_one_is_whole() {
        let bytes = b"0123456789abcdef\nok\n0123456789\n";
        for size in 1..=bytes.len() {
            let mut lines = Lines::new(10);
            let got: Vec<Line> = bytes.chunks(size).flat_map(|chunk| lines.push(chunk)).collect();
            assert_eq!(
                got,
                [Line::Cut(b"0123456789".to_vec()), whole("ok"), whole("0123456789")],
                "chunks of {size}"
            );
        }
    }
}
