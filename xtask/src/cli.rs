// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line: words to plain argument structures. `main` gives each to its task.

mod bisect;
mod checks;
mod defaults;
mod exec;
mod inspect;
mod left_open;
mod manual;
mod output;
mod parts;
mod shell;
mod stored;
mod user_series;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::Exit;

pub(crate) use bisect::Bisect;
pub(crate) use checks::{
    Bench, BenchPart, CheckSeries, CoverLetter, Coverage, Inject, Kselftest, Mutants, ReachMap,
};
pub(crate) use defaults::with_defaults;
pub(crate) use exec::{Cgroup, ExecArgs};
pub(crate) use inspect::Inspect;
pub(crate) use left_open::LeftOpen;
pub(crate) use manual::{Completions, Man};
pub(crate) use output::{MessageFormat, Output};
pub(crate) use parts::{Merge, Partition, Plan};
pub(crate) use shell::Shell;
pub(crate) use stored::{
    Compare, Digest, Export, Format, History, List, Listed, Prune, Report, Repro, Show, Tonight,
};
pub(crate) use user_series::UserSeriesArgs;

/// Builds Linux kernels with and without a patch series, boots them in QEMU
/// under tight memory cgroup limits, and reports with evidence what the series
/// changes
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    max_term_width = 78,
    after_help = after_help()
)]
pub(crate) struct Cli {
    /// Folders.
    #[command(flatten)]
    pub(crate) places: Places,
    /// Progress and colours.
    #[command(flatten)]
    pub(crate) output: Output,
    /// The task.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Variable of the environment that names the cache.
pub(crate) const CACHE_VARIABLE: &str = "MEMCG_HARNESS_CACHE";

/// Folders, each with a default that fits a checkout.
#[derive(Clone, Debug, Args)]
pub(crate) struct Places {
    /// Folder for sources, work trees, kernel images and tools
    /// [default: ~/.cache/memcg-harness]
    #[arg(long, global = true, value_name = "DIR", env = CACHE_VARIABLE, num_args = 0..=1,
        default_missing_value = "", value_parser = folder, allow_hyphen_values = false)]
    pub(crate) cache: Option<PathBuf>,
    /// Folder of bases, kernels, scenarios and matrices [default: configs of
    /// this checkout]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) configs: Option<PathBuf>,
    /// Folder of run folders [default: results of this checkout]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) results: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build kernels, run a matrix, print verdicts
    #[command(after_help = RUN_EXAMPLES)]
    RunMatrix(Box<RunMatrix>),
    /// Build kernels (cached by content)
    #[command(after_help = BUILD_EXAMPLES)]
    BuildKernel(BuildKernel),
    /// Apply, lint, build, boot and smoke-test a series after each patch
    CheckSeries(CheckSeries),
    /// Write the mails of a series, with a cover letter whose numbers are those
    /// of stored runs
    #[command(after_help = checks::COVER_LETTER_EXAMPLES)]
    CoverLetter(CoverLetter),
    /// Check the tools that the harness and the kernel need
    Doctor(Doctor),
    /// List cells, scenarios, matrices, kernels or stored runs
    List(List),
    /// Show which lines that a series adds are run by the cells
    Coverage(Coverage),
    /// Record which cells call which functions of the unpatched kernel
    ReachMap(ReachMap),
    /// Run the kernel's own cgroup tests on both kernels and compare
    Kselftest(Kselftest),
    /// Run variants of the series with one bug each; all must be caught
    #[command(after_help = checks::MUTANTS_EXAMPLES)]
    Mutants(Mutants),
    /// Print the evidence for a verdict
    #[command(after_help = stored::SHOW_EXAMPLES)]
    Show(Show),
    /// Run one cell of a stored run again: same kernel, same requests
    #[command(after_help = stored::REPRO_EXAMPLES)]
    Repro(Repro),
    /// Look into the memory of a guest that hung, with drgn
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(Inspect),
    /// Give a shell in a guest, with cgroups, tracefs and the cells as commands
    #[command(after_help = shell::EXAMPLES)]
    Shell(Shell),
    /// Find the first bad patch of a series, or commit, for a cell
    #[command(after_help = bisect::BISECT_HELP)]
    Bisect(Box<Bisect>),
    /// Write the results of a run as KTAP, JUnit, KCIDB, JSON or Markdown
    #[command(after_help = stored::EXPORT_EXAMPLES)]
    Export(Export),
    /// Divide a matrix into parts for several machines
    Plan(Plan),
    /// Join the parts that `run-matrix --partition` ran into one run
    Merge(Merge),
    /// List what is worse, better, flaky or slower in one run than in others
    #[command(after_help = stored::COMPARE_HELP)]
    Compare(Compare),
    /// Tell what is new, fixed, flaky or slower since the last good night
    #[command(after_help = stored::DIGEST_HELP)]
    Digest(Digest),
    /// Show trends over the stored runs
    History(History),
    /// Print or run what the plan of the week has for a night
    #[command(after_help = stored::TONIGHT_HELP)]
    Tonight(Tonight),
    /// Remove old runs
    #[command(after_help = stored::PRUNE_HELP)]
    Prune(Prune),
    /// Judge a stored run again; regenerate its result and reports
    Report(Report),
    /// Measure seconds per cell and instructions per system call
    #[command(after_help = checks::BENCH_EXAMPLES)]
    Bench(Bench),
    /// Fail each charge of open, stat, execve and others in turn
    Inject(Inject),
    /// Run the project's tests: fmt, clippy, unit tests, tests on VMs
    Test(Test),
    /// Print what a shell needs to complete the installed program's words
    #[command(after_help = manual::COMPLETIONS_EXAMPLES)]
    Completions(Completions),
    /// Print a page of the manual
    #[command(after_help = manual::MAN_EXAMPLES)]
    Man(Man),
}

