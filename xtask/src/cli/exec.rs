// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments for a program of the user as the load.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// A program in place of the matrix's scenarios.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExecArgs {
    /// Run this program as the load, on the kernels of the matrix: a static or dynamic x86-64
    /// program, a C file (compiled statically) or a script; its arguments follow, those that begin
    /// with a hyphen after --
    #[arg(long, num_args = 1.., value_names = ["PROGRAM", "ARG"],
        conflicts_with_all = ["partition", "plan"])]
    pub(crate) exec: Vec<String>,
    /// More arguments of the program
    #[arg(last = true, value_name = "ARG", requires = "exec")]
    pub(crate) exec_args: Vec<String>,
    /// File or folder that the program needs, at the same path in the guest; may be repeated
    #[arg(long, value_name = "PATH", requires = "exec")]
    pub(crate) with: Vec<PathBuf>,
    /// memory.max of the memcg that it runs in; `none` for a test that makes memcgs of its own
    #[arg(long, default_value = "32M", value_name = "SIZE", requires = "exec")]
    pub(crate) limit: String,
    /// Fill the memcg with a killable process first, to just below its limit
    #[arg(long, requires = "exec")]
    pub(crate) hog: bool,
    /// Forbid the OOM killer to kill the program (oom_score_adj -1000)
    #[arg(long, requires = "exec")]
    pub(crate) unkillable: bool,
    /// Interface of the memory controller
    #[arg(long, value_enum, default_value_t = Cgroup::V2, requires = "exec")]
    pub(crate) cgroup: Cgroup,
    /// Only this policy of a kernel that has several; may be repeated
    #[arg(long = "policy", value_name = "NAME", requires = "exec")]
    pub(crate) policies: Vec<String>,
    /// Kill the program after so many seconds of the guest
    #[arg(long, default_value_t = 30, value_name = "S", requires = "exec",
        value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) time_out: u64,
}

/// A version of the cgroup interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cgroup {
    /// memory.limit_in_bytes
    V1,
    /// memory.max
    V2,
}
