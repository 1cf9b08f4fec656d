// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bystander: holds memory in a sibling memcg of the limited one and must notice nothing.
//!
//! It times `stat()` of a file, first before the load (`control`), then every 10 ms while the load
//! runs (`stat`). The call charges nothing: a charge to another memcg pushes the limited one's
//! stock out of the CPU, and scenarios that walk to their limit page by page would lose count.

use std::fs::File;

use anyhow::{Context, Result};
use nix::sys::stat::stat;

use crate::board::{Board, Phase, Slot};
use crate::clock;

/// The first choice of an OOM killer that looks outside the memcg that is over its limit.
pub(crate) const OOM_SCORE_ADJ: i32 = 1000;

/// What it tallies.
pub(crate) const OPS: &[&str] = &["control", "stat"];
const CONTROL: usize = 0;
const STAT: usize = 1;

/// User memory that it holds, bytes, so that killing it would free some.
const HELD_BYTES: usize = 4 << 20;

/// Calls before the load.
const CONTROLS: u32 = 200;

/// Between two calls under load, microseconds.
const PERIOD_US: u64 = 10_000;

/// Runs until it is killed.
pub(crate) fn body(board: &Board, slot: &Slot) -> Result<()> {
    let path = c"/tmp/bystander";
    File::create(path.to_str()?).context("make the bystander's file")?;
    slot.reach(Phase::Ready);
    board.fill.pass();
    let held = vec![1_u8; HELD_BYTES];
    std::hint::black_box(&held);
    let look = |op: usize| {
        // How often it fails is in the tally.
        let _ = slot.tallies[op].call(|| stat(path));
    };
    for _ in 0..CONTROLS {
        look(CONTROL);
    }
    slot.reach(Phase::Done);
    board.start.pass();
    while !board.stop.is_up() {
        look(STAT);
        clock::sleep_us(PERIOD_US);
    }
    loop {
        clock::sleep_us(1_000_000);
    }
}
