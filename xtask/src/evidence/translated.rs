// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU's log of translated code (`-d in_asm`) -> addresses of instructions that ran. Pure.
//!
//! QEMU translates and logs a block of instructions without a jump when a CPU is about to run it.
//! So what is logged has run, except what follows an instruction that faults and is not retried.
//!
//! Contract: bytes come in any pieces, and memory is bounded.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::lines::{Line, Lines};

/// The longest line has an address, eight bytes and one disassembled instruction.
const LINE_BYTES_MAX: usize = 512;

/// More instructions than this are not those of a patch series.
const ADDRESSES_MAX: usize = 1 << 20;

/// What has been translated so far.
#[derive(Debug)]
pub(crate) struct Translated {
    lines: Lines,
    addresses: BTreeSet<u64>,
}

impl Default for Translated {
    fn default() -> Self {
        Self { lines: Lines::new(LINE_BYTES_MAX), addresses: BTreeSet::new() }
    }
}

impl Translated {
    /// Takes bytes of the log.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for line in self.lines.push(bytes) {
            // A cut line has its address at the beginning, too.
            let (Line::Whole(text) | Line::Cut(text)) = line;
            if self.addresses.len() < ADDRESSES_MAX {
                self.addresses.extend(address(&text));
            }
        }
    }

    /// Whether no code was translated.
    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// The addresses, one a line, in order.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for address in &self.addresses {
            let _ = writeln!(text, "{address:x}");
        }
        text
    }
}

/// Reads the text of [`Translated::text`].
///
/// # Errors
/// A line that is no hexadecimal number.
pub(crate) fn read(text: &str) -> anyhow::Result<BTreeSet<u64>> {
    text.lines().map(|line| Ok(u64::from_str_radix(line, 16)?)).collect()
}

/// The address at the beginning of a line of disassembly. A long instruction has a second line,
/// whose address is inside the instruction and thus in the same code.
fn address(line: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(line).ok()?.strip_prefix("0x")?.split_once(':')?.0;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of QEMU 7.2, `-d in_asm`: a block of `__init` code, and one with an instruction of ten
    /// bytes.
    const LOG: &[u8] = b"----------------\n\
        IN: \n\
        0xffffffff81d2bc20:  41 57                    pushq    %r15\n\
        0xffffffff81d2bc22:  48 89 f1                 movq     %rsi, %rcx\n\
        0xffffffff81d2bc41:  0f 87 10 01 00 00        ja       0xffffffff81d2bd57\n\
        \n\
        ----------------\n\
        IN: \n\
        0xffffffff81170fa6:  48 b8 00 00 e0 ff ff ff  movabsq  $0xfffffffe00000, %rax\n\
        0xffffffff81170fae:  0f 00\n\
        \n";

    #[test]
    fn a_log_of_qemu_is_read_in_any_pieces() {
        for size in [1, 7, LOG.len()] {
            let mut translated = Translated::default();
            LOG.chunks(size).for_each(|bytes| translated.push(bytes));
            let expected = "ffffffff81170fa6\nffffffff81170fae\nffffffff81d2bc20\nffffffff81d2bc22\n\
                            ffffffff81d2bc41\n";
            assert_eq!(translated.text(), expected, "pieces of {size}");
            assert_eq!(read(expected).unwrap(), translated.addresses);
        }
    }

    #[test]
    fn what_is_no_disassembly_is_no_address() {
        let mut translated = Translated::default();
        translated
            .push(b"OBJD-T: 4157\n0xzz:  41\nTrace 0: 0x7f8d0c24c380 [0/ffffffff81d2bc20/0/0]\n");
        assert!(translated.is_empty(), "{}", translated.text());
        assert!(read("xyz\n").is_err());
    }
}