/// Which accelerator QEMU uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccelChoice {
    /// KVM if a guest boots under it; otherwise TCG, with a note
    Auto,
    /// KVM, or an error
    Kvm,
    /// Emulation
    Tcg,
}

/// Where kernels come from and how they are built.
#[derive(Clone, Debug, Args)]
pub(crate) struct BuildOptions {
    /// Kernel source instead of the base's: a folder, FOLDER@REVISION, a
    /// tarball, or URL#sha256=HEX; name the base if the kernels have several
    #[arg(long, value_name = "[BASE=]SOURCE")]
    pub(crate) source: Option<String>,
    /// Install missing packages with apt (prints the list first)
    #[arg(long)]
    pub(crate) install: bool,
}

/// Arguments of `run-matrix`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunMatrix {
    /// Matrix in configs/matrices [default: default; with --series also those
    /// cells of the full one that reach what the series changes]
    #[arg(long, value_name = "NAME")]
    pub(crate) matrix: Option<String>,
    /// Kernel in configs/kernels to run instead of the matrix's; may be
    /// repeated
    #[arg(long = "kernel", value_name = "KERNEL", conflicts_with_all = ["series", "partition"])]
    pub(crate) kernels: Vec<String>,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    #[command(flatten)]
    pub(crate) select: Select,
    #[command(flatten)]
    pub(crate) left_open: LeftOpen,
    #[command(flatten)]
    pub(crate) exec: ExecArgs,
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

impl RunMatrix {
    /// The matrix that was named, or the default.
    pub(crate) fn matrix(&self) -> &str {
        self.matrix.as_deref().unwrap_or("default")
    }
}

/// Random rounds instead of one pass.
#[derive(Clone, Debug, Args)]
pub(crate) struct Rounds {
    /// Soak: run the cells in random order, round after round, until --minutes
    /// or --cells is reached; any fault on a console fails the run
    #[arg(long, conflicts_with_all = ["repetitions", "confidence", "partition"])]
    pub(crate) shuffle: bool,
    /// With --shuffle: start no cell after this many minutes [default: 30].
    /// With --series: what the cells may take that are chosen for it, and the
    /// default matrix [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) minutes: Option<u32>,
    /// With --shuffle: run at most this many cells
    #[arg(long, value_name = "N", requires = "shuffle",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cells: Option<u32>,
}

/// How cells run, and on which images.
#[derive(Clone, Debug, Args)]
pub(crate) struct Vms {
    #[command(flatten)]
    pub(crate) guests: Guests,
    /// Jobs: cells to run in parallel [default: as cores and memory allow]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) jobs: Option<u32>,
    /// Boot for every cell instead of sharing boots between cells
    #[arg(long)]
    pub(crate) no_snapshot: bool,
}

/// How guests run, and on which images.
#[derive(Clone, Debug, Args)]
pub(crate) struct Guests {
    /// Accelerator of QEMU
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub(crate) accel: AccelChoice,
    /// Boot this bzImage as KERNEL instead of building it; may be repeated
    #[arg(long = "image", value_name = "KERNEL=BZIMAGE", value_parser = image)]
    pub(crate) images: Vec<(String, PathBuf)>,
}

