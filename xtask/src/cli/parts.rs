// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of runs that several machines share.

use std::path::PathBuf;

use clap::Args;

use super::{BuildOptions, Select, UserSeriesArgs};
use crate::plan::Share;

/// Which part of a matrix a run is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Partition {
    /// Run only part K of N, in results/parts; `cargo xtask merge` joins all
    #[arg(long, value_name = "K/N")]
    pub(crate) partition: Option<Share>,
    /// Plan from `cargo xtask plan`: it sets matrix, cells, seed, kernels and
    /// series
    #[arg(long, value_name = "FILE", requires = "partition",
        conflicts_with_all = ["matrix", "filter", "repetitions", "confidence", "seed", "series"])]
    pub(crate) plan: Option<PathBuf>,
    /// The run is a night: later nights are compared with it. A plan says
    /// that itself
    #[arg(long, conflicts_with_all = ["plan", "shuffle", "source"])]
    pub(crate) night: bool,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Matrix in configs/matrices
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) matrix: String,
    #[command(flatten)]
    pub(crate) select: Select,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    /// Number of parts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) parts: u32,
    /// File to write the plan to
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print NAME=VALUE lines for a CI system: parts, kernels, key
    #[arg(long)]
    pub(crate) variables: bool,
    /// The run is a night: later nights are compared with it
    #[arg(long, conflicts_with = "source")]
    pub(crate) night: bool,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// Run folder of a part, or a folder above such folders
    #[arg(required = true, value_name = "PART")]
    pub(crate) parts: Vec<PathBuf>,
    /// Join what is there although parts are missing or torn: an incomplete
    /// run, which is never a success
    #[arg(long)]
    pub(crate) partial: bool,
}
