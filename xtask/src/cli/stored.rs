// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of the commands that read configs or stored runs, and boot nothing.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{AccelChoice, Select};

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// What to list
    #[arg(value_enum, default_value_t = Listed::Cells)]
    pub(crate) what: Listed,
    /// Matrix in configs/matrices
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) matrix: String,
    #[command(flatten)]
    pub(crate) select: Select,
}

/// What `list` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listed {
    /// Cells of a matrix
    Cells,
    /// Scenarios with their titles
    Scenarios,
    /// Matrices with their numbers of cells, and their kernels
    Matrices,
    /// Kernels with their series and policies
    Kernels,
    /// Runs in the results folder
    Runs,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Id of a cell, or a part that only one id has
    #[arg(value_name = "CELL")]
    pub(crate) cell: String,
    /// Name of the run folder
    #[arg(long, default_value = "latest", value_name = "RUN")]
    pub(crate) run: String,
}

/// Arguments of `repro`.
#[derive(Debug, Args)]
pub(crate) struct Repro {
    /// Id of a cell, or a part that only one id has
    #[arg(value_name = "CELL")]
    pub(crate) cell: String,
    /// Name of the run folder
    #[arg(long, default_value = "latest", value_name = "RUN")]
    pub(crate) run: String,
    /// Run it so often, and say how often each verdict came
    #[arg(long, default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) times: u32,
    /// VMs in parallel
    #[arg(long, short, default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) jobs: u32,
    /// Boot this bzImage instead of the kernel of the run
    #[arg(long, value_name = "BZIMAGE")]
    pub(crate) image: Option<PathBuf>,
    /// Dump the guest's memory when the load is over, for `inspect`
    #[arg(long)]
    pub(crate) dump: bool,
    /// Record the VM under emulation, with one CPU, and judge it
    #[arg(long, conflicts_with_all = ["times", "jobs", "dump", "gdb", "replay"])]
    pub(crate) record: bool,
    /// Run the newest recording of the cell again, instruction for instruction:
    /// events and verdict must be the same. --run is a run in results/repro
    #[arg(long, conflicts_with_all = ["times", "jobs", "dump", "image", "accel"])]
    pub(crate) replay: bool,
    /// Stop the VM at its first instruction and wait for gdb; nothing is judged
    #[arg(long, conflicts_with_all = ["times", "jobs", "dump"])]
    pub(crate) gdb: bool,
    /// With --gdb: stop at this function
    #[arg(long = "break", value_name = "FUNCTION", requires = "gdb")]
    pub(crate) breakpoint: Option<String>,
    /// Accelerator of QEMU
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub(crate) accel: AccelChoice,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Name of the run folder
    #[arg(default_value = "latest", value_name = "RUN")]
    pub(crate) run: String,
}

/// Arguments of `export`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Export {
    /// Name of the run folder
    #[arg(default_value = "latest", value_name = "RUN")]
    pub(crate) run: String,
    /// Format
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// Id of a cell of the run, or a part that only one id has (kselftest)
    #[arg(long, value_name = "CELL", required_if_eq("format", "kselftest"))]
    pub(crate) cell: Option<String>,
    /// File to write, atomically [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Name of the CI system that reports (kcidb)
    #[arg(long, default_value = "memcg_harness", value_name = "NAME", value_parser = origin)]
    pub(crate) origin: String,
}

/// A format that results are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// KTAP version 1, nested
    Ktap,
    /// JUnit XML
    Junit,
    /// KCIDB version 5, to submit to KernelCI
    Kcidb,
    /// The results as they are stored
    Json,
    /// JSON Schema of `json`
    JsonSchema,
    /// Markdown for the summary page of a CI job
    Markdown,
    /// C program that shows the problem of --cell by itself, as a kernel selftest
    Kselftest,
}

fn origin(word: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    match !word.is_empty() && word.bytes().all(fits) {
        true => Ok(word.to_owned()),
        false => Err("KCIDB allows only lower-case letters, digits and _".to_owned()),
    }
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Run, or several separated by commas, whose numbers are pooled; last-good
    /// is the last good night of NEW's matrix and accelerator
    #[arg(value_name = "OLD")]
    pub(crate) old: String,
    /// Run or runs to compare with OLD; latest is the newest whole run: no
    /// filter, not interrupted, and where there are nights, a night
    #[arg(value_name = "NEW", default_value = "latest")]
    pub(crate) new: String,
}

