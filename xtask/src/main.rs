// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask`: parse, call one task, map what it says to a documented exit code.
//!
//! The data goes one way: configs -> plan -> kernels -> VM -> evidence -> verdicts -> results ->
//! reports. Rooms that decide (`config`, `plan`, `verdict`, `report`, `vm::command`) read no file,
//! clock, environment or process; rooms that touch the world decide nothing; `tasks` joins them.

mod cli;
mod config;
mod evidence;
mod exit;
mod host;
mod kernel;
mod plan;
mod progress;
mod report;
mod results;
mod tasks;
mod verdict;
mod vm;

use std::process::ExitCode;

fn main() -> ExitCode {
    exit::report(cli::run())
}
