// SPDX-License-Identifier: MIT OR Apache-2.0
//! How times, sizes and numbers of instructions are summed up on the wire.

use serde::{Deserialize, Serialize};

/// Spread of a set of times, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyUs {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Largest.
    pub max: u64,
}

/// Spread of a set of sizes, bytes. The maximum is exact, the others at most 1/16 too high.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpreadBytes {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Largest.
    pub max: u64,
}

/// Most numbers in [`Instructions::frequent`].
pub const FREQUENT_MAX: usize = 12;

/// Spread of numbers of executed instructions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instructions {
    /// Smallest.
    pub min: u64,
    /// Median.
    pub median: u64,
    /// Largest: one call in some thousand is interrupted by the timer.
    pub max: u64,
    /// The most frequent numbers, each with how often it came, the most frequent first; at most
    /// [`FREQUENT_MAX`].
    pub frequent: Vec<(u64, u64)>,
}
