// SPDX-License-Identifier: MIT OR Apache-2.0
//! Gives back what the load charged, so that what is left afterwards is a leak.
//!
//! Freed kernel objects are uncharged after an RCU grace period, and each CPU keeps some pages and
//! bytes charged to the memcg that was last active there: both are pushed out here.

use std::io::Write;

use anyhow::{Context, Result, bail};
use nix::libc;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::board::{Gate, Slot};
use crate::clock::{self, Deadline};
use crate::memcg::Memcg;
use crate::memcgs::Memcgs;
use crate::{boot, patience, process, shared};

/// How often to try again, microseconds: about an RCU grace period under emulation.
const RETRY_US: u64 = 20_000;

/// `MEMBARRIER_CMD_GLOBAL`: returns after an RCU grace period.
const MEMBARRIER_GLOBAL: i32 = 1;

/// Drops caches, waits and flushes until the memcgs of the cell hold next to nothing or patience ends.
///
/// # Errors
///
/// When a step fails; memory that stays is no error.
pub(crate) fn empty(memcgs: &Memcgs) -> Result<()> {
    let flusher = memcgs.root.child("flusher")?;
    let cpus = boot::cpus()?;
    // Pages kept on a CPU are pushed out; a part of one page of objects may stay on each.
    let small_bytes = cpus.len() as u64 * boot::page_bytes();
    clock::poll(Deadline::in_ms(patience::EMPTY_MS), RETRY_US, || {
        process::reap_orphans();
        drop_caches(Dropped::Everything)?;
        await_rcu();
        flush_stocks(&flusher, &cpus)?;
        // On 7.3 a CPU has room for seven memcgs (NR_MEMCG_STOCK): one other pushes none out. The parent's are
        // those of all below it.
        memcgs.parent.drain()?;
        let mut below = [Some(&memcgs.limited), memcgs.second.as_ref()].into_iter().flatten();
        below.try_fold(true, |all, memcg| {
            Ok(all && (!memcg.exists() || memcg.current_bytes()? <= small_bytes))
        })
    })?;
    flusher.remove();
    Ok(())
}

/// What [`drop_caches`] drops, of what nobody uses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dropped {
    /// Reclaimable slab objects only.
    DentriesAndInodes,
    /// The page cache too.
    Everything,
}

/// Drops caches.
///
/// # Errors
///
/// When the kernel refuses.
pub(crate) fn drop_caches(what: Dropped) -> Result<()> {
    let bits = match what {
        Dropped::DentriesAndInodes => "2",
        Dropped::Everything => "3",
    };
    std::fs::write("/proc/sys/vm/drop_caches", bits).context("drop caches")
}

/// Waits for an RCU grace period.
fn await_rcu() {
    // SAFETY: no memory is passed. A kernel without the call makes the wait shorter, no more.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_GLOBAL, 0, 0) };
}

/// Makes another memcg active on each CPU: a CPU has room for a few memcgs' charges only.
fn flush_stocks(flusher: &Memcg, cpus: &[usize]) -> Result<()> {
    let gate: &'static Flush = shared::map_one()?;
    let pid = process::spawn(&gate.slot, "flusher", process::OOM_NEVER, || {
        gate.gate.pass();
        cpus.iter().try_for_each(|cpu| charge_on(*cpu))
    })?;
    flusher.admit(pid)?;
    gate.gate.open();
    match waitpid(pid, None).context("wait for the flusher")? {
        WaitStatus::Exited(_, 0) => Ok(()),
        end => bail!("the flusher ended with {end:?}: {:?}", gate.slot.fault()),
    }
}

#[repr(C)]
struct Flush {
    gate: Gate,
    slot: Slot,
}

// SAFETY: atomics only; all zero is a shut gate and an empty slot.
unsafe impl shared::Shareable for Flush {}

/// Charges both objects and pages to the caller's memcg on one CPU, and gives them back there.
fn charge_on(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("run on CPU {cpu}"))?;
    // Kernel memory only. A page of user memory would stay in the CPU's list of pages to be put on
    // the LRU after the exit of its owner, and keep the flusher's own memcg from being freed.
    let (_reader, mut writer) = std::io::pipe().context("make a pipe")?;
    writer.write_all(&[0]).context("fill a page of the pipe")?;
    Ok(())
}
