// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was seen of charges: by the probe on the charge function, by the patch's trace events, and
//! of a charge that was made to fail.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{LatencyUs, MemcgRole};

/// The function whose return the guest probes.
pub const CHARGE_FUNCTION: &str = "try_charge_memcg";

/// The trace event of every signal that is sent, in `events/signal`.
pub const SIGNAL_EVENT: &str = "signal_generate";

/// What [`CHARGE_FUNCTION`] returned to any caller, from `Started` until usage had settled. The
/// root memcg, where the guest's own processes are, is not charged and cannot fail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charges {
    /// Why the kernel could not be probed. If set, nothing below means anything.
    pub blind: Option<String>,
    /// Callers, innermost first, of the charges that the probe saw of the canary: a task that
    /// charges kernel memory and a user page before the load.
    pub proof: Vec<Vec<String>>,
    /// Charges seen.
    pub charges: u64,
    /// Charges that the probe missed, and failed ones that are in no row below.
    pub lost: u64,
    /// Charges that failed.
    pub failed: Vec<FailedCharges>,
    /// Tasks that were sent SIGKILL, in order; the first [`SIGKILLS_MAX`].
    #[serde(default)]
    pub sigkills: Vec<Sigkill>,
}

/// Most entries in [`Charges::sigkills`].
pub const SIGKILLS_MAX: usize = 100;

/// A task was sent SIGKILL, by the OOM killer or by another task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sigkill {
    /// Its PID.
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
    /// Pages per charge.
    pub pages: u32,
    /// What the charge returned (-12: `-ENOMEM`).
    pub error: i32,
    /// Callers, innermost first, at most 12.
    pub path: Vec<String>,
    /// Whether the task had been sent SIGKILL before.
    pub dying: bool,
    /// Number of charges.
    pub count: u64,
}

/// What the patch's trace events show, from `Started` until usage had settled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overcharges {
    /// Whether the kernel has such events. If not, nothing below means anything.
    pub traced: bool,
    /// Events that found no room in the ring buffer, or could not be read.
    pub lost: u64,
    /// The memcgs with a limit that have events.
    pub memcgs: Vec<Overcharged>,
}

/// The trace events of one memcg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overcharged {
    /// Which memcg.
    pub memcg: MemcgRole,
    /// Charges that went over its limit.
    pub charges: u64,
    /// Charges denied at the cap.
    pub denied: u64,
    /// Of the charges: paid, by an attempt to reconcile that left nothing above the limit.
    pub paid: u64,
    /// Of the charges: usage came back by itself.
    pub lapsed: u64,
    /// Of the charges: no event shows how they ended. Usage may still be above the limit, or have
    /// come back by itself, or with another memcg's: see the samples.
    pub open: u64,
    /// From the charge to the payment, of those that were paid, microseconds.
    pub paid_after_us: LatencyUs,
    /// Longest time from the first charge of a debt to the first attempt to pay it or the first
    /// kill (in any memcg), microseconds. Without either: to the last charge known to add to the
    /// debt.
    pub unattended_us_max: u64,
    /// How often the debt was deferred to the work item, by reason.
    pub deferred: BTreeMap<String, u64>,
    /// Attempts to reconcile, by outcome and by who made them (`paid by task`).
    pub reconciles: BTreeMap<String, u64>,
    /// PIDs of tasks that tried to reconcile it on their way to user mode; at most [`PAYERS_MAX`].
    #[serde(default)]
    pub payers: Vec<i32>,
    /// The ways in which charges over the limit were requested; at most [`ASKED_MAX`].
    pub asked: Vec<Asked>,
    /// When it owed, in order; the first [`DEBTS_MAX`] times.
    #[serde(default)]
    pub debts: Vec<Debt>,
    /// What the patch's counters must say by these events, by the names of the counters.
    #[serde(default)]
    pub counted: BTreeMap<String, u64>,
    /// Events that contradict themselves, by what is wrong with them.
    #[serde(default)]
    pub odd: BTreeMap<String, u64>,
    /// Furthest above the limit by any event, pages.
    #[serde(default)]
    pub excess_pages_max: Option<u64>,
    /// Least time from a charge that was deferred, in a memcg that owed nothing, to the first
    /// attempt to pay it, microseconds.
    #[serde(default)]
    pub deferred_us_min: Option<u64>,
}

/// Most entries in [`Overcharged::payers`]: those with the lowest PIDs. The processes of the guest
/// are older than any child of a workload.
pub const PAYERS_MAX: usize = 1000;

/// Most entries in [`Overcharged::asked`]. Charges requested in further ways count as lost.
pub const ASKED_MAX: usize = 100;

/// Charges over a limit with the same gfp and of the same size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Their gfp, by the names in the kernel's trace (`GFP_KERNEL_ACCOUNT`, `__GFP_NORETRY`, …).
    pub gfp: Vec<String>,
    /// Pages per charge.
    pub pages: u32,
    /// Number of charges.
    pub count: u64,
}

/// Most entries in [`Overcharged::debts`].
pub const DEBTS_MAX: usize = 100;

/// A time during which a memcg owed: from a charge over its limit until it owed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    /// The first charge over the limit, microseconds since `Started`.
    pub since_us: u64,
    /// When it was paid, microseconds since `Started`; if unpaid, the last charge over the limit.
    pub until_us: u64,
    /// How it ended.
    pub end: DebtEnd,
    /// Charges over the limit.
    pub charges: u64,
    /// How far usage went over the limit, pages.
    pub excess_pages_max: u64,
}

/// How a debt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DebtEnd {
    /// An attempt to reconcile left nothing above the limit.
    Paid,
    /// Usage came back by itself.
    Lapsed,
    /// No event shows it.
    Open,
}

/// One charge of one system call that was made to find its memcg at the limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injected {
    /// System call (`open`, `execve`, …).
    pub call: String,
    /// The charge, from 1.
    pub nth: u64,
    /// The charge itself; `None` if the call made no such charge, so all have been tried.
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
    /// Pages requested.
    pub pages: u32,
    /// What it returned.
    pub error: i32,
    /// Callers, innermost first.
    pub path: Vec<String>,
}
