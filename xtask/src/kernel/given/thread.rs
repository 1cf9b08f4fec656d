// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mails of a thread -> the patches of one series, in order.
//!
//! Contract: nothing is guessed. Of several versions the newest is taken, aloud; a part that is missing,
//! two different patches with one number, or patches of more than one series are faults that name mails.

use super::mail::Mail;

/// A series as it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Subject and text of each patch, in the order they are applied.
    pub(super) patches: Vec<(String, Vec<u8>)>,
    /// What was left out, for people.
    pub(super) notes: Vec<String>,
}

/// Picks the series out of `mails`. `in_order`: patches without numbers may follow each other as they stand.
///
/// # Errors
/// Why there is no such series, naming the mails.
pub(super) fn series(mails: Vec<Mail>, in_order: bool) -> Result<Chosen, String> {
    let mut notes = Vec::new();
    let total = mails.len();
    let newest = newest_version(&mails)?;
    let older = mails.iter().filter(|mail| is_patch(mail) && mail.tag.version < newest).count();
    let proposed = mails.iter().filter(|mail| mail.reply && mail.patch.is_some()).count();
    let (ours, others): (Vec<Mail>, Vec<Mail>) =
        mails.into_iter().partition(|mail| mail.tag.version == newest && !mail.reply);
    if older > 0 {
        notes.push(format!("version {newest} is taken; patches of older ones left out: {older}"));
    }
    // One answer with a patch in it, and nothing else: somebody saved that mail because of the patch.
    let ours = if total == 1 && ours.is_empty() { others } else { ours };
    let numbered = ours.iter().any(|mail| is_patch(mail) && mail.tag.part.is_some());
    let patches = match numbered {
        true => by_number(&ours, newest, &mut notes)?,
        false => without_number(ours, in_order)?,
    };
    let left_out = total.saturating_sub(patches.len() + older);
    if left_out > 0 {
        let said = match proposed {
            0 => String::new(),
            number => format!(", {number} of them answers with a diff"),
        };
        notes.push(format!("other mails left out: {left_out}{said}"));
    }
    let patches = patches.into_iter().filter_map(|mail| Some((mail.subject, mail.patch?)));
    Ok(Chosen { patches: patches.collect(), notes })
}

fn is_patch(mail: &Mail) -> bool {
    !mail.reply && mail.patch.is_some() && mail.tag.part.is_none_or(|(number, _)| number > 0)
}

/// The highest version that any patch has.
fn newest_version(mails: &[Mail]) -> Result<u32, String> {
    let newest = mails.iter().filter(|mail| is_patch(mail)).map(|mail| mail.tag.version).max();
    match (newest, mails) {
        (Some(newest), _) => Ok(newest),
        (None, [only]) if only.patch.is_some() => Ok(only.tag.version),
        (None, _) => {
            let subjects = mails.iter().filter(|mail| !mail.subject.is_empty()).take(3);
            let subjects: Vec<String> =
                subjects.map(|mail| format!("`{}`", mail.subject)).collect();
            Err(match mails.iter().any(|mail| mail.patch.is_some()) {
                true => "only answers have a diff in them, and there is more than one mail: give the one with the \
                         patch by itself"
                    .to_owned(),
                false => format!("no mail has a patch in it: {}", subjects.join(", ")),
            })
        }
    }
}

/// Parts 1 to N, each once.
fn by_number(mails: &[Mail], version: u32, notes: &mut Vec<String>) -> Result<Vec<Mail>, String> {
    let said = |mail: &Mail| format!("`{}` ({})", mail.subject, mail.place);
    let mut parts: Vec<Option<Mail>> = Vec::new();
    let mut first: Option<&Mail> = None;
    for mail in mails.iter().filter(|mail| mail.tag.part.is_some() || is_patch(mail)) {
        let Some((number, count)) = mail.tag.part else {
            let numbered = mails.iter().find(|mail| is_patch(mail) && mail.tag.part.is_some());
            let numbered = numbered.map(said).unwrap_or_default();
            return Err(format!(
                "there is more than one series in it: {numbered} and {}",
                said(mail)
            ));
        };
        let known = *first.get_or_insert(mail);
        if known.tag.part.is_some_and(|(_, other)| other != count) {
            return Err(format!(
                "there is more than one series in it: {} and {}",
                said(known),
                said(mail)
            ));
        }
        if number > count {
            return Err(format!("{} is beyond the last part", said(mail)));
        }
        parts.resize(count as usize, None);
        let Some(place) = number.checked_sub(1).and_then(|at| parts.get_mut(at as usize)) else {
            continue;
        };
        if mail.patch.is_none() {
            continue;
        }
        match place {
            Some(there) if diff_of(there) == diff_of(mail) => {
                notes.push(format!("{} came twice", said(mail)));
            }
            Some(there) => {
                return Err(format!(
                    "part {number} is there twice and not the same: {} and {}",
                    said(there),
                    said(mail)
                ));
            }
            None => *place = Some(mail.clone()),
        }
    }
    whole(parts, mails, version)
}

fn whole(parts: Vec<Option<Mail>>, mails: &[Mail], version: u32) -> Result<Vec<Mail>, String> {
    let count = parts.len();
    let list = |there: bool| {
        let parts = (1..).zip(&parts).filter(|(_, part)| part.is_some() == there);
        parts.map(|(number, _)| number.to_string()).collect::<Vec<_>>().join(", ")
    };
    let missing = list(false);
    if missing.is_empty() {
        return Ok(parts.into_iter().flatten().collect());
    }
    let empty = mails.iter().find(|mail| {
        mail.patch.is_none()
            && mail.tag.part.is_some_and(|(number, _)| {
                number > 0 && parts.get(number as usize - 1).is_some_and(Option::is_none)
            })
    });
    let empty =
        empty.map(|mail| format!("; `{}` ({}) has no patch in it", mail.subject, mail.place));
    Err(format!(
        "of {count} parts of version {version} these are missing: {missing} (there are: {}){}",
        list(true),
        empty.unwrap_or_default()
    ))
}

/// One patch, or several where they stand in an order that means something.
fn without_number(mails: Vec<Mail>, in_order: bool) -> Result<Vec<Mail>, String> {
    let mut patches: Vec<Mail> = Vec::new();
    for mail in mails.into_iter().filter(|mail| mail.patch.is_some()) {
        if !patches
            .iter()
            .any(|known| known.subject == mail.subject && diff_of(known) == diff_of(&mail))
        {
            patches.push(mail);
        }
    }
    match patches.as_slice() {
        [first, second, ..] if !in_order && patches.iter().any(|mail| mail.sent) => Err(format!(
            "two patches have no number that says which comes first: `{}` ({}) and `{}` ({}); give one, or a \
             folder with a `series` file",
            first.subject, first.place, second.subject, second.place
        )),
        _ => Ok(patches),
    }
}

/// From the first line of the diff on, without the signature of a mail program.
fn diff_of(mail: &Mail) -> Vec<u8> {
    let text = mail.patch.as_deref().unwrap_or_default();
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let begins = |line: &&[u8]| !(line.starts_with(b"diff --git ") || line.starts_with(b"--- a/"));
    lines.skip_while(begins).take_while(|line| *line != b"-- \n").flatten().copied().collect()
}
