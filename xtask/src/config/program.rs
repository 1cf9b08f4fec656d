// SPDX-License-Identifier: MIT OR Apache-2.0
//! The user's program (`--exec`) -> the only scenario of a matrix, as a config file would describe
//! it.
//!
//! Nothing is stated of it, so it has no expectations: a rule that it breaks on the baseline is
//! what the baseline does. The problem is that the program fails, whatever that means to it.

use std::collections::BTreeMap;

use protocol::{CgroupVersion, MemcgRole, PROGRAM_WORKLOAD};

use super::condition::Comparison;
use super::scenarios::Program;
use super::{Condition, Config, Expectation, Policy, Scenario, did_you_mean, value};
use crate::exit::{Exit, Fault};
use crate::taxonomy::{CellFact, FactName, Verdict};

/// What an unknown load may go over its limit without a policy: charges that may not fail, as those
/// of signals, packets and interrupts.
const FORCED_BYTES: u64 = 256 << 10;

/// `--limit none`: more than any guest has.
const UNLIMITED_BYTES: u64 = 1 << 40;

/// As in most scenarios.
const SAMPLE_PERIOD_US: u64 = 1000;

/// A program with the memcg around it, as the command line has it.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Name of the scenario: fit for a folder, and another one for another load.
    pub(crate) name: String,
    /// What it is, in a line.
    pub(crate) title: String,
    /// The program.
    pub(crate) request: protocol::Program,
    /// `memory.max`, bytes; [`UNLIMITED_BYTES`] for a program that sets limits itself.
    pub(crate) limit_bytes: u64,
    /// Whether a killable process fills the memcg first.
    pub(crate) hog: bool,
    /// Whether the program may be killed.
    pub(crate) killable: bool,
    /// Interface of the memory controller.
    pub(crate) cgroup: CgroupVersion,
    /// Policies to run it under, by name.
    pub(crate) policies: Vec<String>,
    /// Its time limit, milliseconds.
    pub(crate) time_out_ms: u64,
}

/// Bytes of `--limit`.
///
/// # Errors
/// [`Exit::Usage`] for what is no size.
pub(crate) fn limit_bytes(text: &str) -> Result<u64, Fault> {
    if text == "none" {
        return Ok(UNLIMITED_BYTES);
    }
    value::limit_bytes(text)
        .map_err(|(what, hint)| Fault::new(Exit::Usage, format!("--limit: {what}")).hint(hint))
}

impl Program {
    /// What is expected of a cell. Only with a baseline can it be anything.
    pub(crate) fn expectation(
        &self,
        cgroup: CgroupVersion,
        compared: bool,
        policy: &Policy,
    ) -> Expectation {
        // v2 counts those of all memcgs below, and the program may make some.
        let role = match cgroup {
            CgroupVersion::V2 => MemcgRole::Parent,
            CgroupVersion::V1 => MemcgRole::Limited,
        };
        let reached = at_least_one(FactName::Event(role, "max".to_owned()));
        let failed = CellFact::ProgramFailed.into();
        let succeeded = Condition { fact: failed, comparison: Comparison::Equal, number: 0.0 };
        Expectation {
            verdict: Verdict::Pass,
            breaks: Vec::new(),
            or_more: false,
            may_break: Vec::new(),
            or_better: policy.or_better,
            any: compared,
            exercised: self.limited.then_some(reached).into_iter().collect(),
            // Without a limit and a kernel to compare with, nothing else is evidence.
            facts: (!self.limited && !compared).then_some(succeeded).into_iter().collect(),
        }
    }
}

fn at_least_one(fact: FactName) -> Condition {
    Condition { fact, comparison: Comparison::AtLeast, number: 1.0 }
}

impl Config {
    /// Makes the program the only scenario of `matrix`.
    ///
    /// # Errors
    /// [`Exit::Usage`] for a policy that no kernel of the matrix has.
    pub(crate) fn add_program(&mut self, load: Load, matrix: &str) -> Result<(), Fault> {
        let Load { name, title, request, limit_bytes, hog, killable, .. } = load;
        let Load { cgroup, policies, time_out_ms, .. } = load;
        let kernels = self.matrix(matrix)?.kernels.iter().filter_map(|name| self.kernels.get(name));
        let known: Vec<&str> =
            kernels.flat_map(|kernel| &kernel.policies).map(|it| it.name.as_str()).collect();
        if let Some(unknown) = policies.iter().find(|name| !known.contains(&name.as_str())) {
            let what = format!("--policy {unknown}: no kernel of matrix `{matrix}` has it");
            return Err(Fault::new(Exit::Usage, what).hint(did_you_mean(unknown, known)));
        }
        let limited = limit_bytes < UNLIMITED_BYTES;
        if hog && !limited {
            let fault = Fault::new(Exit::Usage, "--hog: nothing can be filled without a limit");
            return Err(fault.hint("give --limit SIZE"));
        }
        let about = format!(
            "`{}`, given with --exec. Nothing is known of it: what it does on the unpatched kernel is \
             what other kernels are compared with.",
            request.argv.join(" ")
        );
        let scenario = Scenario {
            name: name.clone(),
            title,
            about,
            workload: PROGRAM_WORKLOAD.to_owned(),
            cgroups: vec![cgroup],
            limit_bytes,
            tasks: 1,
            killable,
            hog_bytes: if hog { limit_bytes } else { 0 },
            cap_bytes: None,
            forced_bytes: FORCED_BYTES,
            operations: 1,
            load_ms_max: time_out_ms,
            sample_period_us: SAMPLE_PERIOD_US,
            alone: Vec::new(),
            counted: false,
            measures: Vec::new(),
            params: BTreeMap::new(),
            writes: Vec::new(),
            off: Vec::new(),
            parent: None,
            second: None,
            problem: vec![at_least_one(CellFact::ProgramFailed.into())],
            program: Some(Program { request, policies, limited }),
            expect: BTreeMap::new(),
        };
        if let Some(matrix) = self.matrices.get_mut(matrix) {
            matrix.scenarios = vec![name.clone()];
        }
        self.scenarios.insert(name, scenario);
        Ok(())
    }
}
