// SPDX-License-Identifier: MIT OR Apache-2.0
//! The trace of failed charges -> rows: task, gfp, number of pages, callers. Pure.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use protocol::{FailedCharges, SIGKILLS_MAX, Sigkill};

use super::text::{Record, records, symbol};

/// Most rows.
const ROWS_MAX: usize = 200;

/// Functions of a stack that are kept, innermost first.
const PATH_MAX: usize = 12;

/// Paths of the canary that are kept.
const PATHS_MAX: usize = 32;

/// The names of gfp bits by their number.
pub(super) struct Bits(BTreeMap<u32, String>);

impl Bits {
    /// From the kernel's own list: `___GFP_NORETRY_BIT 16 (gfpflags)`.
    ///
    /// # Errors
    /// A bit that decides whether a charge may fail is missing.
    pub(super) fn read(eval_map: &str) -> Result<Self> {
        let named = eval_map.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?.strip_prefix("___GFP_")?.strip_suffix("_BIT")?;
            Some((words.next()?.parse().ok()?, name.to_owned()))
        });
        let bits = Self(named.collect());
        for name in ["DIRECT_RECLAIM", "NORETRY", "RETRY_MAYFAIL", "NOFAIL"] {
            let known = bits.0.values().any(|known| known == name);
            ensure!(known, "the kernel does not name ___GFP_{name}_BIT in eval_map");
        }
        Ok(bits)
    }

    /// The names of the bits that are set.
    pub(super) fn names(&self, gfp: i64) -> Vec<String> {
        let set = self.0.iter().filter(|(bit, _)| gfp >> **bit & 1 == 1);
        set.map(|(_, name)| name.clone()).collect()
    }
}

/// What failed.
pub(super) struct Failures {
    /// Rows, in order of first appearance of their content.
    pub(super) failed: Vec<FailedCharges>,
    /// Failed charges that are in no row, and lines that could not be read.
    pub(super) left_out: u64,
    /// The tasks that were sent SIGKILL.
    pub(super) sigkills: Vec<Sigkill>,
}

/// Sums the failed charges of a trace of a load that began at `started_us`.
pub(super) fn failures(text: &str, bits: &Bits, started_us: u64) -> Failures {
    let (records, mut left_out) = records(text);
    let mut failed: Vec<FailedCharges> = Vec::new();
    // Tasks about to die. The buffers of several CPUs are merged in order of time.
    let mut dying = BTreeSet::new();
    let mut sigkills: Vec<Sigkill> = Vec::new();
    for record in &records {
        if record.event == "signal_generate" {
            let pid = record.number("pid");
            let at_us = record.at_us.saturating_sub(started_us);
            let told = pid.and_then(|pid| Some(Sigkill { pid: i32::try_from(pid).ok()?, at_us }));
            // One signal may be sent more than once.
            let is_new = |told: &Sigkill| sigkills.iter().all(|known| known.pid != told.pid);
            let told = told.filter(|told| is_new(told) && sigkills.len() < SIGKILLS_MAX);
            sigkills.extend(told);
            dying.extend(pid);
            continue;
        }
        let Some(row) = row(record, bits, dying.contains(&i64::from(record.pid))) else {
            left_out += 1;
            continue;
        };
        let same = |other: &FailedCharges| FailedCharges { count: 1, ..other.clone() } == row;
        match failed.iter().position(same) {
            Some(known) => failed[known].count += 1,
            None if failed.len() < ROWS_MAX => failed.push(row),
            None => left_out += 1,
        }
    }
    Failures { failed, left_out, sigkills }
}

/// The different stacks of a trace.
pub(super) fn paths(text: &str) -> Vec<Vec<String>> {
    let (records, _) = records(text);
    let charges = records.iter().filter(|record| record.event != "signal_generate");
    let paths: BTreeSet<Vec<String>> = charges.map(path).collect();
    paths.into_iter().take(PATHS_MAX).collect()
}

fn row(record: &Record<'_>, bits: &Bits, dying: bool) -> Option<FailedCharges> {
    Some(FailedCharges {
        task: record.field("comm")?.to_owned(),
        gfp: bits.names(record.number("gfp")?),
        pages: record.number("pages")?.try_into().ok()?,
        error: record.number("ret")?.try_into().ok()?,
        path: path(record),
        dying,
        count: 1,
    })
}

