// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stored runs and jobs for the commands that look at many of them.

use std::path::{Component, Path};

use jiff::{SignedDuration, Timestamp};

use super::{bench, inject, proven};
use crate::exit::{Exit, Fault};
use crate::outcome::{Manifest, RunResult};
use crate::progress::note;
use crate::results::{self, RunFolder};
use crate::runs::{self, JobRun, UnreadNight};

/// Folder of the records of jobs, below the results.
pub(super) const JOBS: &str = "jobs";
/// Folders below the results in which jobs leave their runs.
pub(super) const RUNS_OF_JOBS: [&str; 2] = [bench::FOLDER, inject::FOLDER];
/// What a run leaves for people, the best first.
const PAGES: [&str; 2] = ["report.html", "report.txt"];
/// Clocks of machines that share a results folder differ by less.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(15);
/// What `compare` calls the last good night.
const LAST_GOOD: &str = "last-good";
/// What `compare` calls the newest run that stands for its matrix.
const LATEST: &str = "latest";

/// Every run, by name, as its evidence is judged now. Others are named and left out: of `mutants`,
/// of another version of the harness, changed since, or of the future. A night among those is given
/// too.
///
/// # Errors
/// A results folder that cannot be read.
pub(super) fn all(results: &Path) -> anyhow::Result<(Vec<RunResult>, Vec<UnreadNight>)> {
    let (mut found, mut unread, mut nights) = (Vec::new(), Vec::new(), Vec::new());
    for name in results::runs(results)? {
        let folder = RunFolder::open(results, &name)?;
        let manifest = folder.read_manifest::<Manifest>().ok();
        let wrong = manifest.as_ref().and_then(|it| wrong_clock(&it.started_at, Timestamp::now()));
        let why = match (&wrong, proven::proven(&folder)) {
            (None, Ok(result)) if result.manifest.night && !folder.has_cells() => {
                "a night without evidence proves nothing".to_owned()
            }
            (None, Ok(result)) => {
                found.push(result);
                continue;
            }
            (Some(why), _) => why.clone(),
            (None, Err(error)) => format!("{error:#}"),
        };
        unread.push(format!("\n  {name}: {why}"));
        nights.extend(manifest.filter(|it| it.night).map(|manifest| UnreadNight {
            run: name,
            matrix: Some(manifest.matrix),
            started_at: Some(manifest.started_at).filter(|_| wrong.is_none()),
            why,
        }));
    }
    if !unread.is_empty() {
        note(&format!("left out: {}", unread.concat()));
    }
    Ok((found, nights))
}

/// The run that `compare` calls `latest`: neither narrowed nor interrupted, and a night where there
/// are any.
///
/// # Errors
/// [`Exit::Usage`] if there is none, or a newer night is not as it was sealed.
pub(super) fn latest(results: &Path) -> anyhow::Result<RunResult> {
    let (runs, unread) = all(results)?;
    let among_nights = !runs::nights(&runs).is_empty();
    let mut whole: Vec<&RunResult> =
        runs.iter().filter(|run| runs::apart(run, among_nights).is_none()).collect();
    whole.sort_by_key(|run| (&run.manifest.started_at, &run.run));
    let newest = whole.last().map(|run| run.manifest.started_at.as_str());
    if let Some(night) = unread.iter().find(|night| night.started_at.as_deref() > newest) {
        return Err(Fault::new(Exit::Usage, format!("{}: {}", night.run, night.why)).into());
    }
    match whole.last() {
        Some(run) => Ok((*run).clone()),
        None => {
            Err(Fault::new(Exit::Usage, "every run is filtered, interrupted or of some kernels")
                .hint("name the run: `cargo xtask list runs` lists them")
                .into())
        }
    }
}

/// The last good night before a run, of the same matrix and accelerator.
///
/// # Errors
/// [`Exit::Usage`] if there is none.
pub(super) fn last_good(results: &Path, run: &RunResult) -> anyhow::Result<RunResult> {
    let (runs, _) = all(results)?;
    let good = runs::good_before(&runs::nights(&runs), run).first().map(|good| (*good).clone());
    good.ok_or_else(|| {
        let kind = runs::Kind::of(run);
        let what = format!("no good night of {kind} before {}", run.run);
        Fault::new(Exit::Usage, what)
            .hint("a night is a run with --night that is whole and as expected")
            .into()
    })
}

/// The runs that a word of `compare` names; `new` is what they are compared with.
///
/// # Errors
/// As [`proven::proven`], [`latest`] and [`last_good`].
pub(super) fn named(
    results: &Path,
    word: &str,
    new: Option<&RunResult>,
) -> anyhow::Result<Vec<RunResult>> {
    match (word, new) {
        (LAST_GOOD, Some(new)) => Ok(vec![last_good(results, new)?]),
        (LATEST, _) => Ok(vec![latest(results)?]),
        _ => word.split(',').map(|name| proven::proven(&RunFolder::open(results, name)?)).collect(),
    }
}

