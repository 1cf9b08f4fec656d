// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask history`: trends over the runs and jobs in the results folder, on the terminal and
//! as a page.

use super::{Folders, nights, print_report, shown};
use crate::cli::{self, Places};
use crate::exit::{Exit, Fault};
use crate::host::file::write_whole;
use crate::progress::print;
use crate::report::{self, plural};
use crate::runs::{self, JobTrends};

const PAGE: &str = "history.html";

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] when there is no run to show.
pub(crate) fn run(places: &Places, args: &cli::History) -> anyhow::Result<Exit> {
    let cli::History { matrix, last, output } = args;
    let folders = Folders::of(places)?;
    let (mut found, _) = nights::all(&folders.results)?;
    found.retain(|run| matrix.as_ref().is_none_or(|matrix| run.manifest.matrix == *matrix));
    // A job is of no matrix.
    let jobs = match matrix {
        None => runs::over_days(&nights::jobs(&folders.results).0, *last as usize),
        Some(_) => JobTrends::default(),
    };
    if found.is_empty() && jobs.rows.is_empty() {
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
    let made = format!("{}, {now}", plural(found.len(), "run"));
    let beside = page.parent() == Some(folders.results.as_path());
    let results = if beside { String::new() } else { format!("{}/", folders.results.display()) };
    write_whole(&page, report::history_page(&trends, &jobs, &made, &results).as_bytes())?;
    print_report(|style| report::history(&trends, &jobs, style))?;
    print(format_args!("page: {}\n", shown(&page)))?;
    Ok(Exit::Ok)
}