/// Which cells of a matrix.
#[derive(Clone, Debug, Args)]
pub(crate) struct Select {
    /// Only cells whose id matches this glob, or contains this word; may be
    /// repeated, and each must match a cell
    #[arg(long, short, value_name = "GLOB")]
    pub(crate) filter: Vec<String>,
    /// Repetitions of each cell, instead of the matrix's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) repetitions: Option<u32>,
    /// Repeat each cell often enough that a problem on one kernel only is no
    /// chance, in percent (95: 3 repetitions, 99: 5)
    #[arg(long, value_name = "PERCENT", conflicts_with = "repetitions", value_parser = percent)]
    pub(crate) confidence: Option<f64>,
    /// Seed of the run; the same seed gives the same requests
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
}

/// Arguments of `build-kernel`.
#[derive(Debug, Args)]
pub(crate) struct BuildKernel {
    /// Kernels in configs/kernels [default: baseline and overcharge; with
    /// --series: the unpatched kernel and `series`]
    #[arg(value_name = "KERNEL")]
    pub(crate) kernels: Vec<String>,
    #[command(flatten)]
    pub(crate) user_series: UserSeriesArgs,
    /// Print only the paths of the images on stdout, one per line
    #[arg(long)]
    pub(crate) print_image: bool,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Boot guests under KVM and run the smoke matrix under KVM and TCG
    #[arg(long)]
    pub(crate) kvm: bool,
    /// With --kvm: take the kernel from this plan of `cargo xtask plan`
    #[arg(long, value_name = "FILE", requires = "kvm")]
    pub(crate) plan: Option<PathBuf>,
    /// With --kvm: boot this bzImage as KERNEL instead of building it
    #[arg(long = "image", value_name = "KERNEL=BZIMAGE", value_parser = image, requires = "kvm")]
    pub(crate) images: Vec<(String, PathBuf)>,
    /// Install missing packages with apt (prints the list first)
    #[arg(long)]
    pub(crate) install: bool,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Install missing packages with apt (prints the list first)
    #[arg(long)]
    pub(crate) install: bool,
}

/// A path, which may be empty.
fn folder(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

/// A percentage below 100.
fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(percent) if (0.0..100.0).contains(&percent) => Ok(percent),
        _ => Err("write a percentage below 100, for example 99".to_owned()),
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
    text.push_str("\nExamples:\n  cargo xtask run-matrix --install\n");
    text.push_str("  cargo xtask show open-unkillable.v2.baseline\n");
    text
}

const RUN_EXAMPLES: &str = "Examples:
  cargo xtask run-matrix --install              set up the host; run cells
  cargo xtask run-matrix --dry-run              print what would run
  cargo xtask run-matrix --filter 'open-*.off'  only some cells
  cargo xtask run-matrix --source ~/linux       your tree, not Debian's
  cargo xtask run-matrix --series fix.mbx       your patches and unpatched
  cargo xtask run-matrix --series ~/linux@v6.12..topic --source ~/linux@v6.12
  cargo xtask run-matrix --exec ./repro.c --series fix.mbx --limit 16M
  cargo xtask run-matrix --shuffle --minutes 30 --matrix debug \\
      --kernel overcharge-lockdep               soak one kernel";

const BUILD_EXAMPLES: &str = "Examples:
  cargo xtask build-kernel                      baseline and overcharge
  cargo xtask build-kernel mutant-no-cap        one of configs/mutants
  cargo xtask build-kernel baseline --print-image
  cargo xtask build-kernel baseline --source ~/linux@v6.12.40
  cargo xtask build-kernel baseline-7.3 overcharge-7.3
  cargo xtask build-kernel baseline baseline-7.3 --source 7.3=/src/linux
  cargo xtask build-kernel baseline \\
      --source https://example.org/linux-6.12.tar.xz#sha256=HEX";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_fits_80_columns() {
        let mut cli = Cli::command();
        cli.build();
        for command in std::iter::once(&mut cli.clone()).chain(cli.get_subcommands_mut()) {
            for text in [command.render_help(), command.render_long_help()] {
                // Installed it has a longer name.
                let text = text.to_string().replace("cargo xtask", crate::progress::PROGRAM);
                let long = text.lines().find(|line| line.chars().count() > 80);
                assert_eq!(long, None, "{}", command.get_name());
            }
        }
    }

    #[test]
    fn an_image_needs_both_halves() {
        assert_eq!(image("a=b"), Ok(("a".to_owned(), PathBuf::from("b"))));
        assert!(image("a").is_err() && image("=b").is_err() && image("a=").is_err());
    }
}
