// SPDX-License-Identifier: MIT OR Apache-2.0
//! `check-series` on a "kernel" that builds in a blink: each kind of bad patch turns red where it
//! should. Nothing of it boots, so that every patch is red in `boot` at the latest.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::{Bench, Ran, workspace};

const MAKEFILE: &str = "VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 1
.PHONY: tinyconfig olddefconfig bzImage
tinyconfig: ; @echo '# CONFIG_A is not set' > $(KCONFIG_CONFIG)
olddefconfig: ; @grep -q NEW mm/Kconfig || sed -i /CONFIG_NEW/d $(KCONFIG_CONFIG)
mm/a.o: mm/a.c
\t@echo '  CC      mm/a.o'
\t@if grep -q BROKEN mm/a.c; then echo 'mm/a.c:1:1: error: broken'; exit 1; fi
\t@if grep -q NEWLY mm/a.c; then echo 'mm/a.c:2:1: warning: newly'; fi
\t@echo 'mm/a.c:1:1: warning: as ever'; cp mm/a.c mm/a.o; chmod u+w mm/a.o
bzImage: mm/a.o
\t@echo '  LD      vmlinux'; cp mm/a.o vmlinux
	@echo '0 T try_charge_memcg' > System.map
	@echo '0 D __tracepoint_signal_generate' >> System.map
\t@mkdir -p arch/x86/boot; cp vmlinux arch/x86/boot/bzImage
";

/// Stands for the kernel's own: a tab in a patch is what it does not like.
const CHECKPATCH: &str =
    "local @ARGV = $ARGV[-1]; while (<>) { if (/\\t/) { print \"CHECK: a tab\\n\"; exit 1 } }\n";

struct Series {
    bench: Bench,
    folder: PathBuf,
    tree: PathBuf,
}

impl Series {
    /// A tree and a series of four patches, each with one line added to `mm/a.c`.
    fn new(lines: [&str; 4]) -> Self {
        let bench = Bench::new();
        // Patches are found from the workspace; a path up from it leads anywhere.
        let folder = bench.folder.path().join("series");
        let tree = bench.folder.path().join("linux");
        let write = |path: &Path, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(&tree.join("Makefile"), MAKEFILE);
        write(&tree.join("Kconfig"), "source \"mm/Kconfig\"\n");
        write(&tree.join("mm/Kconfig"), "config A\n\tbool \"a\"\n");
        write(&tree.join("mm/a.c"), "0\n");
        write(&tree.join("arch/x86/Kconfig"), "");
        write(&tree.join("scripts/checkpatch.pl"), CHECKPATCH);
        let mut last = "0".to_owned();
        let mut list = String::new();
        for (before, line) in (1..).zip(&lines) {
            let name = format!("000{before}-x.patch");
            let patch = format!(
                "--- a/mm/a.c\n+++ b/mm/a.c\n@@ -{before} +{before},2 @@\n {last}\n+{line}\n"
            );
            write(&folder.join(&name), &patch);
            list.push_str(&format!("{name}\n"));
            last = (*line).to_owned();
        }
        write(&folder.join("series"), &list);
        bench.write("fragments/fake.config", "CONFIG_NEW=y\n");
        let kernel =
            format!("base = \"6.12\"\nseries = \"{}\"\nfragments = [\"fake\"]\n", folder.display());
        bench.write("kernels/fake.toml", &kernel);
        Self { bench, folder, tree }
    }

    /// Runs the command; the rows of `check-series.json`.
    fn check(&self, arguments: &[&str]) -> Vec<serde_json::Value> {
        let cache = self.bench.folder.path().join("cache");
        let mut all = vec!["check-series", "fake", "--source", self.tree.to_str().unwrap()];
        all.extend(["--cache", cache.to_str().unwrap(), "--accel", "tcg"]);
        all.extend(arguments);
        let ran = self.bench.run(&all);
        ran.expect_exit(1);
        let path = self.bench.results().join("latest/check-series.json");
        let text = fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("{}: {e}\n{}\n{}", path.display(), ran.stdout, ran.stderr));
        serde_json::from_str(&text).expect("JSON")
    }
}

/// apply, checkpatch, rustfmt, build, clippy, boot, smoke: the verdicts of a row.
fn verdicts(row: &serde_json::Value) -> Vec<&str> {
    let checks = row["checks"].as_array().expect("checks");
    checks.iter().map(|check| check["verdict"].as_str().expect("a verdict")).collect()
}

