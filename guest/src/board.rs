// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the processes of a cell share: the gates that hold all of them, and a slot for each.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::shared::{Flag, Gate, Shareable};
use crate::tally::Tally;

/// Most kinds of call one process tallies.
pub(crate) const OPS_MAX: usize = 8;

/// Longest explanation of a failed process, bytes.
const FAULT_BYTES: usize = 256;

/// What is common to all processes.
#[repr(C)]
pub(crate) struct Board {
    /// Opened when the hog may fill the memcg.
    pub(crate) fill: Gate,
    /// Opened when the load begins.
    pub(crate) start: Gate,
    /// Opened when every process must let go of what it holds and end.
    pub(crate) release: Gate,
    /// The load is over.
    pub(crate) stop: Flag,
    /// The observers must hand over their findings.
    pub(crate) observed: Flag,
    /// When the load began, microseconds since boot.
    pub(crate) started_us: AtomicU64,
}

// SAFETY: atomics only; all zero is: every gate shut, no flag up.
unsafe impl Shareable for Board {}

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
    /// Notes how far the process has come.
    pub(crate) fn reach(&self, phase: Phase) {
        self.phase.store(phase as u32, Ordering::SeqCst);
    }

    /// Whether the process has reached `phase`.
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
}