/// Why a begin is no time that has passed: whatever sorts by it would take it for the newest.
fn wrong_clock(begun: &str, now: Timestamp) -> Option<String> {
    match begun.parse::<Timestamp>() {
        Ok(begun) if begun.duration_since(now) < CLOCKS_DIFFER => None,
        Ok(begun) => Some(format!("it began in the future, {begun}: a clock was or is wrong")),
        Err(_) => Some(format!("its begin is no time: {begun}")),
    }
}

/// Records of jobs, with where their evidence is. One that cannot be read, or is of the future, is
/// named and left out, and given too.
pub(super) fn jobs(results: &Path) -> (Vec<JobRun>, Vec<UnreadNight>) {
    let entries = std::fs::read_dir(results.join(JOBS)).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    for file in files {
        let record = file.strip_prefix(results).unwrap_or(&file).display().to_string();
        let read = results::read_json::<JobRun>(&file).map_err(|error| format!("{error:#}"));
        let read = read.and_then(|job| match wrong_clock(&job.started_at, Timestamp::now()) {
            Some(why) => Err(format!("{record}: {why}")),
            None => Ok(job),
        });
        match read {
            Ok(job) => {
                let evidence = page(results, job.run.as_deref()).unwrap_or(record);
                found.push(JobRun { evidence, ..job });
            }
            Err(why) => {
                note(&format!("left out: {why}"));
                // The name of a record is its begin and its job.
                let begun = results::begun(&record[JOBS.len() + 1..]);
                let started_at = begun.filter(|begun| *begun < Timestamp::now());
                unread.push(UnreadNight {
                    run: record,
                    matrix: None,
                    started_at: started_at.map(|begun| begun.to_string()),
                    why,
                });
            }
        }
    }
    (found, unread)
}

/// What a run left for people, below the results, if it is still there.
fn page(results: &Path, run: Option<&str>) -> Option<String> {
    let run = Path::new(run?);
    // A record may say anything.
    let inside = run.components().all(|part| matches!(part, Component::Normal(_)));
    let pages = PAGES.map(|name| run.join(name)).into_iter();
    let found = pages.filter(|_| inside).find(|page| results.join(page).is_file())?;
    Some(found.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_begin_in_the_future_is_no_begin() {
        let now: Timestamp = "2026-11-30T06:00:00Z".parse().unwrap();
        for (begun, wrong) in [
            ("2026-11-30T05:00:00Z", false),
            ("2026-11-30T06:14:00Z", false),
            ("2026-11-30T06:16:00Z", true),
            ("2036-11-30T06:00:00Z", true),
            ("2020-01-01T00:00:00Z", false),
            ("zzz", true),
        ] {
            assert_eq!(wrong_clock(begun, now).is_some(), wrong, "{begun}");
        }
    }

    #[test]
    fn a_job_leads_to_what_its_run_left() {
        let results = tempfile::tempdir().unwrap();
        let write = |place: &str, text: &str| {
            let path = results.path().join(place);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("2026-11-29T05-00-00Z/report.txt", "text");
        write("inject/2026-11-29T06-00-00Z/report.txt", "text");
        write("inject/2026-11-29T06-00-00Z/report.html", "page");
        write("secret/report.html", "page");
        let record = |name: &str, begun: &str, run: Option<&str>| {
            let job = JobRun {
                started_at: begun.to_owned(),
                run: run.map(str::to_owned),
                ..crate::runs::tests::nights::job(name, 29, 0)
            };
            let text = serde_json::to_string(&job).unwrap();
            write(&format!("jobs/2026-11-29T0{}-00-00Z-{name}.json", name.len()), &text);
        };
        let day = "2026-11-29T05:00:00Z";
        record("a", day, Some("2026-11-29T05-00-00Z"));
        record("bb", day, Some("inject/2026-11-29T06-00-00Z"));
        record("ccc", day, Some("2026-11-20T05-00-00Z"));
        record("dddd", day, Some("inject/../secret"));
        record("eeeee", day, None);
        record("ffffff", "2999-11-29T05:00:00Z", None);
        write("jobs/2026-11-29T07-00-00Z-torn.json", "{");
        write("jobs/.tmp-x", "{");
        let (found, unread) = jobs(results.path());
        let places: Vec<&str> = found.iter().map(|job| job.evidence.as_str()).collect();
        assert_eq!(
            places,
            [
                "2026-11-29T05-00-00Z/report.txt",
                "inject/2026-11-29T06-00-00Z/report.html",
                "jobs/2026-11-29T03-00-00Z-ccc.json",
                "jobs/2026-11-29T04-00-00Z-dddd.json",
                "jobs/2026-11-29T05-00-00Z-eeeee.json",
            ]
        );
        let begun: Vec<_> = unread.iter().map(|job| job.started_at.as_deref()).collect();
        assert_eq!(begun, [Some("2026-11-29T06:00:00Z"), Some("2026-11-29T07:00:00Z")]);
    }
}
