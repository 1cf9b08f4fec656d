// SPDX-License-Identifier: MIT OR Apache-2.0
//! A path -> its mails: a file, a maildir, a folder of patches with or without a list.
//!
//! Contract: a file among patches is read, or is an error, or is reported as left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::super::series;
use super::files;
use super::mail::{self, Mail};
use crate::exit::{Exit, Fault};
use crate::host::file::{self, Links};

/// More than this is no list of patches.
const LIST_BYTES_MAX: u64 = 1 << 20;

/// Endings of files in a folder of patches, also in front of one in [`PACKED`].
const ENDINGS: [&str; 6] = ["patch", "diff", "eml", "mbx", "mbox", "txt"];
const PACKED: [&str; 4] = ["gz", "xz", "zst", "bz2"];

/// The mails of one place.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) mails: Vec<Mail>,
    /// Whether patches without numbers are in order.
    pub(super) in_order: bool,
    /// What was left out, for messages.
    pub(super) notes: Vec<String>,
}

/// The mails of a file, a maildir, or a folder of patches.
pub(super) fn mails_at(path: &Path) -> anyhow::Result<Found> {
    let Ok(stat) = fs::metadata(path) else {
        let hint = "give an mbox or a patch, a folder of patches, a maildir, REPOSITORY@BASE..TIP, or a \
             message-id";
        return Err(unusable(path, "no such file or folder").hint(hint).into());
    };
    if !stat.is_dir() && !stat.is_file() {
        return Err(unusable(path, "not a regular file").into());
    }
    if stat.is_file() {
        return Ok(mailbox(mails_of_file(path)?));
    }
    // A folder of patches may have one called `new`.
    if path.join("cur").is_dir() && path.join("new").is_dir() {
        let mut mails = Vec::new();
        for room in ["cur", "new"] {
            for file in files_in(&path.join(room))? {
                mails.extend(mails_of_file(&file)?);
            }
        }
        return match mails.is_empty() {
            true => Err(unusable(path, "this maildir has no mail").into()),
            false => Ok(Found { mails, ..Found::default() }),
        };
    }
    if path.join("series").is_file() {
        return Ok(Found { mails: listed(path)?, in_order: true, ..Found::default() });
    }
    unlisted(path)
}

/// One file or stream: a mailbox, or the output of `git format-patch --stdout`.
pub(super) fn mailbox(mut mails: Vec<Mail>) -> Found {
    let is_written = mails.iter().all(|mail| !mail.sent && mail.tag.part.is_none());
    if is_written && !has_versions(&mails) {
        mails.iter_mut().for_each(Mail::apply_as_it_stands);
    }
    Found { mails, ..Found::default() }
}

/// All mails of a file.
pub(super) fn mails_of(bytes: &[u8], place: &str) -> Result<Vec<Mail>, Fault> {
    mail::read(bytes, place).map_err(|why| {
        Fault::new(Exit::Series, format!("{place}: {why}"))
            .hint("a series is an mbox, a maildir, or the output of `git format-patch`")
    })
}

fn mails_of_file(path: &Path) -> anyhow::Result<Vec<Mail>> {
    Ok(mails_of(&files::of_path(path)?, &path.display().to_string())?)
}

fn unusable(path: &Path, why: &str) -> Fault {
    Fault::new(Exit::Usage, format!("--series {}: {why}", path.display()))
}

/// The patches that a `series` file lists, in that order.
fn listed(folder: &Path) -> anyhow::Result<Vec<Mail>> {
    let list = folder.join("series");
    let fault = |why: String| Fault::new(Exit::Series, format!("{}: {why}", list.display()));
    let text = file::read(&list, Links::Followed, LIST_BYTES_MAX)
        .map_err(|error| fault(error.to_string()))?;
    let names = series::parse_list(&String::from_utf8_lossy(&text)).map_err(fault)?;
    if names.is_empty() {
        return Err(unusable(&list, "it lists no patch").into());
    }
    let mut patches = Vec::new();
    for name in names {
        let mails = mails_of_file(&folder.join(&name))?;
        let mut found = mails.into_iter().filter(|mail| mail.patch.is_some());
        let (Some(mut patch), None) = (found.next(), found.next()) else {
            return Err(fault(format!("{} is not one patch", name.display())).into());
        };
        patch.apply_as_it_stands();
        patches.push(patch);
    }
    Ok(patches)
}

