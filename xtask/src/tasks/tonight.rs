// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask tonight`: what the plan of the week has for a night, printed or run.
//!
//! A job runs as a command of its own, so that it ends as it would by hand; how it ended is kept in
//! `results/jobs` for the digest.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

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
    let line = |job: &Job| {
        let parts = match job.parts() {
            1 => String::new(),
            parts => format!(" in {parts} parts"),
        };
        let sign = job.variable.as_ref().map(|name| format!("${name}")).unwrap_or_default();
        let skipped = match &job.variable {
            Some(name) if std::env::var_os(name).is_none() => {
                format!(" (skipped: ${name} is not set)")
            }
            _ => String::new(),
        };
        format!("{:14} cargo xtask {}{parts}{skipped}\n", job.name, job.arguments(&sign).join(" "))
    };
    week.on(day).map(line).collect()
}

fn run_job(folders: &Folders, job: &Job, more: &[String]) -> anyhow::Result<Exit> {
    let value = match &job.variable {
        None => String::new(),
        Some(name) => match std::env::var(name) {
            Ok(value) if !value.is_empty() => value,
            _ => {
                note(&format!("job {} is skipped: ${name} is not set", job.name));
                return Ok(Exit::Ok);
            }
        },
    };
    Stop::on_signals()?;
    let arguments = [job.arguments(&value), more.to_vec()].concat();
    let mut command = Command::new(std::env::current_exe()?);
    command.current_dir(&folders.workspace).args(&arguments);
    command.arg("--configs").arg(&folders.configs).arg("--results").arg(&folders.results);
    command.arg("--cache").arg(&folders.cache);
    let earlier: BTreeSet<String> = names(folders);
    let (begun, started) = (Instant::now(), Timestamp::now());
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
        run: made(folders, &earlier, &arguments),
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

/// The run that this command made: other jobs may run beside it.
fn made(folders: &Folders, earlier: &BTreeSet<String>, arguments: &[String]) -> Option<String> {
    let is_ours = |name: &String| {
        let folder = RunFolder::at(&folders.results.join(name)).ok();
        let manifest = folder.and_then(|it| it.read_manifest::<Manifest>().ok());
        manifest.is_some_and(|it| it.command.get(1..).is_some_and(|is| is.starts_with(arguments)))
    };
    names(folders).into_iter().filter(|name| !earlier.contains(name)).rfind(is_ours)
}

fn keep(folders: &Folders, ran: &JobRun, started: Timestamp) -> anyhow::Result<()> {
    let jobs = folders.results.join(nights::JOBS);
    std::fs::create_dir_all(&jobs)
        .map_err(|error| Fault::new(Exit::Host, format!("{}: {error}", jobs.display())))?;
    let stamp = started.strftime("%Y-%m-%dT%H-%M-%SZ");
    let mut text = serde_json::to_string_pretty(ran)?;
    text.push('\n');
    write_whole(&jobs.join(format!("{stamp}-{}.json", ran.job)), text.as_bytes())
}
