// SPDX-License-Identifier: MIT OR Apache-2.0
//! Matrix + filter -> ordered cells. Pure: the same configs and arguments give the same plan.
//!
//! Cells of one scenario are next to each other, baseline first: the two halves of a comparison run
//! close together. Selecting nothing is a fault, never an empty plan.

mod bare;
mod key;
mod mutants;
mod parts;
mod select;
#[cfg(test)]
pub(crate) mod tests;

use protocol::{CellRequest, CgroupVersion, MemcgRole, MemcgShape, MemcgWrite};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::{
    Condition, Config, Expectation, Kernel, MAINLINE, Matrix, Policy, Scenario, Shape,
};
use crate::exit::{Exit, Fault};
use crate::taxonomy::{FactName, Verdict};

pub(crate) use bare::{BareCell, cost_cells, inject_cells};
pub(crate) use key::CellKey;
pub(crate) use mutants::{Trial, mutants};
pub(crate) use parts::{Origin, PLAN_VERSION, Part, Plan, Share, UserFile, divide};
use select::Pattern;
pub(crate) use select::{Selection, filtered, plan};

/// From QEMU's start to Hello on KVM; a boot takes about 2 s even under emulation.
const BOOT_MS: u64 = 10_000;

/// The waits of the guest after the load: settling, SIGKILL, dying memcgs, power-off.
const AFTER_LOAD_MS: u64 = 20_000;

/// Set-up before the load: mounts, memory locked and pre-faulted, a hog that fills the memcg.
const BEFORE_LOAD_MS: u64 = 10_000;

/// The shape of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VmShape {
    /// Virtual CPUs.
    #[schemars(range(min = 1))]
    pub(crate) cpus: u32,
    /// Guest memory, MiB.
    pub(crate) memory_mib: u32,
    /// Words added to the kernel command line.
    pub(crate) cmdline: Vec<String>,
    /// Whether an emulated guest's time is counted in instructions ([`Scenario::counted`]).
    pub(crate) counted: bool,
}

/// One cell of the matrix: the unit that runs, in a fresh kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Cell {
    /// Identifies the cell in a run: its key, and `.r<n>` where it is repeated, fit for a folder
    /// name.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]+$"))]
    pub(crate) id: String,
    /// What it shares with its repetitions.
    #[serde(flatten)]
    pub(crate) key: CellKey,
    /// Repetition, from 1.
    #[schemars(range(min = 1))]
    pub(crate) repetition: u32,
    /// Round of a soak, from 1; `None` outside of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) round: Option<u32>,
    /// Matrix that it was chosen from besides that of its run; `None` for all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chosen_from: Option<String>,
    /// Shape of its VM.
    pub(crate) vm: VmShape,
    /// What the guest is asked.
    pub(crate) request: CellRequest,
    /// What is expected of it: by the scenario, or of a mutant.
    pub(crate) expect: Expectation,
    /// Which of the scenario's expectations that is ([`Policy::expects_as`]).
    pub(crate) expects_as: String,
    /// Whether it runs alone ([`Scenario::alone`]).
    pub(crate) alone: bool,
    /// Limits of the waits, milliseconds on KVM; `vm` scales them under emulation.
    pub(crate) deadline: Deadline,
    /// How many times its kernel is slower than others ([`Kernel::slowdown`]).
    pub(crate) slowdown: u32,
    /// What the same load overruns with the feature off ([`Scenario::forced_bytes`]).
    pub(crate) forced_bytes: u64,
    /// Memcgs in which the policy is off although the cell has one ([`Scenario::off`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) off: Vec<MemcgRole>,
    /// What its scenario says of itself.
    pub(crate) note: ScenarioNote,
}

/// What a scenario says of itself: reports show it, and comparisons ask for its problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScenarioNote {
    /// One line.
    pub(crate) title: String,
    /// A paragraph.
    pub(crate) about: String,
    /// Facts whose spread over the repetitions is reported.
    pub(crate) measures: Vec<FactName>,
    /// The problem ([`Scenario::problem`]).
    pub(crate) problem: Vec<Condition>,
}

/// How long a cell may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deadline {
    /// From QEMU's start to the guest's Hello, milliseconds.
    pub(crate) boot_ms: u64,
    /// From the request to the guest's power-off, milliseconds.
    pub(crate) cell_ms: u64,
}

