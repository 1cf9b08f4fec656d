// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of `coverage`.

use clap::Args;

use super::{BuildOptions, Select, UserSeriesArgs};

/// Arguments of `coverage`.
#[derive(Debug, Args)]
pub(crate) struct Coverage {
    /// Kernel in configs/kernels whose series is looked at [default: overcharge; with --series that
    /// one]
    #[arg(value_name = "KERNEL", conflicts_with = "series")]
    pub(crate) kernel: Option<String>,
    /// Matrix in configs/matrices: its cells on this kernel, or on one of the same code; may be
    /// repeated [default: full and booted; with --series default]
    #[arg(long = "matrix", value_name = "NAME")]
    pub(crate) matrices: Vec<String>,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    #[command(flatten)]
    pub(crate) select: Select,
    /// Cells that run at once [default: as cores and memory allow]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<u32>,
    /// Judge the cells of this run folder again and run none; may be repeated, for runs of some
    /// cells each
    #[arg(long = "run", value_name = "RUN")]
    #[arg(conflicts_with_all = ["matrices", "filter", "repetitions", "jobs"])]
    pub(crate) runs: Vec<String>,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}
