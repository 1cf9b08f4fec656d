// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of `bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{AccelChoice, BuildOptions, image};

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Times each thing is measured, interleaved
    #[arg(long, default_value_t = 5, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Only this part
    #[arg(long, value_enum, value_name = "PART")]
    pub(crate) only: Option<BenchPart>,
    /// Matrix that is run as a whole, and whose kernels have their instructions counted, its
    /// baseline first
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) matrix: String,
    /// Use this bzImage for a kernel and build nothing for it
    #[arg(long = "image", value_name = "KERNEL=BZIMAGE", value_parser = image)]
    pub(crate) images: Vec<(String, PathBuf)>,
    /// Accelerator of the timed part; instructions are always counted under TCG
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub(crate) accel: AccelChoice,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

/// A part of `bench`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchPart {
    /// Seconds a cell.
    Cells,
    /// Seconds a whole matrix, also after an edit of the series.
    Matrix,
    /// Instructions per system call.
    Cost,
}

pub(super) const EXAMPLES: &str = "Examples:
  cargo xtask bench                                seconds a cell, then instructions per system call
  cargo xtask bench --only cost                    what the series costs, baseline beside patched
  cargo xtask bench --only cost --image overcharge=arch/x86/boot/bzImage";
