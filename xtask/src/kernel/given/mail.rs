// SPDX-License-Identifier: MIT OR Apache-2.0
//! One mail -> what it says of itself, and the patch in it, as text that `patch` and checkpatch read.
//!
//! Contract: bytes of a patch are those of the file that it changes, whatever charset the mail claims;
//! only the transfer encoding, format=flowed and line ends of mail are taken back.

use mailparse::{DispositionType, MailHeaderMap as _, ParsedMail};

use super::super::diff::{self, Diff};
use super::mbox;

/// A mail, or an attached file that is a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mail {
    /// Where it was found, for messages.
    pub(super) place: String,
    /// Decoded, in one line; empty for a bare diff.
    pub(super) subject: String,
    /// What the brackets of the subject say.
    pub(super) tag: Tag,
    /// Whether it answers another one.
    pub(super) reply: bool,
    /// Whether it was sent, rather than written by `git format-patch`.
    pub(super) sent: bool,
    /// Author, subject, message and diff; `None` where there is no diff.
    pub(super) patch: Option<Vec<u8>>,
}

/// `[RFC PATCH v3 02/14]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// 1 if it says none.
    pub(super) version: u32,
    /// Number and how many; number 0 is the cover letter.
    pub(super) part: Option<(u32, u32)>,
}

/// All of a file: its mails, or the bare diff that it is.
///
/// # Errors
/// What is wrong with it, without its name.
pub(super) fn read(bytes: &[u8], place: &str) -> Result<Vec<Mail>, String> {
    if bytes.contains(&0) {
        return Err("it is binary, neither mails nor patches".to_owned());
    }
    let raw = mbox::mails(bytes);
    if raw.is_empty() {
        let text = with_unix_lines(bytes.to_vec());
        return match diff::is_in(&text) {
            true => Ok(vec![Mail::bare(place, text)]),
            false => Err("there is neither a mail nor a patch in it".to_owned()),
        };
    }
    let mut mails = Vec::new();
    for (at, raw) in raw.iter().enumerate() {
        let place = if at == 0 { place.to_owned() } else { format!("{place}, mail {}", at + 1) };
        mails.extend(Mail::parse(raw, &place)?);
    }
    Ok(mails)
}

impl Mail {
    fn bare(place: &str, text: Vec<u8>) -> Self {
        Self {
            place: place.to_owned(),
            subject: String::new(),
            tag: tag(""),
            reply: false,
            sent: false,
            patch: Some(text),
        }
    }

