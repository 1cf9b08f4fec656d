// SPDX-License-Identifier: MIT OR Apache-2.0
//! Node.js packages of `package-lock.json`, kept in the cache's `tools`.
//!
//! Contract: they are there under their name only when they are whole, and another list of packages has another name. Debian's
//! `nodejs`, `npm` and `chromium` must be installed: `cargo xtask test --install` does that.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PACKAGE: &str = include_str!("package.json");
const LOCK: &str = include_str!("package-lock.json");
/// Seconds for anything that npm and Node.js do here; most of it is the network, or a browser on a busy machine.
const DEADLINE_S: &str = "600";

/// The folder with the packages, installed if they are not.
pub(crate) fn packages() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    LOCK.hash(&mut hasher);
    let tools = cache().join("tools");
    let home = tools.join(format!("html-readers-{:016x}", hasher.finish()));
    if !home.exists() {
        fs::create_dir_all(&tools).expect("the cache can be written to");
        let made = tempfile::tempdir_in(&tools).expect("a folder in the cache");
        for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK)] {
            fs::write(made.path().join(name), text).expect("a file in the cache");
        }
        // No script of any package runs: all of these are plain JavaScript.
        let output =
            run(made.path(), "npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        assert!(output.status.success(), "npm ci: {}", text(&output));
        // Another process may have been faster; either is whole.
        if fs::rename(made.path(), &home).is_ok() {
            let _ = made.keep();
        }
    }
    home
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

/// The cache folder: as `cargo xtask test` gives it, or the default.
fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    variable("MEMCG_HARNESS_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("memcg-harness")))
        .or_else(|| Some(variable("HOME")?.join(".cache/memcg-harness")))
        .expect("a cache folder")
}