/// Every cell of the matrix.
fn every_cell(config: &Config, matrix: &Matrix, selection: &Selection) -> Result<Vec<Cell>, Fault> {
    let repetitions = selection.repetitions.unwrap_or(matrix.repetitions).max(1);
    let pairs = matrix
        .scenarios
        .iter()
        .flat_map(|scenario| matrix.kernels.iter().map(move |k| (scenario, k)));
    let mut cells = Vec::new();
    for (scenario, kernel) in pairs {
        let (scenario, kernel) = (config.scenario(scenario)?, config.kernel(kernel)?);
        for &cgroup in &scenario.cgroups {
            for repetition in 1..=repetitions {
                let expected = |policy: &&Policy| scenario.runs_under(policy);
                for policy in kernel.policies.iter().filter(expected) {
                    let place = Place { matrix, scenario, kernel, policy, cgroup, repetition };
                    let suffix =
                        if repetitions > 1 { format!(".r{repetition}") } else { String::new() };
                    cells.push(place.cell(&suffix, place.expected()?, selection.run_seed));
                }
            }
        }
    }
    Ok(cells)
}

/// Round `number` of a soak, from 1: every cell once, in an order and with seeds of this round. The
/// same seed gives the same rounds.
///
/// # Errors
/// As [`plan`].
pub(crate) fn round(
    config: &Config,
    matrix: &Matrix,
    selection: &Selection,
    number: u32,
) -> Result<Vec<Cell>, Fault> {
    let seed = selection.run_seed.wrapping_mul(1_000_003).wrapping_add(u64::from(number));
    let mut cells = plan(config, matrix, &Selection { run_seed: seed, ..selection.clone() })?;
    for cell in &mut cells {
        cell.id = format!("{}.round-{number:03}", cell.id);
        cell.round = Some(number);
        cell.request.cell.clone_from(&cell.id);
    }
    // Sorting by a hash of seed and name is random enough, and the same with every crate version.
    cells.sort_by_cached_key(|cell| Sha256::digest(format!("{seed} {}", cell.id)));
    Ok(cells)
}

impl Cell {
    /// Whether a cell that was stored fits together; else what does not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let named = self.id.starts_with(&self.key.to_string()) && self.id.chars().all(plain);
        match named && self.request.cell == self.id {
            true => Ok(()),
            false => Err(format!("{:?} is no id of cell {}", self.id, self.key)),
        }
    }

    /// The same cell, `times` over, with the same requests.
    pub(crate) fn repeated(&self, times: u32) -> Vec<Self> {
        let id = |n| if times == 1 { self.key.to_string() } else { format!("{}.r{n}", self.key) };
        let cell = |n| Self { id: id(n), repetition: n, round: None, ..self.clone() };
        (1..=times).map(cell).collect()
    }

    /// Whether its policy lets charges go over the limit.
    pub(crate) fn overcharges(&self) -> bool {
        self.expects_as != MAINLINE
    }

    /// Whether it lets them over the limit of this memcg.
    pub(crate) fn overcharges_in(&self, role: MemcgRole) -> bool {
        self.overcharges() && !self.off.contains(&role)
    }

    /// Its id in the matrix, without the round.
    pub(crate) fn id_in_matrix(&self) -> &str {
        let suffix = self.round.map(|number| format!(".round-{number:03}"));
        suffix.and_then(|suffix| self.id.strip_suffix(&suffix)).unwrap_or(&self.id)
    }
}

/// Place of a cell in the matrix.
struct Place<'a> {
    matrix: &'a Matrix,
    scenario: &'a Scenario,
    kernel: &'a Kernel,
    policy: &'a Policy,
    cgroup: CgroupVersion,
    repetition: u32,
}

