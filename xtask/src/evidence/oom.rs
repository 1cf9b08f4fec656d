// SPDX-License-Identifier: MIT OR Apache-2.0
//! OOM reports on the console: who was killed, and from where in the kernel. Pure.
//!
//! The stack of a report tells what no counter does: whether the OOM killer ran in the middle of a
//! system call, below a kernel-memory charge, or on the way back to user mode with no lock held.
//! The kernel holds `oom_lock` while it reports, so reports never overlap one another; lines of
//! other CPUs may stand between.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::records;

/// Longest report: a stack, the memcg's numbers, and one line a task.
const REPORT_LINES: usize = 600;

const PAGE_BYTES: i64 = 4096;

/// From where the OOM killer was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// Below the charge of kernel memory: inside a system call, with whatever locks it holds.
    Charge,
    /// Below the charge of a user page or a page-cache page.
    Fault,
    /// On the way back to user mode, or in the reconciliation wherever it runs.
    Return,
    /// The stack shows none of these.
    Elsewhere,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Charge => "inside the charge of kernel memory",
            Self::Fault => "inside the charge of a user or page-cache page",
            Self::Return => "on the way back to user mode",
            Self::Elsewhere => "from elsewhere",
        })
    }
}

/// One report with its stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// From where.
    pub(crate) origin: Origin,
    /// Pid of the first task killed; `None` when none could be.
    pub(crate) killed: Option<i32>,
    /// Tasks killed with it because of `memory.oom.group`, each with a line and no report of its
    /// own.
    pub(crate) killed_with_it: u64,
    /// The memcg whose limit was met and the victim's, as paths; `None` without a victim.
    pub(crate) memcgs: Option<(String, String)>,
    /// The gfp of the charge that it is for, by the kernel's names.
    pub(crate) gfp: Vec<String>,
    /// Usage of the memcg whose limit was met, and that limit, KiB.
    pub(crate) usage_kib: Option<(u64, u64)>,
    /// Whether a zone had far more free memory than the page allocator keeps.
    pub(crate) plenty: bool,
    /// The tasks that it lists.
    pub(crate) tasks: Vec<Listed>,
    /// Functions on the stack, innermost first.
    pub(crate) stack: Vec<String>,
    /// Its first line in the console, from 0.
    pub(crate) line: usize,
}

/// A line of the table of tasks in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Of the process, and of the thread of it that still had memory.
    pub(crate) tgid: i32,
    /// See `tgid`.
    pub(crate) pid: i32,
    /// What `oom_badness()` counts: resident, swapped out, and page tables; pages.
    pub(crate) pages: u64,
    /// `oom_score_adj`.
    pub(crate) adj: i32,
    /// Whether it was killed before this report, and what became of it.
    pub(crate) before: Before,
}

/// What happened to a task before a report that lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing.
    Alive,
    /// It was killed, and neither has it exited nor has the OOM reaper done with it.
    Dying,
    /// It was killed, and the OOM reaper has done with it.
    Reaped,
}

impl Listed {
    /// Whether that is the pid of one of its threads.
    pub(crate) fn is(&self, pid: i32) -> bool {
        self.tgid == pid || self.pid == pid
    }
}

/// What the OOM killer did to memcgs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ooms {
    /// Reports, in order. The kernel prints at most 10 kills in 5 s with one.
    pub(crate) reports: Vec<Report>,
    /// Tasks killed, by report or without.
    pub(crate) kills: u64,
    /// Tasks killed because the whole system was out of memory.
    pub(crate) global_kills: u64,
    /// Of them, those where far more memory was free than the page allocator keeps.
    pub(crate) needless_kills: u64,
    /// Whether the last search that found no task was made where there was as much.
    pub(crate) searched_in_plenty: bool,
    /// Searches that found no task to kill.
    pub(crate) no_victim: u64,
}

impl Ooms {
    /// Kills with a report from there.
    pub(crate) fn kills_from(&self, origin: Origin) -> u64 {
        self.traced(|report| report.origin == origin)
    }

    /// Kills without a report.
    pub(crate) fn untraced(&self) -> u64 {
        self.kills.saturating_sub(self.traced(|_| true))
    }

    fn traced(&self, fits: impl Fn(&Report) -> bool) -> u64 {
        let kills = |report: &Report| u64::from(report.killed.is_some()) + report.killed_with_it;
        self.reports.iter().filter(|report| fits(report)).map(kills).sum()
    }
}

