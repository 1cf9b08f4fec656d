// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program as `cargo install` leaves it: in a kernel tree, with a user's own defaults, for a
//! program that reads its events. Nothing is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Bench, Ran};

/// A command that was not called by cargo, in this folder.
fn installed(bench: &Bench, folder: &Path, words: &[&str]) -> Command {
    let mut command = bench.command(words);
    command.env_remove("CARGO_MANIFEST_DIR").current_dir(folder);
    command
}

fn run(bench: &Bench, folder: &Path, words: &[&str]) -> Ran {
    Ran::of(installed(bench, folder, words).output().expect("the program starts"))
}

/// A kernel tree with one commit since its release, and a change on top of that.
fn tree(bench: &Bench) -> PathBuf {
    let tree = bench.folder.path().join("linux");
    fs::create_dir(&tree).unwrap();
    let script = "git init -q .; git config user.name A; git config user.email a@example.org
        mkdir mm; touch MAINTAINERS Kbuild; seq 9 > mm/memcontrol.c
        printf 'VERSION = 6\\nPATCHLEVEL = 12\\n' > Makefile
        git add .; git commit -qm release; git tag v6.12
        echo 10 >> mm/memcontrol.c; git commit -qam 'mm: memcg: ten'; echo 11 >> mm/memcontrol.c";
    let made = Command::new("sh").current_dir(&tree).args(["-ec", script]).status().unwrap();
    assert!(made.success());
    tree
}

#[test]
fn in_a_kernel_tree_its_branch_is_the_series() {
    let bench = Bench::new();
    let tree = tree(&bench);
    run(&bench, &tree.join("mm"), &["run-matrix", "--dry-run", "-f", "open-killable.v2"])
        .expect_exit(0)
        .expect_output("open-killable.v2.series.mainline\n")
        .expect_error(&format!("kernel tree: {}, what is on top of v6.12", tree.display()))
        .expect_error("0001-mm-memcg-ten.patch\n  0002-changes-that-are-not-committed.patch\n");
    // What is named counts more.
    let named = run(&bench, &tree, &["run-matrix", "--dry-run", "--kernel", "baseline"]);
    named.expect_exit(0).expect_output("open-killable.v2.baseline.mainline\n");
    assert!(!named.stdout.contains("series"), "{}", named.stdout);
    named.expect_error("note: --kernel says what runs: changes of this tree are not tested");
    run(&bench, &tree, &["run-matrix", "--dry-run", "--night"])
        .expect_exit(0)
        .expect_error("note: --night says what runs");
    let conflict =
        "git stash -q; echo 12 >> mm/memcontrol.c; git commit -qam 'mm: 12'; git stash pop || :";
    assert!(
        Command::new("sh").current_dir(&tree).args(["-c", conflict]).status().unwrap().success()
    );
    run(&bench, &tree, &["run-matrix", "--dry-run"])
        .expect_exit(2)
        .expect_error("mm/memcontrol.c has conflicts that are not resolved");
    let clean = "git checkout -qf HEAD ; git reset -q --hard v6.12";
    assert!(Command::new("sh").current_dir(&tree).args(["-ec", clean]).status().unwrap().success());
    run(&bench, &tree, &["run-matrix", "--dry-run"])
        .expect_exit(2)
        .expect_error("it has no commits");
    // Unpacked from a tarball: the harness's own kernels are not what is meant.
    fs::remove_dir_all(tree.join(".git")).unwrap();
    run(&bench, &tree, &["run-matrix", "--dry-run"])
        .expect_exit(2)
        .expect_error("it is no git work tree, so its changes are not known");
    run(&bench, &tree, &["run-matrix", "--dry-run", "--kernel", "baseline"]).expect_exit(0);
}

#[test]
fn an_installed_program_names_itself() {
    let bench = Bench::new();
    let folder = bench.folder.path();
    run(&bench, folder, &["show", "x"]).expect_exit(2).expect_error("memcg-harness run-matrix");
    let help = run(&bench, folder, &["run-matrix", "--help"]);
    help.expect_exit(0).expect_output("Usage: memcg-harness run-matrix");
    assert!(!help.stdout.contains("cargo xtask"), "{}", help.stdout);
    bench.run(&["run-matrix", "--help"]).expect_output("Usage: cargo xtask run-matrix");
    run(&bench, folder, &["completions", "bash"]).expect_exit(0).expect_output("--max-fail");
    run(&bench, folder, &["man", "list"]).expect_exit(0).expect_output(".TH memcg-harness-list 1");
    run(&bench, folder, &["man", "lst"]).expect_exit(2).expect_error("no command `lst`");
}

#[test]
fn a_file_of_defaults_is_used_and_a_wrong_one_is_refused() {
    let bench = Bench::new();
    let settings = bench.folder.path().join("memcg-harness.toml");
    let list = |text: &str| {
        fs::write(&settings, text).unwrap();
        bench.run(&["list"])
    };
    list("color = \"never\"\n").expect_exit(0);
    let name = settings.display().to_string();
    list("[lst]\njobs = 1\n").expect_exit(2).expect_error(&format!("{name}: there is no"));
    list("matrix").expect_exit(2).expect_error(&name);
    fs::remove_file(&settings).unwrap();
    fs::create_dir(&settings).unwrap();
    let folder = bench.run(&["list"]);
    folder.expect_exit(2).expect_error(&name);
}

#[test]
fn each_line_of_the_events_is_json() {
    let bench = Bench::new();
    let events = |words: &[&str]| -> Vec<serde_json::Value> {
        let ran = bench.run(&[&["--message-format", "json"], words].concat());
        assert_eq!(ran.stderr, "", "{words:?}");
        let event =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        ran.stdout.lines().map(event).collect()
    };
    let cells = events(&["list", "--matrix", "smoke"]);
    assert_eq!(cells.len(), 4);
    assert_eq!(
        cells[0],
        serde_json::json!({"event": "text", "text": "open-killable.v1.baseline.mainline\n"})
    );
    let wrong = events(&["list", "--matrix", "smok"]);
    for wrong in [wrong, events(&["list", "--no-such-option"])] {
        let failed = wrong.last().unwrap();
        assert_eq!((&failed["event"], &failed["exit"]), (&"failed".into(), &2.into()));
    }
}
