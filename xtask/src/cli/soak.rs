// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of `cargo xtask soak`.

use clap::Args;

use super::{BuildOptions, Select, Vms};

/// Arguments of `soak`.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Kernels in configs/kernels
    #[arg(default_values = ["overcharge-lockdep"], value_name = "KERNEL")]
    pub(crate) kernels: Vec<String>,
    /// No cell is begun after this
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) minutes: u32,
    /// No more cells than this
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cells: Option<u32>,
    /// Matrix in configs/matrices whose scenarios are run
    #[arg(long, default_value = "debug", value_name = "NAME")]
    pub(crate) matrix: String,
    #[command(flatten)]
    pub(crate) select: Select,
    #[command(flatten)]
    pub(crate) vms: Vms,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}
