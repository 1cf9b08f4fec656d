// SPDX-License-Identifier: MIT OR Apache-2.0
//! Jobs of the plan of the week that are no nights of a matrix: what each ended with, since when,
//! and night by night.
//!
//! Contract: the exit code of the command decides. A series that no longer applies to a source that
//! the job names is news, and no failure of the night. The harness's own sources do not change.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::grid::red_since;
use crate::exit::Exit;

/// What is kept of a job that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobRun {
    /// Its name in the plan.
    pub(crate) job: String,
    /// Arguments of `cargo xtask`.
    pub(crate) command: Vec<String>,
    /// Begin, RFC 3339 in UTC.
    pub(crate) started_at: String,
    /// From begin to end, milliseconds.
    pub(crate) duration_ms: u64,
    /// Exit code; `None` if a signal ended it.
    pub(crate) exit: Option<i32>,
    /// The run folder that it left, below the results.
    pub(crate) run: Option<String>,
    /// Its error and advice, line by line.
    pub(crate) said: Vec<String>,
    /// Where its evidence is, below the results: a page, a text, or at least its record. Found when
    /// the record is read, since runs are pruned.
    #[serde(skip)]
    pub(crate) evidence: String,
}

/// What a job ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobVerdict {
    /// As expected.
    Good,
    /// Something is not as expected.
    Unexpected,
    /// A patch of the series does not apply to the source of this job.
    DoesNotApply,
    /// None of the code that the series changes ran.
    NotReached,
    /// It says nothing of the kernel: host, source, tools, build, or a stop.
    Failed,
}

impl std::fmt::Display for JobVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Good => "as expected",
            Self::Unexpected => "NOT AS EXPECTED",
            Self::DoesNotApply => "DOES NOT APPLY",
            Self::NotReached => "NOT REACHED",
            Self::Failed => "NO RESULT",
        })
    }
}

impl JobVerdict {
    /// Whether the night is not green for it.
    pub(crate) fn is_bad(self) -> bool {
        !matches!(self, Self::Good | Self::DoesNotApply)
    }
}

impl JobRun {
    /// What it ended with.
    pub(crate) fn verdict(&self) -> JobVerdict {
        let is = |exit: Exit| self.exit == Some(i32::from(exit as u8));
        match () {
            () if is(Exit::Ok) => JobVerdict::Good,
            () if is(Exit::Unexpected) => JobVerdict::Unexpected,
            () if is(Exit::Series) && self.has_source() => JobVerdict::DoesNotApply,
            () if is(Exit::NotReached) => JobVerdict::NotReached,
            () => JobVerdict::Failed,
        }
    }

    fn has_source(&self) -> bool {
        self.command.iter().any(|word| word == "--source" || word.starts_with("--source="))
    }
}

/// A job of the newest night.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobRow {
    /// How it ran.
    pub(crate) ran: JobRun,
    /// What it ended with.
    pub(crate) verdict: JobVerdict,
    /// When it first ended so, of the times in a row.
    pub(crate) since: String,
    /// How often in a row.
    pub(crate) times: usize,
    /// It may be longer: no record is left from before.
    pub(crate) or_earlier: bool,
}

/// The newest run of each job, by name; `jobs` come in any order.
pub(crate) fn newest(jobs: &[JobRun]) -> Vec<JobRow> {
    let mut names: Vec<&String> = jobs.iter().map(|job| &job.job).collect();
    names.sort();
    names.dedup();
    let row = |name: &String| {
        let mut runs: Vec<&JobRun> = jobs.iter().filter(|job| job.job == *name).collect();
        runs.sort_by(|a, b| b.started_at.cmp(&a.started_at));
        let verdict = runs[0].verdict();
        let alike: Vec<_> = runs.iter().take_while(|run| run.verdict() == verdict).collect();
        let since = alike.last().map_or_else(String::new, |run| run.started_at.clone());
        let or_earlier = alike.len() == runs.len();
        JobRow { ran: runs[0].clone(), verdict, since, times: alike.len(), or_earlier }
    };
    names.into_iter().map(row).collect()
}

/// A job over the nights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobTrend {
    /// Its name.
    pub(crate) job: String,
    /// For each day, oldest first; `None` where it left no record.
    pub(crate) squares: Vec<Option<JobRun>>,
    /// If it is red: the first day on which it was, as a place in `squares`.
    pub(crate) red_since: Option<usize>,
    /// Days on which it was not as expected.
    pub(crate) odd: usize,
}

/// All jobs by the days on which any of them ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JobTrends {
    /// Days in UTC, oldest first: `2026-11-30`.
    pub(crate) days: Vec<String>,
    /// Those that are red first, then those that ever were.
    pub(crate) rows: Vec<JobTrend>,
}

