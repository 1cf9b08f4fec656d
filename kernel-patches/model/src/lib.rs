// SPDX-License-Identifier: GPL-2.0-only
//! As much of the kernel as the policy of the series needs, in user space.
//!
//! [`bindings`] is what the policy calls: page counters as in `mm/page_counter.c`, and the C side
//! of the series with as little behind it as will do; [`headers`] has the constants. [`world`] is
//! what a test makes and looks at: memcgs, tasks, the work item. Wherever another task could run
//! and make a difference, [`pause`] is called; what happens there is up to the test.

use std::cell::Cell;

pub mod bindings;
pub mod headers;
pub mod world;

/// Integers by their names in C.
pub mod ffi {
    pub use core::ffi::{c_int, c_long, c_uint, c_ulong};
}

/// Time in jiffies; `HZ` is 1000.
pub mod time {
    use core::ffi::{c_uint, c_ulong};

    /// Time in ticks.
    pub type Jiffies = c_ulong;

    /// Milliseconds to jiffies.
    pub fn msecs_to_jiffies(ms: c_uint) -> Jiffies {
        Jiffies::from(ms)
    }
}

thread_local! {
    static PAUSE: Cell<fn()> = const { Cell::new(|| {}) };
}

/// Says what happens in this thread wherever another task could run.
pub fn on_pause(pause: fn()) {
    PAUSE.set(pause);
}

/// Lets another task run, if the test wants that. The current task stays the current one.
fn pause() {
    let task = world::CURRENT.get();
    PAUSE.get()();
    world::CURRENT.set(task);
}
