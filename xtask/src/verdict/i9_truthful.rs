// SPDX-License-Identifier: MIT OR Apache-2.0
//! I9: what the memcg's files say agrees with what happened, and with each other.
//!
//! `memory.stat`: anon + file + kernel + sock is `memory.current`, when the load has settled.
//! Tolerance, in both directions: 64 pages a CPU that are charged in advance and belong to no
//! object (`MEMCG_CHARGE_BATCH`), and as many updates of the statistics that a reader need not wait
//! for (`memcg_vmstats_needs_flush()`). cgroup v1 has no such sum.
//!
//! The patch's counters, at each level with a limit: see [`counters`].
//!
//! Whether the console agrees with that is evaluated by I4.

use protocol::{CgroupVersion, MemcgRole, Stage};

use super::counters::counters;
use super::{Answer, BATCH_PAGES, Case, Invariant, Missing};

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