/// Reads every OOM report.
pub(crate) fn ooms(console: &str) -> Ooms {
    let mut ooms = Ooms::default();
    let mut open: Option<Report> = None;
    // The line that names memcgs and victim is printed in pieces; a line of another CPU may stand
    // between any two of them.
    let mut context = String::new();
    // Those who are killed now belong to the last report.
    let mut group = false;
    // Whether the last victim had one of its own.
    let mut reported = false;
    let mut victims: BTreeMap<i32, Before> = BTreeMap::new();
    for (at, record) in records(console).enumerate() {
        let Some(line) = record.of_kernel() else { continue };
        if line.contains(" invoked oom-killer:") {
            ooms.reports.extend(open.take().map(closed));
            context.clear();
            group = false;
            open = Some(opened(line, at));
        } else if line.contains("Killed process ") {
            let pid = pid_after(line, "Killed process ");
            // Of a group all are killed again, but an mm is reaped only once.
            if let Some(pid) = pid {
                victims.entry(pid).or_insert(Before::Dying);
            }
            if line.contains("emory cgroup out of memory") {
                ooms.kills += 1;
                reported = open.is_some();
                if let Some(mut report) = open.take() {
                    report.killed = pid;
                    report.memcgs = memcgs(&context);
                    ooms.reports.push(closed(report));
                } else if group && let Some(report) = ooms.reports.last_mut() {
                    report.killed_with_it += 1;
                }
            } else {
                ooms.global_kills += 1;
                let needless = open.take().is_some_and(|report| report.plenty);
                ooms.needless_kills += u64::from(needless);
            }
        } else if let Some(pid) = reaped(line) {
            victims.insert(pid, Before::Reaped);
        } else if line.contains("is already exiting. Skip killing the task") {
            // The next kill may be one without a report.
            let report = open.take().filter(|_| line.contains("emory cgroup out of memory"));
            reported = report.is_some();
            ooms.reports.extend(report.map(closed));
        } else if line.contains("due to memory.oom.group set") {
            // Who was chosen has had its line; from here on each member of the group has one.
            group = reported;
        } else if line.contains("Out of memory and no killable processes") {
            ooms.no_victim += 1;
            ooms.searched_in_plenty = open.as_ref().is_some_and(|report| report.plenty);
            ooms.reports.extend(open.take().map(closed));
        } else if let Some(report) = &mut open {
            if at - report.line > REPORT_LINES {
                ooms.reports.extend(open.take().map(closed));
            } else if line.starts_with("oom-kill:")
                || !context.is_empty() && line.starts_with([',', '/'])
            {
                context.push_str(line);
            } else {
                read(report, line, &victims);
            }
        }
    }
    ooms.reports.extend(open.map(closed));
    ooms
}

/// A line of a report that stands for itself.
fn read(report: &mut Report, line: &str, victims: &BTreeMap<i32, Before>) {
    if let Some(usage) = usage(line) {
        report.usage_kib = Some(usage);
    } else if has_plenty(line) {
        report.plenty = true;
    } else if let Some(function) = function(line) {
        report.stack.push(function);
    } else if let Some(mut listed) = listed(line) {
        let known = [listed.tgid, listed.pid].iter().find_map(|pid| victims.get(pid));
        listed.before = known.copied().unwrap_or(Before::Alive);
        report.tasks.push(listed);
    }
}

/// A report of which the first line is seen.
fn opened(line: &str, at: usize) -> Report {
    Report {
        origin: Origin::Elsewhere,
        killed: None,
        killed_with_it: 0,
        memcgs: None,
        gfp: gfp(line),
        usage_kib: None,
        plenty: false,
        tasks: Vec::new(),
        stack: Vec::new(),
        line: at,
    }
}

fn closed(mut report: Report) -> Report {
    report.origin = origin(&report.stack);
    report
}

/// Of 6.12: `obj_cgroup_charge()` and the slab and page hooks charge kernel memory,
/// `charge_memcg()` and its callers charge folios, both through `try_charge_memcg()`.
fn origin(stack: &[String]) -> Origin {
    if let Some(at) = stack.iter().position(|function| function == "try_charge_memcg") {
        // The innermost caller: reclaim for a folio may itself charge kernel memory.
        return charged(&stack[at..]).unwrap_or(Origin::Charge);
    }
    let returns = stack.iter().any(|function| {
        function.contains("overcharge")
            || function.contains("exit_to_user_mode")
            || function.starts_with("resume_user_mode")
    });
    if returns { Origin::Return } else { Origin::Elsewhere }
}

