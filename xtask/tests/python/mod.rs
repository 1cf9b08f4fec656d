// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Python with some packages, kept in the cache's `tools`: what the tests read the project's
//! output with.
//!
//! Contract: it is there under its name only when it is whole, and another list of packages has
//! another name. Debian's `python3-venv` must be installed: `cargo xtask test --install` does that.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use fs4::fs_std::FileExt;

/// Debian's, of which the version is known.
const PYTHON: &str = "/usr/bin/python3";
/// Seconds for anything that Python does here; most of it is pip and the network.
const DEADLINE_S: &str = "600";

/// The cache folder: as `cargo xtask test` gives it, or the default.
pub(crate) fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    variable("MEMCG_HARNESS_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("memcg-harness")))
        .or_else(|| Some(variable("HOME")?.join(".cache/memcg-harness")))
        .expect("a cache folder")
}

/// The folder of a Python with these packages, one `name==version` a line.
pub(crate) fn with(name: &str, packages: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    packages.hash(&mut hasher);
    let tools = cache().join("tools");
    let home = tools.join(format!("{name}-{:016x}", hasher.finish()));
    hold(&home);
    if !home.exists() {
        fs::create_dir_all(&tools).expect("the cache can be written to");
        let made = tempfile::tempdir_in(&tools).expect("a folder in the cache");
        run(Path::new(PYTHON), &["-m".as_ref(), "venv".as_ref(), made.path()]);
        let list = made.path().join("requirements.txt");
        fs::write(&list, packages).expect("a file in the cache");
        let pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"];
        let mut words: Vec<&Path> = pip.iter().map(Path::new).collect();
        words.extend(["--requirement".as_ref(), list.as_path()]);
        run(&made.path().join("bin/python"), &words);
        // Another process may have been faster; either is whole. Only scripts in `bin` know the old
        // name.
        if fs::rename(made.path(), &home).is_ok() {
            let _ = made.keep();
        }
    }
    home
}

/// Marks a tool in use until this process ends, for `prune --cache`, and renews its time.
pub(crate) fn hold(home: &Path) {
    let name = home.file_name().expect("a name").to_str().expect("its name in UTF-8");
    let locks = cache().join("locks");
    fs::create_dir_all(&locks).expect("the cache can be written to");
    let path = locks.join(format!("tool-{name}.lock"));
    let file = File::options().append(true).create(true).open(path).expect("a lock");
    FileExt::lock_shared(&file).expect("nobody holds it for long");
    file.set_modified(SystemTime::now()).expect("its time");
    std::mem::forget(file);
}

/// What a command printed.
pub(crate) fn run(program: &Path, words: &[impl AsRef<Path>]) -> String {
    let mut command = Command::new("timeout");
    command.arg(DEADLINE_S).arg(program).args(words.iter().map(|word| word.as_ref().as_os_str()));
    command.env_remove("PYTHONPATH").env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().expect("coreutils has `timeout`");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("JSON is UTF-8")
}
