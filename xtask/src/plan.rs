// SPDX-License-Identifier: MIT OR Apache-2.0
//! Matrix + filter -> ordered cells. Pure: the same configs and arguments give the same plan.
//!
//! Cells of one scenario stand together, baseline first, so that the two halves of a differential
//! verdict are run close to each other. Selecting nothing is a fault, never an empty plan.

mod cost;
mod inject;
mod key;
mod mutants;
mod parts;
mod rounds;
#[cfg(test)]
pub(crate) mod tests;

use globset::{Glob, GlobMatcher};
use protocol::{CellRequest, CgroupVersion, MemcgShape, MemcgWrite};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::{Config, Expectation, Kernel, Matrix, Policy, Scenario, Shape, did_you_mean};
use crate::exit::{Exit, Fault};
use crate::taxonomy::Verdict;

pub(crate) use cost::{CostCell, cost_cells};
pub(crate) use inject::inject_cells;
pub(crate) use key::CellKey;
pub(crate) use mutants::{Trial, mutants};
pub(crate) use parts::{Origin, PLAN_VERSION, Part, Plan, Share, UserFile, divide};
pub(crate) use rounds::round;

/// From QEMU's start to Hello on KVM; a boot takes about 2 s even under emulation.
const BOOT_MS: u64 = 10_000;

/// The guest's own patience after the load: settling, SIGKILL, dying memcgs, power-off.
const AFTER_LOAD_MS: u64 = 20_000;

/// Set-up before the load: mounts, memory locked and pre-faulted, a hog that fills the memcg.
const BEFORE_LOAD_MS: u64 = 10_000;

/// The shape of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VmShape {
    /// Virtual CPUs.
    pub(crate) cpus: u32,
    /// Guest memory, MiB.
    pub(crate) memory_mib: u32,
    /// Words added to the kernel command line.
    pub(crate) cmdline: Vec<String>,
    /// Whether an emulated guest's time is counted in instructions ([`Scenario::counted`]).
    pub(crate) counted: bool,
}

/// One cell of the matrix: the unit that runs, in a fresh kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// Identifies the cell in a run: its key, and `.r<n>` where it is repeated, fit for a folder name.
    pub(crate) id: String,
    /// What it shares with its repetitions.
    #[serde(flatten)]
    pub(crate) key: CellKey,
    /// Repetition, from 1.
    pub(crate) repetition: u32,
    /// Round of a soak, from 1; `None` outside of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) round: Option<u32>,
    /// Shape of its VM.
    pub(crate) vm: VmShape,
    /// What the guest is asked.
    pub(crate) request: CellRequest,
    /// What is expected of it: the scenario's word on the policy, or what catches a mutant.
    pub(crate) expect: Expectation,
    /// Which of the scenario's expectations that is ([`Policy::expects_as`]).
    pub(crate) expects_as: String,
    /// Whether it runs with no other cell beside it ([`Scenario::alone`]).
    pub(crate) alone: bool,
    /// Limits of the waits, milliseconds on KVM; `vm` scales them under emulation.
    pub(crate) deadline: Deadline,
    /// Times by which its kernel is slower than others ([`Kernel::slowdown`]).
    pub(crate) slowdown: u32,
}

/// How long a cell may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deadline {
    /// From QEMU's start to the guest's Hello, milliseconds.
    pub(crate) boot_ms: u64,
    /// From the request to the guest's power-off, milliseconds.
    pub(crate) cell_ms: u64,
}

/// Which cells of a matrix to run. Empty lists select everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Cells whose id contains one of these, or matches it where it has `*`, `?`, `[` or `{`.
    pub(crate) filters: Vec<String>,
    /// Kernels by name.
    pub(crate) kernels: Vec<String>,
    /// Scenarios by name.
    pub(crate) scenarios: Vec<String>,
    /// Policies by name.
    pub(crate) policies: Vec<String>,
    /// Repetitions of each cell instead of the matrix's.
    pub(crate) repetitions: Option<u32>,
    /// Everything random derives from it and the cell.
    pub(crate) run_seed: u64,
}

