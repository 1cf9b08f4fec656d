// SPDX-License-Identifier: MIT OR Apache-2.0
//! Watching the load from the root memcg: a sampler of usage and a heartbeat.
//!
//! Each is a process that opens and reads its files once before the load, and after it sends its
//! finding to PID 1 through a pipe. They watch from `Started` to `Settled`.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe;
use protocol::{Fact, Heartbeat};

use crate::board::{Board, Phase, Slot};
use crate::clock::{self, Deadline};
use crate::memcgs::Limit;
use crate::tally::Failure;
use crate::usage::UsageTrack;
use crate::{patience, process, shared};

/// Shortest sampling period, microseconds: a faster sampler would take a CPU under emulation.
const SAMPLE_US_MIN: u64 = 100;

/// Readings of usage, at most, that make one sample above the limit.
const READINGS_MAX: u32 = 4;

/// Period of the heartbeat, microseconds.
const BEAT_US: u64 = 10_000;

/// How a read fails when the memcg of the open file has been removed.
const REMOVED: Failure = Failure::Errno(Errno::ENODEV);

/// Real-time priority of the sampler: the lowest, above all ordinary processes.
const SAMPLER_PRIORITY: i32 = 1;

/// A watching process.
pub(crate) struct Observer {
    name: &'static str,
    slot: &'static Slot,
    finding: File,
}

impl Observer {
    /// Watches the usage of a memcg with a limit each `period_us`, for as long as it exists.
    pub(crate) fn sampler(
        board: &'static Board,
        limit: &Limit<'_>,
        period_us: u64,
    ) -> Result<Self> {
        let Limit { role, memcg, limit_bytes, .. } = *limit;
        Self::spawn("sampler", move |slot| {
            let usage = Gauge::open(&memcg.usage_file())?;
            let mut gauges = Gauges { usage, peak: Gauge::open(&memcg.peak_file())?, limit_bytes };
            process::become_urgent(SAMPLER_PRIORITY)?;
            let mut track = UsageTrack::new(limit_bytes);
            let ended_us = watch(board, slot, period_us.max(SAMPLE_US_MIN), |at_us| {
                match gauges.granted_bytes() {
                    Ok(bytes) => track.sample(at_us, bytes),
                    // A workload may remove a memcg. Its files end before its folder is gone.
                    Err(error) if Failure::of(&error) == REMOVED => track.look_in_vain(at_us),
                    Err(error) => return Err(error),
                }
                Ok(())
            })?;
            track.look_in_vain(ended_us);
            Ok(track.into_fact(role, period_us))
        })
    }

    /// Sleeps and wakes, as any task outside the memcg does.
    pub(crate) fn heartbeat(board: &'static Board) -> Result<Self> {
        Self::spawn("heartbeat", move |slot| {
            let (mut beats, mut last_us, mut gap_us_max) = (0, 0, 0);
            let ended_us = watch(board, slot, BEAT_US, |at_us| {
                beats += 1;
                gap_us_max = at_us.saturating_sub(last_us).max(gap_us_max);
                last_us = at_us;
                Ok(())
            })?;
            gap_us_max = ended_us.saturating_sub(last_us).max(gap_us_max);
            Ok(Fact::Heartbeat(Heartbeat { period_us: BEAT_US, beats, gap_us_max }))
        })
    }

