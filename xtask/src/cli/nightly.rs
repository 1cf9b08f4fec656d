// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of what many machines and many nights need: `plan`, `merge`, `compare`, `history`,
//! `prune`.

use std::path::PathBuf;

use clap::Args;

use super::{BuildOptions, Select, UserSeriesArgs};
use crate::plan::Share;

/// Which part of a matrix a run is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Partition {
    /// Run part K of N only, into results/parts; `cargo xtask merge` makes one run of all
    #[arg(long, value_name = "K/N")]
    pub(crate) partition: Option<Share>,
    /// Plan written by `cargo xtask plan`: matrix, cells, seed, kernels and series are those in it
    #[arg(long, value_name = "FILE", requires = "partition",
        conflicts_with_all = ["matrix", "filter", "repetitions", "confidence", "seed", "series"])]
    pub(crate) plan: Option<PathBuf>,
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
    /// Print NAME=VALUE lines for a CI system instead of a table: parts, kernels, key
    #[arg(long)]
    pub(crate) variables: bool,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// Run folder of a part, or a folder above such folders
    #[arg(required = true, value_name = "PART")]
    pub(crate) parts: Vec<PathBuf>,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Run, or several with commas between them, whose numbers count together
    #[arg(value_name = "OLD")]
    pub(crate) old: String,
    /// The same for what is held beside it
    #[arg(value_name = "NEW", default_value = "latest")]
    pub(crate) new: String,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Only runs of this matrix
    #[arg(long, value_name = "NAME")]
    pub(crate) matrix: Option<String>,
    /// The newest so many runs of each matrix
    #[arg(long, default_value_t = 30, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) last: u32,
    /// The page to write [default: history.html in the results folder]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Arguments of `prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Runs that are kept however old they are: the newest N
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) keep: usize,
    /// Runs that are kept however many they are: those of the last D days
    #[arg(long, default_value_t = 14, value_name = "D")]
    pub(crate) days: u32,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short, conflicts_with = "dry_run")]
    pub(crate) yes: bool,
}

pub(super) const COMPARE_HELP: &str = "Ends with 1 when something got worse: a verdict, a verdict beside the baseline, or a number beyond chance.

Examples:
  cargo xtask compare 2026-01-30T04-00-00Z latest
  cargo xtask compare 2026-01-28T04-00-00Z,2026-01-29T04-00-00Z,2026-01-30T04-00-00Z latest";

pub(super) const PRUNE_HELP: &str =
    "Removed is a run that is none of the newest N, is older than D days, is not `latest`, and is not in
progress. Only folders that are named like a run are looked at, also in results/parts, bench and inject.";
