// SPDX-License-Identifier: MIT OR Apache-2.0
//! I4: who is killed belongs to the memcg that was over its limit, and every kill is counted.
//!
//! The console names each victim; `memory.events` counts them in the victim's memcg and, on cgroup
//! v2, in its ancestors (`memcg_memory_event()`), so the parent of all memcgs of the cell has the
//! sum. The OOM report names the memcg whose limit was met (`oom_memcg`) and the victim's
//! (`task_memcg`), which must be that one or below it. Tolerance: none. Tasks that die because they
//! share a victim's memory are neither printed nor counted. How many kills a load needs is the
//! scenario's own expectation (`kills`): no rule can tell from the outside whether one sufficed.

use protocol::{CgroupVersion, Fact, Files, MemcgRole, ProcessEnded, ProcessRole, Stage};

use super::{Answer, Case, Invariant, Missing};
use crate::evidence::oom::{Report, ooms};

/// The invariant.
pub(super) const RULE: Invariant = Invariant::new(
    4,
    "right victim",
    "every kill is counted, and its victim is below the memcg that was over its limit",
    check,
);

/// Looks at every kill.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    if case.evidence.console_dropped_bytes > 0 {
        // Such a cell never passes; what else is broken must still be told.
        return Ok(Answer::not_asked("a part of the console is missing, and with it kills"));
    }
    let printed = case.need("kills")?;
    let counted = counted(case)? as f64;
    let reports = ooms(&case.evidence.console).reports;
    let kills = || reports.iter().filter(|report| report.killed.is_some());
    let mut wrong: Vec<String> = kills().filter_map(strayed).collect();
    wrong.extend(kills().filter_map(|report| outside(case, report)));
    let said = match wrong.first() {
        Some(first) => format!("{first}; {} kills of {printed} were wrong", wrong.len()),
        None => format!(
            "{printed} kills on the console, {counted} in memory.events; {} reports name victim and memcg",
            kills().count()
        ),
    };
    Ok(Answer::of(wrong.is_empty() && printed == counted, said))
}

/// Kills counted in all memcgs of the cell, from before the load until everybody had gone.
fn counted(case: &Case<'_>) -> Result<u64, Missing> {
    let roles: &[MemcgRole] = match case.cell.key.cgroup {
        CgroupVersion::V2 => &[MemcgRole::Parent],
        // v1 does not count in ancestors.
        CgroupVersion::V1 if case.cell.request.second.is_some() => {
            &[MemcgRole::Limited, MemcgRole::Second, MemcgRole::Bystander]
        }
        CgroupVersion::V1 => &[MemcgRole::Limited, MemcgRole::Bystander],
    };
    let mut sum = 0;
    for role in roles {
        let [before, after] =
            [Stage::Before, Stage::After].map(|stage| oom_kills(case, stage, *role));
        sum += after
            .zip(before)
            .and_then(|(after, before)| after.checked_sub(before))
            .ok_or_else(|| Missing(format!("oom_kill in memory.events of the {role:?} memcg")))?;
    }
    Ok(sum)
}

fn oom_kills(case: &Case<'_>, wanted: Stage, of: MemcgRole) -> Option<u64> {
    case.evidence.events.iter().find_map(|event| match &event.fact {
        Fact::Memcg(Files { stage, role, events, .. }) if *stage == wanted && *role == of => {
            events.get("oom_kill").copied()
        }
        _ => None,
    })
}

/// A victim that is not below the memcg that was over its limit.
fn strayed(report: &Report) -> Option<String> {
    let (pid, memcgs) = (report.killed?, report.memcgs.as_ref());
    let Some((over, victims)) = memcgs else {
        return Some(format!("the report of the kill of {pid} names no memcg"));
    };
    let rest = victims.strip_prefix(over.as_str());
    let below = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (!below).then(|| format!("{pid} of {victims} was killed for {over}"))
}

/// A victim that is there to be left alone.
fn outside(case: &Case<'_>, report: &Report) -> Option<String> {
    let victim = report.killed?;
    case.evidence.events.iter().find_map(|event| match event.fact {
        Fact::ProcessEnded(ProcessEnded {
            role: role @ (ProcessRole::Bystander | ProcessRole::Outsider),
            pid,
            ..
        }) if pid == victim => Some(format!("the {role:?}, {pid}, was killed")),
        _ => None,
    })
}
