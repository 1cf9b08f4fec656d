// SPDX-License-Identifier: MIT OR Apache-2.0
//! `loop-write`: a kernel thread charges kernel memory to a memcg on behalf of a task in it.
//!
//! The task writes to a loop device past the page cache. The device's worker, a kernel thread,
//! writes to the backing file in tmpfs with the writer's memcg as its active one
//! (`loop_handle_cmd()`, only on cgroup v2 with the io controller). That charges a page for the
//! data and nodes of the file's page tree (`xas_nomem()`): the offsets are so far apart that each
//! write needs seven nodes, a page of kernel memory. With room for one page left, the page of data
//! fits and the nodes go over the limit.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

use super::{Part, Plan, Terms, Workload};
use crate::arena::ARENA;
use crate::brink::{Brink, stay_on_cpu};
use crate::cue::Cue;
use crate::lane::Lane;
use crate::shared;
use crate::tally::Failure;

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("loop-write", &[("failures_max", 10)], plan)];

/// Size of the backing file, the largest for tmpfs: a page tree of nine levels.
const BACKING_BYTES: u64 = 1 << 62;

/// Distance between two writes: they share the two topmost levels of the tree.
const STRIDE_BYTES: u64 = 1 << 56;

/// Writes, at most.
const WRITES_MAX: u64 = BACKING_BYTES / STRIDE_BYTES;

/// Alignment of a write past the page cache, bytes.
const BLOCK_BYTES: usize = 4096;

#[repr(C, align(4096))]
struct Block([u8; BLOCK_BYTES]);

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    // The worker charges the memcg of the writer's io cgroup: without the controller, the root's.
    for memcg in [&terms.memcgs.root, &terms.memcgs.parent] {
        memcg.write("cgroup.subtree_control", "+io")?;
    }
    let cue: &'static Cue = shared::map_one()?;
    let (memcg, outsiders) = (terms.memcgs.limited.clone(), terms.memcgs.limited.clone());
    let actor = Part::new(&["write"], move |_| {
        stay_on_cpu(0)?;
        let mut brink = Brink::of(&memcg, "writer")?;
        let device = LoopDevice::make()?;
        let block = Box::new(Block([0xa5; BLOCK_BYTES]));
        Ok(move |lane: &Lane| {
            if cue.walk(|| brink.approach(1).is_ok()) {
                for number in (0..WRITES_MAX).take_while(|_| lane.goes_on()) {
                    lane.call(0, || write_at(&device.file, &block.0, number * STRIDE_BYTES));
                }
            }
            cue.returned.raise();
            device.remove();
        })
    });
    let outsider = Part::new(&[], move |_| {
        let memcg = outsiders.clone();
        Ok(move |_: &Lane| {
            // If it fails, the first writes are charged to the stock, and the scenario's facts show
            // that.
            let _ = memcg.drain();
            cue.drained.open();
            cue.go.open();
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}

fn write_at(device: &File, block: &[u8], offset: u64) -> Result<(), Failure> {
    if device.write_at(block, offset)? == block.len() { Ok(()) } else { Err(Failure::Short) }
}

/// A loop device over a fresh file in tmpfs.
struct LoopDevice {
    control: File,
    number: libc::c_int,
    file: File,
}

impl LoopDevice {
    fn make() -> Result<Self> {
        const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
        const LOOP_SET_FD: libc::Ioctl = 0x4c00;
        const LOOP_SET_STATUS64: libc::Ioctl = 0x4c04;
        /// `struct loop_info64`, in words, and the word whose upper half is `lo_flags`.
        const INFO_WORDS: usize = 29;
        const FLAGS_WORD: usize = 6;
        const LO_FLAGS_AUTOCLEAR: u64 = 4;

        let path = format!("{ARENA}/backing");
        let backing = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let backing = backing.with_context(|| format!("create {path}"))?;
        backing.set_len(BACKING_BYTES).with_context(|| format!("make {path} large"))?;
        let control = File::options().read(true).write(true).open("/dev/loop-control");
        let control = control.context("open /dev/loop-control: is CONFIG_BLK_DEV_LOOP set?")?;
        // SAFETY: takes no argument.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        let number = Errno::result(number).context("ask for a loop device")?;
        let path = format!("/dev/loop{number}");
        let file =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(&path);
        let file = file.with_context(|| format!("open {path}"))?;
        // SAFETY: the argument is an open file descriptor.
        let status = unsafe { libc::ioctl(file.as_raw_fd(), LOOP_SET_FD, backing.as_raw_fd()) };
        Errno::result(status).with_context(|| format!("put the file behind {path}"))?;
        let mut info = [0_u64; INFO_WORDS];
        info[FLAGS_WORD] = LO_FLAGS_AUTOCLEAR << 32;
        // SAFETY: the kernel reads a loop_info64 and `info` has its size.
        let status = unsafe { libc::ioctl(file.as_raw_fd(), LOOP_SET_STATUS64, info.as_ptr()) };
        Errno::result(status).with_context(|| format!("set up {path}"))?;
        Ok(Self { control, number, file })
    }

    /// Closes the file and removes the device. An idle worker would hold its last memcg for a
    /// minute (`LOOP_IDLE_WORKER_TIMEOUT`), which would look like a leak.
    fn remove(self) {
        const LOOP_CTL_REMOVE: libc::Ioctl = 0x4c81;
        drop(self.file);
        // SAFETY: the argument is a number. A failure shows as a memcg that stays (I5).
        let _ = unsafe { libc::ioctl(self.control.as_raw_fd(), LOOP_CTL_REMOVE, self.number) };
    }
}
