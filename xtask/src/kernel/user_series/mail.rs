// SPDX-License-Identifier: MIT OR Apache-2.0
//! One mail -> its headers, and the patch in it, as text for `patch` and checkpatch. Pure.
//!
//! Contract: the bytes of a patch stay as they are, whatever charset the mail claims. Only the
//! transfer encoding, format=flowed and the line ends of mail are undone.

use std::path::Path;
use std::sync::LazyLock;

use mailparse::{DispositionType, MailHeaderMap as _, ParsedMail};
use regex::Regex;

use super::super::diff::{self, Diff, is_basis};
use super::mbox;

/// A mail, or an attached file that is a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mail {
    /// Where it was found, for messages.
    pub(super) place: String,
    /// `place` of the mail itself, or of the mail it is attached to.
    pub(super) of: String,
    /// Decoded, in one line; empty for a bare diff.
    pub(super) subject: String,
    /// The content of the subject's brackets.
    pub(super) tag: Tag,
    /// Whether it is a reply.
    pub(super) reply: bool,
    /// Whether it was sent, rather than written by `git format-patch`.
    pub(super) sent: bool,
    /// Its message id; empty if it has none.
    pub(super) id: String,
    /// Ids of the mails that it answers.
    pub(super) answers: Vec<String>,
    /// What it says that the series applies to: `base-commit: ` and the like.
    pub(super) basis: Vec<String>,
    /// Why it cannot be used in a series.
    pub(super) fault: Option<String>,
    /// Author, subject, message and diff; `None` without a diff.
    pub(super) patch: Option<Vec<u8>>,
}

/// `[RFC PATCH v3 02/14]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tag {
    /// `None` means the first; see [`Tag::version`].
    pub(super) version: Option<u32>,
    /// `v6.12`: a branch, or a version between 6 and 7.
    pub(super) dotted: Option<(u32, u32)>,
    /// Number and count of parts; number 0 is the cover letter.
    pub(super) part: Option<(u32, u32)>,
}

impl Tag {
    /// The version of the series.
    pub(super) fn version(self) -> u32 {
        self.version.unwrap_or(1)
    }
}

/// The mails in a file, or the bare diff that it is.
///
/// # Errors
/// What is wrong, without the file's name.
pub(super) fn read(bytes: &[u8], place: &str) -> Result<Vec<Mail>, String> {
    if bytes.contains(&0) {
        return Err("it is binary, not mails or patches".to_owned());
    }
    let raw = mbox::mails(bytes);
    if raw.is_empty() {
        let text = with_unix_lines(bytes.to_vec());
        return match diff::is_in(&text) {
            true => Ok(vec![Mail { patch: Some(text), ..Mail::at(place, "") }]),
            false => Err("it has neither a mail nor a patch".to_owned()),
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
    fn at(place: &str, subject: &str) -> Self {
        Self {
            place: place.to_owned(),
            of: place.to_owned(),
            subject: subject.to_owned(),
            tag: tag(subject),
            reply: false,
            sent: false,
            id: String::new(),
            answers: Vec::new(),
            basis: Vec::new(),
            fault: None,
            patch: None,
        }
    }

    /// A commit from `git format-patch`: one mail, even if its message has a line like the
    /// beginning of another, and in order, whatever its subject says.
    pub(super) fn of_commit(bytes: &[u8], place: &str) -> Result<Self, String> {
        match Self::parse(mbox::without_first_line(bytes), place)?.as_mut_slice() {
            [mail] => {
                mail.apply_as_it_stands();
                Ok(mail.clone())
            }
            mails => Err(format!("{place} has {} mails, not one commit", mails.len())),
        }
    }

    /// Ignores its subject: its place in the series is known.
    pub(super) fn apply_as_it_stands(&mut self) {
        self.tag = Tag::default();
        self.reply = false;
    }

    /// Its subject, or its file name.
    pub(super) fn title(&self) -> &str {
        if !self.subject.is_empty() {
            return &self.subject;
        }
        let stem = Path::new(&self.of).file_stem().and_then(|stem| stem.to_str());
        stem.unwrap_or_default().trim_start_matches(|c: char| c.is_ascii_digit() || c == '-')
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
        let head = format!("From: {author}\nSubject: {subject}\n\n");
        let ids =
            |name: &str| header(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (id, answers) =
            (header("Message-ID"), [ids("References"), ids("In-Reply-To")].concat());
        let sent = !id.is_empty();
        let mut mail = Self { reply, sent, id, answers, ..Self::at(place, subject) };
        let (mut inline, mut attached) = (Vec::new(), Vec::new());
        for part in parsed.parts().filter(|part| part.subparts.is_empty()) {
            match text_of(part) {
                Ok((text, false)) => inline.push(text),
                Ok((text, true)) if diff::is_in(&text) => attached.push(text),
                Ok(_) => {}
                Err(why) => mail.fault = Some(why),
            }
        }
        let message = joined(&inline);
        let text = String::from_utf8_lossy(&message);
        mail.basis = text.lines().filter(|line| is_basis(line)).map(str::to_owned).collect();
        if diff::is_in(&message) {
            // Some people attach the same patch again, in case a mail program changes the text.
            if !attached.iter().all(|file| is_same(file, &message)) {
                let why =
                    "has one diff in its text and another attached: give the right one as a file";
                mail.fault = Some(why.to_owned());
            }
            mail.patch = Some([head.as_bytes(), &message].concat());
            return Ok(vec![mail]);
        }
        match attached.as_slice() {
            [] => Ok(vec![mail]),
            // A bare diff gets the message of the mail.
            [diff] if mbox::mails(diff).is_empty() => {
                mail.patch = Some([head.as_bytes(), &joined(&[message, diff.clone()])].concat());
                Ok(vec![mail])
            }
            files => mail.attachments(files),
        }
    }

    /// Attached files that are whole patches; the mail only carries them.
    fn attachments(self, files: &[Vec<u8>]) -> Result<Vec<Self>, String> {
        let mut mails = Vec::new();
        for (at, file) in (1..).zip(files) {
            for mail in read(file, &format!("{}, attachment {at}", self.place))? {
                let reply = mail.reply || self.reply;
                let fault = mail.fault.clone().or(self.fault.clone());
                let (id, answers, of) = (self.id.clone(), self.answers.clone(), self.of.clone());
                mails.push(Self { of, reply, sent: self.sent, id, answers, fault, ..mail });
            }
        }
        Ok(mails)
    }
}

/// Whether two texts have the same diff in them.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    match (Diff::read(one), Diff::read(other)) {
        (Ok(one), Ok(other)) => one.is_as(&other),
        _ => one == other,
    }
}

/// The parts of a mail as one text: the message, and every diff.
fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut whole: Vec<u8> = Vec::new();
    for (number, part) in (1..).zip(parts).filter(|(_, part)| !part.trim_ascii().is_empty()) {
        let begin = part.trim_ascii_start();
        let between = match (diff::is_in(&whole), diff::is_in(part)) {
            // The footer of a mailing list.
            (true, false) => continue,
            // No line of a hunk begins like this: a truncated hunk stays truncated.
            (true, true) => format!("Part {number} of the mail:\n"),
            _ if whole.is_empty() => String::new(),
            (false, true) if begin.starts_with(b"diff ") || begin.starts_with(b"--- ") => {
                "\n---\n".to_owned()
            }
            (false, _) => "\n".to_owned(),
        };
        whole.extend_from_slice(between.as_bytes());
        whole.extend_from_slice(part);
        // The last line end before a boundary belongs to the boundary.
        if !whole.ends_with(b"\n") && parts.len() > 1 {
            whole.push(b'\n');
        }
    }
    whole
}

