// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line: words to plain argument structures. `main` gives each to its task.

mod bench;
mod check_series;
mod coverage;
mod export;
mod inject;
mod nightly;
mod report;
mod user_series;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::Exit;

pub(crate) use bench::{Bench, BenchPart};
pub(crate) use check_series::CheckSeries;
pub(crate) use coverage::Coverage;
pub(crate) use export::{Export, Format};
pub(crate) use inject::Inject;
pub(crate) use nightly::{Compare, History, Merge, Partition, Plan, Prune};
pub(crate) use report::Report;
pub(crate) use user_series::UserSeriesArgs;

/// Builds Linux kernels with and without a patch series, boots them in QEMU under tight
/// memory-cgroup limits, and says with evidence what the series changes.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = after_help())]
pub(crate) struct Cli {
    /// Folders.
    #[command(flatten)]
    pub(crate) places: Places,
    /// The task.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Folders, each with a default that fits a checkout.
#[derive(Clone, Debug, Args)]
pub(crate) struct Places {
    /// Folder for sources, work trees, kernel images and tools [default: ~/.cache/memcg-harness]
    #[arg(long, global = true, value_name = "DIR", env = "MEMCG_HARNESS_CACHE")]
    pub(crate) cache: Option<PathBuf>,
    /// Folder with bases, kernels, scenarios and matrices [default: configs of this checkout]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) configs: Option<PathBuf>,
    /// Folder for run folders [default: results of this checkout]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) results: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build kernels, run the matrix, print verdicts
    #[command(after_help = RUN_EXAMPLES)]
    RunMatrix(RunMatrix),
    /// Build kernels (cached by content)
    #[command(after_help = BUILD_EXAMPLES)]
    BuildKernel(BuildKernel),
    /// Apply, lint, build, boot and smoke-test a series after every patch
    CheckSeries(CheckSeries),
    /// Say which tools were found, what the kernel asks for, and what is missing
    Doctor(Doctor),
    /// List the cells of a matrix, or the runs kept in the results folder
    List(List),
    /// Say which of the lines that a series adds the cells have run
    Coverage(Coverage),
    /// Run the kernel's own cgroup tests on the unpatched and the patched kernel
    Kselftest(Kselftest),
    /// Run variants of the series with one bug each, which must all be caught
    #[command(after_help = MUTANTS_EXAMPLES)]
    Mutants(Mutants),
    /// Print the evidence for a verdict
    #[command(after_help = SHOW_EXAMPLES)]
    Show(Show),
    /// Write the results of a run as KTAP, JUnit, KCIDB, JSON or Markdown
    Export(Export),
    /// Divide a matrix into parts for several machines, and say what their kernels are
    Plan(Plan),
    /// Make one run of the parts that `run-matrix --partition` ran
    Merge(Merge),
    /// Say what is worse, better, flaky or slower in one run than in another
    #[command(after_help = nightly::COMPARE_HELP)]
    Compare(Compare),
    /// Show trends over the runs that are kept
    History(History),
    /// Remove old runs
    #[command(after_help = nightly::PRUNE_HELP)]
    Prune(Prune),
    /// Judge the stored evidence of a run again; regenerate its result and reports
    Report(Report),
    /// Measure seconds a cell beside bare QEMU, and instructions per system call
    #[command(after_help = bench::EXAMPLES)]
    Bench(Bench),
    /// Fail each charge of open, stat, mkdir, execve and others in turn, and say what came of it
    Inject(Inject),
    /// Run the project's tests: fmt, clippy, unit tests, end-to-end tests on real VMs
    Test(Test),
}

/// Which accelerator QEMU uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccelChoice {
    /// Boot a guest under KVM with a deadline; fall back to TCG, aloud.
    Auto,
    /// KVM or an error.
    Kvm,
    /// Emulation.
    Tcg,
}

