// SPDX-License-Identifier: MIT OR Apache-2.0
//! I12: only a task of the memcg, or a kernel thread, brings it back to its limit.
//!
//! A task may charge a memcg that it is not in: it makes a child cgroup, or reads what was swapped
//! out beside its own pages. It did not overrun any limit of its own. So its way to user mode is
//! not the place to reclaim, kill or wait for another memcg. The patch's trace events name the task
//! of each attempt. Tolerance: none. If events were lost, or there are none, the rule is unknown.

use protocol::{MemcgRole, ProcessRole};

use super::{Answer, Case, Invariant, Missing};

/// The invariant.
pub(super) const RULE: Invariant =
    Invariant::new(12, "debtor pays", "no task reconciles a memcg that it is not in", check);

/// Looks for tasks outside among those that reconciled.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    if !case.overcharges() {
        return Ok(Answer::not_asked("the policy lets nothing over the limit"));
    }
    let traced = case.seen.traced();
    let traced = traced.ok_or_else(|| Missing("the patch's trace events".to_owned()))?;
    let outside = |role| matches!(role, ProcessRole::Bystander | ProcessRole::Outsider);
    let strangers: Vec<_> = case.seen.ends.iter().filter(|end| outside(end.role)).collect();
    let paid: Vec<(MemcgRole, ProcessRole)> = traced
        .memcgs
        .iter()
        .flat_map(|of| of.payers.iter().map(move |pid| (of.memcg, *pid)))
        .filter_map(|(memcg, pid)| Some((memcg, strangers.iter().find(|end| end.pid == pid)?.role)))
        .collect();
    let payers: usize = traced.memcgs.iter().map(|of| of.payers.len()).sum();
    let example = paid.first().map_or_else(String::new, |(memcg, role)| {
        format!(" (the {role:?} reconciled the {memcg:?} memcg)")
    });
    let said = format!("{} of {payers} tasks that reconciled are outside{example}", paid.len());
    if paid.is_empty() && traced.lost > 0 {
        return Err(Missing(format!("{} trace events", traced.lost)));
    }
    Ok(Answer::of(paid.is_empty(), said))
}
