// SPDX-License-Identifier: MIT OR Apache-2.0
//! Applies a series with `patch`.
//!
//! Contract: `patch` works on copies in a scratch folder. Either every patch applies and gives a
//! whole [`Overlay`], or there is none: a work tree never gets half a series.

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

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        }
        dir
    }

    fn series(texts: &[&str]) -> (tempfile::TempDir, Series) {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<PathBuf> =
            (1..=texts.len()).map(|n| PathBuf::from(format!("000{n}.patch"))).collect();
        for (name, text) in names.iter().zip(texts) {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let series = Series::read(dir.path(), None, &names).unwrap();
        (dir, series)
    }

    const NUMBERS: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    const CHANGE: &str = "--- a/mm/n\n+++ b/mm/n\n@@ -4,3 +4,3 @@\n 4\n-5\n+five\n 6\n";

    #[test]
    fn a_full_disk_is_no_fault_of_the_patch() {
        let said = "patching file mm/n\npatch: **** write error : No space left on device\n";
        assert_eq!(of_the_host("0001.patch", said).unwrap().exit, Exit::Host);
        assert!(of_the_host("0001.patch", "Hunk #1 FAILED at 4.\n").is_none());
    }

    #[test]
    fn patches_build_on_each_other_and_the_pristine_tree_stays() {
        let pristine = tree(&[("mm/n", NUMBERS), ("gone", "x\n")]);
        let (_dir, series) = series(&[
            CHANGE,
            "--- a/mm/n\n+++ b/mm/n\n@@ -5 +5 @@\n-five\n+V\n",
            "diff --git a/gone b/gone\ndeleted file mode 100644\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\
             diff --git a/s.sh b/s.sh\nnew file mode 100755\n--- /dev/null\n+++ b/s.sh\n@@ -0,0 +1 @@\n+#!/bin/sh\n",
        ]);
        let overlay = apply(&series, pristine.path(), false).unwrap();
        let text = |name: &str| {
            overlay.files[Path::new(name)]
                .as_ref()
                .map(|c| String::from_utf8_lossy(&c.bytes).into_owned())
        };
        assert_eq!(text("mm/n").unwrap(), NUMBERS.replace('5', "V"));
        assert_eq!(text("gone"), None);
        assert!(overlay.files[Path::new("s.sh")].as_ref().unwrap().executable);
        assert!(!overlay.files[Path::new("mm/n")].as_ref().unwrap().executable);
        assert_eq!(fs::read_to_string(pristine.path().join("mm/n")).unwrap(), NUMBERS);
        assert_eq!(overlay.notes, [""; 0]);
    }

    #[test]
    fn a_hunk_that_fails_names_patch_file_and_hunk_and_shows_the_reject() {
        let pristine = tree(&[("mm/n", &NUMBERS.replace('5', "other"))]);
        let (_dir, series) = series(&[CHANGE]);
        let error = apply(&series, pristine.path(), false).unwrap_err();
        let fault = crate::exit::fault_of(&error).unwrap();
        assert_eq!(fault.exit, Exit::Series);
        for part in [
            "0001.patch does not apply",
            "mm/n: hunk 1 fails (at line 4)",
            "reject of mm/n",
            "+five",
        ] {
            assert!(fault.what.contains(part), "{part} is missing in: {}", fault.what);
        }
        assert!(!fault.hint.is_empty());
    }

    #[test]
    fn an_example_in_a_message_is_not_applied() {
        let pristine = tree(&[("mm/n", NUMBERS), ("mm/o", NUMBERS)]);
        let example = CHANGE.replace("five", "V").replace("mm/n", "mm/o");
        let example: String = example.lines().map(|line| format!("  {line}\n")).collect();
        let before = format!("Subject: x\n\n{example}\n---\n{CHANGE}");
        let below =
            format!("Subject: x\n\n---\n{CHANGE}\nInterdiff against v1:\n{example}-- \n2.47\n");
        for text in [&before, &below, &below.replace("mm/o", "mm/n")] {
            let (_dir, series) = series(&[text]);
            let overlay = apply(&series, pristine.path(), false).unwrap();
            let files: Vec<_> = overlay.files.keys().collect();
            assert_eq!(files, [Path::new("mm/n")]);
            let content = overlay.files[Path::new("mm/n")].as_ref().unwrap();
            assert_eq!(String::from_utf8_lossy(&content.bytes), NUMBERS.replace('5', "five"));
        }
    }

    #[test]
    fn patch_names_lines_as_they_stand_in_the_file() {
        let pristine = tree(&[("mm/other", NUMBERS)]);
        let (_dir, series) = series(&[&format!("Subject: x\n\nWhy.\n---\n{CHANGE}")]);
        let error = apply(&series, pristine.path(), false).unwrap_err().to_string();
        assert!(error.contains("can't find file to patch at input line 7"), "{error}");
    }

    #[test]
    fn an_offset_is_a_note_and_fuzz_is_refused_unless_asked_for() {
        let pristine = tree(&[("mm/n", &format!("0\n0\n{NUMBERS}"))]);
        let (_dir, moved) = series(&[CHANGE]);
        let overlay = apply(&moved, pristine.path(), false).unwrap();
        assert_eq!(overlay.notes, ["0001.patch: mm/n: hunk 1 applied at line 6 (offset 2 lines)"]);
        let who: Vec<Option<&str>> =
            (6..9).map(|line| overlay.touched.patch("mm/n", line)).collect();
        assert_eq!(who, [None, Some("0001.patch"), None], "the line `five`");
        let pristine = tree(&[("mm/n", &NUMBERS.replace('3', "three"))]);
        let (_dir, fuzzy) =
            series(&["--- a/mm/n\n+++ b/mm/n\n@@ -3,5 +3,5 @@\n 3\n 4\n-5\n+five\n 6\n 7\n"]);
        let overlay = apply(&fuzzy, pristine.path(), true).unwrap();
        let said = "0001.patch: mm/n: hunk 1 applies only with fuzz 1, at line 3";
        assert_eq!(overlay.doubtful, [said]);
        let error = apply(&fuzzy, pristine.path(), false).unwrap_err();
        let fault = exit::fault_of(&error).unwrap();
        assert_eq!(fault.exit, Exit::Series);
        assert!(fault.what.contains(said) && fault.hint.contains("--fuzz"), "{fault:?}");
    }

    /// `patch` decides which of two names it means, and says so.
    #[test]
    fn a_hunk_is_found_again_whatever_its_file_is_called() {
        let pristine = tree(&[("mm/n", &format!("0\n0\n{NUMBERS}")), ("mm/o", NUMBERS)]);
        let names = CHANGE.replace("--- a/mm/n", "--- a/mm/n.orig");
        let (_dir, other) = series(&[&names]);
        let overlay = apply(&other, pristine.path(), false).unwrap();
        assert_eq!(overlay.notes, ["0001.patch: mm/n: hunk 1 applied at line 6 (offset 2 lines)"]);
        assert_eq!(overlay.touched.patch("mm/n", 7), Some("0001.patch"));
        // A mode, a rename without and one with a hunk, in one patch.
        let (_dir, mixed) = series(&[
            CHANGE,
            "diff --git a/mm/o b/mm/o\nold mode 100644\nnew mode 100755\n\
             diff --git a/mm/n b/mm/m\nsimilarity index 90%\nrename from mm/n\nrename to mm/m\n\
             --- a/mm/n\n+++ b/mm/m\n@@ -9,3 +9,3 @@\n 7\n-8\n+eight\n 9\n",
            "diff --git a/mm/m b/mm/l\nsimilarity index 100%\nrename from mm/m\nrename to mm/l\n",
        ]);
        let overlay = apply(&mixed, pristine.path(), false).unwrap();
        let of = |line| overlay.touched.patch("mm/l", line);
        assert_eq!([of(7), of(10)], [Some("0001.patch"), Some("0002.patch")]);
        assert_eq!(overlay.touched.patch("mm/n", 7), None);
    }

    /// `patch` quotes a name that a shell would not take as one word.
    #[test]
    fn a_hunk_is_found_again_in_a_file_with_a_blank_in_its_name() {
        for name in ["mm/a b", "mm/c (renamed from x)", "mm/d'e"] {
            let pristine = tree(&[(name, &format!("0\n0\n{NUMBERS}"))]);
            let (_dir, series) = series(&[&format!(
                "--- a/{name}\t\n+++ b/{name}\t\n@@ -4,3 +4,3 @@\n 4\n-5\n+five\n 6\n"
            )]);
            let overlay = apply(&series, pristine.path(), false).unwrap();
            let said = format!("0001.patch: {name}: hunk 1 applied at line 6 (offset 2 lines)");
            assert_eq!(overlay.notes, [said]);
            assert_eq!(overlay.touched.patch(name, 7), Some("0001.patch"));
        }
    }

    #[test]
    fn a_hunk_of_which_patch_says_nothing_is_refused() {
        let (_dir, series) = series(&[CHANGE]);
        let patch = &series.patches[0];
        let file = Patched { file: "mm/n".to_owned(), from: None };
        let said = Said { files: vec![file.clone()], ..Said::default() };
        assert_eq!(places(patch, &said).unwrap().len(), 1);
        let twice = Said { files: vec![file.clone(), file.clone()], ..Said::default() };
        let landed = vec![Landed { section: 0, number: 2, ..Landed::default() }];
        let another = Said { files: vec![file], landed, ..Said::default() };
        for said in [Said::default(), twice, another] {
            let error = places(patch, &said).unwrap_err().to_string();
            assert!(error.contains("does not say where each hunk went"), "{error}");
        }
    }

    #[test]
    fn an_applied_patch_is_refused_not_reversed() {
        let pristine = tree(&[("mm/n", &NUMBERS.replace('5', "five"))]);
        let (_dir, series) = series(&[CHANGE]);
        let error = apply(&series, pristine.path(), false).unwrap_err().to_string();
        assert!(error.contains("mm/n: is already applied"), "{error}");
    }

    #[test]
    fn a_file_that_is_missing_or_exists_already_is_named() {
        let pristine = tree(&[("new", "here\n")]);
        let (_dir, missing) = series(&[CHANGE]);
        assert!(
            apply(&missing, pristine.path(), false)
                .unwrap_err()
                .to_string()
                .contains("does not apply")
        );
        let (_dir, exists) = series(&[
            "diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+hi\n",
        ]);
        let error = apply(&exists, pristine.path(), false).unwrap_err().to_string();
        assert!(error.contains("file new"), "{error}");
    }
}
