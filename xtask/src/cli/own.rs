// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments that name somebody's own series.

use std::path::PathBuf;

use clap::Args;

/// A series in place of one that a config file names.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct OwnSeries {
    /// Your own series, as the kernel `series` beside the unpatched one: an mbox (as `b4 am` writes it), a patch, a folder
    /// of patches, a maildir, REPOSITORY@BASE..TIP, or - for standard input
    #[arg(long, value_name = "WHAT")]
    pub(crate) series: Option<String>,
    /// What it stands on, in configs/bases [default: what the matrix's baseline stands on]
    #[arg(long, value_name = "NAME", requires = "series")]
    pub(crate) base: Option<String>,
    /// It has the interface of this kernel in configs/kernels: take its fragments, policies and expectations
    #[arg(long, value_name = "KERNEL", requires = "series")]
    pub(crate) like: Option<String>,
    /// More config symbols, for it and for the unpatched kernel beside it; may be repeated
    #[arg(long = "fragment", value_name = "FILE", requires = "series")]
    pub(crate) fragments: Vec<PathBuf>,
}
