// SPDX-License-Identifier: MIT OR Apache-2.0
//! What all processes of a cell share: gates that hold them, flags, and a slot for each.
//!
//! Waiting and waking happen at the memory limit, so they allocate nothing.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use nix::libc;

use crate::shared::Shareable;
use crate::tally::Tally;

/// Most kinds of call one process tallies.
pub(crate) const OPS_MAX: usize = 8;

/// Longest explanation of a failed process, bytes.
const FAULT_BYTES: usize = 256;

/// Holds processes until it is opened; never closes again.
#[repr(transparent)]
pub(crate) struct Gate(AtomicU32);

// SAFETY: one atomic; zero is a shut gate.
unsafe impl Shareable for Gate {}

impl Gate {
    /// Lets everybody pass, now and later.
    pub(crate) fn open(&self) {
        self.0.store(1, Ordering::SeqCst);
        self.futex(libc::FUTEX_WAKE, i32::MAX as u32);
    }

    /// Returns once the gate is open.
    pub(crate) fn pass(&self) {
        while self.0.load(Ordering::SeqCst) == 0 {
            self.futex(libc::FUTEX_WAIT, 0);
        }
    }

    fn futex(&self, operation: i32, value: u32) {
        let no_timeout = std::ptr::null::<libc::timespec>();
        // SAFETY: the word is a live, aligned u32 and both operations only read it. An early
        // return (EAGAIN, EINTR) is handled by the callers' loop.
        unsafe {
            libc::syscall(libc::SYS_futex, self.0.as_ptr(), operation, value, no_timeout);
        }
    }
}

/// What is common to all processes.
#[repr(C)]
pub(crate) struct Board {
    /// Opened when the hog may fill the memcg.
    pub(crate) fill: Gate,
    /// Opened when the load begins.
    pub(crate) start: Gate,
    /// Opened when every process lets go of what it holds and ends.
    pub(crate) release: Gate,
    /// Not zero when the load is over.
    pub(crate) stop: AtomicU32,
    /// Not zero when the observers hand over their findings.
    pub(crate) observed: AtomicU32,
    /// When the load began, microseconds since boot.
    pub(crate) started_us: AtomicU64,
}

// SAFETY: atomics only; all zero is: every gate shut, no flag set.
unsafe impl Shareable for Board {}

impl Board {
    /// Whether the load is over.
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) != 0
    }

    /// Whether the observers are to stop.
    pub(crate) fn observed(&self) -> bool {
        self.observed.load(Ordering::Relaxed) != 0
    }
}

/// How far a process has come. Before the first of these it is being set up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// Set up, memory locked, waits for its gate.
    Ready = 1,
    /// Has done its work and holds what it charged.
    Done = 2,
}

/// What one process writes for PID 1 to read.
#[repr(C)]
pub(crate) struct Slot {
    phase: AtomicU32,
    fault_bytes: AtomicU32,
    fault: [AtomicU8; FAULT_BYTES],
    /// One tally for each kind of call, in the order of the part's `ops`.
    pub(crate) tallies: [Tally; OPS_MAX],
}

// SAFETY: atomics only; all zero is: no phase reached, no fault, nothing tallied.
unsafe impl Shareable for Slot {}

impl Slot {
    /// Says how far the process has come.
    pub(crate) fn reach(&self, phase: Phase) {
        self.phase.store(phase as u32, Ordering::SeqCst);
    }

    /// Whether the process has come as far as `phase`.
    pub(crate) fn reached(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::SeqCst) >= phase as u32
    }

    /// Leaves an explanation for PID 1, cut at [`FAULT_BYTES`].
    pub(crate) fn explain(&self, why: &str) {
        let bytes = &why.as_bytes()[..why.len().min(FAULT_BYTES)];
        for (cell, byte) in self.fault.iter().zip(bytes) {
            cell.store(*byte, Ordering::Relaxed);
        }
        self.fault_bytes.store(bytes.len() as u32, Ordering::SeqCst);
    }

    /// The explanation left by the process, if any.
    pub(crate) fn fault(&self) -> Option<String> {
        let length = self.fault_bytes.load(Ordering::SeqCst) as usize;
        let bytes: Vec<u8> =
            self.fault[..length].iter().map(|cell| cell.load(Ordering::Relaxed)).collect();
        (length > 0).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared;

    #[test]
    fn a_fresh_slot_says_nothing() {
        let slot: &Slot = shared::map_one().unwrap();
        assert!(!slot.reached(Phase::Ready));
        assert_eq!(slot.fault(), None);
    }

    #[test]
    fn a_long_explanation_is_cut() {
        let slot: &Slot = shared::map_one().unwrap();
        slot.explain(&"x".repeat(1000));
        assert_eq!(slot.fault().unwrap().len(), FAULT_BYTES);
    }

    #[test]
    fn an_open_gate_holds_nobody() {
        let board: &Board = shared::map_one().unwrap();
        let waiter = std::thread::spawn(|| board.start.pass());
        board.start.open();
        waiter.join().unwrap();
        board.start.pass();
    }
}
