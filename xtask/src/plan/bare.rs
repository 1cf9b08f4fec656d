// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cells without a scenario: what system calls cost, and what each failed charge does.
//!
//! Every kernel of the matrix under every policy that is not optional, far below the limit. They
//! measure; nothing is expected of them.

use protocol::{COST_WORKLOAD, CellRequest, INJECT_WORKLOAD};

use super::{BOOT_MS, Deadline, VmShape};
use crate::config::{Config, Matrix, did_you_mean};
use crate::exit::{Exit, Fault};

/// Calls of each kind that are measured, after as many that warm up. A path that one call in a
/// hundred takes is seen often enough to be told apart.
const COST_ROUNDS: u64 = 2000;

/// Guest memory for costs, MiB.
const COST_MEMORY_MIB: u32 = 512;

/// Guest time of a cost cell, of which 1 ms is 1,000,000 instructions: a whole run takes 0.4 s.
const COST_LOAD_MS_MAX: u64 = 20_000;

/// From request to power-off of a cost cell without emulation, milliseconds.
const COST_CELL_MS: u64 = 30_000;

/// About 150 tasks, one after the other, each after caches were dropped; milliseconds.
const INJECT_LOAD_MS_MAX: u64 = 300_000;

/// From request to power-off of an inject cell without emulation, milliseconds.
const INJECT_CELL_MS: u64 = 100_000;

/// The calls whose cost is measured charge 17 MiB. Only a charge that must fail meets the limit.
const LIMIT_BYTES: u64 = 64 << 20;

/// One kernel under one policy.
#[derive(Clone, Debug)]
pub(crate) struct BareCell {
    /// `<workload>.<kernel>.<policy>`, fit for a folder name.
    pub(crate) id: String,
    /// Name of the kernel.
    pub(crate) kernel: String,
    /// Name of the policy.
    pub(crate) policy: String,
    /// Shape of its VM.
    pub(crate) vm: VmShape,
    /// What the guest is asked.
    pub(crate) request: CellRequest,
    /// Limits of the waits.
    pub(crate) deadline: Deadline,
}

/// The cells whose cost is measured, on one CPU; the matrix's baseline comes first.
///
/// # Errors
/// A kernel that is not configured.
pub(crate) fn cost_cells(config: &Config, matrix: &Matrix) -> Result<Vec<BareCell>, Fault> {
    let mut kernels: Vec<&String> = matrix.kernels.iter().collect();
    kernels.sort_by_key(|kernel| Some(*kernel) != matrix.baseline.as_ref());
    let request = CellRequest {
        workload: COST_WORKLOAD.to_owned(),
        limit_bytes: LIMIT_BYTES,
        tasks: 1,
        operations: COST_ROUNDS,
        load_ms_max: COST_LOAD_MS_MAX,
        ..CellRequest::idle()
    };
    let (memory_mib, cmdline) = (COST_MEMORY_MIB, Vec::new());
    let vm = VmShape { cpus: 1, memory_mib, cmdline, counted: true };
    cells(config, &kernels, &vm, &request, COST_CELL_MS)
}

/// The cells in which each charge fails in turn, of the kernels `only`, or of all if it is empty.
///
/// # Errors
/// A kernel that is not configured, or a name that is none of the matrix's kernels.
pub(crate) fn inject_cells(
    config: &Config,
    matrix: &Matrix,
    only: &[String],
) -> Result<Vec<BareCell>, Fault> {
    if let Some(name) = only.iter().find(|name| !matrix.kernels.contains(name)) {
        let what = format!("matrix `{}` has no kernel `{name}`", matrix.name);
        let hint = did_you_mean(name, matrix.kernels.iter().map(String::as_str));
        return Err(Fault::new(Exit::Usage, what).hint(hint));
    }
    let picked = |name: &&String| only.is_empty() || only.contains(name);
    let kernels: Vec<&String> = matrix.kernels.iter().filter(picked).collect();
    let request = CellRequest {
        workload: INJECT_WORKLOAD.to_owned(),
        limit_bytes: LIMIT_BYTES,
        tasks: 1,
        killable: false,
        operations: 1,
        load_ms_max: INJECT_LOAD_MS_MAX,
        ..CellRequest::idle()
    };
    let crate::config::Vm { cpus, memory_mib, cmdline } = matrix.vm.clone();
    let vm = VmShape { cpus, memory_mib, cmdline, counted: false };
    cells(config, &kernels, &vm, &request, INJECT_CELL_MS)
}

/// The request and the VM on each of the kernels, under each policy that is not optional.
fn cells(
    config: &Config,
    kernels: &[&String],
    vm: &VmShape,
    request: &CellRequest,
    cell_ms: u64,
) -> Result<Vec<BareCell>, Fault> {
    let mut cells = Vec::new();
    for name in kernels {
        let kernel = config.kernel(name)?;
        for policy in kernel.policies.iter().filter(|policy| !policy.optional) {
            let id = format!("{}.{}.{}", request.workload, kernel.name, policy.name);
            cells.push(BareCell {
                request: CellRequest {
                    cell: id.clone(),
                    policy: policy.writes.clone(),
                    counters_file: kernel.counters_file.clone(),
                    cap_file: kernel.cap_file.clone(),
                    ..request.clone()
                },
                id,
                kernel: kernel.name.clone(),
                policy: policy.name.clone(),
                vm: VmShape {
                    cmdline: [vm.cmdline.as_slice(), &kernel.cmdline, &policy.cmdline].concat(),
                    ..vm.clone()
                },
                deadline: Deadline { boot_ms: BOOT_MS, cell_ms },
            });
        }
    }
    Ok(cells)
}
