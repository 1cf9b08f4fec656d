// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which kernels and policies have each charge of a call fail in turn, and what the guest is asked
//! for it: the kernels of the matrix under every policy that is not optional, far below the limit.

use protocol::{CellRequest, INJECT_WORKLOAD};

use super::{BOOT_MS, CostCell, Deadline, VmShape, in_matrix};
use crate::config::{Config, Matrix};
use crate::exit::Fault;

/// Only the charge that is to fail shall find the memcg at its limit.
const LIMIT_BYTES: u64 = 64 << 20;

/// Some 150 tasks, one after the other, each after dropping caches; milliseconds.
const LOAD_MS_MAX: u64 = 300_000;

/// From the request to the power-off on a machine that is not emulated, milliseconds.
const CELL_MS: u64 = 100_000;

/// The cells of the kernels `only`, of all where none is named; the matrix's baseline first.
///
/// # Errors
/// A kernel that is not configured, or a name that is none of the matrix's kernels.
pub(crate) fn inject_cells(
    config: &Config,
    matrix: &Matrix,
    only: &[String],
) -> Result<Vec<CostCell>, Fault> {
    for name in only {
        in_matrix("kernel", name, matrix, matrix.kernels.iter())?;
    }
    let mut cells = Vec::new();
    for kernel in matrix.kernels.iter().filter(|name| only.is_empty() || only.contains(name)) {
        let kernel = config.kernel(kernel)?;
        for policy in kernel.policies.iter().filter(|policy| !policy.optional) {
            let id = format!("inject.{}.{}", kernel.name, policy.name);
            cells.push(CostCell {
                request: CellRequest {
                    cell: id.clone(),
                    workload: INJECT_WORKLOAD.to_owned(),
                    limit_bytes: LIMIT_BYTES,
                    tasks: 1,
                    killable: false,
                    operations: 1,
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
                    cpus: matrix.vm.cpus,
                    memory_mib: matrix.vm.memory_mib,
                    cmdline: [matrix.vm.cmdline.as_slice(), &kernel.cmdline, &policy.cmdline]
                        .concat(),
                    counted: false,
                },
                deadline: Deadline { boot_ms: BOOT_MS, cell_ms: CELL_MS },
            });
        }
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::good;
    use crate::exit::Exit;

    fn ids(only: &[&str]) -> Result<Vec<String>, Fault> {
        let config = good();
        let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
        let cells = inject_cells(&config, config.matrix("default").unwrap(), &only)?;
        Ok(cells.into_iter().map(|cell| cell.id).collect())
    }

    #[test]
    fn kernels_are_picked_by_name_and_every_name_must_be_one() {
        let all = ids(&[]).unwrap();
        assert_eq!(
            all,
            ["inject.baseline.mainline", "inject.patched.off", "inject.patched.overcharge"]
        );
        assert_eq!(ids(&["patched"]).unwrap(), all[1..]);
        assert_eq!(ids(&["patched", "baseline"]).unwrap(), all);
        for names in [&["ptached"][..], &["baseline", "ptached"]] {
            let fault = ids(names).unwrap_err();
            assert_eq!(fault.exit, Exit::Usage);
            assert_eq!(fault.what, "matrix `default` has no kernel `ptached`");
            assert_eq!(fault.hint, "did you mean `patched`? known: patched, baseline");
        }
    }
}
