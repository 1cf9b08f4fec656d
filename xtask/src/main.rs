// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask`: parse, call one task, map what it says to a documented exit code.
//!
//! The data goes one way: configs -> plan -> kernels -> VM -> evidence -> verdicts -> results ->
//! reports. Rooms that decide read no file, clock, environment or process, and `tasks` joins them
//! with rooms that touch the world. `docs/architecture.md` lists both.

mod chance;
mod cli;
mod config;
mod coverage;
mod evidence;
mod exit;
mod host;
mod kernel;
mod outcome;
mod plan;
mod progress;
mod reach;
mod report;
mod results;
mod runs;
mod symbols;
mod tasks;
mod taxonomy;
mod verdict;
mod vm;

use std::io::{ErrorKind, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use anyhow::Context as _;
use cli::{Cli, Command};
use exit::{Exit, Fault};

fn main() -> ExitCode {
    host::limits::outlive_file_limit();
    // The panic's own message is on stderr already.
    let called = || tasks::command_line::parse()?.map_or_else(explain, run);
    let outcome = catch_unwind(AssertUnwindSafe(called));
    let outcome = outcome.unwrap_or_else(|_| {
        let what = "the harness panicked: a bug, or a host out of threads or memory";
        Err(Fault::new(Exit::Host, what).into())
    });
    let exit = outcome.unwrap_or_else(|error| {
        let (text, exit) = exit::explain(&error);
        let text = tasks::folded(&text);
        progress::tell(&progress::Event::Failed { text: &text, exit: exit as u8 });
        exit
    });
    ExitCode::from(exit as u8)
}

/// Prints what is wrong with the arguments, or the help or version that they ask for.
#[expect(clippy::needless_pass_by_value, reason = "it is what the parser gives")]
fn explain(error: clap::Error) -> anyhow::Result<Exit> {
    if error.use_stderr() && wants_events() {
        progress::show(progress::Show { json: true, ..progress::Show::default() });
        let (text, exit) = (error.to_string(), Exit::Usage);
        progress::tell(&progress::Event::Failed { text: text.trim_end(), exit: exit as u8 });
        return Ok(exit);
    }
    let printed = match progress::is_installed() {
        false => error.print(),
        true if error.use_stderr() => write!(std::io::stderr(), "{}", progress::named(&error)),
        true => write!(std::io::stdout(), "{}", progress::named(&error)),
    };
    let printed = printed.and_then(|()| std::io::stdout().flush());
    match printed {
        _ if error.use_stderr() => Ok(Exit::Usage),
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(Exit::Ok),
    }
}

/// Whether `--message-format json` is among words that make no sense otherwise.
fn wants_events() -> bool {
    let words: Vec<String> = std::env::args().collect();
    let pair = words.windows(2).any(|pair| pair == ["--message-format", "json"]);
    pair || words.iter().any(|word| word == "--message-format=json")
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    let Cli { places, output, command } = cli;
    progress::show(progress::Show {
        json: output.message_format == cli::MessageFormat::Json,
        quiet: output.quiet,
        colour: output.color.wanted(),
    });
    match command {
        Command::RunMatrix(args) => tasks::run_matrix::run(&places, &args),
        Command::BuildKernel(args) => tasks::build_kernel::run(&places, &args),
        Command::CheckSeries(args) => tasks::check_series::run(&places, &args),
        Command::Compare(args) => tasks::compare::run(&places, &args),
        Command::CoverLetter(args) => tasks::cover_letter::run(&places, &args),
        Command::Coverage(args) => tasks::coverage::run(&places, &args),
        Command::ReachMap(args) => tasks::reach_map::run(&places, &args),
        Command::Digest(args) => tasks::digest::run(&places, &args),
        Command::Doctor(args) => tasks::doctor::run(&places, &args),
        Command::History(args) => tasks::history::run(&places, &args),
        Command::Kselftest(args) => tasks::kselftest::run(&places, &args),
        Command::List(args) => tasks::list::run(&places, &args),
        Command::Merge(args) => tasks::merge::run(&places, &args),
        Command::Mutants(args) => tasks::mutants::run(&places, &args),
        Command::Plan(args) => tasks::plan::run(&places, &args),
        Command::Prune(args) => tasks::prune::run(&places, &args),
        Command::Report(args) => tasks::report::run(&places, &args),
        Command::Bisect(args) => tasks::bisect::run(&places, &args),
        Command::Repro(args) => tasks::repro::run(&places, &args),
        Command::Inspect(args) => tasks::inspect::run(&places, &args),
        Command::Shell(args) => tasks::shell::run(&places, &args),
        Command::Show(args) => tasks::show::run(&places, &args),
        Command::Bench(args) => tasks::bench::run(&places, &args),
        Command::Export(args) => tasks::export::run(&places, &args),
        Command::Inject(args) => tasks::inject::run(&places, &args),
        Command::Tonight(args) => tasks::tonight::run(&places, &args),
        Command::Test(args) => tasks::test::run(&places, &args),
        Command::Completions(args) => tasks::manual::completions(&args),
        Command::Man(args) => tasks::manual::page(&args),
    }
}
