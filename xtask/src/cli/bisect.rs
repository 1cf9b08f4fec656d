// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of `bisect`.

use clap::Args;

use super::{AccelChoice, BuildOptions, UserSeriesArgs};

/// Arguments of `bisect`.
#[derive(Debug, Args)]
pub(crate) struct Bisect {
    /// Id of a cell, or a part that only one id has
    #[arg(value_name = "CELL")]
    pub(crate) cell: String,
    /// Name of the run folder
    #[arg(long, default_value = "latest", value_name = "RUN")]
    pub(crate) run: String,
    /// Rule that is broken [default: the first that the cell breaks and should
    /// not, or its crash or hang]
    #[arg(long, value_name = "RULE")]
    pub(crate) rule: Option<String>,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    /// Search commits instead of patches: one without the fault, in the
    /// repository of --source
    #[arg(long, value_name = "COMMIT", requires_all = ["bad", "source"],
        conflicts_with = "series")]
    pub(crate) good: Option<String>,
    /// With --good: a commit with the fault
    #[arg(long, value_name = "COMMIT", requires = "good")]
    pub(crate) bad: Option<String>,
    /// Go on until the answer is so sure, in percent
    #[arg(long, default_value_t = 99.9, value_name = "PERCENT", value_parser = super::percent)]
    pub(crate) confidence: f64,
    /// Stop undecided after so many attempts
    #[arg(long, default_value_t = 500, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) attempts: u32,
    /// VMs in parallel
    #[arg(long, short, default_value_t = 2, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) jobs: u32,
    /// Go on with an interrupted search of the same: a run in results/bisect
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "latest")]
    pub(crate) resume: Option<String>,
    /// Accelerator of QEMU
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub(crate) accel: AccelChoice,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

pub(super) const BISECT_HELP: &str = "\
Without --series and --good the series is that of the run. Kernels are taken
from the cache where they are in it, as check-series left them. What does not
build or boot is skipped. The exit code is 0 if the first bad patch or commit
was found, and 1 if not.

Examples:
  cargo xtask bisect open-unkillable.v2.series
  cargo xtask bisect open-unkillable.v2.series --rule I2 --series fix.mbx
  cargo xtask bisect open-unkillable.v2.baseline --good v6.12.40 --bad v6.12.44 \\
      --source ~/linux
  cargo xtask bisect open-unkillable.v2.series --resume";