impl Place<'_> {
    /// What the scenario expects of the policy.
    fn expected(&self) -> Result<Expectation, Fault> {
        let Self { matrix, scenario, kernel, policy, .. } = self;
        if let Some(program) = &scenario.program {
            return Ok(program.expectation(self.cgroup, matrix.baseline.is_some(), policy));
        }
        let stated = scenario.expect.get(&policy.expects_as).ok_or_else(|| {
            let what = format!(
                "scenario `{}` expects nothing of `{}`, policy `{}` of kernel `{}`",
                scenario.name, policy.expects_as, policy.name, kernel.name
            );
            Fault::new(Exit::Usage, what)
        })?;
        let mut stated = stated.of_cell();
        if policy.expects_as != MAINLINE {
            stated.complete();
        }
        Ok(if policy.or_better { or_better(stated) } else { stated })
    }

    fn cell(&self, suffix: &str, mut expect: Expectation, run_seed: u64) -> Cell {
        let Self { matrix, scenario, kernel, policy, cgroup, repetition } = *self;
        let key = CellKey {
            scenario: scenario.name.clone(),
            cgroup,
            kernel: kernel.name.clone(),
            policy: policy.name.clone(),
        };
        let id = format!("{key}{suffix}");
        for condition in expect.facts.iter_mut().chain(&mut expect.exercised) {
            *condition = condition.stretched(kernel.slowdown);
        }
        Cell {
            request: self.request(&id, run_seed),
            id,
            key,
            repetition,
            round: None,
            chosen_from: None,
            vm: VmShape {
                // In QEMU 7.2 a boot with two counted CPUs hung twice.
                cpus: if scenario.counted { 1 } else { matrix.vm.cpus },
                memory_mib: matrix.vm.memory_mib,
                cmdline: [matrix.vm.cmdline.as_slice(), &kernel.cmdline, &policy.cmdline].concat(),
                counted: scenario.counted,
            },
            expect,
            expects_as: policy.expects_as.clone(),
            alone: scenario.alone.iter().any(|name| **name == policy.expects_as),
            deadline: Deadline {
                boot_ms: BOOT_MS * u64::from(kernel.slowdown),
                cell_ms: (BEFORE_LOAD_MS + scenario.load_ms_max + AFTER_LOAD_MS)
                    * u64::from(kernel.slowdown),
            },
            slowdown: kernel.slowdown,
            forced_bytes: scenario.forced_bytes,
            off: scenario.off.clone(),
            note: ScenarioNote {
                title: scenario.title.clone(),
                about: scenario.about.clone(),
                measures: scenario.measures.clone(),
                problem: scenario.problem.clone(),
            },
        }
    }

    fn request(&self, id: &str, run_seed: u64) -> CellRequest {
        let Self { matrix: _, scenario, kernel, policy, cgroup, repetition } = *self;
        let off = kernel.policies.iter().find(|policy| policy.expects_as == MAINLINE);
        // The cap goes first: a policy that is switched on must find it in place.
        let policy_of = |role, cap_bytes: Option<u64>| -> Vec<MemcgWrite> {
            let policy = if scenario.off.contains(&role) { off } else { Some(policy) };
            let cap = kernel.cap_file.iter().zip(cap_bytes).map(|(file, cap_bytes)| MemcgWrite {
                file: file.clone(),
                value: cap_bytes.to_string(),
            });
            cap.chain(policy.iter().flat_map(|policy| &policy.writes).cloned()).collect()
        };
        let shape = |role, shape: &Shape| MemcgShape {
            limit_bytes: shape.limit_bytes,
            hog_bytes: shape.hog_bytes(),
            tasks: *shape.tasks,
            writes: shape.writes.clone(),
            policy: policy_of(role, shape.cap_bytes),
        };
        CellRequest {
            protocol: protocol::VERSION,
            cell: id.to_owned(),
            workload: scenario.workload.clone(),
            cgroup,
            limit_bytes: scenario.limit_bytes,
            tasks: scenario.tasks,
            killable: scenario.killable,
            hog_bytes: scenario.hog_bytes,
            operations: scenario.operations,
            load_ms_max: scenario.load_ms_max * u64::from(kernel.slowdown),
            seed: seed(run_seed, &scenario.name, cgroup, repetition),
            sample_period_us: scenario.sample_period_us,
            writes: scenario.writes.clone(),
            parent: scenario.parent.as_ref().map(|parent| shape(MemcgRole::Parent, parent)),
            second: scenario.second.as_ref().map(|second| shape(MemcgRole::Second, second)),
            policy: policy_of(MemcgRole::Limited, scenario.cap_bytes),
            counters_file: kernel.counters_file.clone(),
            cap_file: kernel.cap_file.clone(),
            params: scenario.params.clone(),
            program: scenario.program.as_ref().map(|program| program.request.clone()),
        }
    }
}

/// What may be broken at most, if the expectation is stated of another kernel. Its facts do not
/// apply: the comparison with the baseline evaluates them.
fn or_better(stated: Expectation) -> Expectation {
    Expectation {
        verdict: Verdict::Pass,
        may_break: [stated.breaks, stated.may_break].concat(),
        breaks: Vec::new(),
        facts: Vec::new(),
        or_better: true,
        ..stated
    }
}

/// Independent of kernel and policy: both sides of a comparison get the same load. 53 bits: every
/// reader of JSON keeps them exact.
fn seed(run_seed: u64, scenario: &str, cgroup: CgroupVersion, repetition: u32) -> u64 {
    let hash = Sha256::digest(format!("{run_seed} {scenario} {cgroup} {repetition}"));
    hash.iter().take(8).fold(0, |seed: u64, byte| seed << 8 | u64::from(*byte)) >> 11
}
