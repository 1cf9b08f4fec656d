// SPDX-License-Identifier: MIT OR Apache-2.0
//! bindgen, built by cargo: no Debian 12 package has a version that Rust for Linux accepts.
//!
//! Contract: built once for a cache. It is used only while it is as it was built: its hash lies
//! beside it, and a damaged one is built again. While a build uses it, it is not removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cache::{self, Cache, Lock};
use super::shelf;
use crate::exit::{Exit, Fault};
use crate::host::file::{self, Links, sha256_of};
use crate::host::process;
use crate::progress::{Step, note};

/// Tested with 6.12 and 7.3; newer ones may write other bindings.
pub(crate) const BINDGEN_VERSION: &str = "0.71.1";
/// Crates that bindgen is built from, for the progress bar.
const BINDGEN_CRATES: u64 = 46;
/// The hash of the binary, beside its folder `bin`.
const SUM: &str = "bindgen.sha256";
/// More than a hash in hex.
const SUM_BYTES_MAX: u64 = 128;
const CARGO_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// Builds bindgen into the cache, unless `bindgen` is there. It stays there until the result is
/// dropped.
///
/// # Errors
/// [`Exit::MissingTool`] with cargo's message.
pub(super) fn provide(bindgen: &Path, cache: &Cache) -> anyhow::Result<Lock> {
    let name = bindgen_name();
    let used = cache.share(&shelf::tool_lock(&name), &name)?;
    let home = bindgen_home(cache);
    let is_whole = || {
        let known = file::read(&home.join(SUM), Links::Followed, SUM_BYTES_MAX).ok();
        known.is_some_and(|known| sha256_of(bindgen).is_ok_and(|is| is.as_bytes() == known))
    };
    if is_whole() {
        return Ok(used);
    }
    let _lock = cache.lock("bindgen", "bindgen")?;
    if is_whole() {
        return Ok(used);
    }
    if bindgen.exists() {
        note(&format!("note: {} is not as it was built: it is built again", bindgen.display()));
    }
    let made = cache::scratch(&home)?;
    let step =
        Step::begin(format!("building bindgen {BINDGEN_VERSION}, crates"), Some(BINDGEN_CRATES));
    let (mut crates, mut said) = (0, String::new());
    let status = process::follow(cargo_install(made.path()), CARGO_DEADLINE, |line| {
        let line = line.unwrap_or_default();
        if line.trim_start().starts_with("Compiling") {
            crates += 1;
        } else if line.contains("error") && said.len() < 4096 {
            said.push_str(&format!("\n  {line}"));
        }
        step.at(crates, line.trim());
    })?;
    if !status.success() {
        let what = format!("cargo cannot install bindgen-cli {BINDGEN_VERSION}:{said}");
        let hint = "check the network: bindgen comes from cargo's crate registry";
        return Err(Fault::new(Exit::MissingTool, what).hint(hint).into());
    }
    fs::write(made.path().join(SUM), sha256_of(&made.path().join("bin/bindgen"))?)?;
    cache::remove(&home)?;
    cache::publish(made, &home)?;
    step.end("done");
    Ok(used)
}

fn bindgen_name() -> String {
    format!("bindgen-{BINDGEN_VERSION}")
}

/// Its folder in the cache.
pub(super) fn bindgen_home(cache: &Cache) -> PathBuf {
    cache.tools.join(bindgen_name())
}

fn cargo_install(root: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["install", "bindgen-cli", "--locked", "--version", BINDGEN_VERSION, "--root"])
        .arg(root)
        // Optimised, it takes 149 s of CPU time to build instead of 35, and saves 6 s a kernel.
        .arg("--debug");
    for setting in ["DEBUG", "DEBUG_ASSERTIONS", "OVERFLOW_CHECKS"] {
        command.env(format!("CARGO_PROFILE_DEV_{setting}"), "false");
    }
    // Under `cargo xtask` these are set for the harness.
    for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(name);
    }
    command.env_remove("LD_LIBRARY_PATH").env_remove("MAKEFLAGS");
    // Not in the current folder, which may have a rust-toolchain file or a .cargo/config.
    command.current_dir(root);
    command
}
