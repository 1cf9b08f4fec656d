// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask test`: what CI runs. Cheap checks first, then the kernels, then the tests on VMs.

use xshell::{Shell, cmd};

use super::{Folders, build_kernel, doctor};
use crate::cli::{BuildKernel, BuildOptions, Places, Test, UserSeriesArgs};
use crate::exit::{Exit, Fault};
use crate::host::stop::Stop;
use crate::host::{self, process};
use crate::kernel::{Cache, Toolchain};
use crate::progress::note;

/// Kernels that the end-to-end tests boot.
const KERNELS: &[&str] =
    &["baseline", "overcharge", "mutant-never-reconciles", "mutant-no-cap", "mutant-leaks-charge"];

/// Runs every check of the project.
///
/// # Errors
/// [`Exit::Unexpected`] if a check fails; the codes of `build-kernel` if a kernel cannot be built;
/// [`Exit::Interrupted`].
pub(crate) fn run(places: &Places, args: &Test) -> anyhow::Result<Exit> {
    let Test { install } = args;
    Stop::on_signals()?;
    let folders = Folders::of(places)?;
    let toolchain = Toolchain::find(&Cache::open(&folders.cache)?)?;
    let others = host::missing(host::LINT.iter().chain(host::READERS).chain([&host::BUSYBOX]));
    // Everything, before anything else: cached kernels need no tools, but the tests do.
    host::provide(&[doctor::missing(&toolchain), others].concat(), *install)?;
    let sh = Shell::new()?;
    sh.change_dir(&folders.workspace);

    check("formatting", cmd!(sh, "cargo fmt --all --check"))?;
    check("clippy", cmd!(sh, "cargo clippy --workspace --all-targets --locked -- -D warnings"))?;

    let kernels = KERNELS.iter().map(|&kernel| kernel.to_owned()).collect();
    let build = BuildOptions { source: None, install: *install };
    build_kernel::run(
        places,
        &BuildKernel { kernels, user_series: UserSeriesArgs::default(), build, print_image: false },
    )?;

    // One test at a time: each VM test uses all cores, and a starved guest looks like a hang.
    // Proofs are commands of their own: each builds kernels.
    let all = ["--include-ignored", "--test-threads=1", "--skip", "proofs::"];
    let tests = cmd!(sh, "cargo test --workspace --locked -- {all...}")
        .env("MEMCG_HARNESS_CACHE", &folders.cache);
    check("tests", tests)?;
    Ok(Exit::Ok)
}

fn check(name: &str, command: xshell::Cmd<'_>) -> anyhow::Result<()> {
    note(&format!("{name}: {command}"));
    let said = command.to_string();
    let status = process::attend(command.into())?;
    match status.success() {
        true => Ok(()),
        false => Err(Fault::new(Exit::Unexpected, format!("{name}: `{said}` failed ({status})"))
            .hint("see the messages above; `cargo fmt --all` fixes formatting")
            .into()),
    }
}
