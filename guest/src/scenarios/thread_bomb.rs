// SPDX-License-Identifier: MIT OR Apache-2.0
//! `thread-bomb`: each task makes threads that do nothing, as many as it may, under `pids.max`.
//!
//! A thread costs a kernel stack, a `task_struct` and its credentials, charged to the memcg of its
//! maker; killing one kills all threads of the process. `EAGAIN` is the answer of `pids.max`
//! (`cgroup_can_fork()`) and counted as the call `refused`: lack of memory is `ENOMEM` here.

use std::arch::asm;

use anyhow::Result;
use nix::errno::Errno;
use nix::libc;

use super::{Part, Plan, Run, Terms, Workload};
use crate::lane::Lane;
use crate::tally::Failure;

pub(super) const THREAD_BOMB: Workload = Workload {
    name: "thread-bomb",
    params: &[("pids_max", 1000), ("failures_max", 10)],
    on_scratch: false,
    plan,
};

const CLONE: usize = 0;
const REFUSED: usize = 1;

/// A thread's own stack: it makes one system call.
#[repr(C, align(4096))]
#[derive(Clone)]
struct Stack([u8; 4096]);

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    for memcg in [&terms.memcgs.root, &terms.memcgs.parent] {
        memcg.write("cgroup.subtree_control", "+pids")?;
    }
    terms.memcgs.limited.write("pids.max", &terms.param("pids_max").to_string())?;
    let threads = terms.cell.operations as usize;
    let actor = Part {
        ops: &["clone", "refused"],
        setup: Box::new(move |_| {
            let mut stacks = vec![Stack([0; 4096]); threads];
            Ok(Box::new(move |lane: &Lane| {
                for stack in stacks.iter_mut().take_while(|_| lane.goes_on()) {
                    match lane.call(CLONE, || start(stack)) {
                        Some(Made::Refused) => drop(lane.call(REFUSED, || Ok(()))),
                        Some(Made::Thread) | None => {}
                    }
                }
                // The threads run on them until the process ends.
                std::mem::forget(stacks);
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: None, failures_max: terms.param("failures_max") })
}

enum Made {
    Thread,
    Refused,
}

fn start(stack: &mut Stack) -> Result<Made, Failure> {
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;
    let top = stack.0.as_mut_ptr_range().end.cast();
    // SAFETY: the stack is aligned, used by nobody else and lives as long as the process; the thread
    // touches nothing but it.
    match Errno::result(unsafe { libc::clone(idle, top, flags, std::ptr::null_mut()) }) {
        Ok(_) => Ok(Made::Thread),
        Err(Errno::EAGAIN) => Ok(Made::Refused),
        Err(errno) => Err(errno.into()),
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
