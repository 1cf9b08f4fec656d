// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file of mails -> its mails. Pure.
//!
//! Like git, it splits at lines that begin with `From ` and end with a time and a year. Commit
//! messages have other lines with `From `, and `git format-patch` does not quote them: the mbox
//! readers of mail crates would cut patches in two.

use std::sync::LazyLock;

use regex::bytes::Regex;

static BEGIN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^From \S.* \d?\d:\d\d:\d\d( \S+)? (19|20)\d\d( \S+)?\s*$")
        .expect("it is a regular expression")
});

static HEADER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[!-9;-~]+:([ \t]|\r?\n?$)").expect("it is a regular expression")
});

/// Every mail has one of these. A subject such as `mm: memcg: a change` looks like a header, too.
static OF_EACH_MAIL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^(from|subject|date|message-id):").expect("it is a regular expression")
});

/// The mails in `bytes`, without the lines between them; none if it does not begin with a mail.
pub(super) fn mails(bytes: &[u8]) -> Vec<Vec<u8>> {
    let bytes = begin(bytes);
    let mut mails: Vec<Vec<u8>> = Vec::new();
    if !BEGIN.is_match(first_line(bytes)) {
        return if begins_like_a_mail(bytes) { vec![bytes.to_vec()] } else { mails };
    }
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let is_begin = |at: &usize| BEGIN.is_match(lines[*at].trim_ascii_end());
    let begins: Vec<usize> = (0..lines.len()).filter(is_begin).collect();
    let mut next = 0;
    while let Some(begin) = begins.get(next) {
        next += 1;
        let end = |next: usize| begins.get(next).copied().unwrap_or(lines.len());
        // An attached patch begins with such a line too, and not every mail program quotes it: the
        // mail goes on to its last boundary, if it has one.
        if let Some(last) = last_boundary(&lines[begin + 1..end(next)])
            && let Some(at) = lines[*begin..].iter().position(|line| line.trim_ascii_end() == last)
        {
            next += begins[next..].iter().take_while(|other| **other < begin + at).count();
        }
        let mail = lines[begin + 1..end(next)].iter();
        mails.push(mail.copied().flat_map(unquoted).copied().collect());
    }
    mails
}

/// The line that ends a multipart mail.
fn last_boundary(mail: &[&[u8]]) -> Option<Vec<u8>> {
    static BOUNDARY: LazyLock<Regex> = LazyLock::new(|| {
        let field = r#"(?im)^content-type:[ \t]*multipart/(?:[^\n]*\n[ \t])*?[^\n]*boundary="?([^"\r\n;]+)"#;
        Regex::new(field).expect("it is a regular expression")
    });
    let head = mail.iter().take_while(|line| !line.trim_ascii().is_empty());
    let head: Vec<u8> = head.copied().flatten().copied().collect();
    Some([b"--", BOUNDARY.captures(&head)?[1].trim_ascii_end(), b"--"].concat())
}

/// The mail without its `From ` line, if it has one.
pub(super) fn without_first_line(bytes: &[u8]) -> &[u8] {
    let first = first_line(bytes);
    if !BEGIN.is_match(first) {
        return bytes;
    }
    let rest = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    &bytes[rest..]
}

/// Whether only headers precede the first blank line. A quilt patch may begin with `Index: `, or
/// with a description that has a colon.
fn begins_like_a_mail(bytes: &[u8]) -> bool {
    let lines = bytes.split(|byte| *byte == b'\n');
    let head: Vec<&[u8]> = lines.take_while(|line| !line.trim_ascii().is_empty()).collect();
    let is_folded = |line: &[u8]| line.starts_with(b" ") || line.starts_with(b"\t");
    head.iter().enumerate().all(|(at, line)| HEADER.is_match(line) || at > 0 && is_folded(line))
        && head.iter().any(|line| OF_EACH_MAIL.is_match(line))
}

/// Without a byte order mark and blank lines.
fn begin(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start()
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end()
}

/// An mbox writes `From ` as `>From `. No line of a patch begins like that.
fn unquoted(line: &[u8]) -> &[u8] {
    let quotes = line.iter().take_while(|byte| **byte == b'>').count();
    if quotes > 0 && line[quotes..].starts_with(b"From ") { &line[1..] } else { line }
}
