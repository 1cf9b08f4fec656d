// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the probe on the charge itself saw, and the trace events of the patch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{LatencyUs, MemcgRole};

/// What `try_charge_memcg()` returned, to everybody, from `Started` until usage had settled. The
/// root memcg, where the guest's own processes are, is not charged and cannot fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charges {
    /// Why the kernel could not be probed; nothing below means anything then.
    pub blind: Option<String>,
    /// Callers, innermost first, of the charges that the probe saw of a task that was known to
    /// charge kernel memory and a user page before the load.
    pub proof: Vec<Vec<String>>,
    /// Charges seen.
    pub charges: u64,
    /// Charges that the probe missed, and failed ones that are in no row below.
    pub lost: u64,
    /// Charges that failed.
    pub failed: Vec<FailedCharges>,
    /// Who was sent SIGKILL and when, in order; the first [`SIGKILLS_MAX`].
    #[serde(default)]
    pub sigkills: Vec<Sigkill>,
}

/// Tasks sent SIGKILL that are told one by one, at most.
pub const SIGKILLS_MAX: usize = 100;

/// A task was sent SIGKILL, by the OOM killer or by another task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sigkill {
    /// Its pid.
    pub pid: i32,
    /// When, microseconds since `Started`.
    pub at_us: u64,
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

/// What the patch's own trace events say, from `Started` until usage had settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overcharges {
    /// Whether the kernel has such events; nothing below means anything where not.
    pub traced: bool,
    /// Events that found no room in the ring buffer, or could not be read.
    pub lost: u64,
    /// Memcgs with a limit that any event is of.
    pub memcgs: Vec<Overcharged>,
}

/// The same of one memcg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overcharged {
    /// Which.
    pub memcg: MemcgRole,
    /// Charges that went over its limit.
    pub charges: u64,
    /// Charges denied at the cap.
    pub denied: u64,
    /// Of the charges: paid, by an attempt to reconcile that left nothing above the limit.
    pub paid: u64,
    /// Of the charges: usage came back by itself.
    pub lapsed: u64,
    /// Of the charges: no event tells how they ended. Usage may be above the limit still, or have
    /// come back by itself, or with another memcg's: the samples tell.
    pub open: u64,
    /// From the charge to the payment, of those that were paid.
    pub paid_after_us: LatencyUs,
    /// Longest time from the first charge of a debt to the first attempt to pay it or the first
    /// kill (of any memcg), or where there was neither to the last charge that is known to add to
    /// it.
    pub unattended_us_max: u64,
    /// How often the work item was told to see to it, by reason.
    pub deferred: BTreeMap<String, u64>,
    /// Attempts to reconcile by how they ended and who made them (`paid by task`).
    pub reconciles: BTreeMap<String, u64>,
    /// How the charges that went over its limit were asked for, each way once; no more than
    /// [`ASKED_MAX`] ways.
    pub asked: Vec<Asked>,
    /// When it owed, in order; the first [`DEBTS_MAX`] times.
    #[serde(default)]
    pub debts: Vec<Debt>,
}

/// Ways to ask that are told apart, at most: gfp and size. Charges in others count as lost.
pub const ASKED_MAX: usize = 100;

/// Charges that went over a limit with the same gfp and of the same size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Their gfp, in the words of the kernel's trace (`GFP_KERNEL_ACCOUNT`, `__GFP_NORETRY`, …).
    pub gfp: Vec<String>,
    /// Pages of each.
    pub pages: u32,
    /// How many.
    pub count: u64,
}

/// Times for which a memcg owed that are told one by one, at most.
pub const DEBTS_MAX: usize = 100;

/// A time for which a memcg owed: from a charge over its limit until it owed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    /// The first charge over the limit, microseconds since `Started`.
    pub since_us: u64,
    /// When it was paid, the same; if it was not, the last charge over the limit.
    pub until_us: u64,
    /// How it ended.
    pub end: DebtEnd,
    /// Charges over the limit.
    pub charges: u64,
    /// How far the furthest of them went over it, pages.
    pub excess_pages_max: u64,
}

/// How a time for which a memcg owed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DebtEnd {
    /// An attempt to reconcile left nothing above the limit.
    Paid,
    /// Usage came back by itself.
    Lapsed,
    /// No event tells.
    Open,
}
