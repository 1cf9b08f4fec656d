// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bisect` on a "kernel" that builds in a blink: make copies an image that was built before, of
//! the series or of a mutant of it. What boots and what is judged is real.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Bench, Ran};

const CELL: &str = "open-killable.v2.fake.overcharge";

const MAKEFILE: &str = "VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 1
.PHONY: tinyconfig olddefconfig bzImage
tinyconfig: ; @echo '# CONFIG_A is not set' > $(KCONFIG_CONFIG)
olddefconfig: ; @true
FROM = $(shell if grep -q BAD mm/*.c; then echo bad; else echo good; fi)
bzImage:
\t@if tail -1 mm/a.c | grep -q BROKEN; then echo 'mm/a.c:1:1: error: broken'; exit 1; fi
\t@mkdir -p arch/x86/boot; cp -f $(FROM)/bzImage arch/x86/boot/bzImage
\t@cp -f $(FROM)/System.map System.map; cp -f System.map vmlinux; touch mm/a.o
";

/// An image of the cache: its folder.
fn image(bench: &Bench, kernel: &str) -> PathBuf {
    let built = bench.run(&["build-kernel", kernel, "--print-image"]);
    let path = PathBuf::from(built.expect_exit(0).stdout.trim());
    path.parent().expect("an image is in a folder").to_owned()
}

/// A tree whose kernel is that of `good`, and of `bad` once `mm/a.c` says so.
fn tree(bench: &Bench, good: &Path, bad: &Path) -> PathBuf {
    let tree = bench.folder.path().join("linux");
    let write = |path: &str, text: &str| {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    // The sandbox of a build does not show the cache: the images are files of the tree.
    for (name, from) in [("good", good), ("bad", bad)] {
        fs::create_dir_all(tree.join(name)).unwrap();
        for file in ["bzImage", "System.map"] {
            fs::copy(from.join(file), tree.join(name).join(file)).unwrap();
        }
    }
    write("Makefile", MAKEFILE);
    write("Kconfig", "source \"mm/Kconfig\"\n");
    write("mm/Kconfig", "config A\n\tbool \"a\"\n");
    write("mm/a.c", "0\n");
    write("arch/x86/Kconfig", "");
    write("scripts/none", "");
    tree
}

struct Search {
    bench: Bench,
    tree: PathBuf,
}

impl Search {
    /// A series whose patches add these lines, and a run of its last kernel.
    fn new(lines: &[&str]) -> Self {
        let bench = Bench::new();
        let [good, bad] = ["overcharge", "mutant-never-reconciles"].map(|it| image(&bench, it));
        let tree = tree(&bench, &good, &bad);
        let folder = bench.folder.path().join("series");
        fs::create_dir_all(&folder).unwrap();
        let (mut last, mut list) = ("0", String::new());
        for (number, line) in (1..).zip(lines) {
            let name = format!("000{number}-x.patch");
            let patch = format!(
                "--- a/mm/a.c\n+++ b/mm/a.c\n@@ -{number} +{number},2 @@\n {last}\n+{line}\n"
            );
            fs::write(folder.join(&name), patch).unwrap();
            list.push_str(&format!("{name}\n"));
            last = line;
        }
        fs::write(folder.join("series"), list).unwrap();
        bench.write("fragments/fake.config", "# CONFIG_A is not set\n");
        let kernel = format!(
            "extends = \"overcharge\"\nseries = \"{}\"\nfragments = [\"fake\"]\n",
            folder.display()
        );
        bench.write("kernels/fake.toml", &kernel);
        Self { bench, tree }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let cache = self.bench.folder.path().join("cache");
        let mut all = arguments.to_vec();
        all.extend(["--source", self.tree.to_str().unwrap(), "--accel", "tcg"]);
        all.extend(["--cache", cache.to_str().unwrap()]);
        self.bench.run(&all)
    }
}

/// The third of five patches is bad, and the second does not build; stopped and resumed.
#[test]
#[ignore = "boots VMs; run by `cargo xtask test`"]
fn the_first_bad_patch_is_found_though_one_does_not_build() {
    let search = Search::new(&["fine", "BROKEN", "BAD", "fine", "fine"]);
    let ran = search.run(&["run-matrix", "--kernel", "fake", "--filter", CELL]);
    ran.expect_exit(1).expect_output("FAIL I3");
    let bisect =
        |more: &[&str]| search.run(&[&["bisect", CELL, "--confidence", "90"], more].concat());
    bisect(&["--attempts", "2"]).expect_exit(1).expect_output("undecided");
    let found = bisect(&["--resume"]);
    found.expect_exit(0).expect_error("going on after 2 attempts");
    found.expect_output("skipped 2 0002-x.patch");
    for line in ["could be any of these", "  2 0002-x.patch", "  3 0003-x.patch"] {
        found.expect_output(line);
    }
    assert!(found.stdout.lines().all(|line| line.chars().count() <= 80), "{}", found.stdout);
    // The command that verifies it.
    let lines = found.stdout.lines().map(|line| line.trim().trim_end_matches(" \\"));
    let words: Vec<&str> = lines
        .skip_while(|line| !line.starts_with("cargo xtask repro"))
        .take(2)
        .flat_map(str::split_whitespace)
        .skip(2)
        .collect();
    let [command, cell, flag, run, ..] = words[..] else { panic!("{words:?}") };
    assert!(cell.starts_with("open-killable.v2.fake-step-03.overcharge.r"), "{cell}");
    let cache = search.bench.folder.path().join("cache");
    let cache = cache.to_str().unwrap();
    let verified =
        search.bench.run(&[command, cell, flag, run, "--accel", "tcg", "--cache", cache]);
    verified.expect_exit(1).expect_output("FAIL I3");
}

/// The second of three commits is bad, with a series on top of each.
#[test]
#[ignore = "boots VMs; run by `cargo xtask test`"]
fn the_first_bad_commit_is_found() {
    let search = Search::new(&["fine"]);
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(&search.tree).args(["-c", "user.name=T", "-c", "user.email=t@t.example"]);
        assert!(git.args(words).status().unwrap().success(), "{words:?}");
    };
    let commit = |text: &str| {
        fs::write(search.tree.join("mm/c.c"), text).unwrap();
        git(&["add", "-A"]);
        git(&["commit", "-qm", text]);
    };
    git(&["init", "-q"]);
    ["begin", "fine", "BAD", "BAD and more"].into_iter().for_each(commit);
    let ran = search.run(&["run-matrix", "--kernel", "fake", "--filter", CELL]);
    ran.expect_exit(1).expect_output("FAIL I3");
    let range = ["--good", "HEAD~3", "--bad", "HEAD", "--confidence", "90"];
    let found = search.run(&[&["bisect", CELL][..], &range].concat());
    found.expect_exit(0).expect_output("first bad commit: 2 ");
    found.expect_output(" BAD\n");
}

#[test]
fn what_there_is_nothing_to_search_in_is_refused() {
    let bench = Bench::new();
    bench.run(&["bisect", "open"]).expect_exit(2).expect_error("no run `latest`");
    bench.run(&["bisect", "open", "--good", "v1"]).expect_exit(2);
}
