// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask prune`: removes old runs and records of jobs by the rule in `runs::retention`, and
//! nothing else. Nights that others are compared with stay.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{
    Folders, agreed, bench, bisect, doctor_kvm, inject, nights, parts, prune_cache, repro, shown,
};
use crate::cli::{self, Places};
use crate::exit::Exit;
use crate::progress::print;
use crate::report::plural;
use crate::results;
use crate::runs::{self, Kept, Rule, RunAge, State};

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] without `--yes` and without a terminal to ask on; folders that cannot be
/// removed.
pub(crate) fn run(places: &Places, args: &cli::Prune) -> anyhow::Result<Exit> {
    let cli::Prune { keep, days, dry_run, yes } = args;
    if places.cache.as_ref().is_some_and(|cache| cache.as_os_str().is_empty()) {
        let cache = std::env::var_os(cli::CACHE_VARIABLE).map(PathBuf::from);
        return prune_cache::run(&Folders::of(&Places { cache, ..places.clone() })?, args);
    }
    let folders = Folders::of(places)?;
    let rule = Rule { keep: *keep, days: *days };
    let mut old = Vec::new();
    for place in places_of_runs(&folders.results) {
        if !dry_run {
            results::remove_leftovers(&place)?;
        }
        old.extend(too_old(&place, rule)?);
    }
    if !old.is_empty() {
        let compared = runs::compared_with(&nights::all(&folders.results)?.0);
        let of_a_night = |dir: &Path| {
            dir.strip_prefix(&folders.results)
                .is_ok_and(|id| compared.contains(&*id.to_string_lossy()))
        };
        old.retain(|dir| !of_a_night(dir));
    }
    let records = old_records(&folders.results.join(nights::JOBS), rule);
    if old.is_empty() && records.is_empty() {
        print(format_args!(
            "nothing to remove: every run is of the last {days} days, one of the newest {keep},\n\
             or what nights are compared with\n"
        ))?;
        return Ok(Exit::Ok);
    }
    old.iter().chain(&records).try_for_each(|path| print(format_args!("{}\n", shown(path))))?;
    let counted = |runs: usize, records: usize| match records {
        0 => plural(runs, "run"),
        _ => format!("{} and {} of jobs", plural(runs, "run"), plural(records, "record")),
    };
    let what = counted(old.len(), records.len());
    if *dry_run {
        print(format_args!("{what} would be removed\n"))?;
        return Ok(Exit::Ok);
    }
    if !yes && !agreed(&what)? {
        print("nothing was removed\n")?;
        return Ok(Exit::Ok);
    }
    let mut removed = 0;
    for dir in &old {
        // A process that started to write to it meanwhile keeps it.
        removed += usize::from(results::remove(dir)?);
    }
    for record in &records {
        std::fs::remove_file(record)
            .with_context(|| format!("cannot remove {}", record.display()))?;
    }
    print(format_args!("{} removed\n", counted(removed, records.len())))?;
    Ok(Exit::Ok)
}

/// The folders that have run folders.
pub(super) fn places_of_runs(results: &Path) -> Vec<PathBuf> {
    let below = [
        parts::FOLDER,
        bench::FOLDER,
        bisect::FOLDER,
        inject::FOLDER,
        repro::FOLDER,
        doctor_kvm::FOLDER,
    ];
    let below = below.map(|below| results.join(below));
    std::iter::once(results.to_owned()).chain(below).collect()
}

/// Records of jobs that go, by the rule of runs, each job on its own. A record is written whole
/// when its job has ended: none is in use.
fn old_records(place: &Path, rule: Rule) -> Vec<PathBuf> {
    let now = jiff::Timestamp::now();
    let mut jobs: BTreeMap<String, Vec<RunAge>> = BTreeMap::new();
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let job = name.split_once("Z-").and_then(|(_, job)| job.strip_suffix(".json"));
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let Some((job, begun)) = job.zip(results::begun(&name)).filter(|_| is_file) else {
            continue;
        };
        let age_s = now.duration_since(begun).as_secs();
        let age = RunAge { id: name.clone(), age_s, state: State::Over, latest: false };
        jobs.entry(job.to_owned()).or_default().push(age);
    }
    let gone = |ages: Vec<RunAge>| {
        let kept = runs::judge_age(&ages, rule);
        let gone = ages.into_iter().zip(kept).filter(|(_, kept)| *kept == Kept::No);
        gone.map(|(record, _)| place.join(record.id)).collect::<Vec<_>>()
    };
    let mut gone: Vec<PathBuf> = jobs.into_values().flat_map(gone).collect();
    gone.sort();
    gone
}

/// The runs in one folder to remove, oldest first.
fn too_old(place: &Path, rule: Rule) -> anyhow::Result<Vec<PathBuf>> {
    let now = jiff::Timestamp::now();
    let mut ages = Vec::new();
    for (id, begun) in results::named_like_runs(place)? {
        let state =
            if results::is_running(&place.join(&id)) { State::Running } else { State::Over };
        let latest = results::latest(place).is_some_and(|latest| latest == id);
        ages.push(RunAge { age_s: now.duration_since(begun).as_secs(), id, state, latest });
    }
    let kept = runs::judge_age(&ages, rule);
    let gone = ages.iter().zip(kept).filter(|(_, kept)| *kept == Kept::No);
    Ok(gone.map(|(run, _)| place.join(&run.id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_keeps_its_newest_records_and_nothing_else_is_touched() {
        let place = tempfile::tempdir().unwrap();
        let old = ["2020-01-01T05-00-00Z-a.json", "2020-01-02T05-00-00Z-a.json"];
        let other = ["2020-01-01T05-00-00Z-b.json", "2999-01-01T05-00-00Z-a.json"];
        let foreign = ["notes.json", "2020-01-01T05-00-00Z.json", "2020-01-01T05-00-00Z-a.txt"];
        for name in old.iter().chain(&other).chain(&foreign) {
            std::fs::write(place.path().join(name), "{}").unwrap();
        }
        std::fs::create_dir(place.path().join("2020-01-01T05-00-00Z-c.json")).unwrap();
        let gone = |keep, days| -> Vec<String> {
            let gone = old_records(place.path(), Rule { keep, days });
            gone.iter().map(|it| it.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(gone(0, 14), [old[0], other[0], old[1]]);
        assert_eq!(gone(1, 14), old, "the one of the future is the newest of a");
        assert_eq!(gone(2, 14), [old[0]]);
        assert_eq!(gone(0, 100_000), [""; 0]);
    }
}
