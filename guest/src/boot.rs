// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a bare initramfs to a machine that can run a cell, and catching up after a snapshot.
//!
//! The boot does not depend on the request: the host may take a snapshot after it and run many
//! cells from there. So no disk is mounted and no memory controller bound yet. What a snapshot
//! makes stale: the wall clock stood still, and all guests started from it have the same random
//! numbers ahead.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::resource::{Resource, setrlimit};
use nix::time::{ClockId, clock_settime};
use nix::unistd::Pid;
use protocol::{Fact, Hello, VERSION};

use crate::memcg;
use crate::process::OOM_NEVER;
use crate::random::Random;

/// Open files a task may have: the kernel's own ceiling (`fs.nr_open`).
const FILES_MAX: u64 = 1 << 20;

/// Mounts what the guest itself needs.
///
/// # Errors
/// A file system is missing from the kernel.
pub(crate) fn mount_all() -> Result<()> {
    for (kind, folder) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("debugfs", "/sys/kernel/debug"),
    ] {
        fs::create_dir_all(folder).with_context(|| format!("create {folder}"))?;
        match mount(Some(kind), folder, Some(kind), MsFlags::empty(), None::<&str>) {
            // A kernel may mount devtmpfs by itself.
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(errno) => bail!("mount {kind} on {folder}: {errno}"),
        }
    }
    Ok(())
}

/// Makes PID 1 survive, run promptly and hand down a high file limit.
pub(crate) fn shield() -> Result<()> {
    fs::write("/proc/self/oom_score_adj", OOM_NEVER.to_string()).context("set oom_score_adj")?;
    // Not real-time: PID 1 also does bulk work, and the kernel's threads must get to run.
    // SAFETY: plain numbers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    setrlimit(Resource::RLIMIT_NOFILE, FILES_MAX, FILES_MAX).context("raise RLIMIT_NOFILE")
}

/// Rearms `WARN_ONCE`, so that a warning at boot does not hide one in the cell.
pub(crate) fn rearm_warnings() -> Result<()> {
    fs::write("/sys/kernel/debug/clear_warn_once", "1").context("write clear_warn_once")
}

/// The first fact.
pub(crate) fn hello(workloads: Vec<String>) -> Result<Fact> {
    let kernel_release = fs::read_to_string("/proc/sys/kernel/osrelease").context("osrelease")?;
    let meminfo = fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    Ok(Fact::Hello(Hello {
        protocol: VERSION,
        kernel_release: kernel_release.trim().to_owned(),
        cpus: cpus()?.len() as u32,
        memory_bytes: memory_bytes(&meminfo).context("no MemTotal in /proc/meminfo")?,
        page_bytes: memcg::page_bytes(),
        workloads,
    }))
}

/// Function calls that CPUs have asked of each other by interrupt, over all CPUs.
pub(crate) fn call_interrupts() -> Result<u64> {
    let text = fs::read_to_string("/proc/interrupts").context("read /proc/interrupts")?;
    call_interrupts_in(&text).context("no CAL in /proc/interrupts")
}

/// The line that begins with `CAL:`: a number for each CPU, then words.
fn call_interrupts_in(text: &str) -> Option<u64> {
    let counts = text.lines().find_map(|line| line.trim_start().strip_prefix("CAL:"))?;
    Some(counts.split_whitespace().map_while(|count| count.parse::<u64>().ok()).sum())
}

/// CPUs the guest may run on.
pub(crate) fn cpus() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("ask for the CPUs")?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Words of seed; the kernel's generator has a key of 32 bytes.
const WORDS: usize = 4;

/// `struct rand_pool_info` of `<linux/random.h>` with its buffer.
#[repr(C)]
struct Entropy {
    bits: libc::c_int,
    bytes: libc::c_int,
    words: [u64; WORDS],
}

nix::ioctl_write_ptr_bad!(add_entropy, nix::request_code_write!(b'R', 0x03, 8), Entropy);
nix::ioctl_none!(reseed, b'R', 0x07);

/// Sets the wall clock, and reseeds the kernel's random numbers with the cell's seed.
pub(crate) fn catch_up(wall_clock_us: u64, seed: u64) -> Result<()> {
    let now = Duration::from_micros(wall_clock_us).into();
    clock_settime(ClockId::CLOCK_REALTIME, now).context("set the clock")?;
    let mut random = Random::new(seed, 0);
    let entropy = Entropy {
        bits: (WORDS * 64) as libc::c_int,
        bytes: (WORDS * 8) as libc::c_int,
        words: std::array::from_fn(|_| random.next()),
    };
    let device = File::open("/dev/urandom").context("open /dev/urandom")?;
    // SAFETY: the structure is the one the kernel reads, and lives until the call is over.
    unsafe { add_entropy(device.as_raw_fd(), &raw const entropy) }.context("add entropy")?;
    // SAFETY: takes nothing.
    unsafe { reseed(device.as_raw_fd()) }.context("reseed")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_memory_size() {
        let meminfo = "MemTotal:         485092 kB\nMemFree:          470312 kB\n";
        assert_eq!(memory_bytes(meminfo), Some(485_092 * 1024));
        assert_eq!(memory_bytes("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn adds_up_call_interrupts() {
        let text = "           CPU0       CPU1\n RES:  1  2   Rescheduling interrupts\n \
                    CAL:         47         11   Function call interrupts\n";
        assert_eq!(call_interrupts_in(text), Some(58));
        assert_eq!(call_interrupts_in(" RES: 1 2\n"), None);
    }
}
