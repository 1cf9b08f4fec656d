// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask tonight`: what the plan of the week has for a night, printed or run.
//!
//! A job runs as a command of its own, so that it ends as it would by hand; how it ended is kept in
//! `results/jobs` for the digest.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use fs4::fs_std::FileExt as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Folders, inputs, nights};
use crate::cli::{self, Places};
use crate::config::{Day, Job, Week, Work};
use crate::exit::{Exit, Fault};
use crate::host::file::write_whole;
use crate::host::process;
use crate::host::stop::Stop;
use crate::outcome::Manifest;
use crate::progress::{note, print};
use crate::report::{Style, Table};
use crate::results::{self, RunFolder};
use crate::runs::{JobRun, JobVerdict};

/// Lines that are kept of what a job said last.
const SAID_MAX: usize = 8;

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] for a plan that does not parse, or a job that it does not have.
pub(crate) fn run(places: &Places, args: &cli::Tonight) -> anyhow::Result<Exit> {
    let cli::Tonight { day, variables, run, more } = args;
    let folders = Folders::of(places)?;
    let week = inputs::week(&folders.configs, &inputs::read(&folders.configs)?)?;
    if let Some(name) = run {
        return run_job(&folders, week.job(name)?, more);
    }
    let day = day.as_deref().map_or_else(|| Ok(today()), str::parse)?;
    print(if *variables { said(&week, day) } else { table(&week, day) })?;
    Ok(Exit::Ok)
}

fn today() -> Day {
    let weekday = Timestamp::now().to_zoned(TimeZone::UTC).weekday();
    Day::ALL[weekday.to_monday_zero_offset().unsigned_abs() as usize % 7].0
}

/// Lines for `$GITHUB_OUTPUT` and dotenv files.
fn said(week: &Week, day: Day) -> String {
    let parts = week.on(day).find(|job| job.parts() > 1);
    let (matrix, count) = match parts.map(|job| &job.work) {
        Some(Work::Matrix { name, parts }) => (name.as_str(), *parts),
        _ => ("", 0),
    };
    let others = week.on(day).filter(|job| job.parts() == 1);
    let others: Vec<String> = others.map(|job| format!("\"{}\"", job.name)).collect();
    format!("matrix={matrix}\nparts={count}\njobs=[{}]\n", others.join(","))
}

fn table(week: &Week, day: Day) -> String {
    let mut table = Table::default().left(["", ""]);
    for job in week.on(day) {
        let parts = match job.parts() {
            1 => String::new(),
            parts => format!(" in {parts} parts"),
        };
        let sign = job.variable.as_ref().map(|name| format!("${name}")).unwrap_or_default();
        let command = job.arguments(&sign).join(" ");
        table.row([job.name.clone(), format!("cargo xtask {command}{parts}")]);
        if let (Some(name), None) = (&job.variable, value(job)) {
            table.row([String::new(), format!("(skipped: ${name} is not set)")]);
        }
    }
    table.text(Style::default())
}

