// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mails of a thread -> the patches of one series, in order. Pure.
//!
//! Contract: nothing is guessed. The newest version is taken, and a note says so. A missing part,
//! two different patches with one number, or patches of several series are errors that name the
//! mails.

use std::collections::{BTreeMap, BTreeSet};

use super::mail::{self, Mail};

/// Most parts of a series; a subject may claim any number.
pub(super) const PARTS_MAX: u32 = 9_999;
/// Most names and numbers in a message.
const LISTED_MAX: usize = 10;

/// The chosen series.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Subject or file name, and text, of each patch, in order.
    pub(super) patches: Vec<(String, Vec<u8>)>,
    /// What was left out, for messages.
    pub(super) notes: Vec<String>,
}

/// Picks the series out of `mails`. `in_order`: patches without numbers are already in order.
///
/// # Errors
/// Why there is no complete series, naming the mails.
pub(super) fn series(mut mails: Vec<Mail>, in_order: bool) -> Result<Chosen, String> {
    // A single reply with a patch: it was saved for the patch.
    if mails.iter().map(|mail| &mail.of).collect::<BTreeSet<_>>().len() == 1 {
        mails.iter_mut().for_each(|mail| mail.reply = false);
    }
    let mut notes = Vec::new();
    let strays = strays(&mails);
    if !strays.is_empty() {
        let left_out: Vec<&Mail> = strays.iter().map(|at| &mails[*at]).collect();
        notes.push(format!(
            "left out, sent in answer to the series: {}",
            list(left_out.into_iter().map(said))
        ));
        let mut at = 0..;
        mails.retain(|_| !at.next().is_some_and(|at| strays.contains(&at)));
    }
    let newest = newest_version(&mails);
    is_usable(&mails, newest.as_ref().copied().unwrap_or_default())?;
    let newest = newest?;
    is_one_series(&mails, newest)?;
    let is_older = |mail: &&Mail| is_patch(mail) && mail.tag.version() < newest;
    let older: Vec<&Mail> = mails.iter().filter(is_older).collect();
    if let Some(patches) = rerolled(&mails, newest, &mut notes) {
        return Ok(chosen(patches, &mails, newest, notes));
    }
    if !older.is_empty() {
        notes.push(format!(
            "using version {newest}; patches of older versions left out: {}: {}",
            older.len(),
            list(older.iter().map(|mail| format!("`{}`", mail.subject)))
        ));
    }
    let patches = match numbered(&mails, newest) {
        true => by_number(&mails, newest, &mut notes).map_err(|why| {
            let versions: BTreeSet<u32> = older.iter().map(|mail| mail.tag.version()).collect();
            let is_whole = |version: &&u32| is_whole(&mails, **version);
            match versions.iter().rev().find(is_whole) {
                Some(whole) => format!("{why}; version {whole} is complete: give it alone"),
                None => why,
            }
        })?,
        false => without_number(of_version(&mails, newest), in_order, &mut notes)?,
    };
    let taken: BTreeSet<&str> = patches.iter().map(|mail| mail.place.as_str()).collect();
    let is_other = |mail: &&Mail| !taken.contains(mail.place.as_str()) && !is_older(mail);
    let others: Vec<&Mail> = mails.iter().filter(is_other).collect();
    if !others.is_empty() {
        let with_diff = others.iter().filter(|mail| mail.patch.is_some()).map(|mail| said(mail));
        let is_known = |said: &String| notes.iter().any(|note| note.starts_with(said));
        let with_diff: Vec<String> = with_diff.filter(|said| !is_known(said)).collect();
        let said = match with_diff.is_empty() {
            true => String::new(),
            false => format!("; with a diff: {}", list(with_diff.into_iter())),
        };
        notes.push(format!("other mails left out: {}{said}", others.len()));
    }
    Ok(chosen(patches, &mails, newest, notes))
}

