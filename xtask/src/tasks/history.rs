// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask history`: trends over the runs in the results folder, on the terminal and as a
//! page.

use super::{Folders, proven, shown, style};
use crate::cli::{self, Places};
use crate::exit::{Exit, Fault};
use crate::host::file::write_whole;
use crate::outcome::RunResult;
use crate::progress::{note, print};
use crate::report;
use crate::results::{self, RunFolder};
use crate::runs;

const PAGE: &str = "history.html";

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] when there is no run to show.
pub(crate) fn run(places: &Places, args: &cli::History) -> anyhow::Result<Exit> {
    let cli::History { matrix, last, output } = args;
    let folders = Folders::of(places)?;
    let mut found: Vec<RunResult> = Vec::new();
    let mut unread = Vec::new();
    for name in results::runs(&folders.results)? {
        match proven::proven(&RunFolder::open(&folders.results, &name)?) {
            Ok(result) => found.push(result),
            // Of `mutants`, of another version of the harness, or changed since.
            Err(error) => {
                unread.push(format!("\n  {name}: {error:#}"));
            }
        }
    }
    if !unread.is_empty() {
        note(&format!("left out: {}", unread.concat()));
    }
    found.retain(|run| matrix.as_ref().is_none_or(|matrix| run.manifest.matrix == *matrix));
    if found.is_empty() {
        let of = matrix.as_ref().map(|matrix| format!(" of matrix {matrix}")).unwrap_or_default();
        let what = format!("no run{of} in {}", folders.results.display());
        return Err(Fault::new(Exit::Usage, what)
            .hint("`cargo xtask run-matrix` makes one")
            .into());
    }
    let trends = runs::trends(&found, *last as usize);
    let page = match output {
        Some(file) => std::path::absolute(file)?,
        None => folders.results.join(PAGE),
    };
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    let made = format!("{} runs, {now}", found.len());
    write_whole(&page, report::history_page(&trends, &made).as_bytes())?;
    print(report::history(&trends, style(std::io::stdout())))?;
    print(format_args!("page: {}\n", shown(&page)))?;
    Ok(Exit::Ok)
}