/// The patches of a folder without a list.
fn unlisted(folder: &Path) -> anyhow::Result<Found> {
    let (mut mails, mut others) = (Vec::new(), Vec::new());
    let mut one_a_file = true;
    for file in files_in(folder)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(ending) = ending(&name) else {
            others.push(name);
            continue;
        };
        let bytes = files::of_path(&file);
        let found = bytes.and_then(|bytes| Ok(mails_of(&bytes, &file.display().to_string())?));
        // A text file may be a note.
        match found {
            Err(_) if ending == "txt" => others.push(name),
            found => {
                let found = found?;
                one_a_file &= found.iter().filter(|mail| mail.patch.is_some()).count() <= 1;
                mails.extend(found);
            }
        }
    }
    if mails.is_empty() {
        let hint = match folder.join(".git").exists() {
            true => format!("name the commits: --series {}@BASE..TIP", folder.display()),
            false => "patches are the *.patch files that `git format-patch` writes".to_owned(),
        };
        return Err(unusable(folder, "this folder has no patch").hint(hint).into());
    }
    if one_a_file && stands_in_order(&mails) {
        for mail in mails.iter_mut().filter(|mail| !(mail.reply && mail.sent)) {
            mail.apply_as_it_stands();
        }
    }
    let notes = match others.is_empty() {
        true => vec![],
        false => vec![format!("left out, not named like patches: {}", others.join(", "))],
    };
    Ok(Found { mails, in_order: one_a_file, notes })
}

/// The ending of a patch's name, without that of a compression.
fn ending(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let packed = name.rsplit_once('.').filter(|(_, ending)| PACKED.contains(ending));
    let bare = packed.map_or(name.as_str(), |(bare, _)| bare);
    let (_, ending) = bare.rsplit_once('.')?;
    ENDINGS.into_iter().find(|known| ending == *known)
}

/// Whether file names give the order, and brackets in subjects belong to the commits: no subject
/// has a part number, and no patch is an older version of another.
fn stands_in_order(mails: &[Mail]) -> bool {
    let patches: Vec<&Mail> = mails.iter().filter(|mail| mail.patch.is_some()).collect();
    if patches.iter().any(|mail| mail.tag.part.is_some()) {
        return false;
    }
    let mut numbers = BTreeSet::new();
    for mail in &patches {
        let name = Path::new(&mail.of).file_name().unwrap_or_default().to_string_lossy();
        // `0001-` of `git format-patch`, and `v2-0001-` of `git format-patch -v2`.
        let rest = name.strip_prefix('v').unwrap_or(&name);
        let title = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
        let number = &rest[..rest.len() - title.len()];
        if rest.len() < name.len() && !number.is_empty() {
            return false;
        }
        numbers.insert(number.to_owned());
    }
    let all_numbered = numbers.len() == patches.len() && !numbers.contains("");
    all_numbered || !has_versions(mails)
}

/// Whether a patch is an older version of another one.
fn has_versions(mails: &[Mail]) -> bool {
    let mut known: BTreeMap<&str, u32> = BTreeMap::new();
    mails.iter().filter(|mail| mail.patch.is_some()).any(|mail| {
        let (subject, version) = (mail::without_tags(&mail.subject), mail.tag.version());
        *known.entry(subject).or_insert(version) != version
    })
}

/// Everything but folders and hidden files, by name. Dangling links too: reading one reports it.
pub(super) fn files_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
        if !path.is_dir() && !is_hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
