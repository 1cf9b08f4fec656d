// SPDX-License-Identifier: MIT OR Apache-2.0
//! Uncharges what the load charged, so that what is left afterwards is a leak; and looks for leaks.
//!
//! Freed kernel objects are uncharged after an RCU grace period, and each CPU keeps some pages and
//! bytes charged to the memcg that was last active there: both are pushed out here.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::libc;

use crate::brink::stay_on_cpu;
use crate::clock::{self, Deadline};
use crate::memcg::Memcg;
use crate::memcgs::Memcgs;
use crate::{boot, memcg, patience, process};

/// How often to try again, microseconds: about an RCU grace period under emulation.
const RETRY_US: u64 = 20_000;

/// A round in so many has a memcg take back what it holds.
const TAKE_BACK_ROUNDS: u32 = 3;

/// `MEMBARRIER_CMD_GLOBAL`: returns after an RCU grace period.
const MEMBARRIER_GLOBAL: i32 = 1;

/// Drops caches, waits and flushes until the memcgs of the cell hold next to nothing or patience
/// ends.
///
/// # Errors
/// A step fails; memory that stays is no error.
pub(crate) fn empty(memcgs: &Memcgs) -> Result<()> {
    let flusher = memcgs.root.child("flusher")?;
    let cpus = boot::cpus()?;
    // Pages kept on a CPU are pushed out; a part of one page of objects may stay on each.
    let small_bytes = cpus.len() as u64 * memcg::page_bytes();
    let has_sheaves = !caches_with_sheaves().is_empty();
    let mut round = 0;
    let is_empty = clock::poll(Deadline::in_ms(patience::EMPTY_MS), RETRY_US, || {
        push_out(memcgs, &flusher, &cpus)?;
        round += 1;
        let mut large = Vec::new();
        for memcg in memcgs.below_parent().filter(|memcg| memcg.exists()) {
            if memcg.current_bytes()? > small_bytes {
                large.push(memcg);
            }
        }
        // What is charged for that goes in the rounds between. On 6.12 nothing needs it, and a task
        // there could pay what the series should have paid.
        if has_sheaves && round % TAKE_BACK_ROUNDS == 0 {
            for memcg in &large {
                // Where a broken kernel refuses that, what stays is told by I5.
                let _ = take_back(memcgs, memcg, cpus[0]);
            }
        }
        Ok(large.is_empty())
    })?;
    if !is_empty {
        push_out(memcgs, &flusher, &cpus)?;
        push_out(memcgs, &flusher, &cpus)?;
    }
    flusher.remove();
    Ok(())
}

/// Has freed objects uncharged, and what CPUs hold given back.
fn push_out(memcgs: &Memcgs, flusher: &Memcg, cpus: &[usize]) -> Result<()> {
    process::reap_orphans();
    drop_caches(Dropped::Everything)?;
    flush_sheaves();
    await_rcu();
    flush_stocks(flusher, cpus)?;
    // On 7.3 a CPU has room for seven memcgs (NR_MEMCG_STOCK), so the flusher pushes none out.
    // Draining the parent drains all below it.
    memcgs.parent.drain()
}

/// What [`drop_caches`] drops, if it is not in use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dropped {
    /// Reclaimable slab objects only.
    DentriesAndInodes,
    /// The page cache too.
    Everything,
}

/// Drops caches.
pub(crate) fn drop_caches(what: Dropped) -> Result<()> {
    let bits = match what {
        Dropped::DentriesAndInodes => "2",
        Dropped::Everything => "3",
    };
    std::fs::write("/proc/sys/vm/drop_caches", bits).context("drop caches")
}

/// On 7.3 a CPU collects what `kfree_rcu()` gets in a sheaf for each cache, and frees it when
/// the sheaf is full: what the last few objects are charged would stay for good. Shrinking a cache
/// gives its sheaves to RCU (`pcs_flush_all()` in mm/slub.c).
fn flush_sheaves() {
    for cache in caches_with_sheaves() {
        // What is not flushed stays charged, and I5 tells how much that is.
        let _ = fs::write(cache.join("shrink"), "1");
    }
}

