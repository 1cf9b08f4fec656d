// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints the state of every memcg to the console: when PID 1 is stuck, or the host's deadline has
//! come. Each file has a line, the most telling first: reading a later one may never return.

use std::fs;
use std::path::{Path, PathBuf};

use crate::memcgs;

/// What is printed of a memcg, where it has it.
const FILES: [&str; 10] = [
    "memory.current",
    "memory.usage_in_bytes",
    "memory.max",
    "memory.limit_in_bytes",
    "memory.peak",
    "memory.overcharge",
    "memory.overcharge.max",
    "memory.events",
    "memory.overcharge.stat",
    "memory.pressure",
];

/// Memcgs, tasks of each, and characters of a line that are printed.
const MEMCGS_MAX: usize = 16;
const TASKS_MAX: usize = 16;
const LINE_CHARS_MAX: usize = 300;

/// Prints it.
pub(crate) fn print() {
    for folder in folders().into_iter().take(MEMCGS_MAX) {
        let name = folder.strip_prefix(memcgs::ROOT).unwrap_or(&folder).display();
        eprintln!("guest: memcg /{name}");
        for file in FILES {
            if let Ok(text) = fs::read_to_string(folder.join(file)) {
                let line = text.trim().replace('\n', ", ");
                eprintln!("guest:   {file}: {line:.LINE_CHARS_MAX$}");
            }
        }
        let tasks = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        for pid in tasks.lines().take(TASKS_MAX) {
            let of = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
            let (stat, waits) = (of("stat").unwrap_or_default(), of("wchan").unwrap_or_default());
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            let name = of("comm").unwrap_or_default();
            let (name, state) = (name.trim(), state.unwrap_or('?'));
            eprintln!("guest:   task {pid} {name}, state {state}, waits in {waits}");
        }
    }
}

/// Folders below the root, parents first.
fn folders() -> Vec<PathBuf> {
    let mut found = memcgs::folders_below(Path::new(memcgs::ROOT)).unwrap_or_default();
    found.sort();
    found
}