/// The cells of a matrix that the selection picks, in the order they should run.
///
/// A fault of [`Exit::Usage`] when a name is unknown, a pattern is wrong, or one selects nothing.
pub(crate) fn plan(
    config: &Config,
    matrix: &Matrix,
    selection: &Selection,
) -> Result<Vec<Cell>, Fault> {
    let all = every_cell(config, matrix, selection)?;
    let by = |kind, names: &[String], of: fn(&Cell) -> &String| {
        names.iter().try_for_each(|name| in_matrix(kind, name, matrix, all.iter().map(of)))
    };
    by("kernel", &selection.kernels, |cell| &cell.key.kernel)?;
    by("scenario", &selection.scenarios, |cell| &cell.key.scenario)?;
    by("policy", &selection.policies, |cell| &cell.key.policy)?;
    let picks = |names: &[String], name: &String| names.is_empty() || names.contains(name);
    let named: Vec<Cell> = all
        .into_iter()
        .filter(|cell| picks(&selection.kernels, &cell.key.kernel))
        .filter(|cell| picks(&selection.scenarios, &cell.key.scenario))
        .filter(|cell| picks(&selection.policies, &cell.key.policy))
        .collect();
    if named.is_empty() {
        let what = "no cell has that kernel, scenario and policy together";
        return Err(Fault::new(Exit::Usage, format!("matrix `{}`: {what}", matrix.name))
            .hint("`cargo xtask list` shows all"));
    }
    filtered(named, &selection.filters, &matrix.name)
}

/// Of the cells those that one of the filters selects; `matrix` says whose cells they are.
///
/// A fault of [`Exit::Usage`] for a filter that selects none: what was meant by it would be missing
/// from a run that looks whole.
pub(crate) fn filtered(
    cells: Vec<Cell>,
    filters: &[String],
    matrix: &str,
) -> Result<Vec<Cell>, Fault> {
    let mut patterns = Pattern::all(filters)?;
    for pattern in &mut patterns {
        pattern.made_exact(&cells);
    }
    for (filter, pattern) in filters.iter().zip(&patterns) {
        if !cells.iter().any(|cell| pattern.matches(&cell.id)) {
            return Err(nothing_selected(filter, matrix, &cells));
        }
    }
    let picked = |cell: &Cell| patterns.is_empty() || patterns.iter().any(|p| p.matches(&cell.id));
    Ok(cells.into_iter().filter(picked).collect())
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
                let expected =
                    |p: &&Policy| !p.optional || scenario.expect.contains_key(&p.expects_as);
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

/// Where in the matrix a cell stands.
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
        let Self { scenario, kernel, policy, .. } = self;
        let stated = scenario.expect.get(&policy.expects_as).ok_or_else(|| {
            let what = format!(
                "scenario `{}` expects nothing of `{}`, policy `{}` of kernel `{}`",
                scenario.name, policy.expects_as, policy.name, kernel.name
            );
            Fault::new(Exit::Usage, what)
        })?;
        let stated = stated.of_cell();
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
            vm: VmShape {
                // Two counted CPUs did not come up in QEMU 7.2: both boots that were tried hung.
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
        }
    }

    fn request(&self, id: &str, run_seed: u64) -> CellRequest {
        let Self { matrix: _, scenario, kernel, policy, cgroup, repetition } = *self;
        // The cap goes first: a policy that is switched on must find it in place.
        let policy_with_cap = |cap_bytes: Option<u64>| -> Vec<MemcgWrite> {
            let cap = kernel.cap_file.iter().zip(cap_bytes).map(|(file, cap_bytes)| MemcgWrite {
                file: file.clone(),
                value: cap_bytes.to_string(),
            });
            cap.chain(policy.writes.iter().cloned()).collect()
        };
        let shape = |shape: &Shape| MemcgShape {
            limit_bytes: shape.limit_bytes,
            hog_bytes: shape.hog_bytes(),
            tasks: *shape.tasks,
            writes: shape.writes.clone(),
            policy: policy_with_cap(shape.cap_bytes),
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
            parent: scenario.parent.as_ref().map(shape),
            second: scenario.second.as_ref().map(shape),
            policy: policy_with_cap(scenario.cap_bytes),
            counters_file: kernel.counters_file.clone(),
            cap_file: kernel.cap_file.clone(),
            params: scenario.params.clone(),
        }
    }
}

