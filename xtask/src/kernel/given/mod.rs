// SPDX-License-Identifier: MIT OR Apache-2.0
//! A series as `--series` names it -> patch files in the cache, in order.
//!
//! Contract: whatever the form (mbox, folder, maildir, range of commits), it becomes mails, and these one
//! way become the patches of [`Given`]. Everything is read and nothing written but the cache; the files
//! stand under a name made of their content.

mod mail;
mod mbox;
mod range;
#[cfg(test)]
mod tests;
mod thread;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::cache::{self, Cache};
use super::diff::Diff;
use super::digest::hex;
use super::series;
use crate::exit::{Exit, Fault};
use crate::host::process;
use mail::Mail;

/// More than this is no thread that people read.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
const MAILS_MAX: usize = 10_000;
const GUNZIP_DEADLINE: Duration = Duration::from_secs(60);
/// What files in a folder of patches are called.
const ENDINGS: [&str; 6] = ["patch", "diff", "eml", "mbx", "mbox", "txt"];

/// A series that was given.
#[derive(Debug)]
pub(crate) struct Given {
    /// Patches in the order they are applied, absolute.
    pub(crate) patches: Vec<PathBuf>,
    /// What was found and what was left out, for people.
    pub(crate) notes: Vec<String>,
}

/// Reads what `--series` names. `source` is what `--source` says: a range of commits may be of that repository.
///
/// # Errors
/// [`Exit::Usage`] if there is nothing of that name, [`Exit::Series`] if it is no whole series.
pub(crate) fn read(cache: &Cache, given: &str, source: Option<&str>) -> anyhow::Result<Given> {
    let (mails, in_order) = match range::parse(given, source)? {
        Some(range) => {
            let scratch = tempfile::tempdir().context("making a folder for patches")?;
            range.export(scratch.path())?;
            (mails_of_folder(scratch.path())?, true)
        }
        None if given == "-" => {
            let mut bytes = Vec::new();
            std::io::stdin()
                .take(BYTES_MAX + 1)
                .read_to_end(&mut bytes)
                .context("reading stdin")?;
            (mails_of(&bytes, "stdin")?, false)
        }
        None => mails_at(Path::new(given))?,
    };
    let unusable = |why: String| {
        Fault::new(Exit::Series, format!("--series {given}: {why}"))
            .hint(
                "`b4 am MESSAGE-ID` fetches a whole thread and keeps its newest version; of a folder with a `series` \
                 file that is applied which the file lists",
            )
    };
    if mails.len() > MAILS_MAX {
        return Err(unusable(format!("{} mails are too many", mails.len())).into());
    }
    let chosen = thread::series(mails, in_order).map_err(unusable)?;
    let mut named = Vec::new();
    for (at, (subject, text)) in (1..).zip(&chosen.patches) {
        let name = format!("{at:04}-{}.patch", slug(subject));
        Diff::read(text).map_err(|why| {
            // The file that the line is counted in is not there yet.
            let why = why.split_once(": ").map_or(why.as_str(), |(_, why)| why);
            unusable(format!("{name}: {why}"))
        })?;
        named.push((name, text.as_slice()));
    }
    let patches = keep(cache, &named)?;
    Ok(Given { patches, notes: chosen.notes })
}

/// Writes files of a series into a folder named after what is in them.
///
/// # Errors
/// I/O errors, with the path.
pub(crate) fn keep(cache: &Cache, named: &[(String, &[u8])]) -> anyhow::Result<Vec<PathBuf>> {
    let mut hash = Sha256::new();
    for (name, text) in named {
        hash.update(format!("{name} {}\n", text.len()));
        hash.update(text);
    }
    let folder = cache.series().join(&hex(&hash.finalize())[..12]);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let mut patches = Vec::new();
    for (name, text) in named {
        let path = folder.join(name);
        cache::write_whole(&path, text)?;
        patches.push(path);
    }
    Ok(patches)
}

/// The mails of a file, a maildir, or a folder of patches, and whether their order means something.
fn mails_at(path: &Path) -> anyhow::Result<(Vec<Mail>, bool)> {
    let Ok(stat) = fs::metadata(path) else {
        let what = format!("--series {}: there is no such file or folder", path.display());
        let hint =
            "say an mbox or a patch, a folder of patches, a maildir, or REPOSITORY@BASE..TIP";
        return Err(Fault::new(Exit::Usage, what).hint(hint).into());
    };
    if !stat.is_dir() {
        return Ok((mails_of(&bytes_of(path)?, &path.display().to_string())?, false));
    }
    if path.join("cur").is_dir() || path.join("new").is_dir() {
        let mut mails = Vec::new();
        for room in ["cur", "new"].map(|room| path.join(room)).iter().filter(|room| room.is_dir()) {
            for file in files_in(room, &|_| true)? {
                mails.extend(mails_of(&bytes_of(&file)?, &file.display().to_string())?);
            }
        }
        return Ok((mails, false));
    }
    if path.join("series").is_file() {
        return Ok((listed(path)?, true));
    }
    Ok((mails_of_folder(path)?, true))
}

