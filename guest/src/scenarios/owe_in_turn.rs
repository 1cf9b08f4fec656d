// SPDX-License-Identifier: MIT OR Apache-2.0
//! `owe-in-turn`: one task after another goes over the limit in a system call and sleeps in it.
//!
//! Each writes twice what a FIFO holds to a FIFO of its own, so it charges the pages of the first
//! half and sleeps. The outsider lets one begin every `period_ms`, and empties all FIFOs when usage
//! is back at the limit (`repay`).

use std::ffi::CString;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, read};

use super::owe::open_both_ways;
use super::owe_left::open_to_empty;
use super::{Part, Plan, Terms, Workload};
use crate::arena::ARENA;
use crate::brink::Level;
use crate::calls::write_whole;
use crate::clock;
use crate::cue::within;
use crate::lane::Lane;
use crate::shared::{self, Flag, Gate};

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("owe-in-turn", &[("period_ms", 50), ("repay_ms_max", 4_500)], plan)];

/// Twice what a FIFO holds, bytes.
const WRITE_BYTES: usize = 2 * (64 << 10);

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let paths = (0..terms.cell.tasks).map(|index| -> Result<CString> {
        let path = CString::new(format!("{ARENA}/turn-{index}"))?;
        mkfifo(path.as_c_str(), Mode::S_IRUSR | Mode::S_IWUSR).context("make a FIFO")?;
        Ok(path)
    });
    let paths = paths.collect::<Result<Vec<_>>>()?;
    let turns: &'static [Gate] = shared::map(paths.len())?;
    let done: &'static [Flag] = shared::map(paths.len())?;
    let actors_paths = paths.clone();
    let actor = Part::new(&["write"], move |index| {
        let index = index as usize;
        let fifo = open_both_ways(&actors_paths[index])?;
        let filling = vec![0xa5_u8; WRITE_BYTES];
        Ok(move |lane: &Lane| {
            turns[index].pass();
            lane.call(0, || write_whole(&fifo, &filling));
            done[index].raise();
        })
    });
    let limited = terms.memcgs.limited.clone();
    let (period_ms, repay_ms_max) = (terms.param("period_ms"), terms.param("repay_ms_max"));
    let outsider = Part::new(&["repay"], move |_| {
        let mut level = Level::of(&limited)?;
        let fifos = paths.iter().map(|path| open_to_empty(path));
        let fifos = fifos.collect::<Result<Vec<OwnedFd>>>()?;
        let mut sink = vec![0; WRITE_BYTES];
        Ok(move |lane: &Lane| {
            for turn in turns {
                turn.open();
                clock::sleep_us(period_ms * 1000);
            }
            lane.call(0, || within(repay_ms_max, || level.is_over() == Some(false)));
            lane.wait_until(|| {
                for fifo in &fifos {
                    while matches!(read(fifo, &mut sink), Ok(1..)) {}
                }
                done.iter().all(Flag::is_up)
            });
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}
