// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was seen of a measuring cell -> numbers of instructions, or why it proves none.
//!
//! Contract: numbers come out only when the VM ran to its power-off without a finding on the
//! console, the kernel had the policy that was asked for, and the VM counted a known number of
//! instructions as that number.

use protocol::{
    COST_KNOWN, COST_KNOWN_INSTRUCTIONS, CallCost, Instructions, MemcgRole, MemcgWrite,
};

use serde::Serialize;

use super::{console, proof, whole};
use crate::evidence::{Ending, Seen, Stopped};

/// From so many calls on, the most frequent number is the same in every boot.
const MANY: u64 = 1000;

/// What one kind of system call costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Cost {
    /// The call, and after a dot which way its charge went.
    pub(crate) op: String,
    /// Calls measured.
    pub(crate) calls: u64,
    /// Executed instructions of a call.
    pub(crate) instructions: Instructions,
}

/// The costs that the guest reported, in its order.
///
/// # Errors
/// Why the evidence proves no costs, for people.
pub(crate) fn costs(seen: &Seen<'_>) -> Result<Vec<Cost>, String> {
    whole(seen)?;
    let setup = seen.setups.get(&MemcgRole::Limited);
    setup.map_or(Ok(()), |setup| as_asked(seen, &setup.policy))?;
    let cost = |cost: &&CallCost| Cost {
        op: cost.op.clone(),
        calls: cost.calls,
        instructions: cost.instructions.clone(),
    };
    let mut costs: Vec<Cost> = seen.costs.iter().map(cost).collect();
    complete(seen)?;
    let known = costs.iter().position(|cost| cost.op == COST_KNOWN);
    let known = known.map(|at| costs.remove(at)).ok_or("the known instructions are missing")?;
    match known.usual() {
        Some(COST_KNOWN_INSTRUCTIONS) if costs.is_empty() => Err("no costs are in it".to_owned()),
        Some(COST_KNOWN_INSTRUCTIONS) => Ok(costs),
        other => Err(format!(
            "{COST_KNOWN_INSTRUCTIONS} instructions were counted as {other:?}: \
             this VM's clock does not count instructions"
        )),
    }
}

impl Cost {
    /// The number that stands for the call: the one that came most often.
    ///
    /// Of few calls, which of two nearly equal paths comes most often depends on where the
    /// allocators' own batches begin, and so on the boot: of these, the least that a tenth took.
    pub(crate) fn usual(&self) -> Option<u64> {
        self.chosen().map(|(instructions, _)| instructions)
    }

    /// Calls that took the usual number, of a hundred.
    pub(crate) fn usual_percent(&self) -> f64 {
        let calls = self.chosen().map_or(0, |(_, calls)| calls);
        100.0 * calls as f64 / self.calls.max(1) as f64
    }

    fn chosen(&self) -> Option<(u64, u64)> {
        let frequent = &self.instructions.frequent;
        if self.calls >= MANY {
            return frequent.first().copied();
        }
        frequent.iter().filter(|(_, calls)| calls * 10 >= self.calls).min().copied()
    }
}

/// Whether the VM ran to its power-off with nothing wrong on its console.
pub(super) fn whole(seen: &Seen<'_>) -> Result<(), String> {
    let evidence = seen.evidence;
    if let Some(Stopped::Broken(why)) = seen.stopped {
        return Err(format!("the guest failed: {why}"));
    }
    if let Some(finding) = console::findings_of(seen).first() {
        return Err(format!("the console has a {}: {}", finding.kind, finding.title));
    }
    if let Some(why) = whole::tainted(seen, None).map(|reason| reason.why()) {
        return Err(why);
    }
    if evidence.ending != Ending::PoweredOff {
        return Err(format!("the VM did not power off: {:?}", evidence.ending));
    }
    if let Some(doubt) =
        proof::stream(seen).into_iter().chain(whole::forged(seen)).chain(whole::gap(seen)).next()
    {
        return Err(doubt);
    }
    match seen.stopped {
        Some(Stopped::Unsupported(missing)) => Err(format!("the guest has no {missing}")),
        _ => Ok(()),
    }
}

/// Whether the kernel took the policy.
pub(super) fn as_asked(seen: &Seen<'_>, read: &[MemcgWrite]) -> Result<(), String> {
    proof::not_as_asked(&seen.evidence.request.policy, read).map_or(Ok(()), Err)
}

/// Whether the guest reported everything.
pub(super) fn complete(seen: &Seen<'_>) -> Result<(), String> {
    let why = "the guest never said that it had reported everything";
    if seen.is_complete() { Ok(()) } else { Err(why.to_owned()) }
}

