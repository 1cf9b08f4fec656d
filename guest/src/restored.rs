// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a snapshot makes stale: the wall clock stood still, and every guest that begins from it has
//! the same random numbers ahead.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::libc;
use nix::time::{ClockId, clock_settime};

use crate::random::Random;

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

/// Sets the clock, and the kernel's random numbers apart by the cell's own seed.
///
/// # Errors
///
/// When the kernel refuses.
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
