// SPDX-License-Identifier: MIT OR Apache-2.0
//! I6: nothing hangs: no lockup or hung task, every task can be killed, a task outside goes on.
//!
//! Tolerance: the heartbeat of a task outside the memcg may be late by 1 s, times the slowness of
//! an emulated machine, whose virtual CPUs wait for the host's. Where the patch reconciles, a
//! system call of an actor takes at most 5 s, the reconciliation included: it waits in bounded
//! steps on timers, which emulation does not stretch; a debugging kernel's checks do (`slowdown` of
//! its configuration). On a kernel that does not reconcile the length of a call is the scenario's
//! own matter: there it is the problem, not a broken promise.

use protocol::{Fact, Operations, ProcessEnd, ProcessEnded, ProcessRole};

use super::{Answer, Case, Invariant, Missing, Verdict};
use crate::evidence::Ending;

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

/// Looks for everything that went on for too long.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    if let Some(hang) = case.findings.iter().find(|finding| finding.class == Verdict::Hang) {
        return Ok(Answer::of(false, format!("console: {}", hang.title)));
    }
    if let Ending::Deadline { deadline_ms, .. } = case.evidence.ending {
        return Ok(Answer::of(false, format!("not at an end after {deadline_ms} ms")));
    }
    let gap_ms = case.need("heartbeat.gap_ms")?;
    let gap_ms_max = HEARTBEAT_GAP_MS_MAX * f64::from(case.pace.slowdown);
    let unkillable = case.need("processes.unkillable")?;
    let bystander = bystander_killed(case);
    let call = longest_call(case);
    let call_ms_max = CALL_MS_MAX * f64::from(case.cell.slowdown);
    let call_kept = call.is_none_or(|(_, call_ms)| call_ms <= call_ms_max);
    let said = format!(
        "heartbeat at most {gap_ms:.1} ms late, bound {gap_ms_max}; {unkillable} tasks do not die{}{}",
        call.map_or_else(String::new, |(op, ms)| format!(
            "; longest call {op} {ms:.1} ms, bound {call_ms_max}"
        )),
        if bystander { "; the bystander was killed" } else { "" },
    );
    let kept = gap_ms <= gap_ms_max && unkillable == 0.0 && !bystander && call_kept;
    Ok(Answer::of(kept, said))
}

fn bystander_killed(case: &Case<'_>) -> bool {
    case.evidence.events.iter().any(|event| {
        matches!(
            event.fact,
            Fact::ProcessEnded(ProcessEnded {
                role: ProcessRole::Bystander,
                end: ProcessEnd::Signaled(_),
                by_guest: false,
                ..
            })
        )
    })
}

/// The longest call of an actor where calls reconcile.
fn longest_call<'a>(case: &Case<'a>) -> Option<(&'a str, f64)> {
    if !case.overcharges() {
        return None;
    }
    let calls = case.evidence.events.iter().filter_map(|event| match &event.fact {
        Fact::Operations(Operations { role: ProcessRole::Actor, op, latency, .. }) => {
            Some((op.as_str(), latency.max as f64 / 1000.0))
        }
        _ => None,
    });
    calls.max_by(|(_, one), (_, other)| one.total_cmp(other))
}
