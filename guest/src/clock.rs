// SPDX-License-Identifier: MIT OR Apache-2.0
//! Guest time: one clock for events, samples and latencies, so that they can be compared.
//!
//! Nothing here allocates or fails: it is called by tasks at their memory limit.

use std::time::Duration;

use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

/// Time since boot (`CLOCK_BOOTTIME`), microseconds.
pub(crate) fn now_us() -> u64 {
    // The clock exists on every kernel that runs this binary; 0 would show as a time before boot.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |now| Duration::from(now).as_micros() as u64)
}

/// Sleeps for `us` microseconds, or less when a signal comes.
pub(crate) fn sleep_us(us: u64) {
    sleep_until_us(now_us() + us);
}

/// Sleeps until `at_us` on the clock of [`now_us`], or less when a signal comes.
pub(crate) fn sleep_until_us(at_us: u64) {
    let at = Duration::from_micros(at_us).into();
    // An interrupted sleep is a short one: every caller looks at the clock again.
    let _ = clock_nanosleep(ClockId::CLOCK_BOOTTIME, ClockNanosleepFlags::TIMER_ABSTIME, &at);
}

/// When to give up.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    at_us: u64,
}

impl Deadline {
    /// `ms` milliseconds from now.
    pub(crate) fn in_ms(ms: u64) -> Self {
        Self { at_us: now_us() + ms * 1000 }
    }

    /// Whether the moment has come.
    pub(crate) fn passed(self) -> bool {
        now_us() >= self.at_us
    }

    /// Milliseconds left, 0 when it has passed.
    pub(crate) fn left_ms(self) -> u64 {
        self.at_us.saturating_sub(now_us()) / 1000
    }
}

/// Waits until `done`, asking every `period_us`.
///
/// # Errors
/// `ETIMEDOUT` after `ms` milliseconds.
pub(crate) fn within(ms: u64, period_us: u64, mut done: impl FnMut() -> bool) -> nix::Result<()> {
    match poll(Deadline::in_ms(ms), period_us, || Ok(done())) {
        Ok(true) => Ok(()),
        _ => Err(nix::Error::ETIMEDOUT),
    }
}

/// Asks `done` every `period_us` until it is true or `deadline` passes; returns the last answer.
pub(crate) fn poll(
    deadline: Deadline,
    period_us: u64,
    mut done: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    loop {
        if done()? {
            return Ok(true);
        }
        if deadline.passed() {
            return Ok(false);
        }
        sleep_us(period_us);
    }
}