#[cfg(test)]
pub(super) mod tests {
    use protocol::{CellRequest, Event, Fact, Setup};

    use super::*;
    use crate::evidence::Evidence;
    use crate::verdict::tests::{CONSOLE, healthy};

    fn cost(op: &str, instructions: u64) -> Fact {
        let instructions =
            Instructions { frequent: vec![(instructions, 99)], ..Instructions::default() };
        Fact::Cost(CallCost { op: op.to_owned(), calls: 100, instructions })
    }

    /// Of a VM that ended well and said this.
    pub(in crate::verdict) fn evidence(facts: Vec<Fact>) -> Evidence {
        let request = CellRequest {
            cell: "cost.k.overcharge".into(),
            workload: "cost".into(),
            limit_bytes: 64 << 20,
            tasks: 1,
            operations: 100,
            policy: vec![MemcgWrite { file: "memory.overcharge".into(), value: "kmem".into() }],
            ..CellRequest::idle()
        };
        let event = |(seq, fact)| Event { seq, at_us: seq, fact };
        let facts = std::iter::once(Fact::KernelLog(healthy())).chain(facts);
        Evidence {
            request,
            events: (0..).zip(facts).map(event).collect(),
            torn_lines: Vec::new(),
            console: CONSOLE.to_owned(),
            console_dropped_bytes: 0,
            ending: Ending::PoweredOff,
            wall_ms: 7000,
            starved_ms: 0,
        }
    }

    fn facts(policy: &str, known: u64) -> Vec<Fact> {
        let policy = MemcgWrite { file: "memory.overcharge".into(), value: policy.into() };
        vec![
            Fact::Setup(Setup {
                memcg: MemcgRole::Limited,
                limit_bytes: 64 << 20,
                cap_bytes: None,
                sample_period_us: 0,
                policy: vec![policy],
            }),
            cost(COST_KNOWN, known),
            cost("open", 2653),
            Fact::Ended,
        ]
    }

    #[test]
    fn costs_without_the_known_ones_come_out() {
        let costs = costs(&Seen::of(&evidence(facts("off [kmem] all", 1000)))).unwrap();
        assert_eq!(costs.len(), 1);
        assert_eq!((costs[0].op.as_str(), costs[0].usual()), ("open", Some(2653)));
        assert!((costs[0].usual_percent() - 99.0).abs() < 1e-9);
    }

    #[test]
    fn of_few_calls_the_least_that_is_not_rare_stands_for_all() {
        let cost = |calls, frequent: &[(u64, u64)]| Cost {
            op: "write.counter".into(),
            calls,
            instructions: Instructions { frequent: frequent.to_vec(), ..Instructions::default() },
        };
        let numbers = [(5497, 23), (5490, 8), (5475, 1)];
        assert_eq!(cost(34, &numbers).usual(), Some(5490));
        assert_eq!(cost(4000, &numbers).usual(), Some(5497));
        assert!((cost(32, &numbers).usual_percent() - 25.0).abs() < 1e-9);
        assert_eq!(cost(34, &[]).usual(), None);
    }

    #[test]
    fn what_proves_nothing_is_told() {
        let without = |at: usize| {
            let mut facts = facts("kmem", 1000);
            facts.remove(at);
            facts
        };
        let broken = Fact::Broken { why: "open failed: EMFILE".into() };
        for (facts, why) in [
            (facts("kmem", 4000), "does not count instructions"),
            (facts("off", 1000), "memory.overcharge is \"off\" where \"kmem\" was asked for"),
            (without(1), "known instructions are missing"),
            (without(2), "no costs"),
            (without(3), "never said"),
            (vec![broken], "the guest failed: open failed: EMFILE"),
        ] {
            let said = costs(&Seen::of(&evidence(facts))).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_kernel_that_warned_has_no_costs() {
        let mut warned = evidence(facts("kmem", 1000));
        warned.console += "<4>[ 1.0] WARNING: CPU: 0 PID: 1 at mm/memcontrol.c:1 f+0x1/0x2\n";
        assert!(costs(&Seen::of(&warned)).unwrap_err().contains("WARN"));
        let mut hidden = evidence(facts("kmem", 1000));
        let Fact::KernelLog(log) = &mut hidden.events[0].fact else { panic!("no log") };
        log.after.tainted = 1 << 9;
        assert!(costs(&Seen::of(&hidden)).unwrap_err().contains("tainted"));
        let mut killed = evidence(facts("kmem", 1000));
        killed.ending = Ending::Reset;
        assert!(costs(&Seen::of(&killed)).unwrap_err().contains("did not power off"));
    }
}
