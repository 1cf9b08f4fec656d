// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wrong input is named with file and line and ends with the documented code; nothing is built.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
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

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let bench = Bench::new();
    let fifo = bench.folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let run = bench.results().join("2026-01-31T04-00-00Z");
    fs::create_dir_all(&run).unwrap();
    let zero = Path::new("/dev/zero");
    for odd in [fifo.as_path(), zero, bench.folder.path()] {
        let odd_text = odd.to_str().unwrap();
        let dry = ["run-matrix", "--dry-run"];
        let plan = ["--plan", odd_text, "--partition", "1/2"];
        bench.run(&[&dry[..], &plan].concat()).expect_exit(2).expect_error(odd_text);
        if odd != bench.folder.path() {
            let ran = bench.run(&[&dry[..], &["--series", odd_text]].concat());
            assert!([Some(2), Some(5)].contains(&ran.exit), "{:?}", ran.exit);
            ran.expect_error(odd_text);
        }
        let config = bench.configs().join("kernels/odd.toml");
        symlink(odd, &config).unwrap();
        bench.run(&dry).expect_exit(2).expect_error("kernels/odd.toml: not a regular file");
        fs::remove_file(config).unwrap();
        for (words, file) in
            [(&["export", "--format", "json"][..], "result.json"), (&["report"], "manifest.json")]
        {
            symlink(odd, run.join(file)).unwrap();
            let ran = bench.run(&[words, &["2026-01-31T04-00-00Z"]].concat());
            ran.expect_exit(2).expect_error(&format!("{file}: not a regular file"));
            fs::remove_file(run.join(file)).unwrap();
        }
    }
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

/// What commands whose whole runs are too long say first: refusals, usage, what they would run.
#[test]
fn outputs_that_take_nothing_change_no_exit_code_of_a_long_command() {
    let bench = Bench::new();
    let outputs = [
        (">&-", false),
        ("<&- >&- 2>&-", false),
        ("2>&1 | :", false),
        ("2>/dev/full", false),
        (">/dev/full 2>&1", true),
    ];
    // Without QEMU or make the tools are missing: the last that is said before a run begins.
    let no_tools = bench.folder.path().join("bin");
    fs::create_dir(&no_tools).unwrap();
    let bash = |words: &[&str], output: &str, path: Option<&Path>| {
        let mut command = Command::new("/bin/bash");
        let script = format!("\"$@\" {output}; exit ${{PIPESTATUS[0]}}");
        command.args(["-c", &script, "bash", env!("CARGO_BIN_EXE_memcg-harness")]).args(words);
        command.arg("--configs").arg(bench.configs()).arg("--results").arg(bench.results());
        command.env("NO_COLOR", "1").envs(path.map(|path| ("PATH", path)));
        Ran::of(command.output().expect("bash starts"))
    };
    let mut cases: Vec<(Vec<&str>, Option<&Path>, i32)> = Vec::new();
    for command in ["bench", "inject", "kselftest", "check-series", "mutants", "coverage"] {
        cases.push((vec![command, "--help"], None, 0));
        cases.push((vec![command, "--of-no-such-name"], None, 2));
        let kernel: &[&str] = if command == "check-series" { &[] } else { &["--kernel"] };
        let kernel = if command == "bench" { &["--matrix"] } else { kernel };
        cases.push(([&[command], kernel, &["none-of-that-name"]].concat(), None, 2));
        // Without perl `check-series` goes on: what is not checked is a finding.
        if command != "check-series" {
            cases.push((vec![command], Some(&no_tools), 3));
        }
    }
    cases.push((vec!["mutants", "--dry-run"], None, 0));
    for (words, path, exit) in cases {
        for (output, is_full) in outputs {
            let ran = bash(&words, output, path);
            let expected = if is_full && exit == 0 { 7 } else { exit };
            let said = format!("{words:?} {output}: {}{}", ran.stdout, ran.stderr);
            assert_eq!(ran.exit, Some(expected), "{said}");
            assert!(!said.contains("panicked"), "{said}");
        }
    }
    let left: Vec<_> = fs::read_dir(bench.results()).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "a run folder was made: {left:?}");
}

/// A checkout that was copied with its target folder runs the program of the other one.
#[test]
fn a_copied_checkout_reads_its_own_configs() {
    let copy = tempfile::tempdir().unwrap();
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let status = Command::new("cp").arg("-r").arg(configs).arg(copy.path()).status().unwrap();
    assert!(status.success());
    fs::create_dir(copy.path().join("xtask")).unwrap();
    fs::write(copy.path().join("xtask/Cargo.toml"), "").unwrap();
    let kernels = copy.path().join("configs/kernels");
    fs::copy(kernels.join("baseline.toml"), kernels.join("only-here.toml")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_memcg-harness"));
    command.args(["list", "kernels"]).env("CARGO_MANIFEST_DIR", copy.path().join("xtask"));
    let ran = Ran::of(command.output().unwrap());
    ran.expect_exit(0);
    assert!(ran.stdout.contains("only-here"), "{}", ran.stdout);
}
