// SPDX-License-Identifier: MIT OR Apache-2.0
//! I9: what the memcg's files say agrees with what happened, and with each other.
//!
//! `memory.stat`: anon + file + kernel + sock is `memory.current`, when the load has settled.
//! Tolerance, in both directions: 64 pages a CPU that are charged in advance and belong to nobody
//! (`MEMCG_CHARGE_BATCH`), and as many updates of the statistics that a reader need not wait for
//! (`memcg_vmstats_needs_flush()`). cgroup v1 has no such sum.
//!
//! The patch's counters, at each level with a limit: a peak above it that nothing is forced to make
//! was made by charges that are counted there (a parent's may have the batch that another actor
//! adds on another CPU for a moment, and that a charge over the child's limit records); no charge
//! is less than a page; a kill that it counts is one that `memory.events` counts (on v1 that of the
//! victim's own memcg: `memcg_memory_event()` goes no further up there); its trace events show as
//! many charges over the limit as are counted, unless some were lost. Whether the console agrees
//! with that is asked by I4.

use protocol::{CgroupVersion, Fact, Files, MemcgRole, Stage};

use super::{Answer, Case, Invariant, Missing};

/// The invariant.
pub(super) const RULE: Invariant = Invariant::new(
    9,
    "truthful",
    "statistics, counters and trace events agree with each other",
    check,
);

/// `MEMCG_CHARGE_BATCH`, pages.
const BATCH_PAGES: u64 = 64;

/// What `memory.current` is made of.
const PARTS: [&str; 4] = ["anon", "file", "kernel", "sock"];

/// Compares the files of the limited memcg with each other.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    let mut check = match case.cell.key.cgroup {
        CgroupVersion::V1 => Answer::not_asked("v1's memory.stat has no sum"),
        CgroupVersion::V2 => sum(case)?,
    };
    if case.cell.request.counters_file.is_some() {
        check.add("counters", counters(case, "", 0));
        // A workload may remove the second one: its counters went with it.
        if case.facts.get("second.counters.charges").is_some() {
            check.add("second", counters(case, "second.", 0));
        }
        if case.cell.request.parent.is_some() {
            let others = case.cpus.min(case.cell.request.tasks).saturating_sub(1);
            check.add("parent", counters(case, "parent.", others));
        }
    }
    Ok(check)
}

fn sum(case: &Case<'_>) -> Result<Answer, Missing> {
    let missing = || Missing("memory.stat of the limited memcg when settled".to_owned());
    let (current_bytes, stat) = case
        .evidence
        .events
        .iter()
        .find_map(|event| match &event.fact {
            Fact::Memcg(Files {
                stage: Stage::Settled,
                role: MemcgRole::Limited,
                current_bytes,
                stat,
                ..
            }) => Some((*current_bytes, stat)),
            _ => None,
        })
        .ok_or_else(missing)?;
    let mut sum_bytes = 0;
    for part in PARTS {
        sum_bytes += stat.get(part).ok_or_else(missing)?;
    }
    let bound_bytes = 2 * BATCH_PAGES * case.page_bytes * u64::from(case.cpus);
    let apart_bytes = current_bytes.abs_diff(sum_bytes);
    let said = format!(
        "memory.current {current_bytes}, {} {sum_bytes}: {apart_bytes} apart, bound {bound_bytes}",
        PARTS.join(" + ")
    );
    Ok(Answer::of(apart_bytes <= bound_bytes, said))
}

/// The counters of the memcg whose facts begin with `prefix`; so many others may charge in it at
/// the same moment.
fn counters(case: &Case<'_>, prefix: &str, others: u32) -> Result<Answer, Missing> {
    let over_bytes = case.need(&format!("{prefix}peak_over_bytes"))?;
    let charges = case.need(&format!("{prefix}counters.charges"))?;
    // Not every version of the patch tells all of them.
    let told = |name: &str| case.facts.get(&format!("{prefix}{name}"));
    let counted = charges + told("counters.user").unwrap_or(0.0);
    let forced_bytes = match case.scenario.forced_bytes {
        0 => 0,
        forced => forced + BATCH_PAGES * case.page_bytes * u64::from(case.cpus),
    };
    let others_bytes = BATCH_PAGES * case.page_bytes * u64::from(others);
    let hidden = counted == 0.0 && over_bytes > (forced_bytes + others_bytes) as f64;
    let pages = told("counters.pages");
    let less = pages.is_some_and(|pages| pages < charges);
    let kills = told("counters.kills").zip(case.kill_events(prefix));
    let uncounted = kills.is_some_and(|(kills, events)| kills > events);
    // Where a kernel has the events and none is of this memcg, that is a true zero.
    let lost = case.facts.get("overcharges.lost");
    let traced = told("reconcile.owed").or(lost.map(|_| 0.0));
    let whole = lost == Some(0.0);
    let differs = traced.is_some_and(|traced| traced > charges || (whole && traced < charges));
    let said = format!(
        "{over_bytes} bytes over at the peak with {counted} charges counted, {} traced, {} pages; {} \
         kills counted, {} in memory.events",
        shown(traced),
        shown(pages),
        shown(kills.map(|(kills, _)| kills)),
        shown(kills.map(|(_, events)| events)),
    );
    Ok(Answer::of(!hidden && !less && !uncounted && !differs, said))
}

fn shown(number: Option<f64>) -> String {
    number.map_or("?".to_owned(), |number| number.to_string())
}
