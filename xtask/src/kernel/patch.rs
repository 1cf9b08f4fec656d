// SPDX-License-Identifier: MIT OR Apache-2.0
//! Applies a series with `patch`.
//!
//! Contract: `patch` works on copies in a scratch folder. Either every patch applies and gives a
//! whole [`Overlay`], or there is none: a work tree never gets half a series.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::diff::Hunk;
use super::landing::{self, Landing};
use super::overlay::{Content, Landed, Overlay, Patched, Said, Stays, read_said};
use super::pristine;
use super::series::{Patch, Series};
use crate::exit::{self, Exit, Fault};
use crate::host::process;
use crate::symbols::{Change, Placed};

const PATCH_DEADLINE: Duration = Duration::from_secs(60);
/// Most lines of a reject in a message.
const REJECT_LINES: usize = 40;

/// Applies a series to the files of `pristine`, which is only read. `fuzz`: a hunk may need fuzz,
/// or go into another function than its heading names.
///
/// # Errors
/// [`Exit::Series`] with patch, file, hunk and reject.
pub(crate) fn apply(series: &Series, pristine: &Path, fuzz: bool) -> anyhow::Result<Overlay> {
    let scratch = tempfile::tempdir().context("making a scratch folder for the series")?;
    let mut overlay = Overlay::default();
    for patch in &series.patches {
        for path in &patch.touches {
            if !overlay.files.contains_key(path) {
                copy_in(pristine, scratch.path(), path)?;
                overlay.files.insert(path.clone(), None);
            }
        }
        apply_one(patch, scratch.path(), &mut overlay).map_err(|error| meant_for(error, series))?;
        if !fuzz {
            refuse(&overlay.doubtful).map_err(|error| meant_for(error, series))?;
        }
    }
    for (path, content) in &mut overlay.files {
        let file = scratch.path().join(path);
        if let Ok(stat) = file.symlink_metadata() {
            if !stat.is_file() {
                let text = format!("the series makes {} a link: not supported", path.display());
                return Err(Fault::new(Exit::Series, text).into());
            }
            let executable = fs::metadata(&file)?.permissions().mode() & 0o100 != 0;
            *content = Some(Content { bytes: pristine::read(&file)?, executable });
        }
    }
    nothing_else(scratch.path(), scratch.path(), &overlay)?;
    Ok(overlay)
}

/// Checks that `patch` wrote to no other files than those that the patches name.
fn nothing_else(scratch: &Path, folder: &Path, overlay: &Overlay) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.strip_prefix(scratch).unwrap_or(&path);
        if path.is_dir() && !path.is_symlink() {
            nothing_else(scratch, &path, overlay)?;
        } else if !overlay.files.contains_key(name) {
            let text = format!("`patch` wrote {}, which no patch names", name.display());
            return Err(Fault::new(Exit::Series, text).into());
        }
    }
    Ok(())
}

fn copy_in(pristine: &Path, scratch: &Path, path: &Path) -> anyhow::Result<()> {
    let (from, to) = (pristine.join(path), scratch.join(path));
    let Ok(found) = from.symlink_metadata() else { return Ok(()) };
    if !found.is_file() {
        let text = format!("{} is no regular file: a patch cannot change it", path.display());
        return Err(Fault::new(Exit::Series, text).into());
    }
    fs::create_dir_all(to.parent().unwrap_or(scratch))?;
    fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
    // The copy is read-only, like the pristine file.
    fs::set_permissions(&to, fs::Permissions::from_mode(found.permissions().mode() | 0o200))?;
    Ok(())
}

/// Refuses a series with hunks that may not be where they are meant to be.
///
/// # Errors
/// [`Exit::Series`] with patch, file, hunk and both functions.
pub(crate) fn refuse(doubtful: &[String]) -> anyhow::Result<()> {
    if doubtful.is_empty() {
        return Ok(());
    }
    let what = format!("not applied, the place is in doubt:\n  {}", doubtful.join("\n  "));
    let hint = "rebase the series on this base, or name its tree with --source; \
                with --series, --fuzz takes it as it is, and every report says so";
    Err(Fault::new(Exit::Series, what).hint(hint).into())
}

