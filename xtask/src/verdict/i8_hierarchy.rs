// SPDX-License-Identifier: MIT OR Apache-2.0
//! I8: what holds for a memcg under test holds for its ancestors: I2 and I3 of the parent.
//!
//! Evaluated where the cell gives the parent a limit. A charge counts at every level up to the root
//! (`page_counter_try_charge()`), so a child that may go far over its own limit must still stay
//! within the cap of its parent, and the parent must come back to its limit as soon as the child.
//! Tolerances: as I2 and I3, of the parent's limit, cap and samples.

use protocol::MemcgRole;

use super::{Answer, Case, Invariant, Missing, i2_bound, i3_timely};

/// The invariant.
pub(super) const RULE: Invariant =
    Invariant::new(8, "hierarchy", "bound and timely hold for a parent with a limit too", check);

/// Compares the parent's peak and its time above the limit with their bounds.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    let request = &case.cell.request;
    let Some(parent) = &request.parent else {
        return Ok(Answer::not_asked("the parent has no limit"));
    };
    let second_hog = request.second.as_ref().is_some_and(|second| second.hog_bytes > 0);
    let killable = request.killable || request.hog_bytes > 0 || second_hog || parent.hog_bytes > 0;
    let mut answer = i2_bound::of(case, MemcgRole::Parent)?;
    answer.add("in time", i3_timely::of(case, MemcgRole::Parent, killable));
    Ok(answer)
}
