// SPDX-License-Identifier: MIT OR Apache-2.0
//! I7: tasks outside the memcg under test notice nothing: no kill, no event, no long wait.
//!
//! A task in another memcg, which the OOM killer would choose first, asks for the state of a file
//! every 10 ms. None of its calls may fail, and neither it nor the outsider may be ended. No
//! counter in its `memory.events` may move from before the load until every task is gone.
//! Tolerance: none.
//!
//! Its longest call is compared with the same calls before the load, when nothing else runs
//! (`control`). Tolerance: three times what a task that only sleeps was late at most meanwhile.
//! That is what host and scheduler do to any task in this cell, whatever the kernel does about
//! memory. The call itself takes microseconds, so more is time in which it waited. Either of two
//! such maxima may be the greater one: in 253 cells the ratio was above 0.5 in 11, above 1 in 2,
//! and 1.3 at most.

use protocol::{MemcgRole, Operations, ProcessRole, Stage};

use super::rule::need;
use super::{Answer, Case, Invariant, Missing};
use crate::taxonomy::CellFact;

/// The invariant.
pub(super) const RULE: Invariant = Invariant::new(
    7,
    "bystanders",
    "tasks outside the memcg are not killed, see no events or errors, and are not slowed down",
    check,
)
.of_time();

/// Of the longest delay of a task that only sleeps.
const TIMES_AS_LATE: u64 = 3;

/// Looks at the bystander, its memcg, and the outsider.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    let (control, load) = (calls(case, "control")?, calls(case, "stat")?);
    let beats = case.seen.heartbeat.filter(|heartbeat| heartbeat.beats > 0);
    let late_us = need(beats, CellFact::HeartbeatGapMs)?.gap_us_max;
    let (longest_us, control_us) = (load.latency.max, control.latency.max);
    let bound_us = control_us.saturating_add(TIMES_AS_LATE.saturating_mul(late_us));
    let failed: u64 = load.errnos.values().sum();
    let outside = |role| matches!(role, ProcessRole::Bystander | ProcessRole::Outsider);
    let ended = case.seen.signaled().filter(|(end, _)| outside(end.role)).count();
    let moved = moved(case)?;
    let said = format!(
        "longest call of the bystander {longest_us} us, bound {bound_us} ({control_us} before the \
         load, a sleeper {late_us} late); {failed} of its calls failed; {} events in its memcg{}; \
         {ended} bystanders ended",
        moved.len(),
        moved.iter().map(|name| format!(" {name}")).collect::<String>(),
    );
    let kept = longest_us <= bound_us && failed == 0 && moved.is_empty() && ended == 0;
    Ok(Answer::of(kept, said))
}

/// The bystander's calls of one kind; it made some.
fn calls<'a>(case: &Case<'a>, wanted: &str) -> Result<&'a Operations, Missing> {
    let mut calls = case.seen.operations.iter().copied();
    let found = calls.find(|calls| {
        calls.role == ProcessRole::Bystander && calls.op == wanted && calls.succeeded > 0
    });
    found.ok_or_else(|| Missing(format!("{wanted} of the bystander")))
}

/// Events of the bystander's memcg that occurred.
fn moved<'a>(case: &Case<'a>) -> Result<Vec<&'a str>, Missing> {
    let events = |stage: Stage| {
        let files = case.seen.files(stage, MemcgRole::Bystander).map(|files| &files.events);
        files.ok_or_else(|| Missing(format!("memory.events of the bystander at {stage:?}")))
    };
    let (before, after) = (events(Stage::Before)?, events(Stage::After)?);
    let names = after.keys().chain(before.keys().filter(|name| !after.contains_key(*name)));
    Ok(names.filter(|name| before.get(*name) != after.get(*name)).map(String::as_str).collect())
}
