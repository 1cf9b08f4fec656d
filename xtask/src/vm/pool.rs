// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many cells in parallel, the longest first.
//!
//! Contract: a panic of a job is its result, and the others go on. Once the stop flag is set, no
//! job begins, and running ones are waited for (they check the flag too). Results are delivered on
//! the caller's thread, one at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc;

use crate::host;
use crate::host::stop::Stop;

/// Memory left to the host, MiB.
const RESERVE_MIB: u64 = 1024;
/// Memory of a QEMU besides the guest's, with the translated code of TCG, MiB.
const QEMU_OVERHEAD_MIB: u64 = 160;
/// vCPUs per core. A cell mostly waits: for a grace period, or the two seconds of the OOM reaper.
/// The default matrix on 2 cores took 60 s with two vCPUs per core, 43 s with four, and 27 s with
/// five or six and the longest cells first. With eight, two cells were late.
const VCPUS_PER_CORE: u64 = 5;

/// Resources for VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Cores the harness may use.
    pub(crate) cores: u64,
    /// Memory available to the harness, MiB.
    pub(crate) memory_mib: u64,
}

impl Room {
    /// Looks at this host.
    pub(crate) fn of_host() -> Self {
        let memory_mib = host::limits::memory_available_mib().unwrap_or(u64::from(u32::MAX));
        Self { cores: host::limits::cores() as u64, memory_mib }
    }

    /// Whether a VM with this much memory fits at all.
    pub(crate) fn holds(self, memory_mib: u32) -> bool {
        u64::from(memory_mib) + QEMU_OVERHEAD_MIB <= self.memory_mib
    }

    /// How many VMs of this shape run in parallel, at least one. `asked` is `--jobs`. `busy` VMs,
    /// of debug kernels, wait less.
    ///
    /// Memory bounds `asked` too: on a host that swaps or kills, the evidence is about the host.
    pub(crate) fn jobs(self, asked: Option<u64>, cpus: u32, memory_mib: u32, busy: bool) -> usize {
        let vcpus_per_core = if busy { VCPUS_PER_CORE / 2 } else { VCPUS_PER_CORE };
        let by_cores = self.cores * vcpus_per_core / u64::from(cpus.max(1));
        let by_memory = self.memory_mib.saturating_sub(RESERVE_MIB)
            / (u64::from(memory_mib) + QEMU_OVERHEAD_MIB);
        let jobs = asked.unwrap_or(by_cores).min(by_memory).max(1);
        usize::try_from(jobs).unwrap_or(1)
    }
}

/// Runs `job` for every item on `jobs` threads, the largest `rank` first. `done` gets each item
/// with its result, or the text of its panic. Returns the number of items not begun because of
/// `stop`.
pub(crate) fn run<T: Sync, R: Send, K: Ord>(
    jobs: usize,
    items: &[T],
    rank: impl Fn(&T) -> K,
    stop: &Stop,
    job: impl Fn(&T) -> R + Sync,
    mut done: impl FnMut(&T, Result<R, String>),
) -> usize {
    let mut order: Vec<&T> = items.iter().collect();
    // Stable: equals keep the order of the plan. The next item is taken from the end.
    order.sort_by_key(|item| std::cmp::Reverse(rank(item)));
    order.reverse();
    let queue = Mutex::new(order);
    let next = || {
        let mut queue = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if stop.asked() { None } else { queue.pop() }
    };
    let (sender, results) = mpsc::channel();
    // The thread that runs a cell is the parent of its VM and outlives it.
    let work = |sender: mpsc::Sender<_>| {
        while let Some(item) = next() {
            let result = catch_unwind(AssertUnwindSafe(|| job(item))).map_err(panic_text);
            if sender.send((item, result)).is_err() {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        let workers = (0..jobs.clamp(1, items.len().max(1))).map(|_| {
            let (work, sender) = (&work, sender.clone());
            std::thread::Builder::new().spawn_scoped(scope, move || work(sender)).is_ok()
        });
        // A host that is out of threads: fewer will do, and at worst this one.
        if workers.filter(|started| *started).count() == 0 {
            work(sender.clone());
        }
        drop(sender);
        for (item, result) in results {
            done(item, result);
        }
    });
    queue.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).len()
}

fn panic_text(payload: Box<dyn std::any::Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cores_run_five_vms_of_two_cpus() {
        let room = Room { cores: 2, memory_mib: 23_000 };
        assert_eq!(room.jobs(None, 2, 512, false), 5);
        assert_eq!(room.jobs(None, 2, 512, true), 2);
        assert_eq!(room.jobs(None, 8, 512, false), 1);
        assert_eq!(room.jobs(Some(5), 2, 512, false), 5);
    }

    #[test]
    fn memory_bounds_every_number() {
        let room = Room { cores: 64, memory_mib: 4096 };
        assert_eq!(room.jobs(None, 2, 512, false), 4);
        assert_eq!(room.jobs(Some(50), 2, 512, false), 4);
        assert_eq!(Room { cores: 1, memory_mib: 100 }.jobs(None, 2, 4096, false), 1);
        assert!(room.holds(3936) && !room.holds(3937));
    }

    #[test]
    fn the_longest_goes_first_and_equals_keep_their_order() {
        let mut seen = Vec::new();
        let items = [("a", 1), ("b", 5), ("c", 3), ("d", 5)];
        let left = run(1, &items, |i| i.1, &Stop::default(), |i| i.0, |_, r| seen.push(r.unwrap()));
        assert_eq!((seen.as_slice(), left), (["b", "d", "c", "a"].as_slice(), 0));
    }

    #[test]
    fn a_job_that_panics_is_a_result() {
        let mut outcomes = Vec::new();
        let job = |n: &u64| if *n == 2 { panic!("two is {n}") } else { *n };
        run(2, &[1, 2, 3], |_| 0, &Stop::default(), job, |n, r| outcomes.push((*n, r)));
        outcomes.sort_by_key(|(n, _)| *n);
        assert_eq!(outcomes, [(1, Ok(1)), (2, Err("two is 2".into())), (3, Ok(3))]);
    }

    #[test]
    fn nothing_begins_after_stop() {
        let stop = Stop::default();
        let mut seen = 0;
        let left = run(1, &[1, 2, 3], |_| 0, &stop, |_| stop.ask(), |_, _| seen += 1);
        assert_eq!((seen, left), (1, 2));
    }
}
