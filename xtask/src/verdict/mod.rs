// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was seen -> verdict. Pure: runs nothing, reads nothing, and can be repeated on a stored
//! run.
//!
//! One file an invariant. PASS needs positive evidence; absence is never zero.

mod amounts;
mod charges;
mod console;
mod cost;
mod counters;
mod differential;
mod emulator;
mod facts;
mod i10_progress;
mod i11_off_is_mainline;
mod i12_debtor_pays;
mod i1_no_escape;
mod i2_bound;
mod i3_timely;
mod i4_right_victim;
mod i5_no_leak;
mod i6_no_hang;
mod i7_bystanders;
mod i8_hierarchy;
mod i9_truthful;
mod inject;
mod judge;
mod known;
pub(crate) mod ktap;
mod no_worse;
mod proof;
mod reached;
mod reason;
mod rule;
mod score;
pub(crate) mod selftests;
#[cfg(test)]
pub(crate) mod tests;
mod whole;

use protocol::{CgroupVersion, Hello, MemcgRole, MemcgWrite};
use serde::{Deserialize, Serialize};

use crate::evidence::Seen;
use crate::evidence::oom::Ooms;
use crate::outcome::{Check, Judgement, Manifest, Outcome};
use crate::plan::Cell;
use crate::taxonomy::{Rule, Verdict};

pub(crate) use console::{Finding, findings, findings_of};
pub(crate) use cost::{Cost, costs};
pub(crate) use differential::compare;
pub(crate) use emulator::by_emulator;
pub(crate) use inject::{Site, sites};
pub(crate) use judge::{console_faults, judge, judge_beside};
pub(crate) use known::{excuse_consoles, excuse_rules};
pub(crate) use proof::wrong_clock;
pub(crate) use reached::reached;
use rule::{Answer, Invariant, Missing};
pub(crate) use score::{Ran, Score, score};
pub(crate) use whole::taint_faults;

/// Every invariant, in the order in which they are evaluated.
const INVARIANTS: &[Invariant] = &[
    i1_no_escape::RULE,
    i2_bound::RULE,
    i3_timely::RULE,
    i4_right_victim::RULE,
    i5_no_leak::RULE,
    i6_no_hang::RULE,
    i7_bystanders::RULE,
    i8_hierarchy::RULE,
    i9_truthful::RULE,
    i10_progress::RULE,
    i11_off_is_mainline::RULE,
    i12_debtor_pays::RULE,
];

/// Every invariant by its rule.
pub(crate) fn invariants() -> Vec<Rule> {
    INVARIANTS.iter().map(|invariant| invariant.rule).collect()
}

/// Name of a rule and the rule in a sentence; empty for an unknown one.
pub(crate) fn rule_words(rule: Rule) -> (&'static str, &'static str) {
    match rule {
        Rule::Expectation => ("expectation", "what the scenario itself expects of this policy"),
        Rule::Exercised => ("exercised", "the path under test ran"),
        Rule::Invariant(_) => {
            let found = INVARIANTS.iter().find(|invariant| invariant.rule == rule);
            found.map_or(("", ""), |found| (found.name, found.says))
        }
    }
}

/// How slow the machine is that the cell ran on: tolerances in time that do not come from the
/// kernel's own timers grow with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// Times slower than a fast KVM, at least 1.
    pub(crate) slowdown: u32,
    /// Whether an emulator ran the code, which has faults of its own; a slow KVM has not.
    pub(crate) emulated: bool,
}

impl Pace {
    /// That of a cell of a run.
    pub(crate) fn of(manifest: &Manifest, cell: &str) -> Self {
        Self { slowdown: manifest.slowdown_of(cell), emulated: manifest.accelerator != "kvm" }
    }
}

/// A cell and what was judged of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged<'a> {
    /// The cell.
    pub(crate) cell: &'a Cell,
    /// Its judgement.
    pub(crate) judgement: &'a Judgement,
}

/// `MEMCG_CHARGE_BATCH`: pages that a CPU may have charged in advance.
const BATCH_PAGES: u64 = 64;

/// Everything a rule may look at.
pub(crate) struct Case<'a> {
    cell: &'a Cell,
    seen: &'a Seen<'a>,
    findings: &'a [Finding],
    pace: Pace,
    hello: &'a Hello,
    /// Why the console is not whole.
    gap: Option<&'a str>,
}

impl Case<'_> {
    /// So many pages on every CPU, bytes.
    fn pages(&self, pages: u64) -> u64 {
        pages * self.hello.page_bytes * u64::from(self.hello.cpus)
    }

    /// Kills in or below a memcg, by the events. v1 counts a kill in the victim's own memcg alone
    /// (`memcg_memory_event()`).
    fn kill_events(&self, role: MemcgRole) -> Option<u64> {
        let of = |role| self.seen.event(role, "oom_kill");
        match (self.cell.key.cgroup, role) {
            (CgroupVersion::V1, MemcgRole::Parent) => {
                let all = [MemcgRole::Limited, MemcgRole::Second, MemcgRole::Parent].map(of);
                all.into_iter().flatten().reduce(|one, other| one + other)
            }
            _ => of(role),
        }
    }

    /// OOM reports and kills, of which only a whole console shows all.
    fn ooms(&self) -> Result<&Ooms, Missing> {
        self.whole_console().map(|()| &self.seen.ooms)
    }

    fn whole_console(&self) -> Result<(), Missing> {
        let missing = |gap| Err(Missing(format!("a part of the console ({gap})")));
        self.gap.map_or(Ok(()), missing)
    }

    /// Whether the policy of this cell lets charges go over the limit.
    fn overcharges(&self) -> bool {
        self.cell.overcharges()
    }

    /// Whether the OOM killer is disabled (v1): tasks wait until user space makes room, or enables
    /// it. With a cap of 0 nothing goes over the limit, so nobody has to.
    fn waits_for_user(&self) -> bool {
        let mut writes = self.cell.request.writes.iter();
        let disabled =
            |write: &MemcgWrite| write.file == "memory.oom_control" && write.value == "1";
        writes.any(disabled) && proof::cap_asked(self.cell, MemcgRole::Limited) != Some(0)
    }

    /// Whether it lets them over the limit of this memcg.
    fn overcharges_in(&self, role: MemcgRole) -> bool {
        self.cell.overcharges_in(role)
    }
}
