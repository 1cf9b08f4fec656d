// SPDX-License-Identifier: MIT OR Apache-2.0
//! I1: no charge that may be delayed fails, and no system call says that one did, openly or in
//! disguise.
//!
//! Two views with the same tolerance: what the calls of the actors return, and what the charge
//! itself returned, to whichever task, even where no errno shows it. The second is evaluated for
//! policies that overcharge: without them failing is what the limit is for, and the errnos tell. Of
//! a program of the user it is the only view, and evaluated under every policy.
//!
//! Tolerance: for each failure a charge that the kernel itself counted as denied at the cap
//! (`counters.denied`), so without denials it is zero. Exempt are calls whose allocation is not
//! eligible (`F_SETPIPE_SZ`: more than 8 pages) and calls of killed tasks, which are `unfinished`
//! and no failures. Which charges are eligible stands in [`charges`].

use std::collections::BTreeMap;

use protocol::{Charges, MemcgRole, ProcessRole};

use super::rule::need;
use super::{Answer, Case, Invariant, Missing, charges};
use crate::taxonomy::{FactName, MemcgFact};

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

/// `EAGAIN` is a disguise where something is created (`timer_create`, `clone`). For a transfer it
/// means only that a pipe is full or empty.
const TRANSFERS: [&str; 2] = ["read", "write"];

/// Of x86, as of all but the oldest machines.
const SIGBUS: i32 = 7;
const SIGSEGV: i32 = 11;

/// Calls that mainline fails without a kill, and the series leaves alone.
const EXEMPT: [&str; 1] = ["setpipe_sz"];

/// Counts the failures of the actors against the denials.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    let (mut calls, mut failures, mut said) = (0, 0, Vec::new());
    let actors = case.seen.operations.iter().filter(|calls| calls.role == ProcessRole::Actor);
    for of in actors.filter(|calls| !EXEMPT.contains(&calls.op.as_str())) {
        calls += of.attempted;
        for (errno, count) in of.errnos.iter().filter(|(errno, _)| disguise(&of.op, errno)) {
            failures += count;
            said.push(format!("{} {errno} {count}", of.op));
        }
    }
    for (signal, count) in fault_signals(case) {
        failures += count;
        said.push(format!("ended by signal {signal} {count}"));
    }
    let is_program = case.cell.request.program.is_some();
    if calls == 0 && !is_program {
        return Err(Missing("calls of the actors".to_owned()));
    }
    let denied = denied(case)?;
    let list = if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) };
    let said = match is_program {
        true => format!("{denied} charges denied at the cap"),
        false => format!(
            "{failures} of {calls} calls failed with ENOMEM or a disguise of it{list}; {denied} \
             charges denied at the cap"
        ),
    };
    let seen = charges::seen(case.seen)?;
    // Where the memcg was never charged there is nothing to see.
    let peak_bytes = case.seen.peak_bytes(MemcgRole::Limited);
    if seen.charges == 0 && need(peak_bytes, MemcgFact::PeakBytes)? > 0 {
        return Err(Missing("any charge of the load".to_owned()));
    }
    let eligible = charges::count(seen, charges::is_eligible);
    // What the calls of a program return only the program knows.
    let overcharges = case.overcharges_in(MemcgRole::Limited) || is_program;
    let escaped = overcharges && eligible > denied;
    let said = format!("{said}; {eligible} eligible charges failed{}", example(seen));
    if failures > denied || escaped || !overcharges {
        return Ok(Answer::of(failures <= denied && !escaped, said));
    }
    // A failed charge that was not seen, or whose callers are unknown, may be one too many.
    let nameless = seen.failed.iter().find(|row| charges::is_nameless(row));
    match (seen.lost, nameless) {
        (1.., _) => Err(Missing(format!("what {} charges returned", seen.lost))),
        (0, Some(row)) => {
            let path = row.path.join(" < ");
            Err(Missing(format!("what {} failed charges were for ({path})", row.count)))
        }
        (0, None) => Ok(Answer::of(true, said)),
    }
}

/// Charges denied at a cap. Each level of the hierarchy may deny: its own cap is reached first. A
/// kernel without the patch has no cap.
fn denied(case: &Case<'_>) -> Result<u64, Missing> {
    if case.cell.request.counters_file.is_none() {
        return Ok(0);
    }
    let of = |role| case.seen.counter(role, "denied");
    let name = FactName::Counter(MemcgRole::Limited, "denied".to_owned());
    let above = of(MemcgRole::Parent).unwrap_or(0) + of(MemcgRole::Second).unwrap_or(0);
    Ok(need(of(MemcgRole::Limited), name)? + above)
}

/// Actors and hogs whose page fault could not be served, by signal: for a stack that cannot grow,
/// or a write of the kernel on the way to user mode, there is no call that could fail.
fn fault_signals(case: &Case<'_>) -> BTreeMap<i32, u64> {
    let mut signals = BTreeMap::new();
    // A program of the user may have other reasons.
    let is_program = case.cell.request.program.is_some();
    for (end, signal) in case.seen.signaled() {
        let inside = match end.role {
            ProcessRole::Actor => !is_program,
            role => role == ProcessRole::Hog,
        };
        if inside && matches!(signal, SIGBUS | SIGSEGV) {
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

/// Whether a call that failed like this may have run out of memory.
pub(super) fn disguise(op: &str, errno: &str) -> bool {
    DISGUISES.contains(&errno) || (errno == "EAGAIN" && !TRANSFERS.contains(&op))
}