/// What the variable of a job says, empty without one; `None`: it is not set, the job is skipped.
pub(super) fn value(job: &Job) -> Option<String> {
    let Some(name) = &job.variable else { return Some(String::new()) };
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn run_job(folders: &Folders, job: &Job, more: &[String]) -> anyhow::Result<Exit> {
    let Some(value) = value(job) else {
        let name = job.variable.as_deref().unwrap_or_default();
        note(&format!("job {} is skipped: ${name} is not set", job.name));
        return Ok(Exit::Ok);
    };
    Stop::on_signals()?;
    let arguments = [job.arguments(&value), more.to_vec()].concat();
    let mut command = Command::new(std::env::current_exe()?);
    command.current_dir(&folders.workspace).args(&arguments);
    command.arg("--configs").arg(&folders.configs).arg("--results").arg(&folders.results);
    command.arg("--cache").arg(&folders.cache);
    let _alone = alone(folders, job)?;
    let earlier: BTreeSet<String> = names(folders);
    let started = free_second(folders, job);
    let begun = Instant::now();
    let asked: Vec<String> =
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut said: Vec<String> = Vec::new();
    let deadline = Duration::from_secs(u64::from(job.hours) * 3600);
    let ended = process::follow(command, deadline, |line| {
        let Some(line) = line else { return };
        note(line);
        // An error of the harness, and what follows it.
        if line.starts_with("error: ") {
            said.clear();
        }
        if line.starts_with("error: ") || (!said.is_empty() && said.len() < SAID_MAX) {
            said.push(line.to_owned());
        }
    });
    let exit = match &ended {
        Ok(status) => status.code(),
        Err(error) => {
            said.push(format!("{error:#}"));
            None
        }
    };
    let ran = JobRun {
        job: job.name.clone(),
        command: arguments.clone(),
        started_at: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        duration_ms: u64::try_from(begun.elapsed().as_millis())?,
        exit,
        run: made(folders, &earlier, &asked),
        said,
        evidence: String::new(),
    };
    keep(folders, &ran, started)?;
    let verdict = ran.verdict();
    note(&format!("job {}: {verdict}", job.name));
    ended?;
    Ok(match verdict {
        JobVerdict::DoesNotApply | JobVerdict::Good => Exit::Ok,
        JobVerdict::NotReached => Exit::NotReached,
        JobVerdict::Unexpected => Exit::Unexpected,
        JobVerdict::Failed => Exit::Host,
    })
}

/// Run folders, ended or not, below the results.
fn names(folders: &Folders) -> BTreeSet<String> {
    let below = |place: &str| {
        let named = results::named_like_runs(&folders.results.join(place)).unwrap_or_default();
        let path = |(name, _): (String, _)| match place {
            "" => name,
            place => format!("{place}/{name}"),
        };
        named.into_iter().map(path).collect::<Vec<_>>()
    };
    std::iter::once("").chain(nights::RUNS_OF_JOBS).flat_map(below).collect()
}

/// The run that this command, with these arguments, made: other jobs may run beside it.
fn made(folders: &Folders, earlier: &BTreeSet<String>, asked: &[String]) -> Option<String> {
    let is_ours = |name: &String| {
        let folder = RunFolder::at(&folders.results.join(name)).ok();
        let manifest = folder.and_then(|it| it.read_manifest::<Manifest>().ok());
        manifest.is_some_and(|it| it.command.get(1..) == Some(asked))
    };
    names(folders).into_iter().filter(|name| !earlier.contains(name)).rfind(is_ours)
}

/// The lock of a job. If it ran twice in parallel, nobody could say which record is of which run.
///
/// # Errors
/// [`Exit::Host`] if it runs already, or the folder cannot be written to.
fn alone(folders: &Folders, job: &Job) -> anyhow::Result<File> {
    let jobs = folders.results.join(nights::JOBS);
    let path = jobs.join(format!(".{}.running", job.name));
    let refused = |why: &str| Fault::new(Exit::Host, format!("{}: {why}", path.display()));
    let file = std::fs::create_dir_all(&jobs).and_then(|()| File::create(&path));
    let file = file.map_err(|error| refused(&error.to_string()))?;
    match file.try_lock_exclusive() {
        Ok(true) => Ok(file),
        Ok(false) => Err(refused("this job runs already with this results folder").into()),
        Err(error) => Err(refused(&error.to_string()).into()),
    }
}

/// Now, or the next second in which no run of this job began: a record is named after it.
fn free_second(folders: &Folders, job: &Job) -> Timestamp {
    loop {
        let now = Timestamp::now();
        if !record(folders, &job.name, now).exists() {
            return now;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn record(folders: &Folders, job: &str, started: Timestamp) -> PathBuf {
    let stamp = started.strftime("%Y-%m-%dT%H-%M-%SZ");
    folders.results.join(nights::JOBS).join(format!("{stamp}-{job}.json"))
}

fn keep(folders: &Folders, ran: &JobRun, started: Timestamp) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(ran)?;
    text.push('\n');
    write_whole(&record(folders, &ran.job, started), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn folders(results: &Path) -> Folders {
        let places = Places { cache: None, configs: None, results: Some(results.to_owned()) };
        Folders::of(&places).unwrap()
    }

    fn week() -> Week {
        let configs = folders(Path::new("none")).configs;
        inputs::week(&configs, &inputs::read(&configs).unwrap()).unwrap()
    }

    #[test]
    fn a_week_leaves_nothing_out_that_the_harness_can_find() {
        let week = week();
        let commands: Vec<String> =
            week.jobs.iter().map(|job| job.arguments("TREE").join(" ")).collect();
        let mut wanted: Vec<String> = ["full", "full-7.3", "headline", "headline-7.3", "debug"]
            .map(|matrix| format!("run-matrix --matrix {matrix} --night"))
            .to_vec();
        wanted.extend(["inject", "coverage", "kselftest"].map(str::to_owned));
        // Each catalogue; the first is the default.
        wanted.extend(["mutants", "mutants --kernel baseline"].map(str::to_owned));
        for wanted in wanted {
            assert!(commands.contains(&wanted), "no `{wanted}` in {commands:#?}");
        }
        let catalogues = std::fs::read_dir(folders(Path::new("none")).configs.join("mutants"));
        assert_eq!(catalogues.unwrap().count(), 2);
        for part in ["--shuffle", "reach-map --output", "--matrix 7.3 --source 7.3=TREE"] {
            assert!(commands.iter().any(|it| it.contains(part)), "no `{part}` in {commands:#?}");
        }
    }

    #[test]
    fn a_command_that_is_none_is_refused_before_its_night() {
        let configs = tempfile::tempdir().unwrap();
        let config = inputs::read(&folders(Path::new("none")).configs).unwrap();
        std::fs::create_dir(configs.path().join("nights")).unwrap();
        let said = |command: &str| {
            let text = format!("[[job]]\nname = \"a\"\ncommand = [{command}]\n");
            std::fs::write(configs.path().join("nights/week.toml"), text).unwrap();
            inputs::week(configs.path(), &config).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(said("\"mutants\""), Ok(()));
        let none = said("\"mutant\"").unwrap_err();
        assert!(none.contains("week.toml: job `a`: unrecognized subcommand 'mutant'"), "{none}");
        let none = said("\"mutants\", \"--seeed\"").unwrap_err();
        assert!(none.contains("unexpected argument '--seeed'"), "{none}");
    }

    #[test]
    fn a_job_runs_once_at_a_time_and_each_run_has_its_record() {
        let results = tempfile::tempdir().unwrap();
        let (folders, week) = (folders(results.path()), week());
        let (job, other) = (week.job("mutants").unwrap(), week.job("inject").unwrap());
        let first = alone(&folders, job).unwrap();
        let _other = alone(&folders, other).unwrap();
        let twice = alone(&folders, job).unwrap_err();
        assert!(twice.to_string().contains("runs already"), "{twice}");
        drop(first);
        let _again = alone(&folders, job).unwrap();

        let begun = free_second(&folders, job);
        std::fs::write(record(&folders, "mutants", begun), "{}").unwrap();
        let next = free_second(&folders, job);
        assert_ne!(record(&folders, "mutants", begun), record(&folders, "mutants", next));
    }
}
