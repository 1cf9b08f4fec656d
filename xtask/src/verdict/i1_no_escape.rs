// SPDX-License-Identifier: MIT OR Apache-2.0
//! I1: no charge that may be delayed fails; no system call says that it did, plain or in disguise.
//!
//! Two views, each held to the same tolerance: what the calls of the actors say, and what the
//! charge itself returned, to whomever, even where no errno shows it. The second is asked of
//! policies that overcharge: without them failing is what the limit is for, and the errnos tell.
//!
//! Tolerance: each failure must be paid for by a charge that the kernel itself counted as denied at
//! the cap (`counters.denied`), so without denials it is zero. Exempt are calls whose allocation is
//! not eligible (`F_SETPIPE_SZ`: more than 8 pages) and calls of killed tasks, which are
//! `unfinished` and no failures; of charges [`charges`] tells which are eligible.

use std::collections::BTreeMap;

use protocol::{Charges, Fact, Operations, ProcessEnd, ProcessEnded, ProcessRole};

use super::{Answer, Case, Invariant, Missing, charges};

/// The invariant.
pub(super) const RULE: Invariant = Invariant::new(
    1,
    "no escape",
    "no eligible charge of kernel memory fails, openly or in disguise",
    check,
);

/// `ENFILE`: `alloc_file()` of pipes and sockets; `ENOSPC`: tmpfs; `EFAULT` and `SHORT`: copies
/// that end at a page that could not be charged; `E2BIG`: `execve()` without a page for its
/// arguments (`get_arg_page()`).
const DISGUISES: [&str; 6] = ["ENOMEM", "ENFILE", "ENOSPC", "EFAULT", "E2BIG", "SHORT"];

/// `EAGAIN` is a disguise where something is created (`timer_create`, `clone`); of a transfer it
/// says only that a pipe is full or empty.
const TRANSFERS: [&str; 2] = ["read", "write"];

/// Of x86, as of all but the oldest machines.
const SIGBUS: i32 = 7;
const SIGSEGV: i32 = 11;

/// Calls that mainline fails without a kill, and the series leaves alone.
const EXEMPT: [&str; 1] = ["setpipe_sz"];

/// Counts the failures of the actors against the denials.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    let (mut calls, mut failures, mut said) = (0, 0, Vec::new());
    for event in &case.evidence.events {
        let Fact::Operations(Operations {
            role: ProcessRole::Actor, op, attempted, errnos, ..
        }) = &event.fact
        else {
            continue;
        };
        if EXEMPT.contains(&op.as_str()) {
            continue;
        }
        calls += attempted;
        for (errno, count) in errnos.iter().filter(|(errno, _)| disguise(op, errno)) {
            failures += count;
            said.push(format!("{op} {errno} {count}"));
        }
    }
    for (signal, count) in fault_signals(case) {
        failures += count;
        said.push(format!("ended by signal {signal} {count}"));
    }
    if calls == 0 {
        return Err(Missing("calls of the actors".to_owned()));
    }
    // A kernel without the patch denies nothing: it has no cap.
    let denied = match case.cell.request.counters_file {
        // Each level of the hierarchy may deny: its own cap is reached first.
        Some(_) => {
            let above = ["parent.counters.denied", "second.counters.denied"];
            let above: f64 = above.iter().filter_map(|name| case.facts.get(name)).sum();
            (case.need("counters.denied")? + above) as u64
        }
        None => 0,
    };
    let list = if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) };
    let said = format!(
        "{failures} of {calls} calls failed for want of memory{list}; {denied} charges denied at the cap"
    );
    let seen = charges::seen(&case.evidence.events)?;
    // Where the memcg was never charged there is nothing to see.
    if seen.charges == 0 && case.need("peak_bytes")? > 0.0 {
        return Err(Missing("any charge of the load".to_owned()));
    }
    let eligible = charges::count(seen, charges::is_eligible);
    let escaped = case.overcharges() && eligible > denied;
    let said = format!("{said}; {eligible} eligible charges failed{}", example(seen));
    if failures > denied || escaped {
        return Ok(Answer::of(false, said));
    }
    // A failed charge that nobody saw, or whose callers nobody knows, may be one too many.
    let nameless = seen.failed.iter().find(|row| charges::is_nameless(row));
    match (seen.lost, nameless) {
        _ if !case.overcharges() => Ok(Answer::of(true, said)),
        (1.., _) => Err(Missing(format!("what {} charges returned", seen.lost))),
        (0, Some(row)) => {
            let path = row.path.join(" < ");
            Err(Missing(format!("what {} failed charges were for ({path})", row.count)))
        }
        (0, None) => Ok(Answer::of(true, said)),
    }
}

/// Actors and hogs whose page fault could not be served, by signal: for a stack that cannot grow,
/// or a write of the kernel's on the way to user mode, there is no call that could fail.
fn fault_signals(case: &Case<'_>) -> BTreeMap<i32, u64> {
    let mut signals = BTreeMap::new();
    for event in &case.evidence.events {
        if let Fact::ProcessEnded(ProcessEnded {
            role: ProcessRole::Actor | ProcessRole::Hog,
            end: ProcessEnd::Signaled(signal @ (SIGBUS | SIGSEGV)),
            by_guest: false,
            ..
        }) = event.fact
        {
            *signals.entry(signal).or_insert(0) += 1;
        }
    }
    signals
}

/// The most frequent of the eligible charges that failed.
fn example(seen: &Charges) -> String {
    let eligible = seen.failed.iter().filter(|row| charges::is_eligible(row));
    eligible.max_by_key(|row| row.count).map_or(String::new(), |row| {
        format!(" ({} x {} in {})", row.count, row.task, row.path.join(" < "))
    })
}

/// Whether a call that failed like this may have failed for want of memory.
pub(super) fn disguise(op: &str, errno: &str) -> bool {
    DISGUISES.contains(&errno) || (errno == "EAGAIN" && !TRANSFERS.contains(&op))
}
