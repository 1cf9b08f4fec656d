// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask digest`: what is new since the last good night, as a mail and as Markdown.

use std::path::Path;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::{Folders, inputs, nights, tonight};
use crate::cli::{self, Places};
use crate::config::{Day, Job, Week, Work};
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
    unread.extend(runs::stopped(&runs));
    let date = of.as_ref().map(|date| {
        date.parse::<Date>().map_err(|_| {
            Fault::new(Exit::Usage, format!("--of: `{date}` is no date")).hint("2026-11-30")
        })
    });
    let date = date.transpose()?;
    if let Some(date) = date {
        let skipped = |job: &Job| tonight::value(job).is_none();
        unread.extend(lost(&week, skipped, &runs::nights(&runs), &jobs, &unread, date));
    }
    let accepted = accepted(&week, Timestamp::now())?;
    let of = date.map(|date| date.to_string());
    let digest = runs::digest(&runs, &unread, &jobs, accepted, of.as_deref());
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

/// The first night whose times count, which is tomorrow's at most: a later one would hide whatever
/// gets slower until then.
fn accepted(week: &Week, now: Timestamp) -> Result<Option<&str>, Fault> {
    let accepted = week.accepted.as_deref();
    let last = now.saturating_add(SignedDuration::from_hours(24)).map(|last| last.to_string());
    match accepted.filter(|date| last.is_ok_and(|last| *date > last.as_str())) {
        None => Ok(accepted),
        Some(date) => {
            let what = format!("nights/week.toml: `accepted` is in the future: {date}");
            Err(Fault::new(Exit::Usage, what).hint("the date of the next night at most"))
        }
    }
}

/// What the plan has for a date and left nothing: else the digest would be of the night before, or
/// of what is left. A job whose variable is not set here was skipped.
fn lost(
    week: &Week,
    skipped: impl Fn(&Job) -> bool,
    nights: &[&RunResult],
    jobs: &[JobRun],
    unread: &[UnreadNight],
    date: Date,
) -> Vec<UnreadNight> {
    // A job that waits for a machine may begin after midnight.
    let next = date.tomorrow().map_or_else(|_| date.to_string(), |next| format!("{next}T12"));
    let of_date = |begun: &str| *begun >= *date.to_string() && *begun < *next;
    let torn = |of: &str| {
        let begun = |it: &UnreadNight| it.started_at.as_deref().is_some_and(of_date);
        unread.iter().any(|it| it.matrix.as_deref() == Some(of) && begun(it))
    };
    let matrix = |name: &str| {
        let is = |it: &&&RunResult| runs::matrix(it) == name && of_date(&it.manifest.started_at);
        nights.iter().any(|night| is(&night)) || torn(name)
    };
    let record = |name: &str| jobs.iter().any(|it| it.job == name && of_date(&it.started_at));
    let day = Day::ALL[date.weekday().to_monday_zero_offset().unsigned_abs() as usize].0;
    let planned = week.on(day).filter(|job| !skipped(job));
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
            let week = week_of(PLAN).unwrap();
            let skipped = |job: &Job| job.variable.is_some();
            let lost = lost(&week, skipped, &runs, jobs, unread, date.parse().unwrap());
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

        // It waited until after midnight for a machine, and is not of the day after.
        let mut late = [job("mutants", 30, 0)];
        late[0].started_at = "2026-11-30T00:10:00Z".to_owned();
        assert_eq!(told(&[29], &late, &[], sunday), [""; 0]);
        late[0].started_at = "2026-11-30T12:10:00Z".to_owned();
        assert_eq!(told(&[29], &late, &[], sunday), ["2026-11-29 mutants"]);

        // Where the variable is set, a job that left nothing is lost like any other.
        let runs = [night(30, Vec::new())];
        let runs: Vec<&RunResult> = runs.iter().collect();
        let week = week_of(PLAN).unwrap();
        let missed = lost(&week, |_| false, &runs, &[], &[], monday.parse().unwrap());
        assert_eq!(missed.iter().map(|it| it.run.as_str()).collect::<Vec<_>>(), ["2026-11-30 up"]);

        // A series of the user's stands for no job of the plan.
        let mut mine = night(30, Vec::new());
        let kernels = &mut mine.manifest.kernels;
        let kernel = kernels.values().next().cloned().unwrap();
        kernels.insert(crate::taxonomy::USER_SERIES.to_owned(), kernel);
        let skipped = |job: &Job| job.variable.is_some();
        let missed = lost(&week, skipped, &[&mine], &[], &[], monday.parse().unwrap());
        assert_eq!(missed.len(), 1);

        // What did run on that day is told too.
        let runs = [night(29, Vec::new())];
        let runs: Vec<&RunResult> = runs.iter().collect();
        let begun = |date: &str| {
            let week = week_of(PLAN).unwrap();
            let skipped = |job: &Job| job.variable.is_some();
            let lost = lost(&week, skipped, &runs, &[], &[], date.parse().unwrap());
            lost[0].started_at.clone().unwrap()
        };
        assert_eq!(begun(sunday), "2026-11-29T03:23:00Z");
        assert_eq!(begun(monday), "2026-11-30T23:59:59Z");
    }

    #[test]
    fn what_is_accepted_is_not_later_than_the_next_night() {
        let week = week_of(&format!("accepted = \"2026-11-30\"\n{PLAN}")).unwrap();
        let at = |now: &str| accepted(&week, now.parse().unwrap()).map(|it| it.map(str::to_owned));
        assert_eq!(at("2026-11-29T00:00:00Z").unwrap().as_deref(), Some("2026-11-30"));
        assert!(at("2026-11-28T23:59:59Z").unwrap_err().what.contains("in the future: 2026-11-30"));
    }
}
