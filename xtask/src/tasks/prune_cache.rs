// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask prune --cache`: removes what nobody uses and nobody has used for long.

use std::time::Duration;

use super::{Folders, agreed};
use crate::cli;
use crate::exit::Exit;
use crate::kernel::{Cache, shelf};
use crate::progress::print;
use crate::report::{self, Style, Table};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs the command.
///
/// # Errors
/// As [`super::prune::run`].
pub(super) fn run(folders: &Folders, args: &cli::Prune) -> anyhow::Result<Exit> {
    let cli::Prune { keep: _, days, dry_run, yes } = args;
    let cache = Cache::open(&folders.cache)?;
    let idle_min = DAY * *days;
    let items = shelf::items(&cache)?;
    let all = items.iter().map(|item| item.bytes).sum();
    let old: Vec<_> = items.iter().filter(|item| item.idle >= idle_min).collect();
    let mib = |bytes: u64| report::size(bytes as f64);
    let mut table = Table::default().left([""]).right([""]).left(["", ""]);
    for item in &old {
        let unused = format!("unused for {} days", item.idle.as_secs() / DAY.as_secs());
        table.row([item.kind.to_string(), mib(item.bytes), unused, item.name.clone()]);
    }
    print(table.text(Style::default()))?;
    let freed = mib(old.iter().map(|item| item.bytes).sum());
    let what = format!("{} of {} ({freed} of {})", old.len(), items.len(), mib(all));
    if old.is_empty() {
        print(format_args!("nothing in the cache is unused for {days} days: {}\n", mib(all)))?;
        return Ok(Exit::Ok);
    }
    if *dry_run {
        print(format_args!("{what} would be removed, unless in use\n"))?;
        return Ok(Exit::Ok);
    }
    if !yes && !agreed(&what)? {
        print("nothing was removed\n")?;
        return Ok(Exit::Ok);
    }
    let (mut count, mut bytes) = (0, 0);
    for item in old {
        match shelf::remove(&cache, item, idle_min)? {
            true => (count, bytes) = (count + 1, bytes + item.bytes),
            false => print(format_args!("kept, because it is in use: {}\n", item.name))?,
        }
    }
    print(format_args!("removed {count} of {} ({})\n", items.len(), mib(bytes)))?;
    Ok(Exit::Ok)
}
