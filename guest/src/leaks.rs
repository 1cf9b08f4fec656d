// SPDX-License-Identifier: MIT OR Apache-2.0
//! On kernels with kmemleak: asks for a scan after the cell, and prints what it found.
//!
//! Contract: the console gets the kernel's own count and, with stacks, every object that nothing
//! points to; other kernels are not touched. Judging the console is not the guest's.

use std::fs::{self, File};
use std::io::Write as _;

use anyhow::{Context, Result};

use crate::clock;

const FILE: &str = "/sys/kernel/debug/kmemleak";

/// Objects younger than 5 s are never reported (`MSECS_MIN_AGE` in mm/kmemleak.c).
const AGE_US: u64 = 5_500_000;

/// The first scan only notes checksums, and an object is reported by the first scan that finds it
/// unchanged; the third is for what a pointer on its way hid from the second.
const SCANS: u32 = 3;

/// A record of kmemleak has about 20 lines; this is some fifty of them.
const LINES_MAX: usize = 1000;

/// Scans and prints.
///
/// # Errors
///
/// When the kernel has kmemleak and does not let it be used.
pub(crate) fn scan() -> Result<()> {
    if !fs::exists(FILE).unwrap_or(false) {
        return Ok(());
    }
    clock::sleep_us(AGE_US);
    for _ in 0..SCANS {
        fs::write(FILE, "scan").context("ask kmemleak for a scan")?;
    }
    let found = fs::read_to_string(FILE).context("read kmemleak")?;
    // One write a line: each becomes a record of the kernel log, and of the console.
    let mut log = File::options().write(true).open("/dev/kmsg").context("open /dev/kmsg")?;
    for line in found.lines().take(LINES_MAX) {
        // A full log buffer loses a line; the kernel's own count is on the console already.
        let _ = writeln!(log, "<4>kmemleak: {line}");
    }
    Ok(())
}