/// The newest `last` days. If a job ran again on the same day, its last run counts, as in the
/// digest.
pub(crate) fn over_days(jobs: &[JobRun], last: usize) -> JobTrends {
    let day = |job: &JobRun| job.started_at.split('T').next().unwrap_or_default().to_owned();
    let days: BTreeSet<String> = jobs.iter().map(day).collect();
    let days: Vec<String> = days.iter().skip(days.len().saturating_sub(last)).cloned().collect();
    let mut by_job: BTreeMap<&str, BTreeMap<String, &JobRun>> = BTreeMap::new();
    for job in jobs {
        let newest = by_job.entry(&job.job).or_default().entry(day(job)).or_insert(job);
        if job.started_at >= newest.started_at {
            *newest = job;
        }
    }
    let row = |(name, runs): (&str, BTreeMap<String, &JobRun>)| {
        let squares: Vec<Option<JobRun>> =
            days.iter().map(|day| runs.get(day).copied().cloned()).collect();
        let bad: Vec<Option<bool>> =
            squares.iter().map(|run| Some(run.as_ref()?.verdict().is_bad())).collect();
        let odd = bad.iter().flatten().filter(|bad| **bad).count();
        JobTrend { job: name.to_owned(), squares, red_since: red_since(&bad), odd }
    };
    let mut rows: Vec<JobTrend> = by_job.into_iter().map(row).collect();
    rows.retain(|row| row.squares.iter().any(Option::is_some));
    rows.sort_by_key(|row| (row.red_since.unwrap_or(usize::MAX), row.odd == 0, row.job.clone()));
    JobTrends { days, rows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::tests::nights::job;

    #[test]
    fn a_job_has_a_square_a_day_and_its_last_run_counts() {
        let mut again = job("up", 4, 0);
        again.started_at = "2026-11-04T09:00:00Z".to_owned();
        let jobs = [job("up", 1, 1), job("mutants", 1, 0), job("inject", 2, 0)];
        let later = [job("mutants", 3, 1), again, job("up", 4, 1), job("mutants", 5, 7)];
        let told = |last| {
            let trends = over_days(&[&jobs[..], &later[..]].concat(), last);
            let row = |row: &JobTrend| {
                let sign = |run: &JobRun| run.exit.map_or('?', |exit| (b'0' + exit as u8) as char);
                let signs: String =
                    row.squares.iter().map(|run| run.as_ref().map_or('.', sign)).collect();
                format!("{} {signs} {:?} {}", row.job, row.red_since, row.odd)
            };
            (trends.days.len(), trends.rows.iter().map(row).collect::<Vec<_>>())
        };
        let rows = ["mutants 0.1.7 Some(2) 2", "up 1..0. None 1", "inject .0... None 0"];
        assert_eq!(told(9), (5, rows.map(str::to_owned).to_vec()));
        assert_eq!(told(1), (1, vec!["mutants 7 Some(0) 1".to_owned()]));
    }

    #[test]
    fn a_job_is_told_with_how_long_it_has_been_so() {
        let jobs = [job("up", 3, 5), job("up", 1, 5), job("up", 2, 0), job("up", 4, 5)];
        let all = [jobs.to_vec(), vec![job("mutants", 4, 0)]].concat();
        let rows = newest(&all);
        let told: Vec<_> =
            rows.iter().map(|row| (row.ran.job.as_str(), row.verdict, row.times)).collect();
        let expected = [("mutants", JobVerdict::Good, 1), ("up", JobVerdict::DoesNotApply, 2)];
        assert_eq!(told, expected);
        assert_eq!(rows[1].since, "2026-11-03T05:00:00Z");
        let earlier: Vec<bool> = rows.iter().map(|row| row.or_earlier).collect();
        assert_eq!(earlier, [true, false], "before the first record nothing is known");
    }

    #[test]
    fn only_what_says_something_bad_of_the_kernel_or_nothing_is_bad() {
        let verdict = |exit| job("x", 1, exit).verdict();
        assert!(!verdict(0).is_bad() && !verdict(5).is_bad());
        for bad in [1, 2, 3, 4, 6, 7, 8, 9, 130] {
            assert!(verdict(bad).is_bad(), "{bad}");
        }
        assert!(JobRun { exit: None, ..job("x", 1, 0) }.verdict().is_bad());
        // A patch that does not apply to the harness's own source is broken.
        let mutants = JobRun { command: vec!["mutants".to_owned()], ..job("x", 1, 5) };
        assert_eq!(mutants.verdict(), JobVerdict::Failed);
    }
}
