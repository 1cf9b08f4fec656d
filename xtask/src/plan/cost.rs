// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which kernels and policies have their cost measured, and what the guest is asked for it.
//!
//! Every kernel of the matrix under every policy that all scenarios run, the matrix's baseline
//! first: the others are compared with it. One CPU, a limit that is never reached.

use protocol::{COST_WORKLOAD, CellRequest};

use super::{BOOT_MS, Deadline, VmShape};
use crate::config::{Config, Matrix};
use crate::exit::Fault;

/// Calls of each kind that are measured, after as many that are not: the paths that are taken once
/// in a hundred calls come often enough to be told apart.
const ROUNDS: u64 = 2000;

/// What the calls charge at once is 17 MiB.
const LIMIT_BYTES: u64 = 64 << 20;

/// Guest memory, MiB.
const MEMORY_MIB: u32 = 512;

/// From the request to the power-off on a machine that is not emulated, milliseconds.
const CELL_MS: u64 = 30_000;

/// Guest time, of which 1 ms is 1,000,000 instructions: the whole run takes 0.4 s.
const LOAD_MS_MAX: u64 = 20_000;

/// One kernel under one policy.
#[derive(Clone, Debug)]
pub(crate) struct CostCell {
    /// `cost.<kernel>.<policy>`, fit for a folder name.
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

/// The cells whose cost is measured, the one that the others are compared with first.
///
/// # Errors
/// A kernel that is not configured.
pub(crate) fn cost_cells(config: &Config, matrix: &Matrix) -> Result<Vec<CostCell>, Fault> {
    let mut kernels: Vec<&String> = matrix.kernels.iter().collect();
    kernels.sort_by_key(|kernel| Some(*kernel) != matrix.baseline.as_ref());
    let mut cells = Vec::new();
    for kernel in kernels {
        let kernel = config.kernel(kernel)?;
        for policy in kernel.policies.iter().filter(|policy| !policy.optional) {
            let id = format!("cost.{}.{}", kernel.name, policy.name);
            cells.push(CostCell {
                request: CellRequest {
                    cell: id.clone(),
                    workload: COST_WORKLOAD.to_owned(),
                    limit_bytes: LIMIT_BYTES,
                    tasks: 1,
                    operations: ROUNDS,
                    load_ms_max: LOAD_MS_MAX,
                    policy: policy.writes.clone(),
                    counters_file: kernel.counters_file.clone(),
                    cap_file: kernel.cap_file.clone(),
                    ..CellRequest::idle()
                },
                id,
                kernel: kernel.name.clone(),
                policy: policy.name.clone(),
                vm: VmShape {
                    cpus: 1,
                    memory_mib: MEMORY_MIB,
                    cmdline: [kernel.cmdline.as_slice(), &policy.cmdline].concat(),
                    counted: true,
                },
                deadline: Deadline { boot_ms: BOOT_MS, cell_ms: CELL_MS },
            });
        }
    }
    Ok(cells)
}
