// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words of the workload that measures costs instead of running a scenario.

use serde::{Deserialize, Serialize};

/// Workload that does nothing: the guest says Hello and, asked for it, that it has ended. What it
/// takes is what every cell takes.
pub const NOTHING_WORKLOAD: &str = "nothing";

/// Workload that measures costs instead of running a scenario (see [`crate::Fact::Cost`]).
pub const COST_WORKLOAD: &str = "cost";

/// Name of the measured step that is a known number of instructions and no system call.
pub const COST_KNOWN: &str = "known";

/// How many instructions [`COST_KNOWN`] is: a VM that reports another number does not count them.
pub const COST_KNOWN_INSTRUCTIONS: u64 = 1000;

/// Most numbers in [`Instructions::frequent`].
pub const FREQUENT_MAX: usize = 12;

/// Spread of numbers of executed instructions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instructions {
    /// Least.
    pub min: u64,
    /// Median.
    pub median: u64,
    /// Largest: one call in some thousand is interrupted by the timer.
    pub max: u64,
    /// Numbers that came most often, the most frequent first, each with how often; at most
    /// [`FREQUENT_MAX`].
    pub frequent: Vec<(u64, u64)>,
}
