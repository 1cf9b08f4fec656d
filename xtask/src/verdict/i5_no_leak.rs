// SPDX-License-Identifier: MIT OR Apache-2.0
//! I5: when every task has exited, files are unlinked and caches dropped, nothing stays charged.
//!
//! Tolerance: 2 pages a CPU. A CPU may hold up to 64 pre-charged pages (`MEMCG_CHARGE_BATCH`) and a
//! page of objects until another memcg is active there; the guest is, on each CPU, before the last
//! reading. What that activity can leave is the page of the object stock and the one it has just
//! given back to the page stock. No dying memcg, no counter underflow, and the folder can be removed.

use super::{Case, Check, Missing};

const RULE: &str = "I5";

/// Left on a CPU whose stocks another memcg has just flushed.
const STOCK_PAGES: u64 = 2;

/// Looks at what was left behind.
pub(crate) fn check(case: &Case<'_>) -> Result<Check, Missing> {
    let current_bytes = case.need("after.current_bytes")?;
    let (removed, dying) = (case.need("removed")?, case.need("dying")?);
    let bound_bytes = STOCK_PAGES * case.page_bytes * u64::from(case.cpus);
    let underflow = case.findings.iter().any(|finding| {
        finding.kind == "page_counter underflow"
            || finding.excerpt.iter().any(|line| line.contains("page_counter underflow"))
    });
    let kept = current_bytes <= bound_bytes as f64 && removed == 1.0 && dying == 0.0 && !underflow;
    let said = format!(
        "{current_bytes} bytes stay charged, stocks hold up to {bound_bytes}; {}, {dying} memcgs dying{}",
        if removed == 1.0 { "memcg removed" } else { "memcg could not be removed" },
        if underflow { ", page counter underflow" } else { "" },
    );
    Ok(Check::of(RULE, kept, said))
}
