// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ways the guest ends: always by powering off, never by a dead PID 1.
//!
//! If PID 1 died, the kernel would panic, and the host would blame the kernel for the guest's
//! mistake. If PID 1 is stuck in the kernel (a write, an unmount, a fork may never return), the
//! watchdog prints the memcgs, makes the kernel print the stacks of blocked tasks, reports on the
//! port which step hung, and powers off. `Ended` is missing then, and the console has the evidence.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use anyhow::Result;
use nix::sys::reboot::{RebootMode, reboot};
use protocol::{CellRequest, Fact};

use crate::board::Slot;
use crate::port::Port;
use crate::{clock, look, patience, port, process, shared};

/// Set in a command of a shell, which must not take the machine down with it.
static ONLY_EXITS: AtomicBool = AtomicBool::new(false);

/// Makes the ends of this process and its children ends of processes.
pub(crate) fn exit_in_place_of_power_off() {
    ONLY_EXITS.store(true, Ordering::SeqCst);
}

/// Turns a panic of PID 1 into [`broken`] and one of a child into its exit status.
pub(crate) fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| match process::own_slot() {
        Some(slot) => {
            slot.explain(&panic.to_string());
            process::exit_now(process::EXIT_FAULT)
        }
        None => broken(&panic.to_string()),
    }));
}

/// Reports that the guest itself failed, and powers off.
pub(crate) fn broken(why: &str) -> ! {
    let said = port::installed().map(|port| port.send(Fact::Broken { why: why.to_owned() }));
    if !matches!(said, Some(Ok(()))) {
        eprintln!("guest: broken, and cannot report it to the host: {why}");
    }
    switch_off()
}

/// Powers off after everything was reported.
pub(crate) fn power_off() -> ! {
    nix::unistd::sync();
    switch_off()
}

fn switch_off() -> ! {
    if ONLY_EXITS.load(Ordering::SeqCst) {
        process::exit_now(process::EXIT_FAULT);
    }
    // Returns only when it fails; the host's deadline then ends the machine.
    let failed = reboot(RebootMode::RB_POWER_OFF);
    eprintln!("guest: cannot power off: {failed:?}");
    loop {
        clock::sleep_us(1_000_000);
    }
}

/// Above the sampler, so that a runaway sampler cannot keep it from running.
const PRIORITY: i32 = 2;

/// How often it looks, microseconds.
const LOOK_US: u64 = 100_000;

/// The steps of a cell, in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Requirements, memcgs, the workload's files.
    SetUp = 0,
    /// Processes are forked and take their places.
    Muster,
    /// The load runs.
    Load,
    /// Usage is waited for.
    Settle,
    /// Processes end.
    Disband,
    /// Memory is given back.
    Empty,
    /// The memcg is removed.
    Remove,
    /// Leaks are looked for, where the kernel can.
    Leaks,
}

const STEPS: [Step; 8] = [
    Step::SetUp,
    Step::Muster,
    Step::Load,
    Step::Settle,
    Step::Disband,
    Step::Empty,
    Step::Remove,
    Step::Leaks,
];

impl Step {
    /// The longest that the step can take while PID 1 is not stuck, milliseconds.
    fn whole_ms(self, load_ms_max: u64) -> u64 {
        use patience::{
            DISK_MS, DYING_MS, EMPTY_MS, EXIT_MS, FILL_MS, LEAKS_MS, LEAVE_MS, LEDGER_MS,
            OBSERVER_MS, PREPARE_MS, READY_MS, REST_MS, SETTLE_MS, SLACK_MS,
        };
        let limits_ms = match self {
            Self::SetUp => DISK_MS + PREPARE_MS,
            // Two observers and the crew.
            Self::Muster => 3 * READY_MS + FILL_MS,
            Self::Load => load_ms_max,
            // The first two for a program of the user and its children.
            Self::Settle => 2 * EXIT_MS + SETTLE_MS + REST_MS + 2 * OBSERVER_MS,
            // Those inside memcgs, then the outsider.
            Self::Disband => 2 * (LEAVE_MS + EXIT_MS),
            Self::Empty => EMPTY_MS,
            Self::Remove => DYING_MS + LEDGER_MS,
            Self::Leaks => LEAKS_MS,
        };
        limits_ms + SLACK_MS
    }
}

/// Where PID 1 notes its progress.
pub(crate) struct Watchdog {
    load_ms_max: u64,
    step: &'static AtomicU32,
    until_us: &'static AtomicU64,
}

impl Watchdog {
    /// Starts watching, as soon as there is a request; [`Step::SetUp`] begins.
    pub(crate) fn start(cell: &CellRequest) -> Result<Self> {
        let watchdog = Self {
            load_ms_max: cell.load_ms_max,
            step: shared::map_one()?,
            until_us: shared::map_one()?,
        };
        watchdog.begins(Step::SetUp);
        let slot: &'static Slot = shared::map_one()?;
        process::spawn(slot, "watchdog", process::OOM_NEVER, || {
            process::become_urgent(PRIORITY)?;
            process::lock_memory()?;
            let mut looked = false;
            while clock::now_us() < watchdog.until_us.load(Ordering::SeqCst) {
                clock::sleep_us(LOOK_US);
                if !looked && port::installed().is_some_and(Port::has_more) {
                    look::print();
                    looked = true;
                }
            }
            look::print();
            // Blocked tasks with their stacks, to the console.
            let _ = fs::write("/proc/sysrq-trigger", "w");
            let step = STEPS[watchdog.step.load(Ordering::SeqCst) as usize];
            let whole_ms = step.whole_ms(watchdog.load_ms_max);
            broken(&format!("PID 1 is stuck in step {step:?} for {whole_ms} ms"))
        })?;
        Ok(watchdog)
    }

    /// One that nobody looks at: a person is there.
    pub(crate) fn none() -> Result<Self> {
        Ok(Self { load_ms_max: 0, step: shared::map_one()?, until_us: shared::map_one()? })
    }

    /// Notes which step begins.
    pub(crate) fn begins(&self, step: Step) {
        // The time first: in between, the step that ends has a little more.
        let until_us = clock::now_us() + step.whole_ms(self.load_ms_max) * 1000;
        self.until_us.store(until_us, Ordering::SeqCst);
        self.step.store(step as u32, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_found_by_its_number() {
        for (number, step) in STEPS.iter().enumerate() {
            assert_eq!(*step as usize, number);
        }
    }

    #[test]
    fn a_step_may_take_longer_than_its_own_waits() {
        assert!(Step::Load.whole_ms(12_000) > 12_000);
        assert!(Step::Settle.whole_ms(0) > patience::SETTLE_MS + 2 * patience::OBSERVER_MS);
    }
}
