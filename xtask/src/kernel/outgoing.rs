// SPDX-License-Identifier: MIT OR Apache-2.0
//! A series as its submitter sends it: git writes the mails, in a scratch repository that has only
//! the files that the series touches.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::local::{git, run};
use super::steps::Steps;
use crate::exit::{Exit, Fault};
use crate::host;

/// Who sends a series, and how.
#[derive(Debug)]
pub(crate) struct Sending<'a> {
    /// Subject of the cover letter, an empty line, and its text.
    pub(crate) letter: &'a str,
    /// Name and address of the submitter: author of each patch, and its sign-off.
    pub(crate) submitter: &'a Submitter,
    /// More trailers of each patch, `Key: value`.
    pub(crate) trailers: &'a [String],
    /// Version of the series; from 2 it stands in the subjects.
    pub(crate) version: u32,
}

/// A person, as git knows them.
#[derive(Debug)]
pub(crate) struct Submitter {
    pub(super) name: String,
    pub(super) email: String,
}

impl Submitter {
    /// The one that git would take for a commit in `workspace`.
    ///
    /// # Errors
    /// [`Exit::Usage`] if git was not told who that is.
    pub(crate) fn find(workspace: &Path) -> anyhow::Result<Self> {
        host::require_program("git", "git")?;
        let setting = |key: &str| {
            let mut command = git(workspace);
            command.args(["config", key]);
            run(command).ok().filter(|value| !value.is_empty()).ok_or_else(|| {
                Fault::new(Exit::Usage, format!("git has no {key} to sign the series off with"))
                    .hint(format!("git config --global {key} ..."))
            })
        };
        Ok(Self { name: setting("user.name")?, email: setting("user.email")? })
    }
}

/// Writes cover letter and patches into `out`, which is empty; their names begin with 0000.
///
/// # Errors
/// [`Exit::Series`] for a patch that git does not apply; I/O errors.
pub(crate) fn write(steps: &Steps, sending: &Sending<'_>, out: &Path) -> anyhow::Result<()> {
    let Sending { letter, submitter, trailers, version } = sending;
    let scratch = tempfile::tempdir().context("making a scratch folder")?;
    let repository = scratch.path();
    let call = |args: &[&str]| {
        let mut command = git(repository);
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), &submitter.name);
            command.env(format!("GIT_{role}_EMAIL"), &submitter.email);
        }
        command.args(["-c", "commit.gpgsign=false", "-c", "format.signature="]).args(args);
        run(command)
    };
    call(&["init", "-q", "-b", "series"])?;
    for path in steps.touched() {
        let to = repository.join(&path);
        if let Some(bytes) = steps.base_text(&path)? {
            fs::create_dir_all(to.parent().unwrap_or(repository))?;
            fs::write(&to, bytes).with_context(|| format!("writing {}", to.display()))?;
        }
    }
    call(&["add", "--all", "--force", "."])?;
    call(&["commit", "-q", "--no-verify", "--allow-empty", "-m", "base"])?;
    call(&["tag", "base"])?;
    for file in steps.files() {
        call(&["am", "-q", "--no-scissors", &file.display().to_string()])?;
        let mut amend = vec!["commit", "-q", "--amend", "--no-edit", "--reset-author", "--signoff"];
        trailers.iter().for_each(|trailer| amend.extend(["--trailer", trailer.as_str()]));
        call(&amend)?;
    }
    call(&["config", "branch.series.description", letter])?;
    let (version, out) = (version.to_string(), out.display().to_string());
    let mut mails =
        vec!["format-patch", "-q", "--cover-letter", "--cover-from-description=subject"];
    if version != "1" {
        mails.extend(["-v", &version]);
    }
    mails.extend(["-o", &out, "base..series"]);
    call(&mails).map(drop)
}
