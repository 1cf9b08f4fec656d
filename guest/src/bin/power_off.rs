// SPDX-License-Identifier: MIT OR Apache-2.0
//! A PID 1 that only powers off: the floor that `cargo xtask bench` measures cells against.

use nix::sys::reboot::{RebootMode, reboot};

fn main() {
    // Returns only if it fails; PID 1 then ends, the kernel panics, and the bench reports that.
    let failed = reboot(RebootMode::RB_POWER_OFF);
    eprintln!("cannot power off: {failed:?}");
}
