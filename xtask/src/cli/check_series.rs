// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of `check-series`.

use clap::Args;

use super::{AccelChoice, BuildOptions, UserSeriesArgs};

/// Arguments of `check-series`.
#[derive(Debug, Args)]
pub(crate) struct CheckSeries {
    /// Kernel in configs/kernels whose series is looked at [default: overcharge; with --series that
    /// one]
    #[arg(value_name = "KERNEL", conflicts_with = "series")]
    pub(crate) kernel: Option<String>,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    /// Begin with this patch, counted from 1; those before it are applied and not looked at
    #[arg(long, value_name = "N")]
    pub(crate) from: Option<usize>,
    /// Look at this patch only
    #[arg(long, value_name = "N", conflicts_with = "from")]
    pub(crate) only: Option<usize>,
    /// Only apply, checkpatch and rustfmt: seconds, and nothing is built
    #[arg(long)]
    pub(crate) lint: bool,
    /// Accelerator
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub(crate) accel: AccelChoice,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}
