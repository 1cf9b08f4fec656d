// SPDX-License-Identifier: MIT OR Apache-2.0
//! `pipe-long`: one system call charges far more than any cap, and each page is given back at once.
//!
//! A task at its limit writes to a FIFO that the outsider empties: `write()` charges a page of
//! kernel memory for each page written and sleeps when the FIFO is full, the reader uncharges it.
//! So usage is never more than a FIFO's pages above the limit, however long the call is. The reader
//! is on another CPU, or what it uncharges would be the stock of the writer.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::unistd::read;

use super::owe::{make_fifo, open_both_ways};
use super::owe_left::open_to_empty;
use super::{Part, Plan, Terms, Workload};
use crate::brink::{Brink, stay_on_cpu};
use crate::calls::write_whole;
use crate::cue::Cue;
use crate::lane::Lane;
use crate::{boot, shared};

/// `write_bytes`: what the task writes in one call.
pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("pipe-long", &[("write_bytes", 16 << 20)], plan)];

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let path = make_fifo()?;
    let cue: &'static Cue = shared::map_one()?;
    let (memcg, limited) = (terms.memcgs.limited.clone(), terms.memcgs.limited.clone());
    let write_bytes = terms.param("write_bytes") as usize;
    let actors_path: CString = path.clone();
    let actor = Part::new(&["write"], move |_| {
        stay_on_cpu(0)?;
        let mut brink = Brink::of(&memcg, "actor")?;
        let fifo = open_both_ways(&actors_path)?;
        let filling = vec![0xa5_u8; write_bytes];
        Ok(move |lane: &Lane| {
            if cue.walk(|| brink.approach(0).is_ok()) {
                lane.call(0, || write_whole(&fifo, &filling));
            }
            cue.returned.raise();
        })
    });
    let outsider = Part::new(&[], move |_| {
        stay_on_cpu(*boot::cpus()?.last().context("no CPU is online")?)?;
        let limited = limited.clone();
        let fifo: OwnedFd = open_to_empty(&path)?;
        let mut sink = vec![0; 64 << 10];
        Ok(move |lane: &Lane| {
            let _ = limited.drain();
            cue.drained.open();
            cue.go.open();
            lane.wait_until(|| {
                while matches!(read(&fifo, &mut sink), Ok(1..)) {}
                cue.returned.is_up()
            });
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}
