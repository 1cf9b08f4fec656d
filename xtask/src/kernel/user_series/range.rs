// SPDX-License-Identifier: MIT OR Apache-2.0
//! A range of commits: `REPOSITORY@BASE..TIP`, or `BASE..TIP` of the repository that `--source`
//! names. Without TIP, HEAD and what is not committed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::super::cache::Cache;
use super::super::local::{self, Uncommitted};
use super::files;
use super::folder::{self, Found};
use super::mail::Mail;
use super::thread::PARTS_MAX;
use crate::exit::{Exit, Fault};

/// These override the user's settings. (`-c format.noprefix=false` would not: git 2.47 ignores its
/// value.)
const OPTIONS: &str = "--quiet --numbered --no-cover-letter --no-thread --no-attach --no-renames \
    --no-relative --unified=3 --no-ext-diff --no-textconv --no-color --no-signature --no-base \
    --no-notes --zero-commit --subject-prefix=PATCH --suffix=.patch --src-prefix=a/ --dst-prefix=b/";

/// Commits of a repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    repository: PathBuf,
    range: String,
}

/// Reads `given` as a range; `None` if it is a file or folder, or looks like one.
///
/// # Errors
/// [`Exit::Usage`] for a range without a repository, and for one with three dots.
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
            let hint = "name the repository of the commits: REPOSITORY@BASE..TIP";
            return Err(fault(&format!("there is no folder {folder}"), hint.to_owned()));
        }
        (None, Some((_, Some((repository, _))))) => (repository, given),
        (None, Some((source, None))) if Path::new(source).is_dir() => (source, given),
        (None, _) => {
            let hint = format!("use --series REPOSITORY@{given}, or name it with --source");
            return Err(fault("which repository is it in?", hint));
        }
    };
    if range.contains("...") {
        let hint = "use two dots: BASE..TIP, the commits of TIP that are not in BASE";
        return Err(fault("a range with three dots is no series", hint.to_owned()));
    }
    if !range.contains("..") {
        let hint =
            format!("{repository}@BASE..{range}, or {repository}@{range}~..{range} for one commit");
        return Err(fault("this is one commit, not a range", hint));
    }
    Ok(Some(Range { repository: repository.into(), range: range.to_owned() }))
}

/// `FOLDER@REVISION`, if that folder exists.
fn split(given: &str) -> Option<(&str, &str)> {
    let ats = given.match_indices('@').map(|(at, _)| (&given[..at], &given[at + 1..]));
    ats.into_iter().find(|(folder, _)| !folder.is_empty() && Path::new(folder).is_dir())
}

impl Range {
    /// A mail for each commit, in their order.
    ///
    /// # Errors
    /// [`Exit::Usage`] with git's message; for merges, which no patch can hold; for no commits.
    pub(super) fn mails(&self, cache: &Cache) -> anyhow::Result<Found> {
        let scratch = tempfile::tempdir().context("making a folder for patches")?;
        let dirty = match self.range.ends_with("..") {
            true => local::uncommitted(cache, &self.repository)?,
            false => None,
        };
        self.export(dirty.as_ref(), scratch.path())?;
        let mut found = Found { in_order: true, ..Found::default() };
        if dirty.is_some() {
            found.notes.push("the last patch is what is not committed of tracked files".into());
        }
        for file in folder::files_in(scratch.path())? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = files::of_path(&file)?;
            let mail =
                Mail::of_commit(&bytes, &name).map_err(|why| Fault::new(Exit::Series, why))?;
            match mail.patch {
                Some(_) => found.mails.push(mail),
                None => found.notes.push(format!("an empty commit: {}", mail.subject)),
            }
        }
        match found.mails.is_empty() {
            true => Err(self.fault("its commits are empty").into()),
            false => Ok(found),
        }
    }

    fn fault(&self, why: &str) -> Fault {
        let Self { repository, range } = self;
        Fault::new(Exit::Usage, format!("--series {}@{range}: {why}", repository.display()))
    }

    fn export(&self, dirty: Option<&Uncommitted>, folder: &Path) -> anyhow::Result<()> {
        let Self { repository, range } = self;
        crate::host::require_program("git", "git")?;
        let count = |only: &[&str]| -> anyhow::Result<u32> {
            let mut command = local::git(repository);
            command.args(["rev-list", "--count"]).args(only);
            command.args(["--end-of-options", range, "--"]);
            let said = local::run(command).map_err(|error| {
                self.fault("git does not know these commits").hint(format!("{error:#}"))
            })?;
            Ok(said.parse()?)
        };
        if count(&["--merges"])? > 0 {
            let hint = "rebase the branch: patches cannot hold the changes of a merge";
            return Err(self.fault("it has merges").hint(hint).into());
        }
        match count(&[])? {
            0 if dirty.is_none() && range.ends_with("..") => {
                let why = "it has no commits, and nothing that is not committed";
                return Err(self.fault(why).into());
            }
            0 if dirty.is_none() => return Err(self.fault("it has no commits").into()),
            // Sorting by file name would no longer give their order.
            number if number > PARTS_MAX => {
                return Err(self.fault(&format!("{number} commits are too many")).into());
            }
            _ => {}
        }
        let exported = match dirty {
            None => {
                let mut command = local::git(repository);
                command.arg("format-patch").args(OPTIONS.split(' ')).arg("-o").arg(folder);
                command.args(["--end-of-options", range]);
                local::run(command).map(drop)
            }
            Some(dirty) => {
                let base = range.trim_end_matches('.');
                let folder = folder.to_string_lossy();
                let mut words: Vec<&str> = vec!["format-patch"];
                words.extend(OPTIONS.split(' ').chain(["-o", folder.as_ref()]));
                dirty.on_top_of(repository, base, &words)
            }
        };
        exported.map_err(|error| {
            self.fault("git cannot export these commits").hint(format!("{error:#}")).into()
        })
    }
}
