// SPDX-License-Identifier: MIT OR Apache-2.0
//! The exact cost of a series: instructions per system call, kernel by kernel and policy by policy.
//!
//! Contract: a number is printed only if every boot of its kernel gave the same. Each cell boots a
//! VM that counts instructions under TCG, whatever accelerator the other measurements use.

use super::super::run::Run;
use crate::evidence::Seen;
use crate::exit::{Exit, Fault};
use crate::plan::BareCell;
use crate::progress::{Step, note};
use crate::report::CostColumn;
use crate::verdict::{self, Cost};
use crate::vm::cell::Begin;
use crate::vm::rig::{Job, Rig};
use crate::vm::{self, Accel};

/// Boots of each cell. The second shows that the number does not depend on the boot.
const BOOTS: u32 = 2;

/// One column for each cell, in their order.
///
/// # Errors
/// [`Exit::Unexpected`] when a cell proves no costs or two boots differ; [`Exit::Interrupted`].
pub(super) fn measure(run: &Run<'_>, cells: &[BareCell]) -> anyhow::Result<Vec<CostColumn>> {
    note("counting instructions under TCG");
    let mut columns: Vec<CostColumn> = Vec::new();
    let step = Step::begin("cost", Some(cells.len() as u64 * u64::from(BOOTS)));
    for boot in 1..=BOOTS {
        for (at, cell) in cells.iter().enumerate() {
            step.at(u64::from(boot - 1) * cells.len() as u64 + at as u64, &cell.id);
            let costs = self::boot(run, cell, boot)?;
            match columns.get_mut(at) {
                None => columns.push(CostColumn {
                    kernel: cell.kernel.clone(),
                    policy: cell.policy.clone(),
                    boots: 1,
                    costs,
                }),
                Some(column) => {
                    same(&cell.id, &column.costs, &costs)?;
                    column.boots = boot;
                }
            }
        }
    }
    step.end(&format!("{} cells, {BOOTS} boots each", cells.len()));
    Ok(columns)
}

fn boot(run: &Run<'_>, cell: &BareCell, boot: u32) -> anyhow::Result<Vec<Cost>> {
    let BareCell { id, kernel, policy: _, vm, request, deadline } = cell;
    let bzimage = &run.kernels[kernel].bzimage;
    // No disk: during its I/O the guest is idle, and with counted instructions idle time jumps.
    let rig = Rig { accel: Accel::Counting, disk: None, ..run.ready.rig.clone() };
    let job = Job { id, vm, request, deadline: *deadline };
    let dir = run.folder.attempt(id, boot);
    let evidence = vm::cell::run(&rig, job, Begin::Boot(bzimage), &dir, &run.stop);
    if run.stop.asked() {
        return Err(Fault::new(Exit::Interrupted, "stopped").into());
    }
    verdict::costs(&Seen::of(&evidence)).map_err(|why| {
        let what = format!("{id}, boot {boot}: {why}");
        Fault::new(Exit::Unexpected, what)
            .hint(format!("its evidence is in {}", dir.display()))
            .into()
    })
}

/// Refuses two boots of one kernel with different numbers.
fn same(id: &str, before: &[Cost], now: &[Cost]) -> Result<(), Fault> {
    let usual = |costs: &[Cost]| -> Vec<(String, Option<u64>)> {
        costs.iter().map(|cost| (cost.op.clone(), cost.usual())).collect()
    };
    let (before, now) = (usual(before), usual(now));
    match before.iter().zip(&now).find(|(before, now)| before != now) {
        None if before.len() == now.len() => Ok(()),
        found => {
            let what = format!("{id}: two boots of one kernel differ: {found:?}");
            Err(Fault::new(Exit::Unexpected, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::Instructions;

    use super::*;

    fn open(instructions: u64) -> Vec<Cost> {
        let instructions =
            Instructions { frequent: vec![(instructions, 9)], ..Instructions::default() };
        vec![Cost { op: "open".into(), calls: 10, instructions }]
    }

    #[test]
    fn boots_that_differ_are_refused() {
        assert!(same("cost.k.off", &open(2653), &open(2653)).is_ok());
        let fault = same("cost.k.off", &open(2653), &open(2654)).unwrap_err();
        assert!(fault.what.contains("2653") && fault.what.contains("2654"), "{}", fault.what);
        assert!(same("cost.k.off", &open(2653), &[]).is_err());
    }
}
