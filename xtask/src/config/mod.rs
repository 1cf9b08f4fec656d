// SPDX-License-Identifier: MIT OR Apache-2.0
//! TOML text -> validated values. Pure: the caller reads the files and gives name and text.
//!
//! Raw structures refuse unknown keys; checked values hold what the rest of the program relies on.
//! An error names file, line and column, and what would be right.

use std::collections::BTreeMap;
use std::path::PathBuf;

use protocol::{CgroupVersion, MemcgWrite};

use crate::verdict::Verdict;

/// An unpatched kernel source of one version (`configs/bases/<name>.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// For example `6.12`.
    pub name: String,
    /// Debian package that holds the source, for example `linux-source-6.12`.
    pub debian_package: String,
}

/// What one build makes (`configs/kernels/<name>.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// For example `overcharge`.
    pub name: String,
    /// Name of its [`Base`].
    pub base: String,
    /// Folder with a `series` file, relative to the workspace; `None` for an unpatched kernel.
    pub series: Option<PathBuf>,
    /// Patches on top of the series (a mutant's one bug), relative to the workspace.
    pub extra_patches: Vec<PathBuf>,
    /// Kernel whose work tree it builds in, so that only what differs is compiled; itself if unset.
    pub tree: String,
    /// Fragments in `configs/fragments`, without `.config`, in order.
    pub fragments: Vec<String>,
    /// Policies it can run under; exactly one, `mainline`, where it has none.
    pub policies: Vec<Policy>,
    /// Flat-keyed counters file of the patch in a memcg.
    pub counters_file: Option<String>,
    /// File with the cap in bytes in a memcg.
    pub cap_file: Option<String>,
}

/// Run-time behaviour of a kernel: what is written into the limited memcg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `mainline`, `off`, `overcharge`, …
    pub name: String,
    /// Which of a scenario's expectations holds: `off` expects what `mainline` does.
    pub expects_as: String,
    /// Writes that switch it on.
    pub writes: Vec<MemcgWrite>,
}

/// One workload in one memcg set-up (`configs/scenarios/<name>.toml`).
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// For example `open-unkillable`.
    pub name: String,
    /// One line.
    pub title: String,
    /// A paragraph that a kernel developer can check against the source.
    pub about: String,
    /// Guest function.
    pub workload: String,
    /// Interfaces it makes sense on.
    pub cgroups: Vec<CgroupVersion>,
    /// `memory.max`, bytes.
    pub limit_bytes: u64,
    /// Acting tasks.
    pub tasks: u32,
    /// Whether they may be killed.
    pub killable: bool,
    /// Bytes of the hog, 0 for none.
    pub hog_bytes: u64,
    /// Operations per task at most.
    pub operations: u64,
    /// Longest load, milliseconds.
    pub load_ms_max: u64,
    /// Sampler period, microseconds.
    pub sample_period_us: u64,
    /// Numbers only the workload knows.
    pub params: BTreeMap<String, u64>,
    /// The problem the patch exists to solve, asked of every kernel alike.
    pub problem: Vec<Condition>,
    /// What each policy is expected to do, by [`Policy::expects_as`].
    pub expect: BTreeMap<String, Expectation>,
}

/// What a scenario expects of one policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Verdict.
    pub verdict: Verdict,
    /// Rules that are broken when the verdict is FAIL, in order.
    pub breaks: Vec<String>,
    /// Unless all hold, the path under test never ran: INCONCLUSIVE.
    pub exercised: Vec<Condition>,
    /// Must hold too: rule `E`.
    pub facts: Vec<Condition>,
}

/// A fact compared with a number: `"open.ENOMEM" = ">= 1"`.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Name of the fact.
    pub fact: String,
    /// How to compare.
    pub comparison: Comparison,
    /// The number.
    pub number: f64,
}

/// How a [`Condition`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `<`
    Below,
}

/// Which cells exist (`configs/matrices/<name>.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// For example `default`.
    pub name: String,
    /// Kernels, baseline first.
    pub kernels: Vec<String>,
    /// The kernel that differential verdicts compare with; one of `kernels`.
    pub baseline: String,
    /// Scenarios.
    pub scenarios: Vec<String>,
    /// Repetitions of each cell, at least 1.
    pub repetitions: u32,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Guest memory, MiB.
    pub memory_mib: u32,
    /// Words added to the kernel command line.
    pub cmdline: Vec<String>,
}
