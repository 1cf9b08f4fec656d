// SPDX-License-Identifier: MIT OR Apache-2.0
//! `thread-bomb`: each task makes threads that do nothing, as many as it may, under `pids.max`.
//!
//! A thread costs a kernel stack, a `task_struct` and its credentials, charged to the memcg of its
//! maker; killing one kills all threads of the process. `EAGAIN` comes from `pids.max`
//! (`cgroup_can_fork()`) and is counted as the call `refused`: lack of memory is `ENOMEM` here.

use std::arch::asm;

use anyhow::Result;
use nix::errno::Errno;
use nix::libc;

use super::{Part, Plan, Terms, Workload};
use crate::lane::Lane;

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("thread-bomb", &[("pids_max", 1000), ("failures_max", 10)], plan)];

const CLONE: usize = 0;
const REFUSED: usize = 1;

/// The stack of a thread, which makes one system call.
#[repr(C, align(4096))]
#[derive(Clone)]
struct Stack([u8; 4096]);

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    for memcg in [&terms.memcgs.root, &terms.memcgs.parent] {
        memcg.write("cgroup.subtree_control", "+pids")?;
    }
    terms.memcgs.limited.write("pids.max", &terms.param("pids_max").to_string())?;
    let threads = terms.cell.operations as usize;
    let actor = Part::new(&["clone", "refused"], move |_| {
        let mut stacks = vec![Stack([0; 4096]); threads];
        Ok(move |lane: &Lane| {
            for stack in stacks.iter_mut().take_while(|_| lane.goes_on()) {
                match lane.call(CLONE, || start(stack)) {
                    Some(Made::Refused) => drop(lane.call(REFUSED, || nix::Result::Ok(()))),
                    Some(Made::Thread) | None => {}
                }
            }
            // The threads run on them until the process ends.
            std::mem::forget(stacks);
        })
    });
    Ok(terms.plan(actor))
}

enum Made {
    Thread,
    Refused,
}

fn start(stack: &mut Stack) -> nix::Result<Made> {
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;
    let top = stack.0.as_mut_ptr_range().end.cast();
    // SAFETY: the stack is aligned, not used otherwise and lives as long as the process; the thread
    // touches nothing else.
    match Errno::result(unsafe { libc::clone(idle, top, flags, std::ptr::null_mut()) }) {
        Ok(_) => Ok(Made::Thread),
        Err(Errno::EAGAIN) => Ok(Made::Refused),
        Err(errno) => Err(errno),
    }
}

/// Waits until the process is ended. It shares the thread-local storage of its maker, `errno` too,
/// so it may not call the C library.
extern "C" fn idle(_: *mut libc::c_void) -> libc::c_int {
    loop {
        // SAFETY: `pause` takes no arguments; the instruction changes these three registers.
        unsafe {
            asm!("syscall", inlateout("rax") libc::SYS_pause => _, out("rcx") _, out("r11") _);
        }
    }
}
