// SPDX-License-Identifier: MIT OR Apache-2.0
//! I7: who is outside the memcg under test notices nothing: no kill, no event, no long wait.
//!
//! A task in a memcg of its own beside the limited one, which the OOM killer would like best, asks
//! for the state of a file each 10 ms. No call of it may fail, nobody may end it or the outsider,
//! and no counter in its own `memory.events` may move from before the load until everybody has
//! gone: tolerance none.
//!
//! Its longest call is held beside the same calls before the load, when nothing else runs
//! (`control`). Tolerance: three times what a task that only sleeps was late at most meanwhile.
//! That is what host and scheduler do to anybody in this cell, whatever the kernel does about
//! memory; the call itself takes microseconds, so that more is time in which it waited for
//! somebody. Of two such maxima now one is the greater, now the other: in 253 cells the ratio was
//! above 0.5 in 11, above 1 in 2, and 1.3 at most.

use protocol::{
    Fact, Files, LatencyUs, MemcgRole, Operations, ProcessEnd, ProcessEnded, ProcessRole, Stage,
};

use super::{Answer, Case, Invariant, Missing};

/// The invariant.
pub(super) const RULE: Invariant = Invariant::new(
    7,
    "bystanders",
    "tasks outside the memcg are not killed, see no events or errors, and are not slowed down",
    check,
)
.of_time();

/// Of the longest delay of a task that only sleeps.
const TIMES_AS_LATE: f64 = 3.0;

/// Looks at the bystander, its memcg, and the outsider.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    let ((control, _), (load, failed)) = (calls(case, "control")?, calls(case, "stat")?);
    let late_us = case.need("heartbeat.gap_ms")? * 1000.0;
    let bound_us = control.max as f64 + TIMES_AS_LATE * late_us;
    let ended = ended(case);
    let moved = moved(case)?;
    let said = format!(
        "longest call of the bystander {} us, bound {bound_us} ({} before the load, a sleeper {late_us} \
         late); {failed} of its calls failed; {} events in its memcg{}; {ended} bystanders ended",
        load.max,
        control.max,
        moved.len(),
        moved.iter().map(|name| format!(" {name}")).collect::<String>(),
    );
    let kept = load.max as f64 <= bound_us && failed == 0 && moved.is_empty() && ended == 0;
    Ok(Answer::of(kept, said))
}

/// The bystander's calls of one kind, how long they took and how many failed; it made some.
fn calls(case: &Case<'_>, wanted: &str) -> Result<(LatencyUs, u64), Missing> {
    let found = case.evidence.events.iter().find_map(|event| match &event.fact {
        Fact::Operations(Operations {
            role: ProcessRole::Bystander,
            op,
            succeeded: 1..,
            errnos,
            latency,
            ..
        }) if op == wanted => Some((*latency, errnos.values().sum())),
        _ => None,
    });
    found.ok_or_else(|| Missing(format!("{wanted} of the bystander")))
}

/// Bystander and outsider, where somebody else than the guest ended them.
fn ended(case: &Case<'_>) -> usize {
    let ended = case.evidence.events.iter().filter(|event| {
        matches!(
            event.fact,
            Fact::ProcessEnded(ProcessEnded {
                role: ProcessRole::Bystander | ProcessRole::Outsider,
                end: ProcessEnd::Signaled(_),
                by_guest: false,
                ..
            })
        )
    });
    ended.count()
}

/// Events of the bystander's memcg that occurred.
fn moved<'a>(case: &Case<'a>) -> Result<Vec<&'a str>, Missing> {
    let events = |wanted: Stage| {
        let found = case.evidence.events.iter().find_map(|event| match &event.fact {
            Fact::Memcg(Files { stage, role: MemcgRole::Bystander, events, .. })
                if *stage == wanted =>
            {
                Some(events)
            }
            _ => None,
        });
        found.ok_or_else(|| Missing(format!("memory.events of the bystander at {wanted:?}")))
    };
    let (before, after) = (events(Stage::Before)?, events(Stage::After)?);
    let names = after.keys().chain(before.keys().filter(|name| !after.contains_key(*name)));
    Ok(names.filter(|name| before.get(*name) != after.get(*name)).map(String::as_str).collect())
}
