// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the probe on the charge itself saw.

use serde::{Deserialize, Serialize};

/// What `try_charge_memcg()` returned, to everybody, from `Started` until usage had settled. The root
/// memcg, where the guest's own processes are, is not charged and cannot fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charges {
    /// Why the kernel could not be probed; nothing below means anything then.
    pub blind: Option<String>,
    /// Callers, innermost first, of the charges that the probe saw of a task that was known to charge
    /// kernel memory and a user page before the load.
    pub proof: Vec<Vec<String>>,
    /// Charges seen.
    pub charges: u64,
    /// Charges that the probe missed, and failed ones that are in no row below.
    pub lost: u64,
    /// Charges that failed.
    pub failed: Vec<FailedCharges>,
}

/// Charges that failed in the same way, for the same caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCharges {
    /// Name of the task.
    pub task: String,
    /// Bits of its gfp, by the kernel's names (`DIRECT_RECLAIM`, `NORETRY`, …).
    pub gfp: Vec<String>,
    /// Pages asked for.
    pub pages: u32,
    /// What the charge returned (-12: `-ENOMEM`).
    pub error: i32,
    /// Callers, innermost first, at most 12.
    pub path: Vec<String>,
    /// Whether the task had been sent SIGKILL before.
    pub dying: bool,
    /// How many.
    pub count: u64,
}
