// SPDX-License-Identifier: MIT OR Apache-2.0
//! The patch's counters of one memcg, against its trace events, its peak and `memory.events` (I9).
//!
//! - A peak above the limit that nothing is forced to make was made by charges that are counted. A
//!   parent's may have the batch that another actor adds on another CPU for a moment, and that a
//!   charge over the child's limit records.
//! - No charge is less than a page.
//! - A kill that it counts is one that `memory.events` counts; on v1 in the victim's own memcg.
//! - Every counter says what the trace events say, unless some were lost. I1 takes denials as an
//!   excuse: they are proven here. The events end between two readings of the counters: while
//!   tasks end, others may still reconcile.
//! - No event contradicts itself. Of one attempt that finds nothing left when it gives up, another
//!   task may have freed it at that moment.
//! - The furthest above the limit by the trace events is the peak. Either may have the batches that
//!   other CPUs add for a moment.
//! - On cgroup v2 each charge over the limit raises `max` in `memory.events`, and each attempt that
//!   kills, or finds no task to kill, raises `oom`.

use protocol::{CgroupVersion, MemcgRole, Overcharged, Stage};

use super::rule::need;
use super::{Answer, BATCH_PAGES, Case, Missing};
use crate::taxonomy::{FactName, MemcgFact};

/// What is compared with the trace events. Not every version of the patch has all of them.
const TRACED: [&str; 9] =
    ["charges", "pages", "user", "denied", "deferred", "reconciles", "reclaimed", "kills", "stuck"];

/// An event that one race explains, and two do not.
const RACE: &str = "stuck, and nothing left";

/// Compares the counters of one memcg; so many others may charge in it at the same moment.
pub(super) fn counters(case: &Case<'_>, role: MemcgRole, others: u32) -> Result<Answer, Missing> {
    let over = case.seen.peak_over_bytes(role);
    let over_bytes = need(over, FactName::Memcg(role, MemcgFact::PeakOverBytes))?;
    let counter = |name: &str| case.seen.counter(role, name);
    let charges = need(counter("charges"), FactName::Counter(role, "charges".to_owned()))?;
    let counted = charges + counter("user").unwrap_or(0);
    let forced_bytes = match case.cell.forced_bytes {
        0 => 0,
        forced_bytes => forced_bytes + case.pages(BATCH_PAGES),
    };
    let others_bytes = BATCH_PAGES * case.hello.page_bytes * u64::from(others);
    let mut wrong = Vec::new();
    if counted == 0 && over_bytes > forced_bytes + others_bytes {
        wrong.push("no charge is counted that made the peak".to_owned());
    }
    if counter("pages").is_some_and(|pages| pages < charges) {
        wrong.push("fewer pages than charges".to_owned());
    }
    let kills = counter("kills").zip(case.kill_events(role));
    if let Some((kills, events)) = kills.filter(|(kills, events)| kills > events) {
        wrong.push(format!("{kills} kills counted, {events} in memory.events"));
    }
    wrong.extend(raised(case, role, charges));
    let compared = compared(case, role, &mut wrong);
    if let Some(of) = case.seen.overcharged(role).filter(|_| is_whole(case)) {
        wrong.extend(odd(of));
        wrong.extend(apart(case, of, (over_bytes, forced_bytes)));
    }
    let mut said = format!(
        "{over_bytes} bytes over at the peak; counted (and traced): {}; {} kills in memory.events",
        compared.join(", "),
        kills.map_or("?".to_owned(), |(_, events)| events.to_string()),
    );
    if !wrong.is_empty() {
        said = format!("{}; {said}", wrong.join("; "));
    }
    Ok(Answer::of(wrong.is_empty(), said))
}

/// Whether the trace has every event.
fn is_whole(case: &Case<'_>) -> bool {
    case.seen.traced().is_some_and(|overcharges| overcharges.lost == 0)
}

/// Each counter with what the trace events say, and which of them disagree.
fn compared(case: &Case<'_>, role: MemcgRole, wrong: &mut Vec<String>) -> Vec<String> {
    let mut said = Vec::new();
    for name in TRACED {
        let Some(counted) = case.seen.counter(role, name) else { continue };
        let until = case.seen.counter_until_after(role, name).map_or(counted, |it| it.max(counted));
        let traced = case.seen.traced().and_then(|_| traced(case.seen.overcharged(role), name));
        let Some(traced) = traced else {
            said.push(format!("{name} {counted}"));
            continue;
        };
        said.push(format!("{name} {counted} ({traced})"));
        if traced > until || is_whole(case) && traced < counted {
            wrong.push(format!("{name} is {counted} by the counter, {traced} by the trace events"));
        }
    }
    said
}

/// A counter by the trace events. Where a kernel has the events and none is of this memcg, it is a
/// true zero. `None` of a guest that did not count it.
fn traced(of: Option<&Overcharged>, name: &str) -> Option<u64> {
    let Some(of) = of else { return Some(0) };
    match name {
        "charges" => Some(of.charges),
        "pages" => Some(of.asked.iter().map(|asked| u64::from(asked.pages) * asked.count).sum()),
        "denied" => Some(of.denied),
        _ if of.counted.is_empty() => None,
        _ => Some(of.counted.get(name).copied().unwrap_or(0)),
    }
}

/// Events that contradict themselves.
fn odd(of: &Overcharged) -> impl Iterator<Item = String> {
    let odd = of.odd.iter().filter(|(what, count)| *what != RACE || **count > 1);
    odd.map(|(what, count)| format!("{count} trace events say: {what}"))
}

/// The furthest by the trace events, and the peak.
fn apart(
    case: &Case<'_>,
    of: &Overcharged,
    (peak_bytes, forced_bytes): (u64, u64),
) -> Option<String> {
    let furthest_bytes = of.excess_pages_max? * case.hello.page_bytes;
    let others = u64::from(case.hello.cpus.saturating_sub(1));
    let bound_bytes = BATCH_PAGES * case.hello.page_bytes * others;
    let is_off = furthest_bytes > peak_bytes + bound_bytes
        || of.charges > 0 && peak_bytes > furthest_bytes + bound_bytes + forced_bytes;
    is_off.then(|| format!("the trace events say {furthest_bytes} bytes over at most"))
}

/// What `memory.events` must have at least.
fn raised(case: &Case<'_>, role: MemcgRole, charges: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    if case.cell.key.cgroup != CgroupVersion::V2 {
        return wrong;
    }
    // A charge can fail at the parent first and find the child over its limit later.
    let max = case.seen.event(role, "max").filter(|_| case.cell.request.parent.is_none());
    if let Some(max) = max.filter(|max| *max < charges) {
        wrong.push(format!("{charges} charges over the limit, but max in memory.events is {max}"));
    }
    let stuck = case.seen.overcharged(role).map_or(0, |of| {
        let stuck = of.reconciles.iter().filter(|(how, _)| how.starts_with("stuck "));
        stuck.map(|(_, count)| count).sum()
    });
    let attempts = case.seen.counter(role, "kills").unwrap_or(0) + stuck;
    let at = |stage| case.seen.files(stage, role)?.events.get("oom").copied();
    let oom = at(Stage::After).or(at(Stage::Settled)).zip(at(Stage::Before));
    if let Some(oom) = oom.map(|(after, before)| after.saturating_sub(before))
        && oom < attempts
    {
        wrong.push(format!("{attempts} attempts to kill, but oom in memory.events is {oom}"));
    }
    wrong
}
