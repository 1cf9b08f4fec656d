// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file of mails -> its mails.
//!
//! A line that begins a mail is told as git tells it: `From `, and at its end a time and a year. Commit
//! messages have lines that begin with `From ` too, and `git format-patch` does not quote them, so
//! splitting at each, as the mbox readers of mail crates do, would cut patches in two.

use std::sync::LazyLock;

use regex::bytes::Regex;

static BEGIN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^From \S.* \d?\d:\d\d:\d\d( \S+)? (19|20)\d\d( \S+)?\s*$")
        .expect("it is a regular expression")
});

static HEADER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[!-9;-~]+:([ \t]|\r?\n?$)").expect("it is a regular expression")
});

/// The mails in `bytes`, without the lines between them; none if it begins like no mail.
pub(super) fn mails(bytes: &[u8]) -> Vec<Vec<u8>> {
    let bytes = begin(bytes);
    let mut mails: Vec<Vec<u8>> = Vec::new();
    if !BEGIN.is_match(first_line(bytes)) {
        return if HEADER.is_match(first_line(bytes)) { vec![bytes.to_vec()] } else { mails };
    }
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if BEGIN.is_match(line.trim_ascii_end()) {
            mails.push(Vec::new());
        } else if let Some(mail) = mails.last_mut() {
            mail.extend_from_slice(unquoted(line));
        }
    }
    mails
}

/// Without a byte order mark and blank lines.
fn begin(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start()
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end()
}

/// `>From ` was `From ` before the mail was put into an mbox. No line of a patch begins so.
fn unquoted(line: &[u8]) -> &[u8] {
    let quotes = line.iter().take_while(|byte| **byte == b'>').count();
    if quotes > 0 && line[quotes..].starts_with(b"From ") { &line[1..] } else { line }
}
