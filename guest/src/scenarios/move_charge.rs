// SPDX-License-Identifier: MIT OR Apache-2.0
//! `move-charge`: a process with pages of its own is moved into a v1 memcg that takes over the charges of who comes in
//! (`memory.move_charge_at_immigrate`) and has no room for them.
//!
//! The tasks keep files open as those of `open-keep` do, until the memcg is full; then the outsider has it take charges over, and
//! asks to be moved in. The kernel must refuse with `ENOMEM` and leave the process where it is.

use anyhow::Result;
use nix::errno::Errno;
use nix::unistd::Pid;

use super::{Part, Plan, Run, Terms, Workload, open_keep};
use crate::clock;
use crate::lane::Lane;
use crate::tally::Failure;

pub(super) const MOVE_CHARGE: Workload =
    Workload { name: "move-charge", params: open_keep::PARAMS, on_scratch: false, plan };

const REFUSED: usize = 0;

const TAKES_OVER: &str = "memory.move_charge_at_immigrate";

/// What moves in, bytes: more than the room that is left and the stocks of two CPUs together.
const MOVED_BYTES: usize = 1 << 20;

/// Usage this near to the limit is full: what is charged at once without reclaim is more.
const NEAR_BYTES: u64 = 256 << 10;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let (limited, limit_bytes) = (terms.memcgs.limited.clone(), terms.cell.limit_bytes);
    let outsider = Part {
        ops: &["refused"],
        setup: Box::new(move |_| {
            let limited = limited.clone();
            // Pages of this process alone: its own memory is locked, so they stay where they are.
            let moved = vec![0xa5_u8; MOVED_BYTES];
            Ok(Box::new(move |lane: &Lane| {
                let full = |bytes: u64| bytes + NEAR_BYTES >= limit_bytes;
                while !lane.stopped() && !limited.current_bytes().is_ok_and(full) {
                    clock::sleep_us(1000);
                }
                // Not before: the tasks share pages with PID 1, which would be charged to their memcg for ever.
                if limited.write(TAKES_OVER, "1").is_err() {
                    return;
                }
                lane.call(REFUSED, || match limited.admit(Pid::this()) {
                    Ok(()) => Err(Failure::from(Errno::EEXIST)),
                    Err(error) => match error.downcast_ref::<std::io::Error>() {
                        Some(os) if os.raw_os_error() == Some(Errno::ENOMEM as i32) => Ok(()),
                        _ => Err(Errno::EIO.into()),
                    },
                });
                std::hint::black_box(&moved);
            }) as Run)
        }),
    };
    Ok(Plan { outsider: Some(outsider), ..open_keep::plan(terms)? })
}
