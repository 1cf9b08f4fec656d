// SPDX-License-Identifier: MIT OR Apache-2.0
//! A task that charges one page of each kind to a memcg without a limit: what the probe must see.
//!
//! A compiler may put the probed function into its callers. The probe is then set on a function
//! that nobody calls, and sees nothing, which looks like a kernel that never fails.

use std::fs::File;
use std::io::{Read as _, Write as _};

use anyhow::{Context, Result, ensure};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::pipe;

use crate::board::Slot;
use crate::memcg::Memcg;
use crate::{process, shared};

/// Touched page by page; more than the stock of pages that a CPU keeps for a memcg is not needed,
/// every charge comes through the function.
const USER_BYTES: usize = 4 * 4096;

/// Put into a pipe, whose buffers are kernel memory.
const KERNEL_BYTES: usize = 4096;

/// Runs the task in `memcg`, from its fork to its end.
///
/// # Errors
///
/// When it cannot be forked, moved, or fails.
pub(super) fn charge(memcg: &Memcg) -> Result<()> {
    let slot: &'static Slot = shared::map_one()?;
    let (inside, told) = pipe().context("make a pipe")?;
    let (mut inside, mut told) = (File::from(inside), File::from(told));
    let pid = process::spawn(slot, "canary", process::OOM_NEVER, || {
        inside.read_exact(&mut [0]).context("wait to be moved")?;
        let (_kept, kernel) = pipe().context("make a pipe to fill")?;
        File::from(kernel).write_all(&[1; KERNEL_BYTES]).context("fill the pipe")?;
        std::hint::black_box(&mut vec![1_u8; USER_BYTES]);
        Ok(())
    })?;
    memcg.admit(pid).context("move the canary")?;
    told.write_all(&[0]).context("tell the canary")?;
    let status = waitpid(pid, None).context("wait for the canary")?;
    let fault = slot.fault().unwrap_or_default();
    ensure!(status == WaitStatus::Exited(pid, 0), "the canary ended with {status:?}: {fault}");
    Ok(())
}
