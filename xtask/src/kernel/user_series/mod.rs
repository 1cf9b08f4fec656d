// SPDX-License-Identifier: MIT OR Apache-2.0
//! A series as `--series` names it -> patch files in the cache, in order.
//!
//! Contract: every form (mbox, folder, maildir, range of commits, message-id) becomes mails, and
//! the mails become [`UserPatches`]. Only the cache is written; the files are in a folder named
//! after their content.

mod branch;
mod files;
mod folder;
mod mail;
mod mbox;
mod message;
mod range;
#[cfg(test)]
mod tests;
mod thread;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::cache::Cache;
use super::diff::Diff;
use crate::exit::{Exit, Fault};
use crate::host::digest::hex;
use crate::host::file::write_whole;

pub(crate) use branch::Branch;

const MAILS_MAX: usize = 10_000;

/// The patches of the user's series.
#[derive(Debug)]
pub(crate) struct UserPatches {
    /// Patches in the order they are applied, absolute.
    pub(crate) patches: Vec<PathBuf>,
    /// What was found and what was left out, for messages.
    pub(crate) notes: Vec<String>,
}

/// Reads what `--series` names. `source` is the value of `--source`: a range of commits may be in
/// that repository.
///
/// # Errors
/// [`Exit::Usage`] if it does not exist, [`Exit::Series`] if it is no complete series.
pub(crate) fn read(
    cache: &Cache,
    given: &str,
    source: Option<&str>,
) -> anyhow::Result<UserPatches> {
    let found = match range::parse(given, source)? {
        Some(range) => range.mails(cache)?,
        None if given == "-" => folder::mailbox(folder::mails_of(&files::of_stdin()?, "stdin")?),
        None => match message::parse(given) {
            Some(id) => message::mails(id)?,
            None => folder::mails_at(Path::new(given))?,
        },
    };
    let unusable = |why: String| Fault::new(Exit::Series, format!("--series {given}: {why}"));
    if found.mails.len() > MAILS_MAX {
        return Err(unusable(format!("{} mails are too many", found.mails.len())).into());
    }
    let chosen = thread::series(found.mails, found.in_order).map_err(|why| {
        unusable(why).hint(
            "`b4 am MESSAGE-ID` fetches the newest version of a thread; in a folder, a `series` file \
             lists the patches to apply",
        )
    })?;
    let mut named = Vec::new();
    for (at, (title, text)) in (1..).zip(&chosen.patches) {
        let name = format!("{at:04}-{}.patch", slug(title));
        let fault = |why: &str| {
            unusable(format!("{name}: {why}")).hint("make the patch again with `git format-patch`")
        };
        // Without the line number: the file that it belongs to does not exist yet.
        let diff = Diff::read(text)
            .map_err(|why| fault(why.split_once(": ").map_or(why.as_str(), |(_, why)| why)))?;
        diff.short_of_its_stat(text).map_err(|why| fault(&why))?;
        named.push((name, text.as_slice()));
    }
    let notes = found.notes.into_iter().chain(chosen.notes.iter().cloned()).collect();
    let patches = keep(cache, &named)?;
    Ok(UserPatches { patches, notes })
}

/// Writes the files of a series into a folder named after their content.
///
/// # Errors
/// I/O errors, with the path.
pub(crate) fn keep(cache: &Cache, named: &[(String, &[u8])]) -> anyhow::Result<Vec<PathBuf>> {
    let mut hash = Sha256::new();
    for (name, text) in named {
        hash.update(format!("{name} {}\n", text.len()));
        hash.update(text);
    }
    let folder = cache.series.join(&hex(&hash.finalize())[..12]);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let mut patches = Vec::new();
    for (name, text) in named {
        let path = folder.join(name);
        write_whole(&path, text)?;
        patches.push(path);
    }
    Ok(patches)
}

/// A subject without its brackets, as a file name.
fn slug(subject: &str) -> String {
    const LENGTH_MAX: usize = 52;
    let fit = |c: char| if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' };
    let words: String = mail::without_tags(subject).chars().map(fit).collect();
    let words: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).collect();
    let mut name = words.join("-");
    name.truncate(LENGTH_MAX);
    match name.trim_matches(['.', '-']) {
        "" => "patch".to_owned(),
        name => name.to_owned(),
    }
}