/// The patches that a `series` file lists, as they are listed: its order is the author's word.
fn listed(folder: &Path) -> anyhow::Result<Vec<Mail>> {
    let list = folder.join("series");
    let fault = |why: String| Fault::new(Exit::Series, format!("{}: {why}", list.display()));
    let text = bytes_of(&list)?;
    let names = series::parse_list(&String::from_utf8_lossy(&text)).map_err(fault)?;
    let mut patches = Vec::new();
    for name in names {
        let path = folder.join(&name);
        let mails = mails_of(&bytes_of(&path)?, &path.display().to_string())?;
        let mut found = mails.into_iter().filter(|mail| mail.patch.is_some());
        let (Some(mut patch), None) = (found.next(), found.next()) else {
            return Err(fault(format!("{} is not one patch", name.display())).into());
        };
        // Whatever its subject says: it is applied where it is listed.
        patch.tag = mail::Tag { version: 1, part: None };
        patch.reply = false;
        patches.push(patch);
    }
    Ok(patches)
}

fn mails_of_folder(folder: &Path) -> anyhow::Result<Vec<Mail>> {
    let is_patch = |path: &Path| {
        path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
    };
    let files = files_in(folder, &is_patch)?;
    if files.is_empty() {
        let is_repository = folder.join(".git").exists();
        let what = format!("--series {}: no patch is in this folder", folder.display());
        return Err(Fault::new(Exit::Usage, what)
            .hint(match is_repository {
                true => format!("say which commits: --series {}@BASE..TIP", folder.display()),
                false => "patches are files as `git format-patch` writes them: *.patch".to_owned(),
            })
            .into());
    }
    let mut mails = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let found = mail::read(&bytes_of(&file)?, &name);
        // Notes lie beside patches.
        let optional = file.extension().is_some_and(|ending| ending == "txt");
        match found {
            Err(_) if optional => {}
            found => mails.extend(found.map_err(|why| no_mail(&file.display().to_string(), &why))?),
        }
    }
    Ok(mails)
}

/// In the order of their names.
fn files_in(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() && wanted(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn mails_of(bytes: &[u8], place: &str) -> Result<Vec<Mail>, Fault> {
    if bytes.len() as u64 > BYTES_MAX {
        return Err(no_mail(place, "it is too large"));
    }
    mail::read(bytes, place).map_err(|why| no_mail(place, &why))
}

fn no_mail(place: &str, why: &str) -> Fault {
    Fault::new(Exit::Series, format!("{place}: {why}"))
        .hint("a series is an mbox, patches as `git format-patch` writes them, or a maildir")
}

/// A file's bytes; what lore.kernel.org gives out is compressed.
fn bytes_of(path: &Path) -> anyhow::Result<Vec<u8>> {
    let fault = |why: String| Fault::new(Exit::Series, format!("{}: {why}", path.display()));
    let bytes = fs::metadata(path).map_err(|error| fault(error.to_string()))?.len();
    if bytes > BYTES_MAX {
        return Err(fault(format!("{bytes} bytes are no series")).into());
    }
    let bytes = fs::read(path).map_err(|error| fault(error.to_string()))?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut command = Command::new("sh");
    let scratch = tempfile::NamedTempFile::new().context("making a file to unpack into")?;
    command.args(["-c", "gzip -dc < \"$1\" | head -c \"$3\" > \"$2\"", "sh"]).arg(path);
    command.arg(scratch.path()).arg(BYTES_MAX.to_string());
    let output = process::capture(command, GUNZIP_DEADLINE)?;
    if !output.text.is_empty() {
        return Err(fault(output.text.trim().to_owned()).into());
    }
    Ok(fs::read(scratch.path())?)
}

/// A subject as a file name, without its brackets.
fn slug(subject: &str) -> String {
    const LENGTH_MAX: usize = 52;
    let mut rest = subject.trim_start();
    while let Some((_, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        rest = after.trim_start();
    }
    let fit = |c: char| if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' };
    let words: String = rest.chars().map(fit).collect();
    let words: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).collect();
    let mut name = words.join("-");
    name.truncate(LENGTH_MAX);
    match name.trim_matches(['.', '-']) {
        "" => "patch".to_owned(),
        name => name.to_owned(),
    }
}
