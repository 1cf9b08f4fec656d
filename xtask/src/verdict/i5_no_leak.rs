// SPDX-License-Identifier: MIT OR Apache-2.0
//! I5: when every task has exited, files are unlinked and caches dropped, nothing stays charged.
//!
//! Tolerance: 2 pages a CPU. A CPU may hold up to 64 pre-charged pages (`MEMCG_CHARGE_BATCH`) and a
//! page of objects until another memcg is active there; the guest is, on each CPU, before the last
//! reading. What that activity can leave is the page of the object stock and the one it has just
//! given back to the page stock. As much for the second memcg, and for the parent times the memcgs
//! below it: it, the bystander and the second one. No dying memcg, and the folder can be removed.
//! Nothing is given back more often than it was taken either: no counter and no reference goes
//! below zero.

use super::{Answer, Case, Finding, Invariant, Missing};

/// The invariant.
pub(super) const RULE: Invariant = Invariant::new(
    5,
    "no leak",
    "once every task has exited nothing stays charged and no memcg is left dying",
    check,
);

/// Left on a CPU whose stocks another memcg has just flushed.
const STOCK_PAGES: u64 = 2;

/// Something that went below zero, and what the kernel prints then.
const UNDERFLOWS: [(&str, &str); 2] = [
    ("page_counter underflow", "page_counter underflow"),
    ("reference underflow", "after switching to atomic"),
];

/// Looks at what was left behind, in the memcg under test and around it.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    let mut check = of_limited(case)?;
    // A workload may remove the second one: its folder is gone then, and `dying` counts it.
    if case.facts.get("second.after.current_bytes").is_some() {
        check.add("second", stays(case, "second.", 1));
    }
    let below = 2 + u64::from(case.cell.request.second.is_some());
    check.add("parent", stays(case, "parent.", below));
    Ok(check)
}

/// What stays charged to the memcg whose facts begin with `prefix`; stocks may belong to so many.
fn stays(case: &Case<'_>, prefix: &str, memcgs: u64) -> Result<Answer, Missing> {
    let current_bytes = case.need(&format!("{prefix}after.current_bytes"))?;
    let bound_bytes = memcgs * STOCK_PAGES * case.page_bytes * u64::from(case.cpus);
    let said = format!("{current_bytes} bytes stay charged, stocks hold up to {bound_bytes}");
    Ok(Answer::of(current_bytes <= bound_bytes as f64, said))
}

fn of_limited(case: &Case<'_>) -> Result<Answer, Missing> {
    let current_bytes = case.need("after.current_bytes")?;
    let (removed, dying) = (case.need("removed")?, case.need("dying")?);
    let bound_bytes = STOCK_PAGES * case.page_bytes * u64::from(case.cpus);
    let underflow = case.findings.iter().find_map(underflow);
    let kept = current_bytes <= bound_bytes as f64
        && removed == 1.0
        && dying == 0.0
        && underflow.is_none();
    let said = format!(
        "{current_bytes} bytes stay charged, stocks hold up to {bound_bytes}; {}, {dying} memcgs dying{}",
        if removed == 1.0 { "memcg removed" } else { "memcg could not be removed" },
        underflow.map_or_else(String::new, |kind| format!(", {kind}")),
    );
    Ok(Answer::of(kept, said))
}

/// Which of them a report shows, if only inside another one.
fn underflow(finding: &Finding) -> Option<&'static str> {
    let shows = |text: &str| finding.excerpt.iter().any(|line| line.contains(text));
    UNDERFLOWS.iter().find(|(_, text)| shows(text)).map(|(kind, _)| *kind)
}
