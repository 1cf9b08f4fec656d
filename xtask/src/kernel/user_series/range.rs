// SPDX-License-Identifier: MIT OR Apache-2.0
//! A range of commits: `REPOSITORY@BASE..TIP`, or `BASE..TIP` of the repository that `--source` names.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::super::local;
use super::files;
use super::folder::{self, Found};
use super::mail::Mail;
use super::thread::PARTS_MAX;
use crate::exit::{Exit, Fault};

/// Whatever the user's own settings say. (`-c format.noprefix=false` would set it: git 2.47 does not look at the value.)
const OPTIONS: [&str; 19] = [
    "--quiet",
    "--numbered",
    "--no-cover-letter",
    "--no-thread",
    "--no-attach",
    "--no-renames",
    "--no-relative",
    "--unified=3",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-signature",
    "--no-base",
    "--no-notes",
    "--zero-commit",
    "--subject-prefix=PATCH",
    "--suffix=.patch",
    "--src-prefix=a/",
    "--dst-prefix=b/",
];

/// Commits of a repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    repository: PathBuf,
    range: String,
}

/// Reads `given` as a range; `None` if it is a file or folder, or looks like one.
///
/// # Errors
/// [`Exit::Usage`] for a range of which nobody knows the repository, and for one with three dots.
pub(super) fn parse(given: &str, source: Option<&str>) -> Result<Option<Range>, Fault> {
    if Path::new(given).exists() || given == "-" {
        return Ok(None);
    }
    let fault = |what: &str, hint: String| {
        Fault::new(Exit::Usage, format!("--series {given}: {what}")).hint(hint)
    };
    let (repository, range) = match (split(given), source.map(|source| (source, split(source)))) {
        (Some((repository, range)), _) => (repository, range),
        (None, _) if !given.contains("..") || given.starts_with(['.', '/', '~']) => {
            let Some((folder, _)) = given.split_once('@').filter(|(_, range)| range.contains(".."))
            else {
                return Ok(None);
            };
            let hint = "the repository with the commits: REPOSITORY@BASE..TIP";
            return Err(fault(&format!("there is no folder {folder}"), hint.to_owned()));
        }
        (None, Some((_, Some((repository, _))))) => (repository, given),
        (None, Some((source, None))) if Path::new(source).is_dir() => (source, given),
        (None, _) => {
            let hint = format!("--series REPOSITORY@{given}, or name it with --source");
            return Err(fault("in which repository?", hint));
        }
    };
    if range.contains("...") {
        let hint = "two dots: BASE..TIP, the commits that are in TIP and not in BASE";
        return Err(fault("three dots name no series", hint.to_owned()));
    }
    if !range.contains("..") {
        let hint =
            format!("{repository}@BASE..{range}, or {repository}@{range}~..{range} for one commit");
        return Err(fault("it names one commit, not a range", hint));
    }
    Ok(Some(Range { repository: repository.into(), range: range.to_owned() }))
}

/// `FOLDER@REVISION`, where that folder is there.
fn split(given: &str) -> Option<(&str, &str)> {
    let ats = given.match_indices('@').map(|(at, _)| (&given[..at], &given[at + 1..]));
    ats.into_iter().find(|(folder, _)| !folder.is_empty() && Path::new(folder).is_dir())
}

impl Range {
    /// A mail for each commit, in their order.
    ///
    /// # Errors
    /// [`Exit::Usage`] with what git says; for merges, which no patch can hold; for no commits.
    pub(super) fn mails(&self) -> anyhow::Result<Found> {
        let scratch = tempfile::tempdir().context("making a folder for patches")?;
        self.export(scratch.path())?;
        let mut found = Found { in_order: true, ..Found::default() };
        for file in folder::files_in(scratch.path())? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = files::of_path(&file)?;
            let mail =
                Mail::of_commit(&bytes, &name).map_err(|why| Fault::new(Exit::Series, why))?;
            match mail.patch {
                Some(_) => found.mails.push(mail),
                None => {
                    found.notes.push(format!("a commit that changes nothing: {}", mail.subject))
                }
            }
        }
        match found.mails.is_empty() {
            true => Err(self.fault("its commits change nothing".to_owned()).into()),
            false => Ok(found),
        }
    }

    fn fault(&self, why: String) -> Fault {
        let Self { repository, range } = self;
        Fault::new(Exit::Usage, format!("--series {}@{range}: {why}", repository.display()))
    }

    fn export(&self, folder: &Path) -> anyhow::Result<()> {
        let Self { repository, range } = self;
        let fault = |why: String| self.fault(why);
        crate::host::require_program("git", "git")?;
        let count = |only: &[&str]| -> anyhow::Result<u32> {
            let mut command = local::git(repository);
            command.args(["rev-list", "--count"]).args(only).args([
                "--end-of-options",
                range,
                "--",
            ]);
            let said = local::run(command).map_err(|error| {
                fault("git does not know these commits".to_owned()).hint(format!("{error:#}"))
            })?;
            Ok(said.parse()?)
        };
        if count(&["--merges"])? > 0 {
            let hint = "rebase the branch: git would leave the merges out, and what they changed with them";
            return Err(fault("there are merges in it".to_owned()).hint(hint).into());
        }
        match count(&[])? {
            0 => return Err(fault("there are no commits in it".to_owned()).into()),
            // Their files would no longer be in the order of their names.
            number if number > PARTS_MAX => {
                return Err(fault(format!("{number} commits are too many")).into());
            }
            _ => {}
        }
        let mut command = local::git(repository);
        command.arg("format-patch").args(OPTIONS).arg("-o").arg(folder);
        command.args(["--end-of-options", range]);
        local::run(command).map_err(|error| {
            fault("git cannot write these commits as patches".to_owned()).hint(format!("{error:#}"))
        })?;
        Ok(())
    }
}