/// Where kernels come from and how they are built.
#[derive(Clone, Debug, Args)]
pub(crate) struct BuildOptions {
    /// Kernel source in place of the base's own: a folder, FOLDER@REVISION, a tarball, or
    /// URL#sha256=HEX; with kernels of several bases, say which it is for
    #[arg(long, value_name = "[BASE=]SOURCE")]
    pub(crate) source: Option<String>,
    /// Install missing packages with apt (prints the list first)
    #[arg(long)]
    pub(crate) install: bool,
}

/// Arguments of `run-matrix`.
#[derive(Debug, Args)]
pub(crate) struct RunMatrix {
    /// Matrix in configs/matrices
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) matrix: String,
    /// Kernel in configs/kernels to run in place of the matrix's; may be repeated
    #[arg(long = "kernel", value_name = "KERNEL", conflicts_with_all = ["series", "partition"])]
    pub(crate) kernels: Vec<String>,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    #[command(flatten)]
    pub(crate) select: Select,
    #[command(flatten)]
    pub(crate) rounds: Rounds,
    #[command(flatten)]
    pub(crate) vms: Vms,
    #[command(flatten)]
    pub(crate) partition: Partition,
    /// Print the cells and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

/// Random rounds in place of one pass.
#[derive(Clone, Debug, Args)]
pub(crate) struct Rounds {
    /// Soak: run the cells in random order, round after round, until --minutes
    /// or --cells is reached; any fault on a console makes the run fail
    #[arg(long, conflicts_with_all = ["repetitions", "confidence", "partition"])]
    pub(crate) shuffle: bool,
    /// With --shuffle: start no cell after this many minutes
    #[arg(long, default_value_t = 30, value_name = "N", requires = "shuffle",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) minutes: u32,
    /// With --shuffle: run at most this many cells
    #[arg(long, value_name = "N", requires = "shuffle",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cells: Option<u32>,
}

/// Where cells run, and on which images.
#[derive(Clone, Debug, Args)]
pub(crate) struct Vms {
    /// Accelerator
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub(crate) accel: AccelChoice,
    /// Cells that run at once [default: as cores and memory allow]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<u32>,
    /// Boot for every cell; else cells of the same kernel and VM begin from one boot
    #[arg(long)]
    pub(crate) no_snapshot: bool,
    /// Use this bzImage for a kernel and build nothing for it
    #[arg(long = "image", value_name = "KERNEL=BZIMAGE", value_parser = image)]
    pub(crate) images: Vec<(String, PathBuf)>,
}

/// Which cells of a matrix.
#[derive(Clone, Debug, Args)]
pub(crate) struct Select {
    /// Only cells whose id matches this glob (a word without * matches anywhere); may be repeated,
    /// and each must match one
    #[arg(long, short, value_name = "GLOB")]
    pub(crate) filter: Vec<String>,
    /// Repetitions of each cell, in place of the matrix's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) repetitions: Option<u32>,
    /// As many repetitions as tell a problem that one kernel always shows and the other never from
    /// chance, in percent (95: 3, 99: 5)
    #[arg(long, value_name = "PERCENT", conflicts_with = "repetitions", value_parser = percent)]
    pub(crate) confidence: Option<f64>,
    /// Seed of the run; the same seed gives the same requests
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
}

/// Arguments of `build-kernel`.
#[derive(Debug, Args)]
pub(crate) struct BuildKernel {
    /// Kernels in configs/kernels [default: baseline and overcharge; with --series the unpatched
    /// one and `series`]
    #[arg(value_name = "KERNEL")]
    pub(crate) kernels: Vec<String>,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    /// Print only the paths of the images on stdout, one a line
    #[arg(long)]
    pub(crate) print_image: bool,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Install missing packages with apt (prints the list first)
    #[arg(long)]
    pub(crate) install: bool,
}

