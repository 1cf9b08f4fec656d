// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of `inspect`.

use clap::Args;

use super::{BuildOptions, UserSeriesArgs};

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Id of a cell, or a part that only one id has
    #[arg(value_name = "CELL")]
    pub(crate) cell: String,
    /// Name of the run folder, of a run or of `repro --dump` [default: the
    /// newest with a dump of the cell, of these two]
    #[arg(long, default_value = "latest", value_name = "RUN")]
    pub(crate) run: String,
    /// Python to run in place of a prompt, for example 'memcgs()'
    #[arg(long, short, value_name = "CODE")]
    pub(crate) eval: Option<String>,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

pub(super) const EXAMPLES: &str = "\
Cells that hang leave a dump of the guest's memory, two of a run; repro --dump
makes one of any cell. drgn is installed into the cache. Commands: memcgs(),
owes(), tasks(), waits(PID). A cell on `series` needs the --series of its run.

Examples:
  cargo xtask inspect open-unkillable.v2.overcharge.overcharge
  cargo xtask inspect open-unkillable.v2.overcharge.overcharge -e 'owes()'";
