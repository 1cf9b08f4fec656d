// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the whole machine holds, before and after a cell: what does not come back has leaked, also
//! where no memcg was charged for it.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use protocol::{Fact, Ledger};

use crate::clock::{self, Deadline};
use crate::{patience, release};

/// How often to look again, microseconds.
const LOOK_US: u64 = 10_000;

/// What is so little more than before need not be waited for: bytes, or files and tasks.
const LITTLE: u64 = 256 << 10;

/// Lines of `/proc/meminfo`: what only the kernel can give back.
const SIZES: [(&str, &str); 6] = [
    ("AnonPages:", "anon"),
    ("KernelStack:", "kernel_stack"),
    ("PageTables:", "page_tables"),
    ("Percpu:", "percpu"),
    ("SUnreclaim:", "slab"),
    ("VmallocUsed:", "vmalloc"),
];

/// The amounts before the load.
pub(crate) struct Opened(BTreeMap<String, u64>);

impl Opened {
    /// Reads them.
    pub(crate) fn now() -> Result<Self> {
        amounts().map(Self)
    }

    /// Reads them again, when what is freed late has been given time.
    pub(crate) fn close(self) -> Result<Fact> {
        let mut after = BTreeMap::new();
        clock::poll(Deadline::in_ms(patience::LEDGER_MS), LOOK_US, || {
            release::await_rcu();
            after = amounts()?;
            let known = |name: &String| self.0.get(name).copied().unwrap_or(0);
            Ok(after.iter().all(|(name, amount)| *amount <= known(name) + LITTLE))
        })?;
        Ok(Fact::Ledger(Ledger { before: self.0, after }))
    }
}

fn amounts() -> Result<BTreeMap<String, u64>> {
    let read = |path| fs::read_to_string(path).with_context(|| format!("read {path}"));
    let mut amounts = sizes(&read("/proc/meminfo")?);
    let files = read("/proc/sys/fs/file-nr")?;
    let tasks = read("/proc/loadavg")?;
    amounts.extend([
        ("files".to_owned(), open_files(&files).context("no number in /proc/sys/fs/file-nr")?),
        ("tasks".to_owned(), all_tasks(&tasks).context("no tasks in /proc/loadavg")?),
    ]);
    Ok(amounts)
}

fn sizes(meminfo: &str) -> BTreeMap<String, u64> {
    let size = |line: &str| {
        let mut words = line.split_whitespace();
        let (key, kib) = (words.next()?, words.next()?.parse::<u64>().ok()?);
        let (_, name) = SIZES.iter().find(|(known, _)| *known == key)?;
        Some(((*name).to_owned(), kib.saturating_mul(1024)))
    };
    meminfo.lines().filter_map(size).collect()
}

/// The first of three numbers.
fn open_files(file_nr: &str) -> Option<u64> {
    file_nr.split_whitespace().next()?.parse().ok()
}

/// `0.00 0.01 0.05 1/42 137`: 42.
fn all_tasks(loadavg: &str) -> Option<u64> {
    loadavg.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_the_kernel_writes_them() {
        let meminfo = "MemTotal:     485092 kB\nKernelStack:     720 kB\nPercpu:    576 kB\n";
        let expected = [("kernel_stack", 720 << 10), ("percpu", 576 << 10)];
        assert_eq!(sizes(meminfo), expected.map(|(name, bytes)| (name.to_owned(), bytes)).into());
        assert_eq!(open_files("256\t0\t9223372036854775807\n"), Some(256));
        assert_eq!(all_tasks("0.00 0.01 0.05 1/42 137\n"), Some(42));
        assert_eq!((open_files(""), all_tasks("0.00 1")), (None, None));
    }
}
