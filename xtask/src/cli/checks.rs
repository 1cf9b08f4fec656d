// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of the commands that check a series, or the harness itself.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{AccelChoice, BuildOptions, Guests, Select, UserSeriesArgs, Vms};

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Measurements of each thing, interleaved
    #[arg(long, default_value_t = 5, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Measure only this
    #[arg(long, value_enum, value_name = "PART")]
    pub(crate) only: Option<BenchPart>,
    /// Matrix to time as a whole; instructions are counted on its kernels, the
    /// baseline first
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) matrix: String,
    /// Instructions are always counted under TCG.
    #[command(flatten)]
    pub(crate) guests: Guests,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

/// A part of `bench`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchPart {
    /// Seconds per cell, compared with bare QEMU
    Cells,
    /// Seconds per matrix, also after an edit of the series
    Matrix,
    /// Instructions per system call
    Cost,
}

/// Arguments of `check-series`.
#[derive(Debug, Args)]
pub(crate) struct CheckSeries {
    /// Kernel in configs/kernels whose series to check [default: overcharge;
    /// with --series: that series]
    #[arg(value_name = "KERNEL", conflicts_with = "series")]
    pub(crate) kernel: Option<String>,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    /// Start with patch N, from 1; those before it are applied, not checked
    #[arg(long, value_name = "N")]
    pub(crate) from: Option<usize>,
    /// Check only patch N
    #[arg(long, value_name = "N", conflicts_with = "from")]
    pub(crate) only: Option<usize>,
    /// Only apply, checkpatch and rustfmt: takes seconds, builds nothing
    #[arg(long)]
    pub(crate) lint: bool,
    /// Accelerator of QEMU
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub(crate) accel: AccelChoice,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

/// Arguments of `cover-letter`.
#[derive(Debug, Args)]
pub(crate) struct CoverLetter {
    /// Kernel in configs/kernels whose series to send [default: overcharge;
    /// with --series: that series]
    #[arg(value_name = "KERNEL", conflicts_with = "series")]
    pub(crate) kernel: Option<String>,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    /// New folder for the mails
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Text of the letter; its first line is the subject, and `{CELL FACT}`
    /// stands for a number of a run
    #[arg(long, value_name = "FILE", default_value = "kernel-patches/cover-letter.txt")]
    pub(crate) template: PathBuf,
    /// Run whose numbers to take; may be repeated
    #[arg(long = "run", value_name = "RUN", default_value = "latest")]
    pub(crate) runs: Vec<String>,
    /// Version of the series (`[PATCH v2 ...]`)
    #[arg(long = "reroll", value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..1000))]
    pub(crate) version: u32,
    /// Trailer of each patch beside your sign-off; may be repeated
    #[arg(long = "trailer", value_name = "KEY: VALUE", value_parser = trailer)]
    pub(crate) trailers: Vec<String>,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

fn trailer(text: &str) -> Result<String, String> {
    let (key, value) = text.split_once(": ").unwrap_or_default();
    let word = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    match word && !value.trim().is_empty() && !text.contains('\n') {
        true => Ok(text.to_owned()),
        false => Err("a trailer is `Key: value`, as `Link: https://...`".to_owned()),
    }
}

/// Arguments of `coverage`.
#[derive(Debug, Args)]
pub(crate) struct Coverage {
    /// Kernel in configs/kernels whose series to look at [default: overcharge;
    /// with --series: that series]
    #[arg(value_name = "KERNEL", conflicts_with = "series")]
    pub(crate) kernel: Option<String>,
    /// Matrix whose cells to run on this kernel, or on one with the same code;
    /// may be repeated [default: full and booted; with --series: default]
    #[arg(long = "matrix", value_name = "NAME")]
    pub(crate) matrices: Vec<String>,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    #[command(flatten)]
    pub(crate) select: Select,
    /// Jobs: cells to run in parallel [default: as cores and memory allow]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) jobs: Option<u32>,
    /// Evaluate the cells of this run again and run none; may be repeated, for
    /// runs of some cells each
    #[arg(long = "run", value_name = "RUN")]
    #[arg(conflicts_with_all = ["matrices", "filter", "repetitions", "jobs"])]
    pub(crate) runs: Vec<String>,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

/// Arguments of `reach-map`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReachMap {
    /// Matrix whose cells to run, on its baseline
    #[arg(long, default_value = "full", value_name = "NAME")]
    pub(crate) matrix: String,
    /// File to write [default: configs/reach/BASE.map]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) select: Select,
    /// Jobs: cells to run in parallel [default: as cores and memory allow]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) jobs: Option<u32>,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

/// Arguments of `inject`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Inject {
    /// Matrix whose kernels to run on, its baseline first
    #[arg(long, default_value = "inject", value_name = "NAME")]
    pub(crate) matrix: String,
    /// Only this kernel of the matrix; may be repeated
    #[arg(long = "kernel", value_name = "NAME")]
    pub(crate) kernels: Vec<String>,
    #[command(flatten)]
    pub(crate) guests: Guests,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

/// Arguments of `kselftest`.
#[derive(Debug, Args)]
pub(crate) struct Kselftest {
    /// Kernels in configs/kernels: the unpatched one first, then those to
    /// compare with it [default: baseline and overcharge; with --series: the
    /// unpatched kernel and `series`]
    #[arg(long = "kernel", value_name = "KERNEL")]
    pub(crate) kernels: Vec<String>,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    /// Only this program (test_kmem, ...); may be repeated
    #[arg(long = "test", value_name = "NAME")]
    pub(crate) tests: Vec<String>,
    /// Run a program at most N times if its results differ or are missing
    #[arg(long, default_value_t = 3, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) repeat: u32,
    #[command(flatten)]
    pub(crate) guests: Guests,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

/// Arguments of `mutants`.
#[derive(Debug, Args)]
pub(crate) struct Mutants {
    /// Only mutants whose name matches this glob, or contains this word; each
    /// must match one
    #[arg(value_name = "NAME-GLOB")]
    pub(crate) names: Vec<String>,
    /// Kernel whose mutants to run: a file in configs/mutants
    #[arg(long, default_value = "overcharge", value_name = "KERNEL")]
    pub(crate) kernel: String,
    /// Seed of the run; the same seed gives the same requests
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) vms: Vms,
    /// Print the cells and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

pub(super) const COVER_LETTER_EXAMPLES: &str =
    "Each number of the letter must be in a run of this very series: it says what is
missing, and how to run it. Your name and sign-off are git's user.name and
user.email.

Examples:
  cargo xtask cover-letter --run 2026-01-31T04-00-00Z --output outgoing
  git send-email --dry-run outgoing/*.patch";

pub(super) const BENCH_EXAMPLES: &str = "Examples:
  cargo xtask bench                             everything
  cargo xtask bench --only cost                 the cost of the series
  cargo xtask bench --only cost --image overcharge=arch/x86/boot/bzImage";

pub(super) const MUTANTS_EXAMPLES: &str = "Examples:
  cargo xtask mutants                           all of them
  cargo xtask mutants no-cap 'leaks-*'          some of them";
