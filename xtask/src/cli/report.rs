// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of `report`.

use clap::Args;

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Run folder name
    #[arg(default_value = "latest", value_name = "RUN")]
    pub(crate) run: String,
}
