// SPDX-License-Identifier: MIT OR Apache-2.0
//! Evidence -> what happened to the limited memcg and when, for charts of its usage over time.
//!
//! Times are of the guest's one clock, from the begin of the load; the console's is another one, so of a kill the console
//! tells only where it came from.

use protocol::{
    DebtEnd, Event, Fact, Hello, LoadEnded, MemcgRole, ProcessEnd, ProcessEnded, ProcessRole,
    Settled,
};
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::evidence::oom::{Origin, ooms};

/// Kills that are marked, at most; times for which the memcg owed have their limit on the wire.
const KILLS_MAX: usize = 100;

/// Page size where the guest did not say one.
const PAGE_BYTES: u64 = 4096;

/// What happened in a cell, and when: microseconds since the load began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        /// When it was sent SIGKILL, by the trace event of the kernel; `None` where that was not seen.
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
pub(crate) fn marks(evidence: &Evidence) -> Vec<Mark> {
    let events = &evidence.events;
    let mut marks = owed(events);
    marks.extend(kills(evidence));
    let ended = events.iter().find_map(|event| match event.fact {
        Fact::LoadEnded(LoadEnded { duration_us, .. }) => Some(duration_us),
        _ => None,
    });
    marks.extend(ended.map(|at_us| Mark::LoadEnded { at_us }));
    let settled = events.iter().find_map(|event| match event.fact {
        Fact::Settled(Settled { settled: true, after_us }) => Some(after_us),
        _ => None,
    });
    let settled = ended.zip(settled).map(|(ended_us, after_us)| ended_us + after_us);
    marks.extend(settled.map(|at_us| Mark::Settled { at_us }));
    marks
}

fn owed(events: &[Event]) -> Vec<Mark> {
    let page_bytes = events.iter().find_map(|event| match event.fact {
        Fact::Hello(Hello { page_bytes, .. }) => Some(page_bytes),
        _ => None,
    });
    let limited = events.iter().find_map(|event| match &event.fact {
        Fact::Overcharges(all) => all.memcgs.iter().find(|of| of.memcg == MemcgRole::Limited),
        _ => None,
    });
    let debts = limited.map_or(&[][..], |limited| &limited.debts);
    let mark = |debt: &protocol::Debt| Mark::Overcharged {
        since_us: debt.since_us,
        until_us: debt.until_us,
        end: debt.end,
        charges: debt.charges,
        over_bytes_max: debt.excess_pages_max * page_bytes.unwrap_or(PAGE_BYTES),
    };
    debts.iter().map(mark).collect()
}

fn kills(evidence: &Evidence) -> Vec<Mark> {
    let ooms = ooms(&evidence.console);
    let sent = evidence.events.iter().find_map(|event| match &event.fact {
        Fact::Charges(charges) => Some(charges.sigkills.as_slice()),
        _ => None,
    });
    let sent = sent.unwrap_or_default();
    let kill = |event: &Event| match event.fact {
        Fact::ProcessEnded(ProcessEnded {
            role,
            pid,
            end: ProcessEnd::Signaled(9),
            by_guest: false,
            after_us,
        }) => {
            let report = ooms.reports.iter().find(|report| report.killed == Some(pid));
            let from = report.map(|report| report.origin);
            let at_us = sent.iter().find(|sent| sent.pid == pid).map(|sent| sent.at_us);
            Some(Mark::Killed { at_us, gone_us: after_us, pid, role, from })
        }
        _ => None,
    };
    evidence.events.iter().filter_map(kill).take(KILLS_MAX).collect()
}