/// The texts of these mails. What a cover letter says of the base goes below the first patch: its
/// own text is not kept.
fn chosen(patches: Vec<Mail>, mails: &[Mail], newest: u32, notes: Vec<String>) -> Chosen {
    let is_cover = |mail: &&Mail| mail.patch.is_none() && mail.tag.part.is_some_and(|p| p.0 == 0);
    let covers = of_version(mails, newest).filter(is_cover);
    let mut basis: Vec<&String> = covers.flat_map(|mail| &mail.basis).collect();
    basis.retain(|line| !patches.iter().any(|mail| mail.basis.contains(line)));
    let texts = patches.into_iter().filter_map(|mail| Some((mail.title().to_owned(), mail.patch?)));
    let mut texts: Vec<(String, Vec<u8>)> = texts.collect();
    if let Some((_, text)) = texts.first_mut().filter(|_| !basis.is_empty()) {
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        let lines: String = basis.iter().map(|line| format!("{line}\n")).collect();
        text.extend_from_slice(format!("-- \n{lines}").as_bytes());
    }
    Chosen { patches: texts, notes }
}

/// Patches that somebody sent in answer to a numbered series and that are no part of it: their
/// places in `mails`.
fn strays(mails: &[Mail]) -> BTreeSet<usize> {
    let by_id: BTreeMap<&str, &Mail> = mails
        .iter()
        .filter(|mail| !mail.id.is_empty())
        .map(|mail| (mail.id.as_str(), mail))
        .collect();
    let answers = |mail: &Mail| {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = mail.answers.iter().map(String::as_str).collect();
        while let Some(id) = open.pop() {
            if seen.insert(id)
                && let Some(mail) = by_id.get(id)
            {
                open.extend(mail.answers.iter().map(String::as_str));
            }
        }
        seen.into_iter().filter_map(|id| by_id.get(id).copied()).collect::<Vec<_>>()
    };
    let count = |mail: &Mail| mail.tag.part.map(|(_, count)| count);
    let is_stray = |mail: &Mail| {
        let above = answers(mail);
        let mut series = above.iter().filter(|other| !other.reply && count(other).is_some());
        // An older series that this one answers is no part of it either, but that is a version.
        series.any(|of| of.tag.version() >= mail.tag.version() && count(of) != count(mail))
    };
    let patches = mails.iter().enumerate().filter(|(_, mail)| is_patch(mail));
    patches.filter(|(_, mail)| is_stray(mail)).map(|(at, _)| at).collect()
}

/// A series of which some parts were sent in a new version, as `b4 am` writes it: every number
/// once, the newest of each.
fn rerolled(mails: &[Mail], newest: u32, notes: &mut Vec<String>) -> Option<Vec<Mail>> {
    let parts: Vec<&Mail> = mails.iter().filter(|mail| is_patch(mail)).collect();
    let numbers: BTreeMap<u32, &Mail> =
        parts.iter().filter_map(|mail| Some((mail.tag.part?.0, *mail))).collect();
    let count = parts.first()?.tag.part?.1;
    let is_whole = numbers.len() == parts.len()
        && numbers.keys().copied().eq(1..=count)
        && parts.iter().all(|mail| mail.tag.part.is_some_and(|(_, other)| other == count));
    let older: Vec<&Mail> =
        parts.iter().copied().filter(|mail| mail.tag.version() < newest).collect();
    if !is_whole || older.is_empty() || older.len() == parts.len() {
        return None;
    }
    notes.push(format!(
        "version {newest} has only some of the parts; taken from older versions: {}",
        list(older.iter().map(|mail| format!("`{}`", mail.subject)))
    ));
    Some(numbers.into_values().cloned().collect())
}

fn said(mail: &Mail) -> String {
    match mail.subject.is_empty() {
        true => mail.place.clone(),
        false => format!("`{}` ({})", mail.subject, mail.place),
    }
}

