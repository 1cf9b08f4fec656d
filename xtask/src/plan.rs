// SPDX-License-Identifier: MIT OR Apache-2.0
//! Matrix + filter -> ordered cells. Pure: the same configs and arguments give the same plan.

use protocol::{CellRequest, CgroupVersion};
use serde::{Deserialize, Serialize};

/// The shape of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmShape {
    /// Virtual CPUs.
    pub cpus: u32,
    /// Guest memory, MiB.
    pub memory_mib: u32,
    /// Words added to the kernel command line.
    pub cmdline: Vec<String>,
}

/// One cell of the matrix: the unit that runs, in a fresh kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Identifies the cell in a run: `<scenario>.<v1|v2>.<kernel>.<policy>[.r<n>]`, fit for a folder name.
    pub id: String,
    /// Name of the kernel.
    pub kernel: String,
    /// Name of the policy: `mainline` where the kernel has none.
    pub policy: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Interface of the memory controller.
    pub cgroup: CgroupVersion,
    /// Repetition, from 1.
    pub repetition: u32,
    /// Shape of its VM.
    pub vm: VmShape,
    /// What the guest is asked.
    pub request: CellRequest,
    /// Limits of the waits, milliseconds on KVM; `vm` scales them under emulation.
    pub deadline: Deadline,
}

/// How long a cell may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// From QEMU's start to the guest's Hello, milliseconds.
    pub boot_ms: u64,
    /// From the request to the guest's power-off, milliseconds.
    pub cell_ms: u64,
}
