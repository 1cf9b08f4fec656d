// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask prune`: removes old runs by the rule in `runs::retention`, and nothing else.

use std::path::{Path, PathBuf};

use super::{Folders, agreed, bench, doctor_kvm, inject, parts, prune_cache, repro, shown};
use crate::cli::{self, Places};
use crate::exit::Exit;
use crate::progress::print;
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
    let below = [parts::FOLDER, bench::FOLDER, inject::FOLDER, repro::FOLDER, doctor_kvm::FOLDER];
    let mut old = Vec::new();
    for place in std::iter::once(folders.results.clone())
        .chain(below.map(|below| folders.results.join(below)))
    {
        if !dry_run {
            results::remove_leftovers(&place)?;
        }
        old.extend(too_old(&place, rule)?);
    }
    if old.is_empty() {
        print(format_args!("no run is older than {days} days and none of the newest {keep}\n"))?;
        return Ok(Exit::Ok);
    }
    old.iter().try_for_each(|dir| print(format_args!("{}\n", shown(dir))))?;
    if *dry_run {
        print(format_args!("{} runs would be removed\n", old.len()))?;
        return Ok(Exit::Ok);
    }
    if !yes && !agreed(&format!("{} runs", old.len()))? {
        print("nothing was removed\n")?;
        return Ok(Exit::Ok);
    }
    let mut removed = 0;
    for dir in &old {
        // A process that started to write to it meanwhile keeps it.
        removed += usize::from(results::remove(dir)?);
    }
    print(format_args!("{removed} runs removed\n"))?;
    Ok(Exit::Ok)
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
