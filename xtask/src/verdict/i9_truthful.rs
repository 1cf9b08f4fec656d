// SPDX-License-Identifier: MIT OR Apache-2.0
//! I9: what the memcg's files say agrees with what happened, and with each other.
//!
//! `memory.stat`: anon + file + kernel + sock is `memory.current`, when the load has settled.
//! Tolerance, in both directions: 64 pages a CPU that are charged in advance and belong to no
//! object (`MEMCG_CHARGE_BATCH`), and as many updates of the statistics that a reader need not wait
//! for (`memcg_vmstats_needs_flush()`). cgroup v1 has no such sum.
//!
//! The patch's counters, at each level with a limit:
//! - A peak above the limit that nothing is forced to make was made by charges that are counted. A
//!   parent's may have the batch that another actor adds on another CPU for a moment, and that a
//!   charge over the child's limit records.
//! - No charge is less than a page.
//! - A kill that it counts is one that `memory.events` counts; on v1 in the victim's own memcg.
//! - Its trace events show as many charges over the limit as are counted, with as many pages, and
//!   as many denials, unless some were lost. I1 takes denials as an excuse: they are proven here.
//!
//! Whether the console agrees with that is evaluated by I4.

use protocol::{CgroupVersion, MemcgRole, Stage};

use super::rule::need;
use super::{Answer, BATCH_PAGES, Case, Invariant, Missing};
use crate::taxonomy::{FactName, MemcgFact};

/// The invariant.
pub(super) const RULE: Invariant = Invariant::new(
    9,
    "truthful",
    "statistics, counters and trace events agree with each other",
    check,
);

/// What `memory.current` is made of.
const PARTS: [&str; 4] = ["anon", "file", "kernel", "sock"];

/// Compares the files of the limited memcg with each other.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    let mut answer = match case.cell.key.cgroup {
        CgroupVersion::V1 => Answer::not_asked("v1's memory.stat has no sum"),
        CgroupVersion::V2 => sum(case)?,
    };
    if case.cell.request.counters_file.is_some() {
        answer.add("counters", counters(case, MemcgRole::Limited, 0));
        // A workload may remove the second one: its counters went with it.
        if case.seen.counter(MemcgRole::Second, "charges").is_some() {
            answer.add("second", counters(case, MemcgRole::Second, 0));
        }
        if case.cell.request.parent.is_some() {
            let others = case.hello.cpus.min(case.cell.request.tasks).saturating_sub(1);
            answer.add("parent", counters(case, MemcgRole::Parent, others));
        }
    }
    Ok(answer)
}

fn sum(case: &Case<'_>) -> Result<Answer, Missing> {
    let missing = || Missing("memory.stat of the limited memcg when settled".to_owned());
    let files = case.seen.files(Stage::Settled, MemcgRole::Limited).ok_or_else(missing)?;
    let parts = PARTS.iter().map(|part| files.stat.get(*part).copied().ok_or_else(missing));
    let sum_bytes: u64 = parts.sum::<Result<_, _>>()?;
    let bound_bytes = 2 * case.pages(BATCH_PAGES);
    let apart_bytes = files.current_bytes.abs_diff(sum_bytes);
    let said = format!(
        "memory.current {}, {} {sum_bytes}: {apart_bytes} apart, bound {bound_bytes}",
        files.current_bytes,
        PARTS.join(" + ")
    );
    Ok(Answer::of(apart_bytes <= bound_bytes, said))
}

/// The counters of one memcg; so many others may charge in it at the same moment.
fn counters(case: &Case<'_>, role: MemcgRole, others: u32) -> Result<Answer, Missing> {
    let over = case.seen.peak_over_bytes(role);
    let over_bytes = need(over, FactName::Memcg(role, MemcgFact::PeakOverBytes))?;
    // Not every version of the patch has all of them.
    let counter = |name: &str| case.seen.counter(role, name);
    let charges = need(counter("charges"), FactName::Counter(role, "charges".to_owned()))?;
    let counted = charges + counter("user").unwrap_or(0);
    let forced_bytes = match case.cell.forced_bytes {
        0 => 0,
        forced_bytes => forced_bytes + case.pages(BATCH_PAGES),
    };
    let others_bytes = BATCH_PAGES * case.hello.page_bytes * u64::from(others);
    let hidden = counted == 0 && over_bytes > forced_bytes + others_bytes;
    let pages = counter("pages");
    let less = pages.is_some_and(|pages| pages < charges);
    let kills = counter("kills").zip(case.kill_events(role));
    let uncounted = kills.is_some_and(|(kills, events)| kills > events);
    let denied = counter("denied");
    let counters = [Some(charges), pages, denied];
    let traced = case.seen.traced();
    let is_whole = traced.is_some_and(|overcharges| overcharges.lost == 0);
    let traced = traced.map(|_| traced_in(case, role));
    let differs = traced.is_some_and(|traced| {
        traced.into_iter().zip(counters).any(|(traced, counted)| {
            counted.is_some_and(|counted| traced > counted || (is_whole && traced < counted))
        })
    });
    let [traced_charges, traced_pages, traced_denied] =
        [0, 1, 2].map(|place| shown(traced.map(|traced| traced[place])));
    let said = format!(
        "{over_bytes} bytes over at the peak with {counted} charges counted, {traced_charges} \
         traced, {} pages, {traced_pages} traced, {} denied, {traced_denied} traced; {} kills \
         counted, {} in memory.events",
        shown(pages),
        shown(denied),
        shown(kills.map(|(kills, _)| kills)),
        shown(kills.map(|(_, events)| events)),
    );
    Ok(Answer::of(!hidden && !less && !uncounted && !differs, said))
}

/// Charges over the limit, their pages, and denials, by the trace events. Where a kernel has the
/// events and none is of this memcg, that is a true zero.
fn traced_in(case: &Case<'_>, role: MemcgRole) -> [u64; 3] {
    case.seen.overcharged(role).map_or([0; 3], |of| {
        let pages = of.asked.iter().map(|asked| u64::from(asked.pages) * asked.count).sum();
        [of.charges, pages, of.denied]
    })
}

fn shown(number: Option<u64>) -> String {
    number.map_or("?".to_owned(), |number| number.to_string())
}
