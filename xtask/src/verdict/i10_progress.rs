// SPDX-License-Identifier: MIT OR Apache-2.0
//! I10: after a reconciliation operations go on, and what a failure costs on the console is
//! bounded.
//!
//! Where charges went over the limit every call of a task that lives on has returned. Tolerance:
//! one call for each actor that a signal ended in the middle of it, the guest's own clean-up not
//! counted: whom only that could end was stuck.
//!
//! The kernel prints one OOM report for a charge that fails for good, one for a kill (of more than
//! 10 in 5 s it prints a line each), and one for a limit that is set below what is in use
//! (`memory_max_write()`). A failed call may have had two tries: `kvmalloc()` falls back to
//! `vmalloc()`, and that from many pages at once to one by one. A call that never returned may have
//! been in one too. So the bound on reports follows from the calls; that on bytes from the reports
//! and the lines of each: a stack, `memory.stat`, and a line for every process in the memcg. A page
//! fault that is tried for ever prints one report after the other, and breaks it.

use std::collections::BTreeMap;

use protocol::{Fact, Operations, ProcessEnd, ProcessEnded, ProcessRole};

use super::{Answer, Case, Invariant, Missing, i1_no_escape};
use crate::evidence::oom::ooms;

/// The invariant.
pub(super) const RULE: Invariant = Invariant::new(
    10,
    "progress",
    "calls go on after a reconciliation, and the number of OOM reports is bounded",
    check,
);

/// Charges of one failed call that may each end in a report.
const TRIES: u64 = 2;

/// Calls of the outsider that set a limit below what is in use.
const LIMIT_CALLS: [&str; 1] = ["lower"];

/// A report without its list of processes: at most 40 frames of stack, the registers, some 60 lines
/// of `memory.stat` and headings; a line has some 50 bytes, and time stamp and caller before them.
pub(super) const REPORT_BYTES: u64 = 120 * 80;

/// A process in a report: eight numbers of fixed width and a name.
pub(super) const PROCESS_BYTES: u64 = 140;

/// Looks for calls that never came back and for a console that was flooded.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    let mut check = goes_on(case)?;
    check.add("console", prints(case));
    Ok(check)
}

fn goes_on(case: &Case<'_>) -> Result<Answer, Missing> {
    if !case.overcharges() {
        return Ok(Answer::not_asked("the policy lets nothing over the limit"));
    }
    let writes = &case.cell.request.writes;
    if writes.iter().any(|write| write.file == "memory.oom_control" && write.value == "1") {
        return Ok(Answer::not_asked("the OOM killer is disabled: calls wait for user space"));
    }
    let told = |name: &str| case.facts.get(name).unwrap_or(0.0);
    if case.need("counters.charges")? + told("counters.user") == 0.0 {
        return Ok(Answer::not_asked("nothing went over the limit"));
    }
    let unfinished = operations(case).map(|op| op.unfinished).sum::<u64>();
    let ended = case.evidence.events.iter().filter(|event| {
        matches!(
            event.fact,
            Fact::ProcessEnded(ProcessEnded {
                role: ProcessRole::Actor,
                end: ProcessEnd::Signaled(_),
                by_guest: false,
                ..
            })
        )
    });
    let ended = ended.count() as u64;
    let said = format!("{unfinished} calls never returned, {ended} actors were ended in one");
    Ok(Answer::of(unfinished <= ended, said))
}

fn prints(case: &Case<'_>) -> Result<Answer, Missing> {
    let console = &case.evidence.console;
    if case.evidence.console_dropped_bytes > 0 {
        return Ok(Answer::not_asked("a part of the console is missing"));
    }
    let kills = case.need("kills")? as u64;
    let ooms = ooms(console);
    let failed = operations(case).map(|op| op.failed).sum::<u64>();
    let unfinished = operations(case).map(|op| op.unfinished).sum::<u64>();
    let limits: u64 =
        operations(case).filter(|op| LIMIT_CALLS.contains(&op.name)).map(|op| op.attempted).sum();
    let reports_max = TRIES * failed + unfinished + limits + kills;
    let bytes_max = reports_max * (REPORT_BYTES + PROCESS_BYTES * processes(case));
    let reports = ooms.reports.len() as u64;
    let bytes = ooms.reports.first().map_or(0, |first| bytes_from(console, first.line));
    let said = format!(
        "{reports} OOM reports, bound {reports_max} ({failed} failed calls, {unfinished} that never \
         returned, {limits} limits lowered, {kills} kills); {bytes} bytes, bound {bytes_max}"
    );
    Ok(Answer::of(reports <= reports_max && bytes <= bytes_max, said))
}

/// Bytes of the console from this line on.
fn bytes_from(console: &str, line: usize) -> u64 {
    console.lines().skip(line).map(|line| line.len() as u64 + 1).sum()
}

/// Processes that a report may list: the cell's own below the parent, and their children.
fn processes(case: &Case<'_>) -> u64 {
    let request = &case.cell.request;
    let hogs = request.hogs() + u64::from(request.second.is_some());
    let bystander = 1;
    let children = operations(case).filter(|op| op.name == "fork").map(|op| op.succeeded);
    u64::from(request.tasks) + hogs + bystander + children.sum::<u64>()
}

/// Calls whose errno may come from a charge; others print nothing.
fn for_want_of_memory(op: &str, errnos: &BTreeMap<String, u64>) -> u64 {
    errnos
        .iter()
        .filter(|(errno, _)| i1_no_escape::disguise(op, errno))
        .map(|(_, count)| count)
        .sum()
}

/// One kind of call, whoever made it.
struct Operation<'a> {
    name: &'a str,
    attempted: u64,
    succeeded: u64,
    failed: u64,
    unfinished: u64,
}

fn operations<'a>(case: &Case<'a>) -> impl Iterator<Item = Operation<'a>> {
    case.evidence.events.iter().filter_map(|event| match &event.fact {
        Fact::Operations(Operations { op, attempted, succeeded, errnos, unfinished, .. }) => {
            Some(Operation {
                name: op,
                attempted: *attempted,
                succeeded: *succeeded,
                failed: for_want_of_memory(op, errnos),
                unfinished: *unfinished,
            })
        }
        _ => None,
    })
}
