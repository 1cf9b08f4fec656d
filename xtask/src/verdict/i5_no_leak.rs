// SPDX-License-Identifier: MIT OR Apache-2.0
//! I5: when every task has exited, files are unlinked and caches dropped, nothing stays charged.
//!
//! Tolerance: 2 pages a CPU. A CPU may hold up to 64 pre-charged pages (`MEMCG_CHARGE_BATCH`) and a
//! page of objects until another memcg is active there; the guest is, on each CPU, before the last
//! reading. What that activity can leave is the page of the object stock and the one it has just
//! given back to the page stock. The same for the second memcg, and for the parent times the memcgs
//! below it: the limited one, the bystander and the second one. No dying memcg, and the folder can
//! be removed. No counter and no reference drops below zero either. The whole machine holds no more
//! than before but for what the kernel keeps to use again; see [`KEPT`].

use std::collections::BTreeMap;

use protocol::{MemcgRole, Stage};

use super::rule::need;
use super::{Answer, Case, Finding, Invariant, Missing};
use crate::outcome::Outcome;
use crate::taxonomy::{CellFact, FactName, MemcgFact};

/// The invariant.
pub(super) const RULE: Invariant = Invariant::new(
    5,
    "no leak",
    "once every task has exited nothing stays charged and no memcg is left dying",
    check,
);

/// Left on a CPU whose stocks another memcg has just flushed.
const STOCK_PAGES: u64 = 2;

/// What the machine may hold more than before, with two CPUs: bytes, or files and tasks. Freed
/// slabs, stacks and chunks are kept to be used again, and counters are spread over CPUs. At least
/// twice what was seen in 310 cells.
const KEPT: [(&str, u64); 8] = [
    ("anon", 2 * MIB),
    ("files", 256),
    ("kernel_stack", 2 * MIB),
    ("page_tables", MIB / 2),
    ("percpu", MIB),
    // KASAN keeps up to a 32nd of the memory in quarantine.
    ("slab", 24 * MIB),
    ("tasks", 128),
    ("vmalloc", 6 * MIB),
];

const MIB: u64 = 1 << 20;

/// Stretch by the host from which on a memcg may be freed later than the guest waits. Seen on clean
/// kernels at 3.2 and 3.4.
const FREED_LATE: f64 = 3.0;

/// Something that dropped below zero, and what the kernel prints then.
const UNDERFLOWS: [(&str, &str); 2] = [
    ("page_counter underflow", "page_counter underflow"),
    ("reference underflow", "after switching to atomic"),
];

/// Looks at what was left behind, in the memcg under test and around it.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    let mut answer = stays(case, MemcgRole::Limited, 1)?;
    let removed = need(case.seen.removed, CellFact::Removed)?;
    let underflow = case.findings.iter().find_map(underflow);
    let gone = removed.removed && removed.dying == 0 && underflow.is_none();
    let late = removed.removed && underflow.is_none();
    let said = format!(
        "{}, {} memcgs dying{}",
        if removed.removed { "memcg removed" } else { "memcg could not be removed" },
        removed.dying,
        underflow.map_or_else(String::new, |kind| format!(", {kind}")),
    );
    let folder = Answer::of(gone, said);
    answer.add("folder", Ok(if late { in_time(case, folder) } else { folder }));
    // A workload may remove the second one: its folder is gone then, and `dying` counts it.
    if left_bytes(case, MemcgRole::Second).is_some() {
        answer.add("second", stays(case, MemcgRole::Second, 1));
    }
    answer.add("machine", machine(case));
    let below = 2 + u64::from(case.cell.request.second.is_some());
    answer.add("parent", stays(case, MemcgRole::Parent, below));
    Ok(answer)
}

/// What a machine with so many CPUs may hold more than before; `None` for an unknown name.
pub(super) fn kept(name: &str, cpus: u32) -> Option<u64> {
    let (_, kept) = KEPT.iter().find(|(known, _)| *known == name)?;
    Some(kept * u64::from(cpus).div_ceil(2))
}

/// What the whole machine holds.
fn machine(case: &Case<'_>) -> Result<Answer, Missing> {
    let missing = |name: &str| Missing(format!("how much {name} the machine held"));
    let ledger = case.seen.ledger.ok_or_else(|| missing("memory"))?;
    for (name, _) in KEPT {
        // No running machine has none of any of these; of open files, which CPUs count by
        // themselves, 32 each may be missing.
        let held = |amounts: &BTreeMap<String, u64>| {
            amounts.get(name).copied().filter(|amount| *amount > 0 || name == "files")
        };
        let (before, after) =
            held(&ledger.before).zip(held(&ledger.after)).ok_or_else(|| missing(name))?;
        let more = after.saturating_sub(before);
        let kept = kept(name, case.hello.cpus).unwrap_or(0);
        if more > kept {
            let said = format!("{name}: {more} more than before, {kept} may be kept");
            return Ok(Answer::of(false, said));
        }
    }
    Ok(Answer::of(true, "the machine holds no more than before".to_owned()))
}

/// What stays charged, bytes.
fn left_bytes(case: &Case<'_>, role: MemcgRole) -> Option<u64> {
    case.seen.peak_bytes(role)?;
    Some(case.seen.files(Stage::After, role)?.current_bytes)
}

/// What stays charged to a memcg, in which or below which there are so many memcgs with stocks.
fn stays(case: &Case<'_>, role: MemcgRole, memcgs: u64) -> Result<Answer, Missing> {
    let name = FactName::Memcg(role, MemcgFact::AfterCurrentBytes);
    let current_bytes = need(left_bytes(case, role), name)?;
    let bound_bytes = memcgs * case.pages(STOCK_PAGES);
    let said = format!("{current_bytes} bytes stay charged, stocks hold up to {bound_bytes}");
    Ok(Answer::of(current_bytes <= bound_bytes, said))
}

/// The guest waits seconds for the work items that free a memcg: on a host that had no time for
/// them, one that has not gone is not known to stay.
fn in_time(case: &Case<'_>, answer: Answer) -> Answer {
    let stretch = case.seen.evidence.stretch();
    if answer.outcome != Outcome::Broken || stretch < FREED_LATE {
        return answer;
    }
    let said = format!("{}, stretched {stretch:.1} times by the host", answer.said);
    Answer { outcome: Outcome::Unknown, said }
}

/// Which of them a report shows, if only inside another one.
fn underflow(finding: &Finding) -> Option<&'static str> {
    let shows = |text: &str| finding.excerpt.iter().any(|line| line.contains(text));
    UNDERFLOWS.iter().find(|(_, text)| shows(text)).map(|(kind, _)| *kind)
}
