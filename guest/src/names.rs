// SPDX-License-Identifier: MIT OR Apache-2.0
//! Paths that differ by a number only, made without allocating.
//!
//! A task at its limit must not build strings: the path exists beforehand, and setting another
//! number overwrites eight digits in place.

use std::ffi::CStr;

/// Hexadecimal digits of the number.
const DIGITS: usize = 8;

/// A path with room for a number.
pub(crate) struct NumberedPath {
    bytes: Vec<u8>,
    digits_at: usize,
}

impl NumberedPath {
    /// `prefix`, eight digits, `suffix`.
    ///
    /// # Panics
    ///
    /// When either has a NUL byte, which no workload's own names have.
    pub(crate) fn new(prefix: &str, suffix: &str) -> Self {
        assert!(!prefix.contains('\0') && !suffix.contains('\0'), "a path has a NUL byte");
        let bytes = format!("{prefix}{}{suffix}\0", "0".repeat(DIGITS)).into_bytes();
        Self { bytes, digits_at: prefix.len() }
    }

    /// The path with this number.
    pub(crate) fn with(&mut self, number: u32) -> &CStr {
        for place in 0..DIGITS {
            let nibble = (number >> (4 * (DIGITS - 1 - place))) & 0xf;
            self.bytes[self.digits_at + place] = b"0123456789abcdef"[nibble as usize];
        }
        // Digits are no NUL, so the only NUL is the last byte.
        CStr::from_bytes_with_nul(&self.bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_each_other() {
        let mut path = NumberedPath::new("/arena/a-", ".txt");
        assert_eq!(path.with(0), c"/arena/a-00000000.txt");
        assert_eq!(path.with(0xdead_beef), c"/arena/a-deadbeef.txt");
        assert_eq!(path.with(10), c"/arena/a-0000000a.txt");
    }
}