/// What a charge is for, by its callers, the innermost first; `None` for sockets and others.
pub(crate) fn charged(callers: &[String]) -> Option<Origin> {
    callers.iter().find_map(|function| charge(function))
}

fn charge(function: &str) -> Option<Origin> {
    let begins = |with: [&str; 3]| with.iter().any(|begin| function.starts_with(begin));
    if begins(["obj_cgroup_charge", "__memcg_slab_", "__memcg_kmem_"]) {
        return Some(Origin::Charge);
    }
    begins(["charge_memcg", "__mem_cgroup_charge", "mem_cgroup_swapin_"]).then_some(Origin::Fault)
}

/// The function of a line of a stack; lines with `?` are the unwinder's guesses.
fn function(line: &str) -> Option<String> {
    static ENTRY: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^\s*([A-Za-z_][\w$.]*)\+0x[0-9a-f]+/0x[0-9a-f]+").ok());
    let found = ENTRY.as_ref()?.captures(line)?;
    // `.isra.0`, `.part.0`, `.constprop.0`, `.cold`: the compiler's copies of one function.
    Some(found[1].split('.').next().unwrap_or_default().to_owned())
}

/// `oom-kill:constraint=...,oom_memcg=/a/b,task_memcg=/a/b,task=hog,...`
fn memcgs(context: &str) -> Option<(String, String)> {
    let value = |key: &str| {
        let after = context.split_once(key)?.1;
        after.split(',').next().map(str::to_owned)
    };
    Some((value(",oom_memcg=")?, value(",task_memcg=")?))
}

/// `gfp_mask=0x400dc0(GFP_KERNEL_ACCOUNT|__GFP_ZERO), order=0`
fn gfp(line: &str) -> Vec<String> {
    let names = line.split_once("gfp_mask=").and_then(|(_, after)| after.split_once('('));
    let names = names.and_then(|(_, after)| after.split_once(')'));
    names.map_or(Vec::new(), |(names, _)| names.split('|').map(str::to_owned).collect())
}

/// `memory: usage 8192kB, limit 8192kB, failcnt 83`
fn usage(line: &str) -> Option<(u64, u64)> {
    let (usage, rest) = line.strip_prefix("memory: usage ")?.split_once("kB, limit ")?;
    let (limit, _) = rest.split_once("kB")?;
    Some((usage.parse().ok()?, limit.parse().ok()?))
}

/// Free memory of a zone is plenty if it is so many times its high watermark.
const PLENTY: u64 = 16;

/// `DMA32 free:470952kB boost:0kB min:2812kB low:3512kB high:4212kB ...`
fn has_plenty(line: &str) -> bool {
    let kib = |key: &str| -> Option<u64> {
        let after = line.split_once(key)?.1.split_once("kB")?.0;
        after.parse().ok()
    };
    let sizes = kib(" free:").zip(kib(" high:"));
    sizes.is_some_and(|(free, high)| high > 0 && free >= PLENTY.saturating_mul(high))
}

/// A task with which the OOM reaper has done, whether it got its memory or not (`MMF_OOM_SKIP`).
fn reaped(line: &str) -> Option<i32> {
    ["oom_reaper: reaped process ", "oom_reaper: unable to reap pid:"]
        .iter()
        .find_map(|said| pid_after(line, said))
}

/// Numbers of a task, after its pid in brackets; then comes its name, which may be one, too.
const COLUMNS: usize = 10;

/// `[     41]     0    41      797      753       64        0       689    40960        0 -1000 a`
fn listed(line: &str) -> Option<Listed> {
    let (pid, rest) = line.strip_prefix('[')?.split_once(']')?;
    let words = rest.split_whitespace().take(COLUMNS);
    let columns: Vec<i64> = words.map_while(|word| word.parse().ok()).collect();
    let [_, tgid, _, rss, .., page_table_bytes, swapped, adj] = columns[..] else { return None };
    let pages = rss.checked_add(swapped)?.checked_add(page_table_bytes / PAGE_BYTES)?;
    Some(Listed {
        tgid: tgid.try_into().ok()?,
        pid: pid.trim().parse().ok()?,
        pages: pages.try_into().ok()?,
        adj: adj.try_into().ok()?,
        before: Before::Alive,
    })
}

fn pid_after(line: &str, said: &str) -> Option<i32> {
    let after = line.split(said).nth(1)?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