    fn spawn(
        name: &'static str,
        watch: impl FnOnce(&'static Slot) -> Result<Fact>,
    ) -> Result<Self> {
        let slot: &'static Slot = shared::map_one()?;
        let (finding, told) = pipe().context("make a pipe")?;
        let mut told = File::from(told);
        process::spawn(slot, name, process::OOM_NEVER, || {
            let line = serde_json::to_string(&watch(slot)?)?;
            told.write_all(line.as_bytes()).context("hand over the finding")
        })?;
        Ok(Self { name, slot, finding: File::from(finding) })
    }

    /// Waits until the observer is ready to watch.
    ///
    /// # Errors
    /// It failed, or is not ready in time.
    pub(crate) fn await_ready(&self) -> Result<()> {
        let ready = clock::poll(Deadline::in_ms(patience::READY_MS), 1000, || {
            Ok(self.slot.reached(Phase::Ready) || self.slot.fault().is_some())
        })?;
        match self.slot.fault() {
            Some(why) => bail!("{}: {why}", self.name),
            None if ready => Ok(()),
            None => bail!("{} is not ready within {} ms", self.name, patience::READY_MS),
        }
    }

    /// Takes the finding, after [`Board::observed`] was set.
    ///
    /// # Errors
    /// The observer does not hand it over in time.
    pub(crate) fn finding(mut self) -> Result<Fact> {
        let deadline = Deadline::in_ms(patience::OBSERVER_MS);
        let mut line = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let mut ready = [PollFd::new(self.finding.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(deadline.left_ms()).unwrap_or(PollTimeout::MAX);
            if poll(&mut ready, timeout)? == 0 {
                bail!("{} hands nothing over", self.name);
            }
            let bytes = self.finding.read(&mut chunk)?;
            if bytes == 0 {
                break;
            }
            line.extend_from_slice(&chunk[..bytes]);
        }
        serde_json::from_slice(&line).with_context(|| {
            format!("{} ended without a finding: {:?}", self.name, self.slot.fault())
        })
    }
}

/// The files that show what is charged to a memcg.
struct Gauges {
    usage: Gauge,
    peak: Gauge,
    limit_bytes: u64,
}

impl Gauges {
    /// Usage without charges that are about to be refused.
    ///
    /// A charge is added before it is compared with the limit and removed if refused, so usage
    /// passes the limit for about a microsecond on every kernel, longer if the vCPU stops just then
    /// (measured: one sample in 2,500 at 1,000 refused charges per second). The peak counts granted
    /// charges only.
    fn granted_bytes(&mut self) -> Result<u64> {
        let mut bytes = self.usage.bytes()?;
        for _ in 1..READINGS_MAX {
            if bytes <= self.limit_bytes {
                return Ok(bytes);
            }
            bytes = bytes.min(self.usage.bytes()?);
        }
        Ok(bytes.min(self.peak.bytes()?))
    }
}

/// Calls `look` every `period_us` from the start of the load until the observers must stop, with
/// the time since the start. A missed moment is not made up for. Returns when it stopped.
fn watch(
    board: &Board,
    slot: &Slot,
    period_us: u64,
    mut look: impl FnMut(u64) -> Result<()>,
) -> Result<u64> {
    process::lock_memory()?;
    slot.reach(Phase::Ready);
    board.start.pass();
    let started_us = board.started_us.load(Ordering::SeqCst);
    let mut next_us = started_us;
    while !board.observed.is_up() {
        let now_us = clock::now_us();
        look(now_us.saturating_sub(started_us))?;
        next_us = (next_us + period_us).max(now_us);
        clock::sleep_until_us(next_us);
    }
    Ok(clock::now_us().saturating_sub(started_us))
}

/// An open file that holds one number; reading it again allocates nothing.
pub(crate) struct Gauge(File);

impl Gauge {
    /// Opens the file and reads it once, so that the kernel has its buffer.
    ///
    /// # Errors
    /// It cannot be read or holds no number.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let mut gauge = Self(file);
        gauge.bytes().with_context(|| format!("read {}", path.display()))?;
        Ok(gauge)
    }

    /// The number now.
    ///
    /// # Errors
    /// The file cannot be read or holds no number.
    pub(crate) fn bytes(&mut self) -> Result<u64> {
        let mut text = [0; 32];
        let length = self.0.read_at(&mut text, 0)?;
        std::str::from_utf8(&text[..length])?.trim().parse().context("not a number")
    }
}
