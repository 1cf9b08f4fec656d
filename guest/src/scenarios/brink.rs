// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a task comes to stand exactly at its memcg's limit without going over it.
//!
//! Charges are whole pages, and the system calls that matter here charge some hundred bytes. To
//! know which call is the first over the limit, usage is raised page by page with kept open files,
//! on one CPU, whose stock of pages charged beforehand is used up when usage rises by a single page.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::IntoRawFd;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{OFlag, open};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::arena::ARENA;
use crate::memcg::Memcg;
use crate::observer::Gauge;
use crate::{boot, process};

/// Files that it takes at most: a stock of 64 pages and as many below the limit, some 21 a page.
const OPENS_MAX: u64 = 4096;

/// Makes the caller run on one CPU only, whose stock of charged pages is then the one it uses.
///
/// # Errors
///
/// When the kernel refuses.
pub(super) fn stay_on_cpu(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("run on CPU {cpu}"))
}

/// Where a memcg stands between nothing and its limit.
pub(super) struct Level {
    usage: Gauge,
    limit_bytes: u64,
}

impl Level {
    /// Of this memcg. To be opened in the root memcg: the first reading charges a buffer.
    ///
    /// # Errors
    ///
    /// When the memcg's files cannot be read.
    pub(super) fn of(memcg: &Memcg) -> Result<Self> {
        let limit_bytes = memcg.limit_bytes()?.context("a memcg without a limit")?;
        Ok(Self { usage: Gauge::open(&memcg.usage_file())?, limit_bytes })
    }

    /// Whether usage is above the limit; `None` when the memcg has been removed.
    pub(super) fn is_over(&mut self) -> Option<bool> {
        Some(self.usage.bytes().ok()? > self.limit_bytes)
    }
}

/// What a task needs to walk to its limit.
pub(super) struct Brink {
    level: Level,
    page_bytes: u64,
    path: CString,
}

impl Brink {
    /// Prepares the caller, which must still be in the root memcg and stay on one CPU.
    ///
    /// # Errors
    ///
    /// When the memcg's usage cannot be read or the file to open cannot be made.
    pub(super) fn of(memcg: &Memcg, name: &str) -> Result<Self> {
        let path = format!("{ARENA}/brink-{name}");
        File::create(&path).with_context(|| format!("create {path}"))?;
        process::reserve_files(OPENS_MAX)?;
        Ok(Self {
            level: Level::of(memcg)?,
            page_bytes: boot::page_bytes(),
            path: CString::new(path)?,
        })
    }

    /// Opens files until at most `room_pages` are left below the limit and the CPU's stock is used
    /// up. Returns how many files share a page.
    ///
    /// # Errors
    ///
    /// When an open fails or the limit is not reached.
    pub(super) fn approach(&mut self, room_pages: u64) -> Result<u64> {
        let (mut before, mut since_rise) = (self.level.usage.bytes()?, 0);
        for _ in 0..OPENS_MAX {
            self.open_one()?;
            since_rise += 1;
            let after = self.level.usage.bytes()?;
            if after == before {
                continue;
            }
            let room_bytes = self.level.limit_bytes.saturating_sub(after);
            let alone = after == before + self.page_bytes;
            if alone && room_bytes <= room_pages * self.page_bytes {
                return Ok(since_rise);
            }
            (before, since_rise) = (after, 0);
        }
        ensure!(false, "{OPENS_MAX} open files do not fill the memcg");
        Ok(0)
    }

    /// Goes on until usage is at the limit and the next object of more than a few hundred bytes
    /// needs a page above it.
    ///
    /// # Errors
    ///
    /// As [`Self::approach`].
    pub(super) fn step_to_the_edge(&mut self) -> Result<()> {
        /// Files for which the last page still has room.
        const LEFT: u64 = 3;
        let per_page = self.approach(0)?;
        for _ in LEFT..per_page {
            self.open_one()?;
        }
        Ok(())
    }

    fn open_one(&self) -> Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        open(self.path.as_c_str(), flags, Mode::empty()).map(IntoRawFd::into_raw_fd)?;
        Ok(())
    }
}
