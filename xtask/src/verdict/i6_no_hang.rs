// SPDX-License-Identifier: MIT OR Apache-2.0
//! I6: nothing hangs: no lockup or hung task, every task can be killed, a task outside goes on.
//!
//! Tolerance: the heartbeat of a task outside the memcg may be late by 1 s, times the slowness of
//! an emulated machine, whose virtual CPUs wait for the host's. Where the patch reconciles, a
//! system call of an actor takes at most 5 s, the reconciliation included: it waits in bounded
//! steps on timers, which emulation does not stretch; a debugging kernel's checks do (`slowdown` of
//! its configuration). Where nothing was killed there is only reclaim and an RCU grace period to
//! wait for: 1 s, times the slowness of the machine and the tasks that want the same CPU, and as
//! the host has stretched the cell. Calls that sleep until another task acts are not asked, nor are
//! those of a memcg whose OOM killer is disabled: they wait for user space. On a kernel that does
//! not reconcile, the length of a call is up to the scenario: there it is the problem, not a broken
//! promise.

use protocol::ProcessRole;

use super::rule::need;
use super::{Answer, Case, Invariant, Missing, Verdict, facts};
use crate::evidence::Ending;
use crate::taxonomy::CellFact;

/// The invariant.
pub(super) const RULE: Invariant = Invariant::new(
    6,
    "no hang",
    "no task hangs, every task can be killed, and a heartbeat outside goes on",
    check,
)
.of_time();

/// Longest time between two beats on KVM, milliseconds; the period is 10.
const HEARTBEAT_GAP_MS_MAX: f64 = 1000.0;

/// Longest system call of an actor that may have to reconcile, milliseconds.
const CALL_MS_MAX: f64 = 5000.0;

/// The same where nothing was killed, on KVM and with a CPU of its own.
const QUICK_MS_MAX: f64 = 1000.0;

/// Looks for everything that went on for too long.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    if let Some(hang) = case.findings.iter().find(|finding| finding.class == Verdict::Hang) {
        return Ok(Answer::of(false, format!("console: {}", hang.title)));
    }
    if let Ending::Deadline { deadline_ms, .. } = case.seen.evidence.ending {
        return Ok(Answer::of(false, format!("not at an end after {deadline_ms} ms")));
    }
    let beats = case.seen.heartbeat.filter(|heartbeat| heartbeat.beats > 0);
    let gap_ms = need(beats, CellFact::HeartbeatGapMs)?.gap_us_max as f64 / 1000.0;
    let gap_ms_max = HEARTBEAT_GAP_MS_MAX * f64::from(case.pace.slowdown);
    let unkillable = facts::unkillable(case.seen);
    let bystander = case.seen.signaled().any(|(end, _)| end.role == ProcessRole::Bystander);
    let call = longest_call(case);
    let call_ms_max = quick_ms(case).unwrap_or(CALL_MS_MAX) * f64::from(case.cell.slowdown);
    let call_kept = call.is_none_or(|(_, call_ms)| call_ms <= call_ms_max);
    let said = format!(
        "heartbeat at most {gap_ms:.1} ms late, bound {gap_ms_max}; {unkillable} tasks do not \
         die{}{}",
        call.map_or_else(String::new, |(op, ms)| format!(
            "; longest call {op} {ms:.1} ms, bound {call_ms_max}"
        )),
        if bystander { "; the bystander was killed" } else { "" },
    );
    let kept = gap_ms <= gap_ms_max && unkillable == 0 && !bystander && call_kept;
    Ok(Answer::of(kept, said))
}

/// The longest that a call may take where nothing was killed and no call waits for another task.
fn quick_ms(case: &Case<'_>) -> Option<f64> {
    let waits = case.seen.operations.iter().any(|calls| calls.role == ProcessRole::Outsider);
    let kills = case.ooms().map_or(1, |ooms| ooms.kills);
    let share = f64::from(case.cell.request.tasks.div_ceil(case.hello.cpus.max(1)));
    let slow = f64::from(case.pace.slowdown) * case.seen.evidence.stretch();
    (kills == 0 && !waits).then_some((QUICK_MS_MAX * share * slow).min(CALL_MS_MAX))
}

/// The longest call of an actor where calls reconcile.
fn longest_call<'a>(case: &Case<'a>) -> Option<(&'a str, f64)> {
    let calls = case.seen.operations.iter().filter(|calls| calls.role == ProcessRole::Actor);
    let asked = case.overcharges() && !case.waits_for_user();
    let longest = calls.max_by_key(|calls| calls.latency.max).filter(|_| asked)?;
    Some((&longest.op, longest.latency.max as f64 / 1000.0))
}