/// The decoded text of a part, and whether it is an attached file.
fn text_of(part: &ParsedMail<'_>) -> Result<(Vec<u8>, bool), String> {
    let kind = &part.ctype;
    let disposition = part.get_content_disposition();
    let named = kind.params.contains_key("name") || disposition.params.contains_key("filename");
    let is_attached = disposition.disposition == DispositionType::Attachment
        || named
        || matches!(kind.mimetype.as_str(), "text/x-patch" | "text/x-diff");
    if !is_attached && kind.mimetype != "text/plain" {
        return Ok((Vec::new(), false));
    }
    let text = part.get_body_raw().map_err(|error| format!("cannot be decoded: {error}"))?;
    let text = with_unix_lines(text);
    let says = |name: &str, value: &str| {
        kind.params.get(name).is_some_and(|said| said.eq_ignore_ascii_case(value))
    };
    if !says("format", "flowed") {
        return Ok((text, is_attached));
    }
    // Some mail programs claim format=flowed and send the text unchanged.
    let flowed = unflowed(&text, says("delsp", "yes"));
    let is_whole = |text: &[u8]| Diff::read(text).is_ok();
    let keep = is_whole(&text) && !is_whole(&flowed);
    Ok((if keep { text } else { flowed }, is_attached))
}

/// Undoes RFC 3676: a blank at the end of a line joins it with the next one, and a blank at the
/// beginning was added.
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

/// Mail ends every line with CR LF. A patch of a file with such lines has other lines too.
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

/// Whether the subject is that of a reply, and the subject without `Re:`.
fn answers(subject: &str) -> (bool, &str) {
    let mut bare = subject;
    while let Some((word, rest)) = bare.split_once(':')
        && ["re", "fwd", "fw", "aw", "sv"].iter().any(|mark| word.eq_ignore_ascii_case(mark))
    {
        bare = rest.trim_start();
    }
    (bare.len() < subject.len(), bare)
}

/// The content of the first brackets, and what follows them.
fn brackets(subject: &str) -> Option<(&str, &str)> {
    subject.trim_start().strip_prefix('[')?.split_once(']')
}

/// A subject without the brackets at its beginning.
pub(super) fn without_tags(mut subject: &str) -> &str {
    while let Some((_, after)) = brackets(subject) {
        subject = after;
    }
    subject.trim_start()
}

/// `v2`, `PATCHv2`, `RFC-v2`, `(v2)`, `v2-resend`; not `v4l2`.
static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\(?(?:(?:patch|rfc|rft|resend)[-/_]?)*v([0-9][0-9.]*)(?:[-_/][a-z]+)?\)?$")
        .expect("it is a regular expression")
});

/// The tag in the brackets of a subject. Brackets after the first with a tag belong to the commit.
fn tag(mut subject: &str) -> Tag {
    let mut tag = Tag::default();
    while let Some((inside, after)) = brackets(subject) {
        for word in inside.split(|c: char| c.is_whitespace() || c == ',') {
            if let Some((number, count)) = word.split_once('/')
                && let (Ok(number), Ok(count)) = (number.parse(), count.parse())
            {
                tag.part = Some((number, count));
            }
            let version = word.to_ascii_lowercase();
            let Some(version) = VERSION.captures(&version) else { continue };
            let numbers: Vec<_> = version[1].split('.').map(str::parse).collect();
            match numbers[..] {
                [Ok(number)] => tag.version = Some(number),
                [Ok(whole), Ok(part), ..] => tag.dotted = Some((whole, part)),
                _ => {}
            }
        }
        if tag != Tag::default() {
            break;
        }
        subject = after;
    }
    tag
}
