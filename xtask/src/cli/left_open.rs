// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments that go on from an earlier run, or stop early.

use clap::Args;

/// What `--rerun` and `--resume` stand for without a run.
const LATEST: &str = "latest";

/// Only what an earlier run left open.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct LeftOpen {
    /// Run only those cells of RUN [default: latest] that were not as expected
    /// or did not run, beside their cells on the baseline
    #[arg(long, value_name = "RUN", num_args = 0..=1, require_equals = true,
        default_missing_value = LATEST,
        conflicts_with_all = ["resume", "filter", "repetitions", "confidence", "shuffle",
            "partition"])]
    pub(crate) rerun: Option<String>,
    /// Run only those cells of RUN [default: latest] that a stop kept from
    /// running or cut off, beside their cells on the baseline
    #[arg(long, value_name = "RUN", num_args = 0..=1, require_equals = true,
        default_missing_value = LATEST,
        conflicts_with_all = ["filter", "repetitions", "confidence", "shuffle", "partition"])]
    pub(crate) resume: Option<String>,
    /// Start no more cells once N were not as expected; those that run go on
    #[arg(long, value_name = "N", conflicts_with = "shuffle",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_fail: Option<u32>,
    /// Run a cell that was not as expected again, alone; if that is ERROR or
    /// INCONCLUSIVE, up to N times
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "shuffle",
        value_parser = clap::value_parser!(u32).range(0..=10))]
    pub(crate) retries: u32,
}
