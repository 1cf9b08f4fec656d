// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the host did to a VM: QEMU stopped, the harness not running, the host suspended, the OOM
//! killer at work.
//!
//! Contract: looked at in every turn of a session. A cell that met one of these says nothing about
//! the kernel: its times and its silence are the host's.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::process::Vm;
use crate::host::file;

/// A shorter stop is no more than a busy host.
const HALT_MIN: Duration = Duration::from_secs(1);
/// A turn takes a tenth of a second. After this the harness itself did not run.
const LAPSE_MIN: Duration = Duration::from_secs(5);

/// What the host did so far.
#[derive(Debug)]
pub(super) struct Watch {
    last: Instant,
    halted: Duration,
    lapsed: Duration,
    asleep: Option<Duration>,
    oom_kills: Option<u64>,
}

impl Watch {
    /// From now on.
    pub(super) fn begin() -> Self {
        let (last, none) = (Instant::now(), Duration::ZERO);
        let (asleep, oom_kills) = (asleep(), oom_kills());
        Self { last, halted: none, lapsed: none, asleep, oom_kills }
    }

    /// Takes the time since the last look.
    pub(super) fn look(&mut self, vm: &Vm) {
        let now = Instant::now();
        self.passed(now.duration_since(self.last), vm.is_stopped());
        self.last = now;
    }

    fn passed(&mut self, time: Duration, stopped: bool) {
        if stopped {
            self.halted += time;
        } else if time >= LAPSE_MIN {
            self.lapsed += time;
        }
    }

    /// Why the cell says nothing about the kernel, if the host did that.
    pub(super) fn trouble(&self) -> Option<String> {
        let slept = self.asleep.zip(asleep()).map(|(then, now)| now.saturating_sub(then));
        let (halted, lapsed) = (self.halted.as_millis(), self.lapsed.as_millis());
        if self.halted >= HALT_MIN {
            return Some(format!("QEMU was stopped for {halted} ms (SIGSTOP, or a debugger)"));
        }
        if self.lapsed >= LAPSE_MIN {
            return Some(format!("the harness did not run for {lapsed} ms (stopped or starved)"));
        }
        slept
            .filter(|slept| *slept >= HALT_MIN)
            .map(|slept| format!("the host was suspended for {} s", slept.as_secs()))
    }

    /// Whether the host's OOM killer killed a process meanwhile, for messages.
    pub(super) fn oom_killed(&self) -> bool {
        self.oom_kills.zip(oom_kills()).is_some_and(|(then, now)| now > then)
    }
}

/// How long the host has been suspended since it booted.
fn asleep() -> Option<Duration> {
    let boot = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
    let awake = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?);
    boot.checked_sub(awake)
}

/// Processes that the host's kernel has killed because memory ran out, in any memcg.
fn oom_kills() -> Option<u64> {
    let vmstat = file::text("/proc/vmstat").ok()?;
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_counts_from_a_second_and_a_lapse_from_five() {
        let (tick, second) = (Duration::from_millis(100), Duration::from_secs(1));
        let after = |turns: &[(Duration, bool)]| {
            let mut watch = Watch::begin();
            turns.iter().for_each(|(time, stopped)| watch.passed(*time, *stopped));
            watch.trouble().unwrap_or_default()
        };
        assert_eq!(after(&[(tick, false), (second * 4, false), (tick * 9, true)]), "");
        assert!(after(&[(tick * 9, true), (tick, true)]).contains("stopped for 1000 ms"));
        assert!(after(&[(second * 5, false)]).contains("did not run for 5000 ms"));
        let mut slept = Watch::begin();
        slept.asleep = slept.asleep.map(|asleep| asleep.saturating_sub(second * 7));
        if slept.asleep.is_some_and(|asleep| asleep > Duration::ZERO) {
            assert!(slept.trouble().unwrap().contains("suspended for 7 s"));
        }
    }
}