#[test]
#[ignore = "starts QEMU: `cargo xtask test` runs it"]
fn each_kind_of_bad_patch_is_red_where_it_should_be() {
    assert!(workspace().join("kernel-patches").exists());
    let series = Series::new(["fine", "a\ttab", "NEWLY", "BROKEN"]);
    let rows = series.check(&[]);
    assert_eq!(rows.len(), 4);
    let said: Vec<Vec<&str>> = rows.iter().map(verdicts).collect();
    // A warning that the base has too is nobody's fault; a Rust linter has nothing to say here.
    assert_eq!(said[0][..4], ["PASS", "PASS", "NONE", "PASS"], "{:#}", rows[0]);
    assert_eq!(said[0][5..], ["FAIL", "NONE"], "it booted: {:#}", rows[0]);
    assert_eq!(said[1][..4], ["PASS", "FAIL", "NONE", "PASS"], "{:#}", rows[1]);
    assert_eq!(said[2][3], "FAIL", "{:#}", rows[2]);
    assert!(rows[2]["checks"][3]["said"].as_str().unwrap().contains("newly"), "{:#}", rows[2]);
    assert_eq!(said[3][3..], ["FAIL", "NONE", "NONE", "NONE"], "{:#}", rows[3]);
    assert!(rows[3]["checks"][3]["said"].as_str().unwrap().contains("error: broken"));
    let log = series.bench.results().join("latest/patches/04/build.log");
    assert!(fs::read_to_string(log).unwrap().contains("error: broken"));

    // Once more: what was built is there. A patch to another file does not apply,
    // and neither do those that follow.
    let patch = series.folder.join("0003-x.patch");
    let text = "--- a/mm/a.c\n+++ b/mm/a.c\n@@ -3 +3 @@\n-not there\n+x\n";
    fs::write(&patch, text).unwrap();
    let rows = series.check(&["--from", "2"]);
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["hit"], true, "built again: {:#}", rows[0]);
    assert_eq!(verdicts(&rows[2])[0], "FAIL");
    assert_eq!(verdicts(&rows[1]), ["FAIL", "PASS", "NONE", "NONE", "NONE", "NONE", "NONE"]);
    assert!(rows[1]["checks"][0]["said"].as_str().unwrap().contains("0003-x.patch does not apply"));
}

/// It writes to a home folder, reads a secret there and opens a connection, while the kernel is
/// built with the patch.
#[test]
#[ignore = "`cargo xtask test` provides the tools that a build needs"]
fn a_patch_does_not_get_out_of_the_build() {
    let series = Series::new(["fine", "fine", "fine", "fine"]);
    series.bench.write("fragments/fake.config", "# CONFIG_A is not set\n");
    let home = series.bench.folder.path().join("home");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("secret"), "s\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let last = MAKEFILE.lines().last().unwrap();
    let patch = format!(
        "--- a/Makefile\n+++ b/Makefile\n@@ -{at} +{at},3 @@\n {last}\n\
         +\t@cat {home}/secret >> arch/x86/boot/bzImage; echo x > {home}/written; \
         perl -MSocket -e 'socket(S,PF_INET,SOCK_STREAM,0); \
         connect(S,pack_sockaddr_in({port},inet_aton(\"127.0.0.1\")))'; true\n\
         +\t@echo tried >> arch/x86/boot/bzImage\n",
        at = MAKEFILE.lines().count(),
        home = home.display(),
        port = listener.local_addr().unwrap().port(),
    );
    fs::write(series.folder.join("0004-x.patch"), patch).unwrap();
    let cache = series.bench.folder.path().join("cache");
    let (tree, cache) = (series.tree.to_str().unwrap(), cache.to_str().unwrap());
    let build = ["build-kernel", "fake", "--print-image", "--source", tree, "--cache", cache];
    let built = || {
        let mut command = series.bench.command(&build);
        let ran = Ran::of(command.env("HOME", &home).output().unwrap());
        fs::read_to_string(ran.expect_exit(0).stdout.trim()).unwrap()
    };
    let image = built();
    assert!(image.ends_with("fine\ntried\n"), "{image}");
    assert!(!home.join("written").exists());
    assert!(listener.accept().is_err(), "somebody called");
}

#[test]
fn a_patch_that_is_not_there_and_a_kernel_without_patches_are_refused() {
    let bench = Bench::new();
    bench.run(&["check-series", "overchrage"]).expect_exit(2).expect_error("overcharge");
    bench.run(&["check-series", "--only", "0", "--from", "2"]).expect_exit(2);
}
