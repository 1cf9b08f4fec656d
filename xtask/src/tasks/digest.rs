// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask digest`: what is new since the last good night, as a mail and as Markdown.

use std::path::Path;

use jiff::civil::Date;

use super::{Folders, inputs, nights};
use crate::cli::{self, Places};
use crate::config::{Day, Week, Work};
use crate::exit::{Exit, Fault};
use crate::host::file::write_whole;
use crate::outcome::RunResult;
use crate::progress::print;
use crate::report;
use crate::runs::{self, JobRun, UnreadNight};

/// Runs the command; the exit code is that of the night.
///
/// # Errors
/// [`Exit::Usage`] when no night has run.
pub(crate) fn run(places: &Places, args: &cli::Digest) -> anyhow::Result<Exit> {
    let cli::Digest { mail, markdown, title, of, url } = args;
    let folders = Folders::of(places)?;
    let week = inputs::week(&folders.configs, &inputs::read(&folders.configs)?)?;
    let (jobs, torn) = nights::jobs(&folders.results);
    let (runs, mut unread) = nights::all(&folders.results)?;
    unread.extend(torn);
    if let Some(date) = of {
        let date: Date = date.parse().map_err(|_| {
            Fault::new(Exit::Usage, format!("--of: `{date}` is no date")).hint("2026-11-30")
        })?;
        unread.extend(lost(&week, &runs::nights(&runs), &jobs, &unread, date));
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

/// What the plan has for a date and left nothing: else the digest would be of the night before, or
/// of what is left. A job that depends on a variable may have been skipped.
fn lost(
    week: &Week,
    nights: &[&RunResult],
    jobs: &[JobRun],
    unread: &[UnreadNight],
    date: Date,
) -> Vec<UnreadNight> {
    let of_date = |begun: &str| begun.starts_with(&date.to_string());
    let torn = |of: &str| {
        let begun = |it: &UnreadNight| it.started_at.as_deref().is_some_and(of_date);
        unread.iter().any(|it| it.matrix.as_deref() == Some(of) && begun(it))
    };
    let matrix = |name: &str| {
        let is = |it: &&&RunResult| it.manifest.matrix == name && of_date(&it.manifest.started_at);
        nights.iter().any(|night| is(&night)) || torn(name)
    };
    let record = |name: &str| jobs.iter().any(|it| it.job == name && of_date(&it.started_at));
    let day = Day::ALL[date.weekday().to_monday_zero_offset().unsigned_abs() as usize].0;
    let planned = week.on(day).filter(|job| job.variable.is_none());
    let missed = planned.filter(|job| match &job.work {
        Work::Matrix { name, .. } => !matrix(name) && !record(&job.name),
        Work::Command(_) => !record(&job.name),
    });
    let begun = nights.iter().map(|night| night.manifest.started_at.as_str());
    let begun = begun.chain(unread.iter().filter_map(|it| it.started_at.as_deref()));
    let begun = begun.chain(jobs.iter().map(|job| job.started_at.as_str()));
    // Of the same night as what did run.
    let newest = begun.filter(|begun| of_date(begun)).max();
    let started_at = newest.map_or_else(|| format!("{date}T23:59:59Z"), str::to_owned);
    let nothing = |run: String, why: &str| UnreadNight {
        run,
        matrix: None,
        started_at: Some(started_at.clone()),
        why: why.to_owned(),
    };
    let why = "the plan of the week has it for this day, and it left no result";
    let mut lost: Vec<UnreadNight> =
        missed.map(|job| nothing(format!("{date} {}", job.name), why)).collect();
    if lost.is_empty() && newest.is_none() {
        lost.push(nothing(date.to_string(), "no run of this night is in the results"));
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::week_of;
    use crate::runs::tests::nights::{job, night};

    const PLAN: &str = "[[job]]\nname = \"full\"\nmatrix = \"default\"\nparts = 2\n\
        [[job]]\nname = \"mutants\"\ncommand = [\"mutants\"]\ndays = [\"sun\"]\n\
        [[job]]\nname = \"up\"\ncommand = [\"build-kernel\", \"$TREE\"]\nvariable = \"TREE\"\n";

    #[test]
    fn what_was_planned_and_left_nothing_is_told() {
        let torn = |matrix: &str| UnreadNight {
            run: "x".to_owned(),
            matrix: Some(matrix.to_owned()),
            started_at: Some("2026-11-29T03:23:00Z".to_owned()),
            why: "torn".to_owned(),
        };
        let told = |days: &[u32], jobs: &[JobRun], unread: &[UnreadNight], date: &str| {
            let runs: Vec<RunResult> = days.iter().map(|day| night(*day, Vec::new())).collect();
            let runs: Vec<&RunResult> = runs.iter().collect();
            let lost = lost(&week_of(PLAN).unwrap(), &runs, jobs, unread, date.parse().unwrap());
            lost.into_iter().map(|it| it.run).collect::<Vec<_>>()
        };
        let (sunday, monday) = ("2026-11-29", "2026-11-30");
        let mutants = [job("mutants", 29, 1)];
        assert_eq!(told(&[29], &mutants, &[], sunday), [""; 0]);
        assert_eq!(told(&[29], &[], &[], sunday), ["2026-11-29 mutants"]);
        assert_eq!(told(&[28], &mutants, &[], sunday), ["2026-11-29 full"]);
        assert_eq!(told(&[], &mutants, &[torn("default")], sunday), [""; 0]);
        assert_eq!(told(&[], &mutants, &[torn("other")], sunday), ["2026-11-29 full"]);
        assert_eq!(told(&[29, 30], &[], &[], monday), [""; 0], "mutants are of the Sunday");
        assert_eq!(told(&[29], &mutants, &[], monday), ["2026-11-30 full"]);
        // One machine: the job has a record, whatever became of the matrix.
        assert_eq!(told(&[], &[job("full", 30, 7)], &[], monday), [""; 0]);

        // What did run on that day is told too.
        let runs = [night(29, Vec::new())];
        let runs: Vec<&RunResult> = runs.iter().collect();
        let begun = |date: &str| {
            let lost = lost(&week_of(PLAN).unwrap(), &runs, &[], &[], date.parse().unwrap());
            lost[0].started_at.clone().unwrap()
        };
        assert_eq!(begun(sunday), "2026-11-29T03:23:00Z");
        assert_eq!(begun(monday), "2026-11-30T23:59:59Z");
    }
}