    fn parse(raw: &[u8], place: &str) -> Result<Vec<Self>, String> {
        let parsed =
            mailparse::parse_mail(raw).map_err(|error| format!("{place} is no mail: {error}"))?;
        let header = |name: &str| {
            let value = parsed.headers.get_first_value(name).unwrap_or_default();
            value.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let (author, said) = (header("From"), header("Subject"));
        let (reply, subject) = answers(&said);
        let subject = subject.to_owned();
        let head = format!("From: {author}\nSubject: {subject}\n\n");
        let mut mail = Self {
            place: place.to_owned(),
            tag: tag(&subject),
            reply,
            sent: !header("Message-ID").is_empty(),
            patch: None,
            subject,
        };
        let (mut message, mut attached) = (Vec::new(), Vec::new());
        for part in parsed.parts().filter(|part| part.subparts.is_empty()) {
            let (text, is_attached) = text_of(part);
            match () {
                () if is_attached && diff::is_in(&text) => attached.push(text),
                () if !is_attached && (message.is_empty() || diff::is_in(&text)) => message = text,
                () => {}
            }
        }
        if diff::is_in(&message) {
            mail.patch = Some([head.as_bytes(), &message].concat());
            return Ok(vec![mail]);
        }
        match attached.as_slice() {
            [] => Ok(vec![mail]),
            // A bare diff needs what the mail says around it.
            [diff] if mbox::mails(diff).is_empty() => {
                mail.patch = Some([head.as_bytes(), &message, b"\n---\n", diff].concat());
                Ok(vec![mail])
            }
            files => {
                let mut mails = vec![mail];
                for (at, file) in (1..).zip(files) {
                    mails.extend(read(file, &format!("{place}, attachment {at}"))?);
                }
                Ok(mails)
            }
        }
    }
}

/// The decoded text of a part, and whether it is a file rather than what the mail says.
fn text_of(part: &ParsedMail<'_>) -> (Vec<u8>, bool) {
    let kind = &part.ctype;
    let disposition = part.get_content_disposition();
    let named = kind.params.contains_key("name") || disposition.params.contains_key("filename");
    let is_attached = disposition.disposition == DispositionType::Attachment
        || named
        || matches!(kind.mimetype.as_str(), "text/x-patch" | "text/x-diff");
    let readable = is_attached || kind.mimetype == "text/plain";
    let text = part.get_body_raw().ok().filter(|_| readable).unwrap_or_default();
    let text = with_unix_lines(text);
    let says = |name: &str, value: &str| {
        kind.params.get(name).is_some_and(|said| said.eq_ignore_ascii_case(value))
    };
    let flowed = says("format", "flowed").then(|| unflowed(&text, says("delsp", "yes")));
    // Some say flowed and send the text as it is.
    let whole = |text: &[u8]| Diff::read(text).is_ok();
    match flowed {
        Some(flowed) if whole(&flowed) || !whole(&text) => (flowed, is_attached),
        _ => (text, is_attached),
    }
}

/// RFC 3676 taken back: a line that ends in a blank goes on in the next one, and a blank at the
/// beginning was put there.
fn unflowed(text: &[u8], delete_space: bool) -> Vec<u8> {
    let mut whole = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_prefix(b" ").unwrap_or(line);
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        match bare.strip_suffix(b" ") {
            Some(cut) if bare != b"-- " => {
                whole.extend_from_slice(if delete_space { cut } else { bare });
            }
            _ => whole.extend_from_slice(line),
        }
    }
    whole
}

/// Mail ends every line with CR LF; a patch that changes one file with such lines has others too.
fn with_unix_lines(text: Vec<u8>) -> Vec<u8> {
    let lines = || text.split_inclusive(|byte| *byte == b'\n');
    if !lines().all(|line| line.ends_with(b"\r\n") || !line.ends_with(b"\n")) {
        return text;
    }
    lines()
        .flat_map(|line| match line.strip_suffix(b"\r\n") {
            Some(bare) => [bare, b"\n"],
            None => [line, b""],
        })
        .flatten()
        .copied()
        .collect()
}

/// Whether the subject is that of an answer, and the subject without what says so.
fn answers(subject: &str) -> (bool, &str) {
    let mut bare = subject;
    let mut found = true;
    while found {
        found = false;
        for word in ["re:", "fwd:", "fw:", "aw:", "sv:"] {
            if bare.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word)) {
                bare = bare[word.len()..].trim_start();
                found = true;
            }
        }
    }
    (bare.len() < subject.len(), bare)
}

/// What stands in the brackets at the beginning of a subject.
fn tag(subject: &str) -> Tag {
    let mut tag = Tag { version: 1, part: None };
    let mut rest = subject.trim_start();
    while let Some((inside, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        for word in inside.split(|c: char| c.is_whitespace() || c == ',') {
            if let Some((number, count)) = word.split_once('/')
                && let (Ok(number), Ok(count)) = (number.parse(), count.parse())
            {
                tag.part = Some((number, count));
            }
            // `PATCHv2` and `PATCH-v2` occur too.
            let version = word.to_ascii_lowercase();
            let version = version.trim_start_matches("patch").trim_start_matches('-');
            if let Some(Ok(number)) = version.strip_prefix('v').map(str::parse) {
                tag.version = number;
            }
        }
        rest = after.trim_start();
    }
    tag
}