/// Arguments of `kselftest`.
#[derive(Debug, Args)]
pub(crate) struct Kselftest {
    /// Kernels in configs/kernels: the unpatched one, then those to hold beside it [default:
    /// baseline and overcharge; with --series the unpatched one and `series`]
    #[arg(long = "kernel", value_name = "KERNEL")]
    pub(crate) kernels: Vec<String>,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    /// Only these programs (test_kmem, ...); may be repeated
    #[arg(long = "test", value_name = "NAME")]
    pub(crate) tests: Vec<String>,
    /// Runs at most of a program whose results differ, or are not there
    #[arg(long, default_value_t = 3, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) repeat: u32,
    /// Use this bzImage for a kernel and build nothing for it
    #[arg(long = "image", value_name = "KERNEL=BZIMAGE", value_parser = image)]
    pub(crate) images: Vec<(String, PathBuf)>,
    /// Accelerator
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub(crate) accel: AccelChoice,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

/// Arguments of `mutants`.
#[derive(Debug, Args)]
pub(crate) struct Mutants {
    /// Only mutants whose name matches this glob (a word without * matches anywhere); each must
    /// match one
    #[arg(value_name = "NAME-GLOB")]
    pub(crate) names: Vec<String>,
    /// Kernel whose mutants these are: a file in configs/mutants
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
    /// Cells of a matrix.
    Cells,
    /// Scenarios with their titles.
    Scenarios,
    /// Kernels with their series and policies.
    Kernels,
    /// Runs in the results folder.
    Runs,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Cell id, or a part that names one
    #[arg(value_name = "CELL")]
    pub(crate) cell: String,
    /// Run folder name
    #[arg(long, default_value = "latest", value_name = "RUN")]
    pub(crate) run: String,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Install missing packages with apt (prints the list first)
    #[arg(long)]
    pub(crate) install: bool,
}

/// A number of percent below 100.
fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(percent) if (0.0..100.0).contains(&percent) => Ok(percent),
        _ => Err("give a number of percent below 100, for example 99".to_owned()),
    }
}

fn image(word: &str) -> Result<(String, PathBuf), String> {
    match word.split_once('=') {
        Some((kernel, path)) if !kernel.is_empty() && !path.is_empty() => {
            Ok((kernel.to_owned(), PathBuf::from(path)))
        }
        _ => Err("write KERNEL=BZIMAGE, for example overcharge=arch/x86/boot/bzImage".to_owned()),
    }
}

fn after_help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for (exit, meaning) in Exit::TABLE {
        text.push_str(&format!("  {:>3}  {meaning}\n", *exit as u8));
    }
    text.push_str("\nExamples:\n  cargo xtask run-matrix --install\n  cargo xtask show open-unkillable.v2.baseline\n");
    text
}

const RUN_EXAMPLES: &str = "Examples:
  cargo xtask run-matrix --install                 all set-up and the main job
  cargo xtask run-matrix --dry-run                 what would run
  cargo xtask run-matrix --filter 'open-*.off'     only some cells
  cargo xtask run-matrix --source ~/linux          on your own tree instead of Debian's source
  cargo xtask run-matrix --series fix.mbx          your own patches beside the unpatched kernel
  cargo xtask run-matrix --series ~/linux@v6.12..topic --source ~/linux@v6.12";

const BUILD_EXAMPLES: &str = "Examples:
  cargo xtask build-kernel                         baseline and overcharge
  cargo xtask build-kernel mutant-no-cap           one of configs/mutants
  qemu-system-x86_64 -kernel $(cargo xtask build-kernel baseline --print-image) ...
  cargo xtask build-kernel baseline --source ~/linux@v6.12.40
  cargo xtask build-kernel baseline-7.3 overcharge-7.3
  cargo xtask build-kernel baseline baseline-7.3 --source 7.3=/src/linux
  cargo xtask build-kernel baseline --source https://example.org/linux-6.12.tar.xz#sha256=HEX";

const MUTANTS_EXAMPLES: &str = "Examples:
  cargo xtask mutants                              all of them
  cargo xtask mutants no-cap 'leaks-*'             some of them";

const SHOW_EXAMPLES: &str = "Examples:
  cargo xtask show open-unkillable.v2.baseline     a part of an id is enough when it names one cell
  cargo xtask show create-contended --run 2026-01-31T04-00-00Z";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_image_needs_both_halves() {
        assert_eq!(image("a=b"), Ok(("a".to_owned(), PathBuf::from("b"))));
        assert!(image("a").is_err() && image("=b").is_err() && image("a=").is_err());
    }
}