/// Folders of the caches that have sheaves; none on 6.12.
fn caches_with_sheaves() -> Vec<PathBuf> {
    let caches = fs::read_dir("/sys/kernel/slab").into_iter().flatten().flatten();
    let capacity = |cache: &PathBuf| fs::read_to_string(cache.join("sheaf_capacity"));
    let has = |cache: &PathBuf| capacity(cache).is_ok_and(|capacity| capacity.trim() != "0");
    caches.map(|entry| entry.path()).filter(has).collect()
}

/// Waits for an RCU grace period.
pub(crate) fn await_rcu() {
    // SAFETY: no memory is passed. A kernel without the call makes the wait shorter, no more.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_GLOBAL, 0, 0) };
}

/// Has a memcg take back what it holds for objects that were freed. On 7.3 a softirq that finds
/// the stock locked adds their bytes to `nr_charged_bytes`, whole pages too; the first charge of an
/// object after a drain takes them from there (`__refill_obj_stock()` in mm/memcontrol.c).
fn take_back(memcgs: &Memcgs, memcg: &Memcg, cpu: usize) -> Result<()> {
    /// A batch of 64 pages charged in advance, and as much for a pipe and page faults.
    const ROOM_BYTES: u64 = 512 << 10;
    for level in [memcg, &memcgs.parent] {
        let most_bytes = level.limit_bytes()?.unwrap_or(u64::MAX);
        // What has leaked may fill it: that is for I5 to tell, and no charge may fail or wait.
        if level.is_frozen() || most_bytes < level.current_bytes()? + ROOM_BYTES {
            return Ok(());
        }
    }
    process::run_inside(memcg, "taker", process::OOM_NEVER, |inside| {
        inside.pass();
        charge_on(cpu)
    })
}

/// Makes another memcg active on each CPU: a CPU has room for a few memcgs' charges only.
fn flush_stocks(flusher: &Memcg, cpus: &[usize]) -> Result<()> {
    process::run_inside(flusher, "flusher", process::OOM_NEVER, |inside| {
        inside.pass();
        cpus.iter().try_for_each(|cpu| charge_on(*cpu))
    })
}

/// Charges both objects and pages to the caller's memcg on one CPU, and uncharges them there.
fn charge_on(cpu: usize) -> Result<()> {
    stay_on_cpu(cpu)?;
    // Kernel memory only. A user page would stay in the CPU's list of pages to be put on the LRU
    // after its owner has exited, and keep the flusher's memcg from being freed.
    let (_reader, mut writer) = std::io::pipe().context("make a pipe")?;
    writer.write_all(&[0]).context("fill a page of the pipe")?;
    Ok(())
}

const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";

/// Objects younger than 5 s are never reported (`MSECS_MIN_AGE` in mm/kmemleak.c).
const AGE_US: u64 = 5_500_000;

/// The first scan only notes checksums, and an object is reported by the first scan that finds it
/// unchanged; the third is for what a pointer on its way hid from the second.
const SCANS: u32 = 3;

/// A record of kmemleak has about 20 lines; this is some fifty of them.
const LINES_MAX: usize = 1000;

/// On kernels with kmemleak: asks for a scan after the cell and prints what it found to the
/// console, with stacks.
///
/// # Errors
/// The kernel has kmemleak but does not let it be used.
pub(crate) fn scan_for_leaks() -> Result<()> {
    if !fs::exists(KMEMLEAK).unwrap_or(false) {
        return Ok(());
    }
    clock::sleep_us(AGE_US);
    for _ in 0..SCANS {
        fs::write(KMEMLEAK, "scan").context("ask kmemleak for a scan")?;
    }
    let found = fs::read_to_string(KMEMLEAK).context("read kmemleak")?;
    // One write a line: each becomes a record of the kernel log, and of the console.
    let mut log = File::options().write(true).open("/dev/kmsg").context("open /dev/kmsg")?;
    for line in found.lines().take(LINES_MAX) {
        // A full log buffer loses a line; the kernel's own count is on the console already.
        let _ = writeln!(log, "<4>kmemleak: {line}");
    }
    Ok(())
}
