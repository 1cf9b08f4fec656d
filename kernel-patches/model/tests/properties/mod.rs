// SPDX-License-Identifier: GPL-2.0-only
//! What must hold of the policy, whatever other tasks do meanwhile.
//!
//! Each property is looked at with threads of the system, which run free, or under shuttle, which
//! runs one task at a time and decides at every pause who is next. A failure under shuttle prints a
//! schedule that repeats it.

mod levels;
mod payment;
mod shares;

use std::ffi::c_uint;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use kernel::bindings::{
    clock, memcg_charge_kind_MEMCG_CHARGE_KMEM as KMEM_CHARGE,
    memcg_charge_kind_MEMCG_CHARGE_USER as USER_CHARGE,
};
use kernel::on_pause;
use kernel::world::{Memcg, Task, KMEM, OFF};

use super::policy;

/// Interleavings looked at in one test.
const SCHEDULES: usize = 400;

/// Charges as `try_charge_memcg()` does, where there is nothing to reclaim.
fn charge(memcg: &'static Memcg, pages: i64, kind: c_uint) -> bool {
    let over = |reclaimed| {
        // SAFETY: A memcg is never freed.
        unsafe { policy::memcg_overcharge_try(memcg.as_ptr(), 0, pages as c_uint, kind, reclaimed) }
    };
    let charged = memcg.try_charge(pages) || over(false) || memcg.try_charge(pages) || over(true);
    if charged {
        for (level, over) in memcg.grant(pages) {
            assert!(over <= most_over(level, kind), "{over} pages over");
        }
    }
    charged
}

/// How far a level may be over its limit by what tasks were granted, pages.
fn most_over(level: &Memcg, kind: c_uint) -> i64 {
    if level.policy() == OFF {
        return 0;
    }
    // SAFETY: A memcg is never freed.
    let cap = unsafe { policy::memcg_overcharge_cap(level.as_ptr()) } as i64;
    // A quarter is for user pages alone.
    if kind == KMEM_CHARGE {
        cap - cap / 4
    } else {
        cap
    }
}

/// What the current task does on its way to user mode.
fn return_to_user(task: &Task) {
    if task.pages() > 0 {
        if let Some(memcg) = task.memcg() {
            // SAFETY: A memcg is never freed.
            unsafe { policy::memcg_overcharge_reconcile(memcg.as_ptr()) };
        }
        task.is_back();
    }
}

/// Runs the work item of these memcgs until none is queued, 20 ms apart. Returns how often.
fn work(memcgs: &[&'static Memcg]) -> usize {
    let mut runs = 0;
    while let Some(memcg) = memcgs.iter().find(|memcg| memcg.take_work().is_some()) {
        // SAFETY: A memcg is never freed.
        unsafe { policy::memcg_overcharge_work(memcg.as_ptr()) };
        clock().fetch_add(20, SeqCst);
        runs += 1;
        assert!(runs < 100, "the work item comes again and again");
    }
    runs
}

/// Numbers without order (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// One of many tasks: charges 1 to 8 pages, gives some back, returns to user mode now and then.
fn churn(memcg: &'static Memcg, kind: c_uint, seed: u64, rounds: usize) {
    let task = Task::of(memcg);
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut held = Vec::new();
    task.run(|| {
        for _ in 0..rounds {
            let pages = 1 + random.below(8) as i64;
            match random.below(8) {
                0..3 => {
                    if let Some(pages) = held.pop() {
                        memcg.give_back(pages);
                    }
                }
                3 => return_to_user(task),
                _ => {
                    if charge(memcg, pages, kind) {
                        held.push(pages);
                    }
                }
            }
        }
        held.drain(..).for_each(|pages| memcg.give_back(pages));
        return_to_user(task);
    });
}

/// Runs as many threads of the system, each with its number from 1.
fn free_running(threads: u64, each: impl Fn(u64) + Sync) {
    thread::scope(|scope| {
        for number in 1..=threads {
            let each = &each;
            scope.spawn(move || each(number));
        }
    });
}

/// Looks at many interleavings of a test.
fn interleaved(test: fn()) {
    let body = move || {
        on_pause(shuttle::thread::yield_now);
        test();
    };
    shuttle::check_random(body, SCHEDULES);
}

/// Runs as many tasks under shuttle, each with its number from 1.
fn tasks(count: u64, each: impl Fn(u64) + Send + Copy + 'static) {
    let spawn = |number| shuttle::thread::spawn(move || each(number));
    let tasks: Vec<_> = (1..=count).map(spawn).collect();
    tasks.into_iter().for_each(|task| task.join().unwrap());
}
