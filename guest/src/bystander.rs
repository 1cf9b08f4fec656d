// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bystander: holds memory in a memcg of its own beside the limited one, and must notice nothing.
//!
//! It asks for the state of a file again and again and times that, first before the load (`control`), then
//! each 10 ms while the load runs (`stat`). The call charges nothing: a charge to another memcg
//! pushes the limited one's stock out of the CPU, and scenarios that walk to their limit page by page
//! would not know where they stand.

use std::fs::File;

use anyhow::{Context, Result};
use nix::sys::stat::stat;

use crate::board::{Board, Phase, Slot};
use crate::clock;
use crate::tally::Failure;

/// The victim that an OOM killer would like best, were it to look outside the memcg that is over its
/// limit.
pub(crate) const OOM_SCORE_ADJ: i32 = 1000;

/// What it tallies.
pub(crate) const OPS: &[&str] = &["control", "stat"];
const CONTROL: usize = 0;
const STAT: usize = 1;

/// User memory that it holds, so that there is something to gain by killing it.
const HELD_BYTES: usize = 4 << 20;

/// Calls before the load.
const CONTROLS: u32 = 200;

/// Between two calls under load, microseconds.
const PERIOD_US: u64 = 10_000;

/// Its life, until it is killed.
///
/// # Errors
///
/// When the file cannot be made.
pub(crate) fn body(board: &Board, slot: &Slot) -> Result<()> {
    let path = c"/tmp/bystander";
    File::create(path.to_str()?).context("make the bystander's file")?;
    slot.reach(Phase::Ready);
    board.fill.pass();
    let held = vec![1_u8; HELD_BYTES];
    std::hint::black_box(&held);
    let look = |op: usize| {
        // How often it fails is in the tally.
        let _ = slot.tallies[op].call(|| stat(path).map_err(Failure::from));
    };
    for _ in 0..CONTROLS {
        look(CONTROL);
    }
    slot.reach(Phase::Done);
    board.start.pass();
    while !board.stopped() {
        look(STAT);
        clock::sleep_us(PERIOD_US);
    }
    loop {
        clock::sleep_us(1_000_000);
    }
}
