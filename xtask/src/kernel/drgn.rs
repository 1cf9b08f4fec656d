// SPDX-License-Identifier: MIT OR Apache-2.0
//! drgn, a debugger that is programmed in Python: installed from its Python package into the cache.
//!
//! Contract: it is there under its name only when it is whole. While it is used, it is not removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::cache::{self, Cache, Lock};
use super::shelf;
use crate::exit::{Exit, Fault};
use crate::host;
use crate::host::process;
use crate::progress::Step;

/// The version that the helpers are tested with.
const PACKAGE: &str = "drgn==0.3.0";
const HOME: &str = "drgn-0.3.0";
/// Debian's, of which the version is known.
const PYTHON: &str = "/usr/bin/python3";
const DEADLINE: Duration = Duration::from_secs(10 * 60);

/// A Python that has drgn. It stays there until the lock is dropped.
///
/// # Errors
/// [`Exit::MissingTool`] without Python, its venv or the package.
pub(crate) fn provide(cache: &Cache) -> anyhow::Result<(PathBuf, Lock)> {
    let used = cache.share(&shelf::tool_lock(HOME), HOME)?;
    let home = cache.tools.join(HOME);
    let python = home.join("bin/python");
    if python.exists() {
        return Ok((python, used));
    }
    let _lock = cache.lock("drgn", "drgn")?;
    if python.exists() {
        return Ok((python, used));
    }
    host::require_program(PYTHON, "python3-venv")?;
    let step = Step::begin("installing drgn", None);
    let made = cache::scratch(&home)?;
    run(Path::new(PYTHON), &["-m", "venv", &made.path().display().to_string()])?;
    // A package that is compiled here would need what this machine may lack.
    let words = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"];
    run(
        &made.path().join("bin/python"),
        &[&words[..], &["--only-binary=:all:", PACKAGE]].concat(),
    )?;
    fs::remove_dir_all(&home).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    cache::publish(made, &home)?;
    step.end("done");
    Ok((python, used))
}

fn run(program: &Path, words: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(words).env_remove("PYTHONPATH");
    let output = process::capture(command, DEADLINE).context("installing drgn")?;
    if output.status.success() {
        return Ok(());
    }
    let last = output.text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing");
    let what = format!("Python cannot install {PACKAGE}: {last}");
    let hint = "apt-get install --no-install-recommends python3-venv, and check the network: drgn \
                comes from Python's package index";
    Err(Fault::new(Exit::MissingTool, what).hint(hint).into())
}
