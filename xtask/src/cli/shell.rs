// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of `shell`.

use std::path::PathBuf;

use clap::Args;

use super::{AccelChoice, BuildOptions};

/// Arguments of `shell`.
#[derive(Debug, Args)]
pub(crate) struct Shell {
    /// Kernel in configs/kernels [default: that of --cell, or baseline]
    #[arg(value_name = "KERNEL")]
    pub(crate) kernel: Option<String>,
    /// Cell of a stored run whose memcgs the shell finds set up: its id, or a
    /// part that only one id has
    #[arg(long, value_name = "CELL")]
    pub(crate) cell: Option<String>,
    /// With --cell: name of the run folder
    #[arg(long, default_value = "latest", value_name = "RUN", requires = "cell")]
    pub(crate) run: String,
    /// Boot this bzImage as KERNEL instead of building it
    #[arg(long, value_name = "BZIMAGE", requires = "kernel")]
    pub(crate) image: Option<PathBuf>,
    /// Accelerator of QEMU
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub(crate) accel: AccelChoice,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

pub(super) const EXAMPLES: &str = "\
In the guest: memcg-guest lists and runs cells, enter runs a command in the
limited memcg, busybox has the rest. Ctrl-D powers off.

Examples:
  cargo xtask shell
  cargo xtask shell overcharge
  cargo xtask shell --cell open-unkillable.v2.series";
