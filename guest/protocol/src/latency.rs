// SPDX-License-Identifier: MIT OR Apache-2.0
//! How times and sizes are summed up on the wire.

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
