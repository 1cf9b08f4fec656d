// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask digest`: what is new since the last good night, as a mail and as Markdown.

use std::path::Path;

use super::{Folders, inputs, nights};
use crate::cli::{self, Places};
use crate::exit::{Exit, Fault};
use crate::host::file::write_whole;
use crate::outcome::RunResult;
use crate::progress::print;
use crate::report;
use crate::runs::{self, UnreadNight};

/// Runs the command; the exit code is that of the night.
///
/// # Errors
/// [`Exit::Usage`] when no night has run.
pub(crate) fn run(places: &Places, args: &cli::Digest) -> anyhow::Result<Exit> {
    let cli::Digest { mail, markdown, title, of, url } = args;
    let folders = Folders::of(places)?;
    let week = inputs::week(&folders.configs, &inputs::read(&folders.configs)?)?;
    let jobs = nights::jobs(&folders.results);
    let (runs, mut unread) = nights::all(&folders.results)?;
    if let Some(date) = of {
        unread.extend(lost(&runs::nights(&runs), &unread, date));
    }
    let digest = runs::digest(&runs, &unread, &jobs, week.accepted.as_deref());
    if digest.is_empty() {
        let what = format!("no night in {}", folders.results.display());
        return Err(Fault::new(Exit::Usage, what)
            .hint("`cargo xtask run-matrix --night` or `plan --night` makes one")
            .into());
    }
    let url = url.as_ref().map(|url| format!("{}/", url.trim_end_matches('/')));
    let text = report::digest_mail(&digest, url.as_deref());
    let write = |file: &Path, text: &str| write_whole(&std::path::absolute(file)?, text.as_bytes());
    if let Some(file) = mail {
        write(file, &text)?;
    }
    if let Some(file) = markdown {
        write(file, &report::digest_markdown(&digest, url.as_deref()))?;
    }
    if let Some(file) = title {
        write(file, &format!("{}\n", report::digest_title(&digest)))?;
    }
    print(&text)?;
    Ok(digest.exit())
}

/// A night that left nothing: otherwise the digest would be of the one before.
fn lost(nights: &[&RunResult], unread: &[UnreadNight], date: &str) -> Option<UnreadNight> {
    let begun = nights.iter().map(|night| &night.manifest.started_at);
    let mut begun = begun.chain(unread.iter().map(|night| &night.started_at));
    (!begun.any(|begun| begun.starts_with(date))).then(|| UnreadNight {
        run: date.to_owned(),
        started_at: format!("{date}T23:59:59Z"),
        why: "no run of this night is in the results".to_owned(),
    })
}
