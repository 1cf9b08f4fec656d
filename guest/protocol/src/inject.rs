// SPDX-License-Identifier: MIT OR Apache-2.0
//! One charge of one system call that was made to find its memcg at the limit.

use serde::{Deserialize, Serialize};

/// Workload that fails each charge of some system calls in turn; it is no cell of a matrix.
pub const INJECT_WORKLOAD: &str = "inject";

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injected {
    /// System call (`open`, `execve`, …).
    pub call: String,
    /// The charge, from 1.
    pub nth: u64,
    /// The charge itself; `None` when the call made no such charge, and so is over with.
    pub charge: Option<InjectedCharge>,
    /// What the call returned: `ok`, or the name of an errno.
    pub outcome: String,
    /// Charges over the limit that the patch counted meanwhile; `None` without its counters.
    pub overcharges: Option<u64>,
}

/// The charge that was made to fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InjectedCharge {
    /// Bits of its gfp, by the kernel's names.
    pub gfp: Vec<String>,
    /// Pages asked for.
    pub pages: u32,
    /// What it returned all the same.
    pub error: i32,
    /// Callers, innermost first.
    pub path: Vec<String>,
}
