// SPDX-License-Identifier: MIT OR Apache-2.0
//! Evidence -> what happened to the limited memcg and when, for charts of its usage over time.
//!
//! Times are of the guest's one clock, from the begin of the load; the console's is another one, so
//! of a kill the console tells only where it came from.

use protocol::{Debt, DebtEnd, MemcgRole, ProcessRole};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evidence::Seen;
use crate::evidence::oom::Origin;

/// Kills that are marked, at most; times for which the memcg owed have their limit on the wire.
const KILLS_MAX: usize = 100;

/// Page size where the guest did not say one.
const PAGE_BYTES: u64 = 4096;

/// What happened in a cell, and when: microseconds since the load began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Mark {
    /// The memcg was charged over its limit, by the patch's own trace events.
    Overcharged {
        /// The first such charge.
        since_us: u64,
        /// When an attempt to reconcile left nothing above the limit; else the last such charge.
        until_us: u64,
        /// How it ended.
        end: DebtEnd,
        /// Such charges.
        charges: u64,
        /// How far the furthest went over the limit, bytes.
        over_bytes_max: u64,
    },
    /// A process was killed, and not by the guest.
    Killed {
        /// When it was sent SIGKILL, by the trace event of the kernel; `None` where that was not
        /// seen.
        at_us: Option<u64>,
        /// When the observer saw it gone.
        gone_us: u64,
        /// Its pid, as the console names it.
        pid: i32,
        /// What it was for.
        role: ProcessRole,
        /// Where the OOM killer was called from, as far as the console has a report.
        from: Option<Origin>,
    },
    /// The load ended.
    LoadEnded {
        /// When.
        at_us: u64,
    },
    /// Usage was at the limit or below it, after the load.
    Settled {
        /// When the observer saw it.
        at_us: u64,
    },
}

/// What the evidence has times for, in order of kind.
pub(crate) fn marks(seen: &Seen<'_>) -> Vec<Mark> {
    let mut marks = owed(seen);
    marks.extend(kills(seen));
    let ended_us = seen.load_ended.map(|(_, load)| load.duration_us);
    marks.extend(ended_us.map(|at_us| Mark::LoadEnded { at_us }));
    let settled = seen.settled.filter(|settled| settled.settled);
    let settled_us = ended_us.zip(settled).map(|(ended_us, settled)| ended_us + settled.after_us);
    marks.extend(settled_us.map(|at_us| Mark::Settled { at_us }));
    marks
}

fn owed(seen: &Seen<'_>) -> Vec<Mark> {
    let page_bytes = seen.hello.map_or(PAGE_BYTES, |(_, hello)| hello.page_bytes);
    let debts = seen.overcharged(MemcgRole::Limited).map_or(&[][..], |limited| &limited.debts);
    let mark = |debt: &Debt| Mark::Overcharged {
        since_us: debt.since_us,
        until_us: debt.until_us,
        end: debt.end,
        charges: debt.charges,
        over_bytes_max: debt.excess_pages_max * page_bytes,
    };
    debts.iter().map(mark).collect()
}

fn kills(seen: &Seen<'_>) -> impl Iterator<Item = Mark> {
    let sent = seen.charges.map_or(&[][..], |charges| &charges.sigkills);
    let killed = seen.signaled().filter(|(_, signal)| *signal == 9).take(KILLS_MAX);
    killed.map(move |(ended, _)| {
        let pid = ended.pid;
        let report = seen.ooms.reports.iter().find(|report| report.killed == Some(pid));
        Mark::Killed {
            at_us: sent.iter().find(|sent| sent.pid == pid).map(|sent| sent.at_us),
            gone_us: ended.after_us,
            pid,
            role: ended.role,
            from: report.map(|report| report.origin),
        }
    })
}