fn path(record: &Record<'_>) -> Vec<String> {
    let mut path = whole_path(record);
    path.truncate(PATH_MAX);
    path
}

/// Callers, innermost first: the direct one comes from the probe, the others from the stack.
pub(super) fn whole_path(record: &Record<'_>) -> Vec<String> {
    let caller = record.said.trim_start_matches('(').split_whitespace().next().map(symbol);
    // Before the caller there are the frames of the probe.
    let above = record.stack.iter().skip_while(|function| Some(**function) != caller).skip(1);
    caller.into_iter().chain(above.copied()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVAL_MAP: &str = "TLB_FLUSH 0 (tlb)\n___GFP_DIRECT_RECLAIM_BIT 10 (gfpflags)\n___GFP_RETRY_MAYFAIL_BIT 14 (gfpflags)\n___GFP_NOFAIL_BIT 15 (gfpflags)\n___GFP_NORETRY_BIT 16 (gfpflags)\n";

    fn charge(pid: i32, gfp: &str) -> String {
        format!(
            " <...>-{pid} [001] ..... 3.000001: charge: (obj_cgroup_charge_pages+0x4f/0xd0 <- try_charge_memcg) gfp={gfp} pages=1 ret=-12 comm=\"actor-0\"\n <...>-{pid} [001] ..... 3.000002: <stack trace>\n => kretprobe_trace_func\n => obj_cgroup_charge_pages\n => do_sys_openat2\n"
        )
    }

    #[test]
    fn equal_charges_are_one_row() {
        let bits = Bits::read(EVAL_MAP).unwrap();
        let text = [charge(7, "0x400"), charge(7, "0x10400"), charge(7, "0x400")].concat();
        let Failures { failed, left_out, .. } = failures(&text, &bits, 0);
        assert_eq!((failed.len(), left_out), (2, 0));
        assert_eq!((failed[0].count, failed[1].count), (2, 1));
        assert_eq!(failed[0].gfp, ["DIRECT_RECLAIM"]);
        assert_eq!(failed[1].gfp, ["DIRECT_RECLAIM", "NORETRY"]);
        assert_eq!(failed[0].path, ["obj_cgroup_charge_pages", "do_sys_openat2"]);
        assert_eq!((failed[0].error, failed[0].task.as_str()), (-12, "actor-0"));
    }

    #[test]
    fn who_was_sent_sigkill_is_dying_from_then_on() {
        let bits = Bits::read(EVAL_MAP).unwrap();
        let kill = " <...>-1 [000] d..1. 3.500000: signal_generate: sig=9 errno=0 code=128 comm=actor-0 pid=7 grp=1 res=0\n";
        let text = [&charge(7, "0x400"), kill, &charge(7, "0x400"), &charge(8, "0x400")].concat();
        let Failures { failed: rows, sigkills, .. } = failures(&text, &bits, 3_000_000);
        assert_eq!(sigkills, [Sigkill { pid: 7, at_us: 500_000 }]);
        assert_eq!(
            rows.iter().map(|row| (row.dying, row.count)).collect::<Vec<_>>(),
            [(false, 2), (true, 1)]
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_forgotten() {
        let bits = Bits::read(EVAL_MAP).unwrap();
        let torn = charge(7, "0x400").replace("ret=-12", "");
        assert_eq!(failures(&torn, &bits, 0).left_out, 1);
    }

    #[test]
    fn a_kernel_that_does_not_name_its_bits_is_refused() {
        assert!(Bits::read("___GFP_NOFAIL_BIT 15 (gfpflags)\n").is_err());
    }

    #[test]
    fn paths_are_told_apart() {
        let other = charge(7, "0x400").replace("obj_cgroup_charge_pages", "charge_memcg");
        let text = [charge(7, "0x400"), charge(7, "0x400"), other].concat();
        let first: Vec<String> = paths(&text).into_iter().map(|path| path[0].clone()).collect();
        assert_eq!(first, ["charge_memcg", "obj_cgroup_charge_pages"]);
    }
}
