// SPDX-License-Identifier: MIT OR Apache-2.0
//! `move-charge`: a process with pages of its own is moved into a v1 memcg that takes over the
//! charges of processes that come in (`memory.move_charge_at_immigrate`) and has no room for them.
//!
//! The tasks keep files open as those of `open-keep` do, until the memcg is full. Then the outsider
//! makes the memcg take charges over and asks to be moved in. The kernel must refuse with `ENOMEM`
//! and leave the process where it is.

use anyhow::Result;
use nix::errno::Errno;
use nix::unistd::Pid;

use super::{Part, Plan, Terms, Workload, open_keep};
use crate::lane::Lane;
use crate::tally::Failure;

pub(super) const WORKLOADS: &[Workload] = &[Workload::new("move-charge", open_keep::PARAMS, plan)];

const TAKES_OVER: &str = "memory.move_charge_at_immigrate";

/// What moves in, bytes: more than the room that is left and the stocks of two CPUs together.
const MOVED_BYTES: usize = 1 << 20;

/// Usage this near to the limit is full: what is charged at once without reclaim is more.
const NEAR_BYTES: u64 = 256 << 10;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let (limited, limit_bytes) = (terms.memcgs.limited.clone(), terms.cell.limit_bytes);
    let outsider = Part::new(&["refused"], move |_| {
        let limited = limited.clone();
        // Pages of this process alone: its memory is locked, so they stay where they are.
        let moved = vec![0xa5_u8; MOVED_BYTES];
        Ok(move |lane: &Lane| {
            let full = |bytes: u64| bytes + NEAR_BYTES >= limit_bytes;
            lane.wait_until(|| limited.current_bytes().is_ok_and(full));
            // Not before: the tasks share pages with PID 1, which would be charged to their memcg
            // for good.
            if limited.write(TAKES_OVER, "1").is_err() {
                return;
            }
            lane.call(0, || match limited.admit(Pid::this()) {
                Ok(()) => Err(Errno::EEXIST),
                Err(error) if Failure::of(&error) == Errno::ENOMEM.into() => Ok(()),
                Err(_) => Err(Errno::EIO),
            });
            std::hint::black_box(&moved);
        })
    });
    Ok(open_keep::plan(terms)?.with_outsider(outsider))
}
