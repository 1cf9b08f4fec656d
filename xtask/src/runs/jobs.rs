// SPDX-License-Identifier: MIT OR Apache-2.0
//! Jobs of the plan of the week that are no nights of a matrix: what each ended with, and since
//! when.
//!
//! Contract: the exit code of the command decides. A series that no longer applies to a newer
//! source is news, and no failure of the night.

use serde::{Deserialize, Serialize};

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
            () if is(Exit::Series) => JobVerdict::DoesNotApply,
            () if is(Exit::NotReached) => JobVerdict::NotReached,
            () => JobVerdict::Failed,
        }
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
        JobRow { ran: runs[0].clone(), verdict, since, times: alike.len() }
    };
    names.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, day: u32, exit: i32) -> JobRun {
        JobRun {
            job: name.to_owned(),
            command: vec!["mutants".to_owned()],
            started_at: format!("2026-11-{day:02}T05:00:00Z"),
            duration_ms: 1000,
            exit: Some(exit),
            run: None,
            said: Vec::new(),
        }
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
    }

    #[test]
    fn only_what_says_something_bad_of_the_kernel_or_nothing_is_bad() {
        let verdict = |exit| job("x", 1, exit).verdict();
        assert!(!verdict(0).is_bad() && !verdict(5).is_bad());
        for bad in [1, 2, 3, 4, 6, 7, 8, 9, 130] {
            assert!(verdict(bad).is_bad(), "{bad}");
        }
        assert!(JobRun { exit: None, ..job("x", 1, 0) }.verdict().is_bad());
    }
}