fn list(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(LISTED_MAX);
    names.truncate(LISTED_MAX);
    match more {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

fn is_patch(mail: &Mail) -> bool {
    !mail.reply && mail.patch.is_some() && mail.tag.part.is_none_or(|(number, _)| number > 0)
}

fn of_version(mails: &[Mail], version: u32) -> impl Iterator<Item = &Mail> {
    mails.iter().filter(move |mail| mail.tag.version() == version && !mail.reply)
}

fn numbered(mails: &[Mail], version: u32) -> bool {
    of_version(mails, version).any(|mail| is_patch(mail) && mail.tag.part.is_some())
}

/// The highest version that any patch has.
fn newest_version(mails: &[Mail]) -> Result<u32, String> {
    let newest = mails.iter().filter(|mail| is_patch(mail)).map(|mail| mail.tag.version()).max();
    match (newest, mails) {
        (Some(newest), _) => Ok(newest),
        (None, [only]) if only.patch.is_some() => Ok(only.tag.version()),
        (None, []) => Err("it has no mail".to_owned()),
        (None, _) if mails.iter().any(|mail| mail.patch.is_some()) => {
            Err("only replies have a diff: give the mail with the patch alone".to_owned())
        }
        (None, _) => Err(format!("no mail has a patch: {}", list(mails.iter().map(said)))),
    }
}

/// Every mail of the series must be readable. Replies and old versions do not matter.
fn is_usable(mails: &[Mail], newest: u32) -> Result<(), String> {
    for mail in mails.iter().filter(|mail| !mail.reply && mail.tag.version() >= newest) {
        if let Some(fault) = &mail.fault {
            return Err(format!("{} {fault}", said(mail)));
        }
    }
    let may_be_newer = |mail: &&Mail| mail.tag.dotted.is_some_and(|(whole, _)| whole >= newest);
    for mail in mails.iter().filter(|mail| is_patch(mail)).filter(may_be_newer) {
        // `v6.12` is a branch, unless other mails have a version.
        let is_other = |other: &&Mail| {
            let of_newest = |version| version == newest;
            let is_dotted = |_| other.tag.dotted != mail.tag.dotted;
            is_patch(other)
                && (other.tag.version.is_some_and(of_newest)
                    || other.tag.dotted.is_some_and(is_dotted))
        };
        if let Some(other) = mails.iter().find(is_other) {
            return Err(format!(
                "{} has a version that is no whole number: does it replace {}?",
                said(mail),
                said(other)
            ));
        }
    }
    Ok(())
}

/// A newer version that shares neither a subject nor the part count with an older one is another
/// series.
fn is_one_series(mails: &[Mail], newest: u32) -> Result<(), String> {
    let count = |mail: &Mail| match mail.tag.part {
        Some((_, count)) => count as usize,
        None => of_version(mails, mail.tag.version()).filter(|mail| is_patch(mail)).count(),
    };
    let subject = |mail: &Mail| mail::without_tags(&mail.subject).to_lowercase();
    let subjects: BTreeSet<String> = of_version(mails, newest).map(subject).collect();
    let Some(new) = of_version(mails, newest).find(|mail| is_patch(mail)) else { return Ok(()) };
    let older = || mails.iter().filter(|mail| !mail.reply && mail.tag.version() < newest);
    let Some(old) = older().find(|mail| is_patch(mail)) else { return Ok(()) };
    let same_count = older().any(|mail| is_patch(mail) && count(mail) == count(new));
    match same_count || older().any(|mail| subjects.contains(&subject(mail))) {
        true => Ok(()),
        false => Err(more_than_one(old, new)),
    }
}

fn more_than_one(one: &Mail, other: &Mail) -> String {
    format!("it has more than one series: {} and {}", said(one), said(other))
}

fn is_whole(mails: &[Mail], version: u32) -> bool {
    match numbered(mails, version) {
        true => by_number(mails, version, &mut vec![]).is_ok(),
        false => without_number(of_version(mails, version), false, &mut vec![]).is_ok(),
    }
}

/// Parts 1 to N, each once, and those that b4 numbers beyond N.
fn by_number(mails: &[Mail], version: u32, notes: &mut Vec<String>) -> Result<Vec<Mail>, String> {
    let mut parts: Vec<Option<&Mail>> = Vec::new();
    let mut first: Option<&Mail> = None;
    let is_part = |mail: &&Mail| mail.tag.part.is_some() || is_patch(mail);
    for mail in of_version(mails, version).filter(is_part) {
        let Some((number, count)) = mail.tag.part else {
            let numbered = |mail: &&Mail| is_patch(mail) && mail.tag.part.is_some();
            let numbered = of_version(mails, version).find(numbered).unwrap_or(mail);
            return Err(more_than_one(numbered, mail));
        };
        let known = *first.get_or_insert(mail);
        if known.tag.part.is_some_and(|(_, other)| other != count) {
            return Err(more_than_one(known, mail));
        }
        if count > PARTS_MAX || number > PARTS_MAX {
            return Err(format!("{} claims too many parts", said(mail)));
        }
        // b4 numbers what it adds to a series `4/3`.
        if number > count && mail.patch.is_some() {
            notes.push(format!("{} goes on after the last part", said(mail)));
        }
        parts.resize(parts.len().max(count.max(number) as usize), None);
        let Some(place) = number.checked_sub(1).and_then(|at| parts.get_mut(at as usize)) else {
            continue;
        };
        let Some(patch) = &mail.patch else { continue };
        match place.and_then(|there| Some((there, there.patch.as_ref()?))) {
            Some((_, text)) if mail::is_same(text, patch) => {
                notes.push(format!("{} came twice", said(mail)));
            }
            Some((there, _)) => {
                let (one, other) = (said(there), said(mail));
                return Err(format!(
                    "two different patches have number {number}: {one} and {other}"
                ));
            }
            None => *place = Some(mail),
        }
    }
    let count = first.and_then(|mail| mail.tag.part).map_or(0, |(_, count)| count);
    whole(&parts, count, mails, version)
}

fn whole(
    parts: &[Option<&Mail>],
    count: u32,
    mails: &[Mail],
    version: u32,
) -> Result<Vec<Mail>, String> {
    let numbers = |there: bool| {
        let parts = (1..).zip(parts).filter(|(_, part)| part.is_some() == there);
        list(parts.map(|(number, _)| u32::to_string(&number)))
    };
    let missing = numbers(false);
    if missing.is_empty() {
        return Ok(parts.iter().copied().flatten().cloned().collect());
    }
    let empty = of_version(mails, version).find(|mail| {
        mail.patch.is_none()
            && mail.tag.part.is_some_and(|(number, _)| {
                number > 0 && parts.get(number as usize - 1).is_some_and(Option::is_none)
            })
    });
    let empty = empty.map(|mail| format!("; {} has no patch", said(mail))).unwrap_or_default();
    let found = numbers(true);
    Err(format!("version {version} has {count} parts; missing: {missing} (found: {found}){empty}"))
}

/// One patch, or several in a meaningful order.
fn without_number<'a>(
    mails: impl Iterator<Item = &'a Mail>,
    in_order: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<Mail>, String> {
    let mut patches: Vec<&Mail> = Vec::new();
    for mail in mails {
        let Some(patch) = &mail.patch else { continue };
        // One mail from two lists. Two equal commits are two patches: one may have been reverted.
        let came = |known: &&Mail| {
            known.sent
                && mail.sent
                && known.of != mail.of
                && known.subject == mail.subject
                && known.patch.as_ref().is_some_and(|text| mail::is_same(text, patch))
        };
        match !in_order && patches.iter().any(came) {
            true => notes.push(format!("{} came twice", said(mail))),
            false => patches.push(mail),
        }
    }
    match patches.as_slice() {
        // Attachments of one mail are in order.
        [first, second, ..]
            if !in_order
                && patches.iter().any(|mail| mail.sent)
                && patches.iter().any(|mail| mail.of != first.of) =>
        {
            let (one, other) = (said(first), said(second));
            Err(format!(
                "two patches without a number have no order: {one} and {other}; give one, or a \
                 folder with a `series` file"
            ))
        }
        _ => Ok(patches.into_iter().cloned().collect()),
    }
}
