// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which machine a cell ran on: times of unlike machines say nothing of a kernel.
//!
//! Contract: of a merged run the machine is that of the cell's part. Where the hypervisor gave more
//! than [`STEAL_PERCENT_MAX`] to others, there is none whose times can be compared.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RunResult;

/// Of the time that the CPUs of a machine wanted to run, this much may be stolen.
const STEAL_PERCENT_MAX: u32 = 5;

/// A part of a merged run, and the machine it ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartNote {
    /// Its number, from 1.
    pub(crate) part: u32,
    /// The nonce of its manifest: the same part in another merged run is the same run of it.
    pub(crate) nonce: String,
    /// Begin, RFC 3339 in UTC.
    pub(crate) started_at: String,
    /// From begin to end, milliseconds.
    pub(crate) duration_ms: u64,
    /// Cells that ran in parallel.
    pub(crate) jobs: u32,
    /// Times by which its waits and tolerances were stretched: KVM is not equally fast everywhere.
    pub(crate) slowdown: u32,
    /// First line of `qemu-system-x86_64 --version`.
    pub(crate) qemu: String,
    /// Its machine.
    pub(crate) host: Host,
    /// Stolen time of its CPUs, percent; `None` if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) steal_percent: Option<u32>,
    /// Ids of the cells that ran there.
    pub(crate) cells: Vec<String>,
}

/// The machine a run ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Host {
    /// `uname -sr`.
    pub(crate) system: String,
    /// Model of its CPUs, as `/proc/cpuinfo` names it; empty if not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) cpu_model: String,
    /// Version of their microcode; empty if not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) microcode: String,
    /// Processors that the harness may use: affinity and CPU quota count.
    #[schemars(range(min = 1))]
    pub(crate) cpus: u32,
    /// Memory that was available to the harness, MiB: the limits of its cgroups count.
    pub(crate) memory_mib: u64,
    /// Limits of the harness's cgroups, for people.
    #[serde(default)]
    pub(crate) limits: Vec<String>,
}

/// What times depend on as much as on the kernel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Machine {
    /// `kvm` or `tcg`.
    pub(crate) accelerator: String,
    /// Model of its CPUs.
    pub(crate) cpu_model: String,
    /// Processors that the harness may use.
    pub(crate) cpus: u32,
    /// Cells that ran in parallel.
    pub(crate) jobs: u32,
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { accelerator, cpu_model, cpus, jobs } = self;
        let model = if cpu_model.is_empty() { "CPU model not known" } else { cpu_model };
        write!(f, "{accelerator}, {model}, {cpus} CPUs, {jobs} in parallel")
    }
}

impl RunResult {
    /// The machine that the cell with this id ran on; `None` if too much of its time was stolen.
    pub(crate) fn machine(&self, id: &str) -> Option<Machine> {
        let manifest = &self.manifest;
        let part = manifest.parts.iter().find(|part| part.cells.iter().any(|cell| cell == id));
        let (host, jobs, steal) = match part {
            Some(part) => (&part.host, part.jobs, part.steal_percent),
            None => (&manifest.host, manifest.jobs, manifest.steal_percent),
        };
        let Host { cpu_model, cpus, .. } = host.clone();
        let accelerator = manifest.accelerator.clone();
        let machine = Machine { accelerator, cpu_model, cpus, jobs };
        Some(machine).filter(|_| steal.unwrap_or(0) <= STEAL_PERCENT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use crate::outcome::PartNote;
    use crate::verdict::tests::run::{benches, cell, result};

    #[test]
    fn a_cell_ran_on_the_machine_of_its_part_and_stolen_time_is_none() {
        let mut run = result(benches().map(|bench| cell(&bench)).to_vec());
        let ids = [0, 1].map(|at| run.cells[at].cell.id.clone());
        let machine = |run: &super::RunResult, at: usize| {
            run.machine(&ids[at]).map(|machine| machine.to_string())
        };
        let whole = "tcg, CPU model not known, 2 CPUs, 2 in parallel";
        assert_eq!(machine(&run, 0).as_deref(), Some(whole));
        let mut host = run.manifest.host.clone();
        host.cpu_model = "Z80".to_owned();
        let part = PartNote {
            part: 2,
            nonce: "n".to_owned(),
            started_at: String::new(),
            duration_ms: 1,
            jobs: 3,
            slowdown: 1,
            qemu: String::new(),
            host,
            steal_percent: Some(5),
            cells: vec![ids[1].clone()],
        };
        run.manifest.parts.push(part);
        assert_eq!(machine(&run, 0).as_deref(), Some(whole));
        assert_eq!(machine(&run, 1).as_deref(), Some("tcg, Z80, 2 CPUs, 3 in parallel"));
        run.manifest.parts[0].steal_percent = Some(6);
        assert_eq!(machine(&run, 1), None);
        run.manifest.steal_percent = Some(50);
        assert_eq!(machine(&run, 0), None);
    }
}
