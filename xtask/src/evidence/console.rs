// SPDX-License-Identifier: MIT OR Apache-2.0
//! Console bytes -> a bounded file that keeps the first and the last of them. Pure: the caller
//! brings the file.
//!
//! Contract: the head is written as it arrives. Once it is full, the newest bytes stay in memory:
//! the last words before a hang matter. They are written at the end, after a line that says how
//! many bytes are missing.

use std::collections::VecDeque;
use std::io::Write;

/// Bytes kept from the beginning. A whole boot with a 100-frame oops has about 30 KiB, but a task
/// that faults for ever prints some ten OOM reports of 14 KiB a second.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 20;

/// Bytes kept from the end: room for the task dump of a sysrq.
pub(crate) const TAIL_BYTES_MAX: usize = 512 << 10;

/// Writes at most head, marker and tail to `out`.
#[derive(Debug)]
pub(crate) struct Console<W> {
    out: W,
    head_bytes_max: usize,
    tail_bytes_max: usize,
    head_bytes: usize,
    tail: VecDeque<u8>,
    dropped_bytes: u64,
    /// Bytes that had been taken when the harness asked where the kernel hangs.
    asked_at: Option<u64>,
}

/// What a console did not show, or did not show by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Bytes that were dropped because of the bound.
    pub(crate) dropped_bytes: u64,
    /// From this byte of the file on is what the harness asked the kernel for.
    pub(crate) asked_at: Option<u64>,
}

impl<W: Write> Console<W> {
    /// A console that keeps this many bytes of both ends.
    pub(crate) fn new(out: W, head_bytes_max: usize, tail_bytes_max: usize) -> Self {
        Self {
            out,
            head_bytes_max,
            tail_bytes_max,
            head_bytes: 0,
            tail: VecDeque::new(),
            dropped_bytes: 0,
            asked_at: None,
        }
    }

    /// Takes bytes that the guest printed.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let (head, tail) = bytes.split_at(bytes.len().min(self.head_bytes_max - self.head_bytes));
        self.head_bytes += head.len();
        self.out.write_all(head)?;
        self.tail.extend(tail);
        let excess = self.tail.len().saturating_sub(self.tail_bytes_max);
        self.tail.drain(..excess);
        self.dropped_bytes += excess as u64;
        Ok(())
    }

    /// From here on the kernel prints what the harness asked it for. A line says so to people.
    pub(crate) fn asks(&mut self) -> std::io::Result<()> {
        self.asked_at.get_or_insert(self.taken_bytes());
        self.push(b"\n[harness: the deadline has passed, asking the kernel where it hangs]\n")
    }

    fn taken_bytes(&self) -> u64 {
        self.head_bytes as u64 + self.dropped_bytes + self.tail.len() as u64
    }

    /// Writes the tail.
    pub(crate) fn finish(mut self) -> std::io::Result<Finished> {
        let dropped_bytes = self.dropped_bytes;
        let mut gap = String::new();
        if dropped_bytes > 0 {
            gap = format!("\n[harness: {dropped_bytes} bytes of console output dropped here]\n");
        }
        self.out.write_all(gap.as_bytes())?;
        let (first, second) = self.tail.as_slices();
        self.out.write_all(first)?;
        self.out.write_all(second)?;
        self.out.flush()?;
        let head_bytes = self.head_bytes as u64;
        let asked_at = self.asked_at.map(|at| match at <= head_bytes {
            true => at,
            false => at.max(head_bytes + dropped_bytes) - dropped_bytes + gap.len() as u64,
        });
        Ok(Finished { dropped_bytes, asked_at })
    }
}

/// What of a text a terminal may show: control characters, and those that change the direction of
/// text, become U+FFFD. Ends of lines and tabs stay. The bytes stay in `console.log`.
pub(crate) fn printable(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' | '\r' | '\t' => true,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => false,
        '\u{2060}'..='\u{206f}' | '\u{feff}' => false,
        c => !c.is_control(),
    };
    text.chars().map(|c| if harmless(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_the_cursor_or_turns_text_around_is_left() {
        let text = "a\tb\r\n\u{1b}[2J\u{202e}c\u{7}\u{9b}\u{2066}\u{feff}ä\u{0}";
        assert_eq!(
            printable(text),
            "a\tb\r\n\u{fffd}[2J\u{fffd}c\u{fffd}\u{fffd}\u{fffd}\u{fffd}ä\u{fffd}"
        );
    }

    fn through(bytes: &[u8], chunk: usize) -> (String, u64) {
        let mut out = Vec::new();
        let mut console = Console::new(&mut out, 5, 4);
        for piece in bytes.chunks(chunk) {
            console.push(piece).unwrap();
        }
        let finished = console.finish().unwrap();
        (String::from_utf8(out).unwrap(), finished.dropped_bytes)
    }

    #[test]
    fn what_fits_is_kept_as_it_came() {
        for chunk in 1..=9 {
            assert_eq!(through(b"123456789", chunk), ("123456789".into(), 0));
        }
    }

    #[test]
    fn a_flood_keeps_both_ends_and_says_what_is_missing() {
        for chunk in 1..=12 {
            let (text, dropped) = through(b"12345xxxABCD", chunk);
            assert_eq!(dropped, 3);
            assert_eq!(text, "12345\n[harness: 3 bytes of console output dropped here]\nABCD");
        }
    }

    #[test]
    fn the_place_of_the_question_is_one_in_the_file() {
        for before in ["", "12", "12345", "123456", "12345xxxxxxxxABC"] {
            let mut out = Vec::new();
            let mut console = Console::new(&mut out, 5, 200);
            console.push(before.as_bytes()).unwrap();
            console.asks().unwrap();
            console.push(b"stacks").unwrap();
            let asked_at = console.finish().unwrap().asked_at.unwrap() as usize;
            assert_eq!(&out[..asked_at], before.as_bytes());
            assert!(out[asked_at..].starts_with(b"\n[harness: the deadline"));
        }
        // The tail has room for a part of the answer only.
        let mut out = Vec::new();
        let mut console = Console::new(&mut out, 2, 3);
        console.push(b"12345").unwrap();
        console.asks().unwrap();
        console.push(b"stacks").unwrap();
        let asked_at = console.finish().unwrap().asked_at.unwrap() as usize;
        assert_eq!(&out[asked_at..], b"cks");
    }
}
