// SPDX-License-Identifier: MIT OR Apache-2.0
//! Children of PID 1: forking them, locking their memory, and reporting their failures.
//!
//! PID 1 has one thread, so a child may use the heap and the standard library after `fork` for as
//! long as it is in the root memcg.

use std::ffi::CString;
use std::fs;
use std::hint::black_box;
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use crate::board::Slot;
use crate::clock;
use crate::memcg::Memcg;
use crate::shared::{self, Gate};

/// Exit status of a child that failed in its set-up; its slot has the reason.
pub(crate) const EXIT_FAULT: i32 = 100;

/// Stack that a task may use while it cannot get fresh pages, bytes. The deepest path of a
/// workload in a debug build uses some 20 KiB.
const STACK_BYTES: usize = 128 << 10;

/// Never chosen by the OOM killer.
pub(crate) const OOM_NEVER: i32 = -1000;

static OWN_SLOT: OnceLock<&'static Slot> = OnceLock::new();

/// The slot of the calling process; `None` in PID 1.
pub(crate) fn own_slot() -> Option<&'static Slot> {
    OWN_SLOT.get().copied()
}

/// Forks a child named `name` that runs `body` and exits: 0, or [`EXIT_FAULT`] with the reason in
/// its slot.
pub(crate) fn spawn(
    slot: &'static Slot,
    name: &str,
    oom_score_adj: i32,
    body: impl FnOnce() -> Result<()>,
) -> Result<Pid> {
    // SAFETY: PID 1 has a single thread, so no lock can be held by a thread the child lacks.
    match unsafe { fork() }.with_context(|| format!("fork {name}"))? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // Fails only in a child of a child, which keeps its parent's slot.
            let _ = OWN_SLOT.set(slot);
            let outcome = become_ordinary(name, oom_score_adj).and_then(|()| body());
            if let Err(error) = &outcome {
                slot.explain(&format!("{error:#}"));
            }
            exit_now(if outcome.is_ok() { 0 } else { EXIT_FAULT })
        }
    }
}

/// Runs a child of PID 1 inside `memcg` to its end. `body` prepares, passes the gate, which opens
/// when the child has been moved, and goes on inside.
///
/// # Errors
/// The child cannot be forked or moved, or fails.
pub(crate) fn run_inside(
    memcg: &Memcg,
    name: &str,
    oom_score_adj: i32,
    body: impl FnOnce(&Gate) -> Result<()>,
) -> Result<()> {
    let slot: &'static Slot = shared::map_one()?;
    let inside: &'static Gate = shared::map_one()?;
    let pid = spawn(slot, name, oom_score_adj, || body(inside))?;
    memcg.admit(pid).with_context(|| format!("move {name}"))?;
    inside.open();
    let end = waitpid(pid, None).with_context(|| format!("wait for {name}"))?;
    let fault = slot.fault().unwrap_or_default();
    ensure!(end == WaitStatus::Exited(pid, 0), "{name} ended with {end:?}: {fault}");
    Ok(())
}

/// Forks a child of a workload's process. The child runs `body`, exits with its result and dies
/// with its parent; it never returns to where its parent's calls are counted.
pub(crate) fn fork_child(body: impl FnOnce() -> i32) -> nix::Result<Pid> {
    // SAFETY: a workload's process has a single thread, so no lock can be held by a thread that the
    // child lacks.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // SAFETY: plain numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            exit_now(body())
        }
    }
}

/// Waits for the caller's children, which were told to end. One that does not is killed with its
/// parent.
pub(crate) fn await_children() {
    while waitpid(None, None).is_ok() {}
}

/// Reaps every child of PID 1 that has ended: orphans keep their memory charged until then. For
/// when PID 1 no longer waits for a certain child.
pub(crate) fn reap_orphans() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
    }
}

/// Ends the calling process without running destructors: at its limit it must not begin to
/// rearrange its heap.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Gives the child its name on the console, normal priority, and its place in the OOM order.
pub(crate) fn become_ordinary(name: &str, oom_score_adj: i32) -> Result<()> {
    let name = CString::new(name)?;
    // SAFETY: the string outlives the call; the kernel reads at most 16 bytes of it.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    // SAFETY: plain numbers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) };
    fs::write("/proc/self/oom_score_adj", oom_score_adj.to_string()).context("set oom_score_adj")
}

/// Makes every page the caller has or will map present and keeps it so.
///
/// A page fault in a full memcg with no task to kill is retried forever and floods the console:
/// everything a task touches later must be present before it enters the memcg.
pub(crate) fn lock_memory() -> Result<()> {
    reach_down_the_stack();
    // The page of the clock that the kernel maps into each process cannot be locked; touch it.
    black_box(clock::now_us());
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE).context("lock memory")
}

/// Makes the kernel extend the stack mapping, so that there is something to lock.
#[inline(never)]
fn reach_down_the_stack() {
    let mut pages = [0_u8; STACK_BYTES];
    black_box(&mut pages);
}

/// Makes the caller's descriptor table large enough for `count` more files, so that opening them
/// does not charge the growth of the table too.
pub(crate) fn reserve_files(count: u64) -> Result<()> {
    /// Files that a process has in any case: the console, the port, pipes of observers.
    const OTHERS: u64 = 32;
    let last = (count + OTHERS).min(i32::MAX as u64) as RawFd;
    // SAFETY: `last` is not open: nothing in this process opens files above the lowest free ones.
    let status = unsafe { libc::dup2(0, last) };
    Errno::result(status).with_context(|| format!("reserve room for {count} open files"))?;
    nix::unistd::close(last).context("close the highest file")
}

/// See [`caught`].
static CAUGHT: AtomicU64 = AtomicU64::new(0);

/// Makes a signal interrupt a system call and do nothing else but count.
pub(crate) fn catch(signal: Signal) -> Result<()> {
    extern "C" fn count(_: libc::c_int) {
        CAUGHT.fetch_add(1, Ordering::SeqCst);
    }
    let action = SigAction::new(SigHandler::Handler(count), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler touches nothing but an atomic.
    unsafe { sigaction(signal, &action) }.map(drop).with_context(|| format!("catch {signal}"))
}

/// How many caught signals the caller has handled since it last asked.
pub(crate) fn caught() -> u64 {
    CAUGHT.swap(0, Ordering::SeqCst)
}

/// Makes the caller run before all ordinary processes. For one that mostly sleeps.
pub(crate) fn become_urgent(priority: i32) -> Result<()> {
    let parameter = libc::sched_param { sched_priority: priority };
    // SAFETY: the parameter is a live value of the right type.
    let status = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameter) };
    Errno::result(status).map(drop).context("get real-time priority")
}
