// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wrong input is named with file and line and ends with the documented code; nothing is built.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Bench, Ran};

#[test]
fn a_typo_in_a_scenario_is_named_with_file_and_line() {
    let bench = Bench::new();
    let path = bench.configs().join("scenarios/open-unkillable.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let line = text.lines().position(|line| line.starts_with("limit =")).unwrap() + 1;
    bench.write("scenarios/open-unkillable.toml", &text.replace("limit =", "limt ="));
    bench
        .run(&["run-matrix", "--dry-run"])
        .expect_exit(2)
        .expect_error(&format!("open-unkillable.toml:{line}:"))
        .expect_error("limt");
}

#[test]
fn a_matrix_that_names_an_unknown_scenario_is_refused() {
    let bench = Bench::new();
    bench.write(
        "matrices/typo.toml",
        "kernels = [\"baseline\"]\nbaseline = \"baseline\"\nscenarios = [\"open-unkilable\"]\n[vm]\ncpus = 2\nmemory = \"512M\"\n",
    );
    bench
        .run(&["run-matrix", "--matrix", "typo", "--dry-run"])
        .expect_exit(2)
        .expect_error("open-unkilable")
        .expect_error("open-unkillable");
}

#[test]
fn a_filter_that_selects_nothing_is_no_success() {
    let bench = Bench::new();
    bench.run(&["run-matrix", "--filter", "opne-*"]).expect_exit(2).expect_error("opne-*");
    bench
        .run(&["run-matrix", "--filter", "open-*", "--filter", "opne-*"])
        .expect_exit(2)
        .expect_error("no cell matches --filter opne-*");
    assert!(!bench.results().join("latest").exists(), "a run folder was made");
}

#[test]
fn an_unknown_matrix_names_the_known_ones() {
    Bench::new()
        .run(&["run-matrix", "--matrix", "defualt"])
        .expect_exit(2)
        .expect_error("defualt")
        .expect_error("default");
}

#[test]
fn a_wrong_argument_ends_with_two() {
    Bench::new().run(&["run-matrix", "--jbos", "2"]).expect_exit(2);
    Bench::new().run(&["run-matrix", "--image", "overcharge"]).expect_exit(2);
}

#[test]
fn dry_run_prints_the_cells_and_makes_no_run_folder() {
    let bench = Bench::new();
    bench
        .run(&["run-matrix", "--dry-run", "--filter", "open-unkillable*"])
        .expect_exit(0)
        .expect_output("open-unkillable.v2.baseline.mainline")
        .expect_output("open-unkillable.v2.overcharge.off")
        .expect_output("open-unkillable.v2.overcharge.overcharge");
    assert!(!bench.results().join("latest").exists(), "a run folder was made");
}

#[test]
fn show_without_a_run_says_how_to_make_one() {
    Bench::new().run(&["show", "open"]).expect_exit(2).expect_error("run-matrix");
}

#[test]
fn who_reads_no_further_gets_no_error_and_a_full_disk_is_one() {
    let bench = Bench::new();
    let mut command = bench.command(&["list", "cells"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = Ran::of(child.wait_with_output().unwrap());
    ran.expect_exit(0);
    assert_eq!(ran.stderr, "");

    let full = File::options().write(true).open("/dev/full").unwrap();
    Ran::of(bench.command(&["list", "cells"]).stdout(full).output().unwrap())
        .expect_exit(7)
        .expect_error("standard output");
}

/// The message is lost, the exit code is not.
#[test]
fn a_stderr_that_takes_nothing_changes_no_exit_code() {
    let bench = Bench::new();
    let words = ["run-matrix", "--dry-run", "--matrix", "none-of-that-name"];
    let full = File::options().write(true).open("/dev/full").unwrap();
    let status = bench.command(&words).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(2));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = bench.command(&words).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

/// A checkout that was copied with its target folder runs the program of the other one.
#[test]
fn a_copied_checkout_reads_its_own_configs() {
    let copy = tempfile::tempdir().unwrap();
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let status = Command::new("cp").arg("-r").arg(configs).arg(copy.path()).status().unwrap();
    assert!(status.success());
    let kernels = copy.path().join("configs/kernels");
    fs::copy(kernels.join("baseline.toml"), kernels.join("only-here.toml")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["list", "kernels"]).env("CARGO_MANIFEST_DIR", copy.path().join("xtask"));
    let ran = Ran::of(command.output().unwrap());
    ran.expect_exit(0);
    assert!(ran.stdout.contains("only-here"), "{}", ran.stdout);
}
