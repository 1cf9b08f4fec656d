// SPDX-License-Identifier: MIT OR Apache-2.0
//! Takes a task exactly to its memcg's limit without going over it.
//!
//! Charges are whole pages, and the system calls that matter here charge some hundred bytes. To
//! know which call is the first over the limit, usage is raised page by page with open files, on
//! one CPU. That CPU's stock of precharged pages is used up once usage rises by a single page.

use std::ffi::CString;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::calls::open_kept;
use crate::memcg::Memcg;
use crate::observer::Gauge;
use crate::{arena, memcg, process};

/// Files that are needed at most: a stock of 64 pages and as many below the limit, some 21 a page.
const OPENS_MAX: u64 = 4096;

/// Makes the caller run on one CPU only, so that it uses only that CPU's stock of charged pages.
pub(crate) fn stay_on_cpu(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("run on CPU {cpu}"))
}

/// The usage of a memcg compared with its limit.
pub(crate) struct Level {
    usage: Gauge,
    limit_bytes: u64,
}

impl Level {
    /// Of this memcg. Call it in the root memcg: the first reading charges a buffer.
    pub(crate) fn of(memcg: &Memcg) -> Result<Self> {
        let limit_bytes = memcg.limit_bytes()?.context("a memcg without a limit")?;
        Ok(Self { usage: Gauge::open(&memcg.usage_file())?, limit_bytes })
    }

    /// Whether usage is above the limit; `None` if the memcg has been removed.
    pub(crate) fn is_over(&mut self) -> Option<bool> {
        Some(self.usage.bytes().ok()? > self.limit_bytes)
    }

    /// What is left below the limit, bytes; `None` if the memcg has been removed.
    pub(crate) fn room_bytes(&mut self) -> Option<u64> {
        Some(self.limit_bytes.saturating_sub(self.usage.bytes().ok()?))
    }

    /// A step that succeeds above the limit. `ENODATA` if usage is not above it, as on a kernel
    /// that lets no charge over it.
    pub(crate) fn must_be_over(&mut self) -> nix::Result<()> {
        if self.is_over() == Some(true) { Ok(()) } else { Err(Errno::ENODATA) }
    }
}

/// What a task needs to walk to its limit.
pub(crate) struct Brink {
    level: Level,
    page_bytes: u64,
    path: CString,
}

impl Brink {
    /// Prepares the caller, which must still be in the root memcg and stay on one CPU.
    pub(crate) fn of(memcg: &Memcg, name: &str) -> Result<Self> {
        let path = arena::create_file(&format!("brink-{name}"))?;
        process::reserve_files(OPENS_MAX)?;
        Ok(Self { level: Level::of(memcg)?, page_bytes: memcg::page_bytes(), path })
    }

    /// Opens files until at most `room_pages` are left below the limit and the CPU's stock is used
    /// up. Returns how many files share a page.
    ///
    /// # Errors
    /// An open fails or the limit is not reached.
    pub(crate) fn approach(&mut self, room_pages: u64) -> Result<u64> {
        let (mut before, mut since_rise) = (self.level.usage.bytes()?, 0);
        for _ in 0..OPENS_MAX {
            self.open()?;
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
        bail!("{OPENS_MAX} open files do not fill the memcg")
    }

    /// Goes on until usage is at the limit and the next object of more than a few hundred bytes
    /// needs a page above it. Fails as [`Self::approach`] does.
    pub(crate) fn step_to_the_edge(&mut self) -> Result<()> {
        /// Files for which the last page still has room.
        const LEFT: u64 = 3;
        let per_page = self.approach(0)?;
        for _ in LEFT..per_page {
            self.open()?;
        }
        Ok(())
    }

    fn open(&self) -> Result<()> {
        Ok(open_kept(&self.path).map(drop)?)
    }
}