/// What may be broken at most, where what is stated is stated of another kernel. Its own facts it
/// cannot promise; the verdict beside the baseline compares them.
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

/// Neither kernel nor policy goes in: both sides of a differential verdict get the same load.
/// 53 bits, so that every reader of JSON keeps the number exact.
fn seed(run_seed: u64, scenario: &str, cgroup: CgroupVersion, repetition: u32) -> u64 {
    let hash = Sha256::digest(format!("{run_seed} {scenario} {cgroup} {repetition}"));
    hash.iter().take(8).fold(0, |seed: u64, byte| seed << 8 | u64::from(*byte)) >> 11
}

/// A filter as people write it.
enum Pattern {
    Part(String),
    /// The id of a cell, which may also be the beginning of another one's (`r1` and `r10`).
    Whole(String),
    Glob(GlobMatcher),
}

impl Pattern {
    fn all(texts: &[String]) -> Result<Vec<Self>, Fault> {
        texts.iter().map(|text| Self::new(text)).collect()
    }

    fn new(text: &str) -> Result<Self, Fault> {
        if !text.contains(['*', '?', '[', '{']) {
            return Ok(Self::Part(text.to_owned()));
        }
        match Glob::new(text) {
            Ok(glob) => Ok(Self::Glob(glob.compile_matcher())),
            Err(error) => Err(Fault::new(Exit::Usage, format!("--filter: {error}"))
                .hint("`*` stands for any text: --filter 'open-*', --filter '*.baseline.*'")),
        }
    }

    /// A word that is the id of one of these cells is no part of others.
    fn made_exact(&mut self, cells: &[Cell]) {
        if let Self::Part(word) = self
            && cells.iter().any(|cell| cell.id == *word)
        {
            *self = Self::Whole(std::mem::take(word));
        }
    }

    fn matches(&self, id: &str) -> bool {
        match self {
            Self::Whole(whole) => id == whole,
            Self::Part(part) => id.contains(part.as_str()),
            Self::Glob(glob) => glob.is_match(id),
        }
    }
}

fn in_matrix<'a>(
    kind: &str,
    name: &str,
    matrix: &Matrix,
    all: impl Iterator<Item = &'a String>,
) -> Result<(), Fault> {
    let mut known: Vec<&str> = all.map(String::as_str).collect();
    if known.contains(&name) {
        return Ok(());
    }
    known.sort_unstable();
    known.dedup();
    Err(Fault::new(Exit::Usage, format!("matrix `{}` has no {kind} `{name}`", matrix.name))
        .hint(did_you_mean(name, known)))
}

fn nothing_selected(filter: &str, matrix: &str, cells: &[Cell]) -> Fault {
    /// More names than this hide the one that was meant.
    const SHOWN: usize = 5;
    let ids: Vec<&str> = cells.iter().map(|cell| cell.id.as_str()).collect();
    let near = nearest_ids(filter, &ids, SHOWN);
    let what = format!("matrix `{matrix}`: no cell matches --filter {filter}");
    Fault::new(Exit::Usage, what).hint(format!(
        "the nearest of {} cells: {}; `cargo xtask list` shows all",
        ids.len(),
        near.join(", ")
    ))
}

/// A filter is mostly a piece of an id: compare it with the pieces before the whole.
fn nearest_ids<'a>(wanted: &str, ids: &[&'a str], shown: usize) -> Vec<&'a str> {
    let wanted: String = wanted.chars().filter(|c| !"*?[]{}".contains(*c)).collect();
    let distance = |id: &str| {
        let pieces = id.split('.').map(|piece| strsim::damerau_levenshtein(&wanted, piece));
        pieces.chain([strsim::damerau_levenshtein(&wanted, id)]).min()
    };
    let mut sorted = ids.to_vec();
    // Stable: of equally near ones the plan's own order stands.
    sorted.sort_by_cached_key(|id| distance(id));
    sorted.truncate(shown);
    sorted
}
