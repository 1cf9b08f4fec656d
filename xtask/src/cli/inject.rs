// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of `cargo xtask inject`.

use clap::Args;

use super::{AccelChoice, BuildOptions};

/// Fail each charge of some system calls in turn.
#[derive(Clone, Debug, Args)]
pub(crate) struct Inject {
    /// Matrix whose kernels it is done on, its baseline first
    #[arg(long, default_value = "inject", value_name = "NAME")]
    pub(crate) matrix: String,
    /// Only this kernel of the matrix; may be repeated
    #[arg(long = "kernel", value_name = "NAME")]
    pub(crate) kernels: Vec<String>,
    /// Accelerator of the guests
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub(crate) accel: AccelChoice,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}
