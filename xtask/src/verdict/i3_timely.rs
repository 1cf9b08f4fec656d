// SPDX-License-Identifier: MIT OR Apache-2.0
//! I3: from the overcharge to usage <= max in bounded time, where something can be killed.
//!
//! Tolerance: one RCU grace period (freed slab objects uncharge after it) and the backstop work
//! item. When something was killed also 2 s until the OOM reaper starts (`OOM_REAPER_DELAY`) and 10
//! attempts of 0.1 s each (`MAX_OOM_REAP_RETRIES`). The grace period, and the turns that a task
//! waits for where there are more tasks than CPUs, grow with the machine's slowness; the rest are
//! timers.
//!
//! Until a task tries to pay, or is killed, there is nothing to wait for but the task's return or
//! the backstop. That time, by the trace events, has the tolerance without a kill, so that a late
//! kill for another reason excuses nothing.
//!
//! The sampler sees a run to within one gap on either side, so a run that only the gaps could carry
//! over the tolerance is unknown, not kept. So is one that the host has stretched over it, as it
//! has stretched the cell ([`Evidence::stretch`](crate::evidence::Evidence::stretch)). Where the
//! peak never rose above the limit, no gap can hide anything.

use protocol::{MemcgRole, Stage};

use super::rule::need;
use super::{Answer, Case, Invariant, Missing, Outcome};
use crate::taxonomy::{CellFact, FactName, MemcgFact};

/// The invariant.
pub(super) const RULE: Invariant =
    Invariant::new(3, "timely", "usage returns to the limit soon", check).of_time();

/// An RCU grace period on a busy machine, milliseconds; some tens are usual.
const GRACE_PERIOD_MS: f64 = 100.0;

/// Until it is a task's turn where one more task wants the same CPU, milliseconds: a slice of 3 ms
/// in each of the few rounds of reclaim that come before a kill.
const TURN_MS: f64 = 10.0;

/// The delayed work item that reconciles for tasks that do not return to user mode, milliseconds.
const BACKSTOP_MS: f64 = 100.0;

/// `OOM_REAPER_DELAY`, milliseconds.
const REAPER_DELAY_MS: f64 = 2000.0;

/// `MAX_OOM_REAP_RETRIES` of `HZ/10` each, milliseconds.
const REAPER_RETRIES_MS: f64 = 1000.0;

/// Compares the longest run above the limit of each memcg under test with the tolerance.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    let request = &case.cell.request;
    let mut answer = of(case, MemcgRole::Limited, request.killable || request.hog_bytes > 0)?;
    if let Some(second) = &request.second {
        let killable = second.hog_bytes > 0 || (request.killable && second.tasks > 0);
        answer.add("second", of(case, MemcgRole::Second, killable));
    }
    Ok(answer)
}

/// The same of one memcg, in or below which a task can be killed or not.
pub(super) fn of(case: &Case<'_>, role: MemcgRole, killable: bool) -> Result<Answer, Missing> {
    if !case.overcharges_in(role) {
        let said = "the policy lets nothing over the limit; I2 holds it to that";
        return Ok(Answer::not_asked(said));
    }
    if !killable {
        let said = "nothing can be killed, so nothing brings usage down before the tasks end";
        return Ok(Answer::not_asked(said));
    }
    if case.waits_for_user() {
        return Ok(Answer::not_asked(
            "the OOM killer is disabled: user space makes room, or kills",
        ));
    }
    let usage = need(case.seen.usage(role), FactName::Memcg(role, MemcgFact::OverMsMax))?;
    let settled = need(case.seen.settled, CellFact::Settled)?;
    // All were waited for; this one may have been within its limit while another was not.
    let files = case.seen.files(Stage::Settled, role);
    let within = settled.settled
        || files.is_some_and(|files| files.max_bytes.is_some_and(|max| files.current_bytes <= max));
    let kills = case.kill_events(role);
    let kills = need(kills, FactName::Event(role, "oom_kill".to_owned()))?;
    let [over_ms, gap_ms, settle_ms] =
        [usage.over_us_max, usage.gap_us_max, settled.after_us].map(|us| us as f64 / 1000.0);
    let attend_ms = unhelped_ms(case);
    let tolerance_ms =
        attend_ms + if kills > 0 { REAPER_DELAY_MS + REAPER_RETRIES_MS } else { 0.0 };
    // Of a kernel with such trace events.
    let owed = case.seen.overcharged(role);
    let unattended_ms = owed.map(|owed| owed.unattended_us_max as f64 / 1000.0);
    let unattended = |most_ms: f64| unattended_ms.is_some_and(|ms| ms > most_ms);
    let stretch = case.seen.evidence.stretch();
    // No task tries while none runs: the sampler, which is urgent, did not for as long as its gap.
    let late = over_ms > tolerance_ms * stretch || unattended(attend_ms * stretch + gap_ms);
    // tmpfs files outlive their creators: with every task dead there is none left to kill.
    let stranded = !within && case.seen.killable_left() == 0;
    if stranded && usage.over_us_max <= usage.over_us_last {
        let said = "every task that could be killed is dead, and what is left belongs to none";
        return Ok(Answer::not_asked(said));
    }
    let outcome = if (!within && !stranded) || late {
        Outcome::Broken
    } else if never_over(case, role) && over_ms == 0.0 && !unattended(0.0) {
        Outcome::Kept
    } else if over_ms + 2.0 * gap_ms > tolerance_ms || unattended(attend_ms) {
        Outcome::Unknown
    } else {
        Outcome::Kept
    };
    let attended = unattended_ms.map_or_else(String::new, |ms| {
        format!(", {ms:.1} ms before a task tried to pay, tolerance {attend_ms}")
    });
    let stretched = match stretch > 1.0 {
        true => format!("; stretched {stretch:.1} times by the host"),
        false => String::new(),
    };
    let end = if within { "usage <= max" } else { "usage still above max" };
    let said = format!(
        "above max for at most {over_ms:.1} ms (samples up to {gap_ms:.1} ms apart), tolerance \
         {tolerance_ms} ms with {kills} kills{attended}{stretched}; {end} {settle_ms:.1} ms after \
         the load"
    );
    Ok(Answer { outcome, said })
}

/// By the peak, against the least limit that it had, and by the trace events, where there are any.
fn never_over(case: &Case<'_>, role: MemcgRole) -> bool {
    let limits = [Stage::LoadEnd, Stage::Settled, Stage::After]
        .map(|stage| case.seen.files(stage, role).and_then(|files| files.max_bytes));
    let limit = case.seen.setups.get(&role).map(|setup| setup.limit_bytes);
    let least = limits.into_iter().flatten().chain(limit).min();
    let traced = case.seen.overcharged(role).is_some_and(|owed| owed.charges > 0);
    let peak_bytes = case.seen.peak_bytes(role).filter(|_| !traced);
    peak_bytes.is_some_and(|peak| least.is_some_and(|least| peak <= least))
}

/// How long it takes where no task has to die.
fn unhelped_ms(case: &Case<'_>) -> f64 {
    let others = f64::from(case.cell.request.tasks.saturating_sub(1));
    let turns = (others / f64::from(case.cell.vm.cpus.max(1))).floor();
    (GRACE_PERIOD_MS + TURN_MS * turns) * f64::from(case.pace.slowdown) + BACKSTOP_MS
}
