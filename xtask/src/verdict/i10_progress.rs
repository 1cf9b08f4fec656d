// SPDX-License-Identifier: MIT OR Apache-2.0
//! I10: calls go on after a reconciliation, and what a failure prints on the console is bounded.
//!
//! Where charges went over the limit every call of a task that lives on has returned. Tolerance:
//! one call for each actor that a signal ended in the middle of it. The guest's own clean-up does
//! not count: a task that only that could end was stuck.
//!
//! The kernel prints one OOM report for a charge that fails for good, one for a kill (of more than
//! 10 in 5 s it prints a line each), and one for a limit that is set below what is in use
//! (`memory_max_write()`). A failed call may have had two tries: `kvmalloc()` falls back to
//! `vmalloc()`, and that from many pages in one allocation to single ones. A call that never
//! returned may have been in one too. So the bound on reports follows from the calls. That on bytes
//! follows from the reports and the lines of each: a stack, `memory.stat`, and a line for every
//! process in the memcg. A page fault that is retried for ever prints one report after the other,
//! and breaks it.

use std::collections::BTreeMap;

use protocol::{MemcgRole, Operations, ProcessRole};

use super::rule::need;
use super::{Answer, Case, Invariant, Missing, charges, i1_no_escape};
use crate::evidence::oom::Ooms;
use crate::evidence::record::records;
use crate::taxonomy::FactName;

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
    let mut answer = goes_on(case)?;
    answer.add("console", prints(case));
    Ok(answer)
}

fn goes_on(case: &Case<'_>) -> Result<Answer, Missing> {
    if !case.overcharges() {
        return Ok(Answer::not_asked("the policy lets nothing over the limit"));
    }
    if case.waits_for_user() {
        return Ok(Answer::not_asked("the OOM killer is disabled: calls wait for user space"));
    }
    let counter = |name: &str| case.seen.counter(MemcgRole::Limited, name);
    let name = FactName::Counter(MemcgRole::Limited, "charges".to_owned());
    // A workload may remove the second one, and its counters with it.
    let second = case.seen.overcharged(MemcgRole::Second).map_or(0, |second| second.charges);
    if need(counter("charges"), name)? + counter("user").unwrap_or(0) + second == 0 {
        return Ok(Answer::not_asked("nothing went over the limit"));
    }
    let unfinished = sum(case, |calls| calls.unfinished);
    let actors = case.seen.signaled().filter(|(end, _)| end.role == ProcessRole::Actor);
    let ended = actors.count() as u64;
    let said = format!("{unfinished} calls never returned, {ended} actors were ended in one");
    Ok(Answer::of(unfinished <= ended, said))
}

fn prints(case: &Case<'_>) -> Result<Answer, Missing> {
    let ooms = case.ooms()?;
    let failed = sum(case, |calls| out_of_memory(&calls.op, &calls.errnos));
    let unfinished = sum(case, |calls| calls.unfinished);
    let limits =
        sum(
            case,
            |calls| if LIMIT_CALLS.contains(&calls.op.as_str()) { calls.attempted } else { 0 },
        );
    let kills = ooms.kills;
    if case.cell.request.program.is_some() {
        return prints_of_program(case, ooms);
    }
    let reports_max = TRIES * failed + unfinished + limits + kills;
    let bytes_max = reports_max * (REPORT_BYTES + PROCESS_BYTES * processes(case));
    let reports = ooms.reports.len() as u64;
    let console = &case.seen.evidence.console;
    let bytes = ooms.reports.first().map_or(0, |first| bytes_from(console, first.line));
    let said = format!(
        "{reports} OOM reports, bound {reports_max} ({failed} failed calls, {unfinished} that never \
         returned, {limits} limits lowered, {kills} kills); {bytes} bytes, bound {bytes_max}"
    );
    Ok(Answer::of(reports <= reports_max && bytes <= bytes_max, said))
}

/// Which calls of a user's program failed is not known, but which charges did. How many processes a
/// report lists is up to the program, so bytes are not bounded.
fn prints_of_program(case: &Case<'_>, ooms: &Ooms) -> Result<Answer, Missing> {
    let charges = charges::seen(case.seen)?;
    let failed = charges::count(charges, |_| true) + charges.lost;
    let (reports, reports_max) = (ooms.reports.len() as u64, failed + ooms.kills);
    let said = format!(
        "{reports} OOM reports, bound {reports_max} ({failed} failed charges, {} kills)",
        ooms.kills
    );
    Ok(Answer::of(reports <= reports_max, said))
}

/// Bytes that the kernel printed from this line on.
fn bytes_from(console: &str, line: usize) -> u64 {
    let from = records(console).skip(line).filter(|record| record.of_kernel().is_some());
    from.map(|record| record.line.len() as u64 + 1).sum()
}

/// Processes that a report may list: the cell's own below the parent, and their children.
fn processes(case: &Case<'_>) -> u64 {
    let request = &case.cell.request;
    let hogs = request.hogs() + u64::from(request.second.is_some());
    let bystander = 1;
    let children = sum(case, |calls| if calls.op == "fork" { calls.succeeded } else { 0 });
    u64::from(request.tasks) + hogs + bystander + children
}

/// Calls whose errno may come from a charge; others print nothing.
fn out_of_memory(op: &str, errnos: &BTreeMap<String, u64>) -> u64 {
    let failed = errnos.iter().filter(|(errno, _)| i1_no_escape::disguise(op, errno));
    failed.map(|(_, count)| count).sum()
}

/// Over all calls of all roles.
fn sum(case: &Case<'_>, of: impl Fn(&Operations) -> u64) -> u64 {
    case.seen.operations.iter().map(|calls| of(calls)).sum()
}
