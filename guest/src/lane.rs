// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a running task uses: its tallies, and when to stop.
//!
//! Used inside the limited memcg: nothing here allocates or touches fresh memory.

use std::cell::Cell;

use crate::board::{Board, Slot};
use crate::clock;
use crate::tally::Failure;

/// How often a waiting task looks, microseconds.
const LOOK_US: u64 = 1_000;

/// One task's view of the load.
pub(crate) struct Lane {
    board: &'static Board,
    slot: &'static Slot,
    rounds_left: Cell<u64>,
    failures_left: Cell<u64>,
}

impl Lane {
    /// A lane of at most `rounds` operations that ends earlier after `failures_max` failed calls.
    pub(crate) fn new(
        board: &'static Board,
        slot: &'static Slot,
        rounds: u64,
        failures_max: u64,
    ) -> Self {
        Self { board, slot, rounds_left: Cell::new(rounds), failures_left: Cell::new(failures_max) }
    }

    /// Whether to do one more operation; takes it from the number left.
    pub(crate) fn goes_on(&self) -> bool {
        let rounds_left = self.rounds_left.get();
        if rounds_left == 0 || self.failures_left.get() == 0 || self.board.stop.is_up() {
            return false;
        }
        self.rounds_left.set(rounds_left - 1);
        true
    }

    /// Whether the load is over, for a task that waits or counts by itself.
    pub(crate) fn stopped(&self) -> bool {
        self.board.stop.is_up()
    }

    /// Sleeps until `done` or the end of the load.
    pub(crate) fn wait_until(&self, mut done: impl FnMut() -> bool) {
        while !self.stopped() && !done() {
            clock::sleep_us(LOOK_US);
        }
    }

    /// Returns when every process must let go of what it holds and end.
    pub(crate) fn await_release(&self) {
        self.board.release.pass();
    }

    /// Makes one system call, tallied as number `op` of the part's `ops`. `None` is a failure that
    /// was counted.
    pub(crate) fn call<T, E: Into<Failure>>(
        &self,
        op: usize,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Option<T> {
        let outcome = self.slot.tallies[op].call(call).ok();
        if outcome.is_none() {
            self.failures_left.set(self.failures_left.get().saturating_sub(1));
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::shared;

    fn lane(rounds: u64, failures_max: u64) -> Lane {
        Lane::new(shared::map_one().unwrap(), shared::map_one().unwrap(), rounds, failures_max)
    }

    fn rounds_run(lane: &Lane, outcome: nix::Result<()>) -> u64 {
        let mut rounds = 0;
        while lane.goes_on() {
            lane.call(0, || outcome);
            rounds += 1;
        }
        rounds
    }

    #[test]
    fn ends_after_its_operations() {
        assert_eq!(rounds_run(&lane(5, 2), Ok(())), 5);
    }

    #[test]
    fn ends_after_its_failures() {
        assert_eq!(rounds_run(&lane(5, 2), Err(Errno::ENOMEM)), 2);
    }

    #[test]
    fn ends_when_the_load_is_over() {
        let lane = lane(5, 2);
        lane.board.stop.raise();
        assert_eq!(rounds_run(&lane, Ok(())), 0);
    }
}