/// Applies one patch. Adds what it notes, what is doubtful about it, and the lines that it wrote.
fn apply_one(patch: &Patch, scratch: &Path, overlay: &mut Overlay) -> anyhow::Result<()> {
    let read = |path: &PathBuf| {
        let bytes = pristine::read(&scratch.join(path)).ok()?;
        Some((path.clone(), String::from_utf8_lossy(&bytes).into_owned()))
    };
    let before: BTreeMap<PathBuf, String> = patch.touches.iter().filter_map(read).collect();
    // Only the diff: in a mail, `patch` would also find diffs that are not meant to be applied.
    let diff = tempfile::NamedTempFile::new().context("making a file for a diff")?;
    fs::write(diff.path(), &patch.diff).context("writing a diff")?;
    let mut command = Command::new("patch");
    // --unified: never an ed script. --forward: an applied patch is refused, not reversed.
    command.args(["-p1", "--unified", "--forward", "--batch", "--no-backup-if-mismatch"]);
    command.arg("--reject-format=unified");
    command.arg("-d").arg(scratch).arg("-i").arg(diff.path()).env("LC_ALL", "C");
    let output = process::capture(command, PATCH_DEADLINE)?;
    let said = read_said(&output.text);
    if output.status.success() && said.failed.is_empty() {
        return judge(patch, &said, &before, overlay);
    }
    if let Some(fault) = of_the_host(&patch.name, &output.text) {
        return Err(fault.into());
    }
    let mut text = format!("{} does not apply", patch.name);
    for failure in &said.failed {
        text.push_str(&format!("\n  {failure}"));
    }
    if said.failed.is_empty() {
        text.push_str(&format!("\n{}", output.text.trim_end()));
    }
    for path in &patch.touches {
        let reject = PathBuf::from(format!("{}.rej", scratch.join(path).display()));
        if let Ok(reject) = pristine::read(&reject) {
            let reject = String::from_utf8_lossy(&reject);
            let lines: Vec<&str> = reject.lines().take(REJECT_LINES).collect();
            text.push_str(&format!("\nreject of {}:\n{}", path.display(), lines.join("\n")));
        }
    }
    let hint = "nothing was built; rebase the series on this base, or name its tree with --source";
    Err(Fault::new(Exit::Series, text).hint(hint).into())
}

/// Adds to the overlay where the hunks went, and whether that is right.
///
/// # Errors
/// [`Exit::Series`] if `patch` does not say of each hunk where it went.
fn judge(
    patch: &Patch,
    said: &Said,
    before: &BTreeMap<PathBuf, String>,
    overlay: &mut Overlay,
) -> anyhow::Result<()> {
    let places = places(patch, said)?;
    let named = |text: String| format!("{}: {text}", patch.name);
    for (at, (hunk, place)) in patch.hunks.iter().zip(&places).enumerate() {
        let Patched { file, from } = &said.files[hunk.section];
        let old = from.as_ref().map_or(file, |(old, _)| old);
        // A second diff of a file in one patch applies to what the first one made.
        let again = |other: &Hunk| {
            other.section < hunk.section && said.files[other.section].file == *old && from.is_none()
        };
        let again = patch.hunks[..at].iter().any(again);
        let before = before.get(Path::new(old)).filter(|_| !again);
        match landing::judge(hunk, place, before.map(String::as_str)) {
            Landing::Right(note) => overlay.notes.extend(note.map(named)),
            Landing::Doubtful(why) => overlay.doubtful.push(named(why)),
        }
    }
    let changes = said.files.iter().enumerate().map(|(section, Patched { file, from })| {
        let own = patch.hunks.iter().zip(&places).filter(|(hunk, _)| hunk.section == section);
        let placed = own.map(|(hunk, place)| Placed {
            old_line: hunk.old_line.saturating_add_signed(place.offset),
            lines: &hunk.lines,
        });
        let from = from.as_ref().map(|(old, stays)| (old.as_str(), *stays == Stays::Yes));
        Change { file, from, hunks: placed.collect() }
    });
    let name = patch.name.rsplit('/').next().unwrap_or_default();
    overlay.touched.apply(name, &changes.collect::<Vec<_>>());
    Ok(())
}

/// Where each hunk went: `patch` says it only of those that did not go exactly where they say.
fn places(patch: &Patch, said: &Said) -> anyhow::Result<Vec<Landed>> {
    let mut landed: BTreeMap<_, &Landed> =
        said.landed.iter().map(|landed| ((landed.section, landed.number), landed)).collect();
    let exact = |hunk: &Hunk| Landed { line: hunk.old_line.to_string(), ..Landed::default() };
    let place = |hunk: &Hunk| {
        landed.remove(&(hunk.section, hunk.number)).cloned().unwrap_or_else(|| exact(hunk))
    };
    let places = patch.hunks.iter().map(place).collect();
    if said.files.len() == patch.sections && landed.is_empty() {
        return Ok(places);
    }
    let (wrote, about) = (said.files.len(), patch.sections);
    let what = format!(
        "{}: `patch` does not say where each hunk went: it names {wrote} files, the diff is about \
         {about}",
        patch.name
    );
    Err(Fault::new(Exit::Series, what).hint("write the series with `git format-patch`").into())
}

/// Adds what the series says that it is made for.
fn meant_for(error: anyhow::Error, series: &Series) -> anyhow::Error {
    let (Some(fault), basis) = (exit::fault_of(&error), series.basis()) else { return error };
    if fault.exit != Exit::Series || basis.is_empty() {
        return error;
    }
    let what = format!("{}\nthe series says what it is for:\n  {}", fault.what, basis.join("\n  "));
    Fault::new(Exit::Series, what).hint(fault.hint.clone()).into()
}

/// The fault if the disk was full, which says nothing about the patch.
fn of_the_host(patch: &str, said: &str) -> Option<Fault> {
    said.contains("No space left on device").then(|| {
        Fault::new(Exit::Host, format!("the disk is full: applying {patch} stopped"))
            .hint(exit::FULL_DISK)
    })
}
