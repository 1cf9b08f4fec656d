// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ways the guest ends: always by powering off, never by a dead PID 1.
//!
//! When PID 1 dies the kernel panics, and the host would blame the kernel for the guest's mistake.

use nix::sys::reboot::{RebootMode, reboot};
use protocol::Fact;

use crate::process;
use crate::{clock, port};

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
        eprintln!("guest: broken, and the host could not be told: {why}");
    }
    switch_off()
}

/// Powers off after everything was reported.
pub(crate) fn power_off() -> ! {
    nix::unistd::sync();
    switch_off()
}

fn switch_off() -> ! {
    // Returns only when it fails; the host's deadline then ends the machine.
    let failed = reboot(RebootMode::RB_POWER_OFF);
    eprintln!("guest: cannot power off: {failed:?}");
    loop {
        clock::sleep_us(1_000_000);
    }
}
