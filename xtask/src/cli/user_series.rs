// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments that name the user's series.

use std::path::PathBuf;

use clap::Args;

/// A series in place of one that a config file names.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct UserSeriesArgs {
    /// Your series, run as the kernel `series` and compared with the unpatched kernel: an mbox (as
    /// `b4 am` writes it), a patch, a folder of patches, a maildir, REPOSITORY@BASE..TIP, a
    /// message-id (b4 fetches it), or - for standard input
    #[arg(long, value_name = "WHAT")]
    pub(crate) series: Option<String>,
    /// Base of the series, in configs/bases [default: the base of the matrix's baseline]
    #[arg(long, value_name = "NAME")]
    pub(crate) base: Option<String>,
    /// Treat the series as a variant of this kernel in configs/kernels: use its fragments, policies
    /// and expectations, but not its patches
    #[arg(long, value_name = "KERNEL")]
    pub(crate) like: Option<String>,
    /// Apply the series even if a hunk needs fuzz, or goes into another function than its heading
    /// names; every report says so
    #[arg(long)]
    pub(crate) fuzz: bool,
    /// More config symbols, for the series and for the unpatched kernel; may be repeated
    #[arg(long = "fragment", value_name = "FILE")]
    pub(crate) fragments: Vec<PathBuf>,
}
