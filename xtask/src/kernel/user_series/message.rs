// SPDX-License-Identifier: MIT OR Apache-2.0
//! A message-id, or the address of a mail in an archive -> the series, as `b4 am` fetches it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::folder::{self, Found};
use crate::exit::{Exit, Fault};
use crate::host::{self, process};

/// A thread with hundreds of mails, over a slow network.
const FETCH_DEADLINE: Duration = Duration::from_secs(300);
/// Lines of b4 that an error repeats.
const LINES_MAX: usize = 5;

/// The message-id in `given`, or the whole of it if it is an address: b4 reads both.
pub(super) fn parse(given: &str) -> Option<&str> {
    if Path::new(given).exists() {
        return None;
    }
    let is_address = ["https://", "http://"].iter().any(|scheme| given.starts_with(scheme));
    let id = match is_address {
        true => given.split('/').skip(3).find(|part| part.contains('@'))?,
        false => given.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(given),
    };
    let (left, right) = id.split_once('@')?;
    let is_sane = |side: &str| {
        let fit = |c: char| c.is_ascii_graphic() && !"/@<>\"'`$\\".contains(c);
        !side.is_empty() && !side.starts_with('-') && side.chars().all(fit)
    };
    let all_sane = is_sane(left) && is_sane(right);
    all_sane.then_some(if is_address { given } else { id })
}

/// The newest version of the series that the message belongs to.
///
/// # Errors
/// [`Exit::MissingTool`] without b4; [`Exit::Series`] with what b4 said, if it made no mailbox.
pub(super) fn mails(id: &str) -> anyhow::Result<Found> {
    let fault = |why: String| {
        Fault::new(Exit::Series, format!("--series {id}: {why}")).hint(
            "no such file exists, so it was taken for a message-id; where the archive cannot be \
             reached, give the mailbox as a file",
        )
    };
    let b4 = host::require_program("b4", "b4").map_err(|missing| {
        missing.hint(format!(
            "there is no file {id}, so it was taken for a message-id, which b4 fetches: \
             apt-get install --no-install-recommends b4"
        ))
    })?;
    let scratch = tempfile::tempdir().context("making a folder for mails")?;
    let mut command = Command::new(b4);
    command.arg("am").arg("--outdir").arg(scratch.path()).arg(id);
    let output = process::capture(command, FETCH_DEADLINE)?;
    let files = folder::files_in(scratch.path())?;
    let mailbox = files.iter().find(|file| file.extension().is_some_and(|ending| ending == "mbx"));
    match mailbox {
        Some(mailbox) if output.status.success() => {
            let mut found = folder::mails_at(mailbox)?;
            let name = mailbox.file_name().unwrap_or_default().to_string_lossy();
            found.notes.insert(0, format!("`b4 am` made {name} of it"));
            Ok(found)
        }
        _ => {
            let lines: Vec<&str> = output.text.lines().filter(|line| !line.is_empty()).collect();
            let last = lines[lines.len().saturating_sub(LINES_MAX)..].join("\n  ");
            Err(fault(format!("`b4 am` made no mailbox ({}):\n  {last}", output.status)).into())
        }
    }
}
