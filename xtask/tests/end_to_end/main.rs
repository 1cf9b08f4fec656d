// SPDX-License-Identifier: MIT OR Apache-2.0
//! The harness as its users meet it: the binary, its exit codes, what it prints and leaves behind.
//!
//! Tests that boot VMs are `#[ignore]`d here and run by `cargo xtask test`, which builds the
//! kernels first.

mod bad_input;
mod bisect;
mod broken_hosts;
mod broken_kernels;
mod exec;
mod inspect;
mod installed;
mod kvm;
mod month;
mod parts;
mod proofs;
#[path = "../python/mod.rs"]
mod python;
mod repro;
mod series;
mod shell;
mod user_series;
mod verdicts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A private copy of `configs/` and a private results folder.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        copy_folder(&workspace().join("configs"), &bench.configs());
        bench
    }

    fn configs(&self) -> PathBuf {
        self.folder.path().join("configs")
    }

    fn results(&self) -> PathBuf {
        self.folder.path().join("results")
    }

    /// Writes a file below `configs/`.
    fn write(&self, file: &str, text: &str) {
        fs::write(self.configs().join(file), text).expect("the copy of configs/ is writable");
    }

    /// The command, ready for more arguments.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_memcg-harness"));
        command.args(arguments).env_remove("RUST_BACKTRACE").env("NO_COLOR", "1");
        // No defaults of whoever runs the tests.
        command.env("XDG_CONFIG_HOME", self.folder.path());
        command.arg("--configs").arg(self.configs()).arg("--results").arg(self.results());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().expect("xtask starts"))
    }

    /// The parsed `result.json` of the newest run.
    fn result(&self) -> serde_json::Value {
        let path = self.results().join("latest/result.json");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_str(&text).expect("result.json is JSON")
    }
}

/// What a run of the binary said.
struct Ran {
    exit: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            exit: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    fn expect_exit(&self, exit: i32) -> &Self {
        assert_eq!(self.exit, Some(exit), "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn expect_error(&self, part: &str) -> &Self {
        assert!(self.stderr.contains(part), "no `{part}` in stderr:\n{}", self.stderr);
        self
    }

    #[track_caller]
    fn expect_output(&self, part: &str) -> &Self {
        assert!(self.stdout.contains(part), "no `{part}` in stdout:\n{}", self.stdout);
        self
    }
}

/// The judgement that counts of an entry of `cells`: a first try that ended in ERROR or
/// INCONCLUSIVE says nothing of the kernel.
fn counted(ran: &serde_json::Value) -> &serde_json::Value {
    let first = &ran["first"]["judgement"];
    let again = &ran["again"]["judgement"];
    let says_nothing = first["verdict"] == "ERROR" || first["verdict"] == "INCONCLUSIVE";
    if says_nothing && !again.is_null() { again } else { first }
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace")
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder in the temporary folder");
    for entry in fs::read_dir(from).expect("configs/ can be read") {
        let entry = entry.expect("an entry of configs/");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy of a config file");
        }
    }
}
