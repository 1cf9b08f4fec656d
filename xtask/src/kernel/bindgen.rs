// SPDX-License-Identifier: MIT OR Apache-2.0
//! bindgen, which no Debian 12 package has in a version that Rust for Linux takes: built by cargo.
//!
//! Contract: built once for a cache, and there under its name only when it is whole.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cache::{self, Cache};
use crate::exit::{Exit, Fault};
use crate::host::process;
use crate::progress::Step;

/// Tested with 6.12 and 7.3; newer ones may write other bindings.
pub(crate) const BINDGEN_VERSION: &str = "0.71.1";
/// Crates that bindgen is built from, for the progress bar.
const BINDGEN_CRATES: u64 = 46;
const CARGO_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// Builds bindgen into the cache, where it is to be `bindgen`, unless it is there.
///
/// # Errors
/// [`Exit::MissingTool`] with what cargo said.
pub(super) fn provide(bindgen: &Path, cache: &Cache) -> anyhow::Result<()> {
    if bindgen.exists() {
        return Ok(());
    }
    let _lock = cache.lock("bindgen", "bindgen")?;
    if bindgen.exists() {
        return Ok(());
    }
    let home = bindgen_home(cache);
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
        return Err(Fault::new(Exit::MissingTool, format!("cargo cannot install bindgen-cli {BINDGEN_VERSION}:{said}"))
            .hint("is there a network? bindgen comes from the crates registry that cargo is configured with")
            .into());
    }
    cache::publish(made, &home)?;
    step.end("done");
    Ok(())
}

/// Where it is in the cache.
pub(super) fn bindgen_home(cache: &Cache) -> PathBuf {
    cache.tools().join(format!("bindgen-{BINDGEN_VERSION}"))
}

fn cargo_install(root: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["install", "bindgen-cli", "--locked", "--version", BINDGEN_VERSION, "--root"])
        .arg(root);
    // Under `cargo xtask` these describe the harness; bindgen is none of its business.
    for name in [
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "LD_LIBRARY_PATH",
        "MAKEFLAGS",
    ] {
        command.env_remove(name);
    }
    // A rust-toolchain or .cargo/config of the folder we happen to be in must not matter.
    command.current_dir(root);
    command
}