/// Arguments of `digest`.
#[derive(Debug, Args)]
pub(crate) struct Digest {
    /// Write the mail to this file too
    #[arg(long, value_name = "FILE")]
    pub(crate) mail: Option<PathBuf>,
    /// Write the same as Markdown to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Write the title, one line, to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) title: Option<PathBuf>,
    /// The night that must have run, a date in UTC: if a job that the plan of
    /// the week has for it left no result, the exit code is 1
    #[arg(long, value_name = "DATE")]
    pub(crate) of: Option<String>,
    /// Where the results folder can be read: links begin with it
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

/// Arguments of `tonight`.
#[derive(Debug, Args)]
pub(crate) struct Tonight {
    /// Day instead of today in UTC: mon, tue, wed, thu, fri, sat or sun
    #[arg(long, value_name = "DAY")]
    pub(crate) day: Option<String>,
    /// Print NAME=VALUE lines for a CI system: matrix and parts of the job in
    /// parts, and jobs, the names of the others
    #[arg(long, conflicts_with = "run")]
    pub(crate) variables: bool,
    /// Run this job of the plan, on whichever day, and record how it ended in
    /// results/jobs
    #[arg(long, value_name = "JOB", conflicts_with = "day")]
    pub(crate) run: Option<String>,
    /// With --run: more arguments for the command
    #[arg(last = true, requires = "run", value_name = "ARGS")]
    pub(crate) more: Vec<String>,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Only runs of this matrix
    #[arg(long, value_name = "NAME")]
    pub(crate) matrix: Option<String>,
    /// Only the newest N runs of each matrix
    #[arg(long, default_value_t = 30, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) last: u32,
    /// Page to write [default: history.html in the results folder]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Arguments of `prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Keep the newest N runs, however old
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) keep: usize,
    /// Keep the runs of the last D days, however many; with --cache: what was
    /// used in the last D days
    #[arg(long, default_value_t = 14, value_name = "D")]
    pub(crate) days: u32,
    /// Print what would be removed and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short, conflicts_with = "dry_run")]
    pub(crate) yes: bool,
}

pub(super) const SHOW_EXAMPLES: &str = "Examples:
  cargo xtask show open-unkillable.v2.baseline
  cargo xtask show create-contended --run 2026-01-31T04-00-00Z";

pub(super) const REPRO_EXAMPLES: &str = "\
The exit code is 1 if an attempt was not as expected. Each attempt boots a VM of
its own; evidence is in results/repro.

Examples:
  cargo xtask repro open-unkillable.v2.series
  cargo xtask repro create-contended.v2.baseline --run 2026-01-31T04-00-00Z --times 20
  cargo xtask repro open-unkillable.v2.series --record
  cargo xtask repro open-unkillable.v2.series --replay --gdb
  cargo xtask repro open-unkillable.v2.series --gdb --break try_charge_memcg";

pub(super) const EXPORT_EXAMPLES: &str = "Examples:
  cargo xtask export --format junit --output junit.xml
  cargo xtask export --format markdown >> \"$GITHUB_STEP_SUMMARY\"
  cargo xtask export 2026-01-31T04-00-00Z --format kcidb --origin mylab \\
      | kcidb-validate
  cargo xtask export --format kselftest --cell open-unkillable.v2.overcharge \\
      --output test_open_enomem.c
  cargo xtask export --format ktap | tools/testing/kunit/kunit.py parse";

pub(super) const DIGEST_HELP: &str = "\
Compares the newest night with the last good one of the same matrix and
accelerator. The exit code is 1 if there is a fault, a flaky cell, a number that
is higher since some night, or a job that failed; 9 if only parts are missing.

Examples:
  cargo xtask digest
  cargo xtask digest --markdown digest.md --url https://example.org/nights/";

pub(super) const TONIGHT_HELP: &str = "\
The plan of the week is configs/nights/week.toml. With --run, the exit code is
0, 1 or 8 as that of the command, and 7 if it gave no result, or if the job runs
already. A series that does not apply to the --source of its job ends with 0: it
is news, and the digest tells it.

Examples:
  cargo xtask tonight --day sat
  cargo xtask tonight --run mutants";

pub(super) const COMPARE_HELP: &str = "\
The exit code is 1 if something got worse: a verdict, a verdict on the patch, or
a number beyond chance.

Examples:
  cargo xtask compare 2026-01-30T04-00-00Z latest
  cargo xtask compare 2026-01-29T04-00-00Z,2026-01-30T04-00-00Z latest";

pub(super) const PRUNE_HELP: &str = "\
Removes a run that is none of the newest N, is older than D days, is not
`latest`, is no night that others are compared with, and is not in progress.
Only folders that are named like a run are considered, also in results/parts,
bench, bisect, inject, repro and doctor.

With --cache and no folder it removes from the cache instead: kernels, work
trees, sources, downloads and packed guests that no process uses, and that none
has used for D days.

Examples:
  cargo xtask prune --keep 30 --days 60 --yes
  cargo xtask prune --cache --days 14 --dry-run";
