// SPDX-License-Identifier: MIT OR Apache-2.0
//! I3: from the overcharge to usage <= max in bounded time, where something can be killed.
//!
//! Tolerance: one RCU grace period (freed slab objects uncharge after it) and the backstop work
//! item; when something was killed also 2 s until the OOM reaper starts (`OOM_REAPER_DELAY`) and 10
//! attempts of 0.1 s each (`MAX_OOM_REAP_RETRIES`). The grace period, and the turns that a task
//! waits for where there are more tasks than CPUs, grow with the machine's slowness; the rest are
//! timers. Until somebody tries to pay, or is killed, there is nothing to wait for but the task's
//! return or the backstop: that time, by the trace events, has the tolerance without a kill, so
//! that a kill which comes late, for another reason, excuses nothing. The sampler sees a run to
//! within one gap on either side, so a run that only the gaps could carry over the tolerance is
//! unknown, not kept. So is one that the host has stretched over it, as it has stretched the cell
//! ([`Evidence::stretch`](crate::evidence::Evidence::stretch)).

use super::{Answer, Case, Invariant, Missing, Outcome};

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
    let mut check = of(case, "", request.killable || request.hog_bytes > 0)?;
    if let Some(second) = &request.second {
        let killable = second.hog_bytes > 0 || (request.killable && second.tasks > 0);
        check.add("second", of(case, "second.", killable));
    }
    Ok(check)
}

/// The same of the memcg whose facts begin with `prefix`, in or below which somebody can be killed
/// or not.
pub(crate) fn of(case: &Case<'_>, prefix: &str, killable: bool) -> Result<Answer, Missing> {
    if !case.overcharges() {
        return Ok(Answer::not_asked(
            "the policy lets nothing over the limit; I2 holds it to that",
        ));
    }
    if !killable {
        let said = "nothing can be killed, so nothing brings usage down before the tasks end";
        return Ok(Answer::not_asked(said));
    }
    let need = |name: &str| case.need(&format!("{prefix}{name}"));
    let (over_ms, gap_ms) = (need("over_ms_max")?, need("sampler.gap_ms")?);
    let (settled, settle_ms) = (case.need("settled")?, case.need("settle_ms")?);
    let name = || Missing(format!("{prefix}events.oom_kill"));
    let kills = case.kill_events(prefix).ok_or_else(name)?;
    let attend_ms = unhelped_ms(case);
    let tolerance_ms =
        attend_ms + if kills > 0.0 { REAPER_DELAY_MS + REAPER_RETRIES_MS } else { 0.0 };
    let unattended_ms = unattended_ms(case, prefix);
    let unattended = |most_ms: f64| unattended_ms.is_some_and(|ms| ms > most_ms);
    let stretch = case.evidence.stretch();
    // Nobody tries while nobody runs: the sampler, which is urgent, did not for as long as its gap.
    let late = over_ms > tolerance_ms * stretch || unattended(attend_ms * stretch + gap_ms);
    // tmpfs files outlive their creators: with everybody dead there is no one left to kill.
    let stranded = settled != 1.0 && case.need("killable.left")? == 0.0;
    if stranded && over_ms <= need("over_ms_last")? {
        let said = "everybody who could be killed is dead, and what is left belongs to no task";
        return Ok(Answer::not_asked(said));
    }
    let outcome = if (settled != 1.0 && !stranded) || late {
        Outcome::Broken
    } else if over_ms + 2.0 * gap_ms > tolerance_ms || unattended(attend_ms) {
        Outcome::Unknown
    } else {
        Outcome::Kept
    };
    let end = if settled == 1.0 {
        format!("usage <= max {settle_ms:.1} ms after the load")
    } else {
        format!("usage still above max {settle_ms:.1} ms after the load")
    };
    let said = format!(
        "above max for at most {over_ms:.1} ms (samples up to {gap_ms:.1} ms apart), tolerance \
         {tolerance_ms} ms with {kills} kills{}{}; {end}",
        unattended_ms.map_or_else(String::new, |unattended_ms| format!(
            ", before anybody tried to pay {unattended_ms:.1}, tolerance {attend_ms}"
        )),
        if stretch > 1.0 {
            format!("; stretched {stretch:.1} times by the host")
        } else {
            String::new()
        },
    );
    Ok(Answer { outcome, said })
}

/// Of a kernel with such trace events.
fn unattended_ms(case: &Case<'_>, prefix: &str) -> Option<f64> {
    let unattended_us = case.facts.get(&format!("{prefix}reconcile.unattended_us"));
    unattended_us.map(|unattended_us| unattended_us / 1000.0)
}

/// How long it takes where nobody has to die.
fn unhelped_ms(case: &Case<'_>) -> f64 {
    let others = f64::from(case.cell.request.tasks.saturating_sub(1));
    let turns = (others / f64::from(case.cell.vm.cpus.max(1))).floor();
    (GRACE_PERIOD_MS + TURN_MS * turns) * f64::from(case.pace.slowdown) + BACKSTOP_MS
}
