// SPDX-License-Identifier: MIT OR Apache-2.0
//! Exported results, read by those who will: the kernel's own KTAP parser, KernelCI's `kcidb-io`, a
//! JUnit reader and a validator of JSON Schema.
//!
//! They are `#[ignore]`d here because they need Python packages and a kernel source; `cargo xtask
//! test` has both.

mod made;
#[path = "../python/mod.rs"]
mod python;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

const REQUIREMENTS: &str = include_str!("requirements.txt");
const READ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readers/read.py");

/// What each case of the hand-made run is to `kunit_parser.py` and to a JUnit reader.
const MADE: &[(&str, &str, &str)] = &[
    ("run/complete", "FAILURE", "errors"),
    ("vs-baseline/open.v2.patched.overcharge", "SUCCESS", "passed"),
    ("vs-baseline/better.v2.patched.overcharge", "SUCCESS", "passed"),
    ("vs-baseline/fail.v2.patched.overcharge", "FAILURE", "failures"),
    ("vs-baseline/left-alone.v2.patched.overcharge", "SKIPPED", "skipped"),
    ("vs-baseline/flaky.v2.patched.overcharge", "FAILURE", "failures"),
    ("vs-baseline/skip-known.v2.patched.overcharge", "SKIPPED", "skipped"),
    ("vs-baseline/error.v2.patched.overcharge", "SKIPPED", "skipped"),
    ("open/open.v2.baseline.mainline", "SUCCESS", "passed"),
    ("open/open.v2.patched.overcharge", "SUCCESS", "passed"),
    ("crash/crash.v2.patched.overcharge", "FAILURE", "failures"),
    ("hang/hang.v2.patched.overcharge", "FAILURE", "failures"),
    ("fail/fail.v2.patched.overcharge", "FAILURE", "failures"),
    ("better/better.v2.patched.overcharge", "FAILURE", "failures"),
    ("flaky/flaky.v2.patched.overcharge", "FAILURE", "failures"),
    ("error/error.v2.patched.overcharge", "FAILURE", "errors"),
    ("retried/retried.v2.patched.overcharge", "SUCCESS", "passed"),
    ("unproven/unproven.v2.patched.overcharge", "FAILURE", "errors"),
    ("skip/skip.v2.patched.overcharge", "SKIPPED", "skipped"),
    ("skip-known/skip-known.v2.patched.overcharge", "SKIPPED", "skipped"),
    ("left-alone/left-alone.v2.patched.overcharge", "SUCCESS", "passed"),
];

/// A results folder of its own.
struct Results {
    folder: TempDir,
}

impl Results {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// Runs the binary on it.
    fn xtask(&self, words: &[&str]) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_memcg-harness"));
        command.args(words).arg("--results").arg(self.folder.path()).env("NO_COLOR", "1");
        command.output().expect("xtask starts")
    }

    /// A file with the run in that format.
    fn export(&self, run: &str, format: &str) -> PathBuf {
        let file = self.folder.path().join(format!("exported.{format}"));
        let words = ["export", run, "--format", format, "--output"];
        let said = self.xtask(&[&words[..], &[file.to_str().expect("a UTF-8 path")]].concat());
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        file
    }

    /// What a reader says of the run.
    fn read(&self, run: &str, format: &str) -> Value {
        let file = self.export(run, format);
        match format {
            "json" => read(&["json".as_ref(), self.export(run, "json-schema").as_path(), &file]),
            _ => read(&[format.as_ref(), file.as_path()]),
        }
    }

    /// What the parser of every kernel source in the cache says of the run.
    fn read_ktap(&self, run: &str) -> Vec<Value> {
        let file = self.export(run, "ktap");
        let sources =
            std::fs::read_dir(python::cache().join("sources")).expect("a cache with sources");
        let trees = sources.flatten().map(|source| source.path().join("tree/tools/testing/kunit"));
        let parsers: Vec<PathBuf> = trees.filter(|folder| folder.is_dir()).collect();
        assert!(
            !parsers.is_empty(),
            "no kernel source in the cache: `cargo xtask build-kernel` gets it"
        );
        parsers.iter().map(|parser| read(&["ktap".as_ref(), parser.as_path(), &file])).collect()
    }
}

fn read(words: &[&Path]) -> Value {
    let words = [&[Path::new(READ)], words].concat();
    let said = python::run(&python::with("readers", REQUIREMENTS).join("bin/python"), &words);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn counts<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, u64> {
    let mut counts = BTreeMap::new();
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    counts
}

#[test]
#[ignore = "needs a kernel source and Python packages: `cargo xtask test` has both"]
fn the_kernels_own_parser_reads_every_verdict() {
    let results = Results::new();
    made::write(results.folder.path());
    for said in results.read_ktap(made::RUN) {
        let statuses: BTreeMap<&str, &str> =
            MADE.iter().map(|(name, ktap, _)| (*name, *ktap)).collect();
        assert_eq!(said["leaves"], json!(statuses), "{said:#}");
        let expected = counts(statuses.into_values());
        assert_eq!(said["errors"], 0, "{said:#}");
        assert_eq!(said["crashed"], 0, "{said:#}");
        assert_eq!(said["passed"], expected["SUCCESS"], "{said:#}");
        assert_eq!(said["failed"], expected["FAILURE"], "{said:#}");
        assert_eq!(said["skipped"], expected["SKIPPED"], "{said:#}");
        assert_eq!(said["status"], "FAILURE");
        // A test that holds others is as bad as they are.
        assert_eq!(said["groups"]["crash"], "FAILURE");
        assert_eq!(said["groups"]["open"], "SUCCESS");
    }
}

#[test]
#[ignore = "needs Python packages: `cargo xtask test` installs them"]
fn a_junit_reader_reads_every_verdict() {
    let results = Results::new();
    made::write(results.folder.path());
    let said = results.read(made::RUN, "junit");
    let expected: BTreeMap<&str, &str> =
        MADE.iter().map(|(name, _, junit)| (*name, *junit)).collect();
    let found: BTreeMap<String, Value> = said["cases"]
        .as_object()
        .expect("cases by name")
        .iter()
        .map(|(name, case)| (name.clone(), case["result"].clone()))
        .collect();
    assert_eq!(json!(found), json!(expected));
    let expected = counts(expected.into_values());
    for word in ["failures", "errors", "skipped"] {
        assert_eq!(said[word], expected[word], "{word}");
    }
    assert_eq!(said["tests"], MADE.len());
    let crash = &said["cases"]["crash/crash.v2.patched.overcharge"];
    assert_eq!(crash["type"], "CRASH");
    let message = crash["message"].as_str().expect("a message");
    assert!(message.contains("CPU#0: sh/1 # SKIP <b>&amp; ]]> "), "{message}");
}

#[test]
#[ignore = "needs Python packages: `cargo xtask test` installs them"]
fn kcidb_takes_every_verdict() {
    let results = Results::new();
    made::write(results.folder.path());
    let said = results.read(made::RUN, "kcidb");
    assert_eq!(said["origins"], json!(["memcg_harness"]));
    let status = |id: &str| {
        said["tests"][id]["status"].as_str().unwrap_or_else(|| panic!("no {id}: {said:#}"))
    };
    for (scenario, expected) in [
        ("open", "PASS"),
        ("crash", "FAIL"),
        ("hang", "FAIL"),
        ("fail", "FAIL"),
        ("better", "PASS"),
        ("flaky", "FAIL"),
        ("error", "MISS"),
        ("retried", "PASS"),
        ("unproven", "ERROR"),
        ("skip", "SKIP"),
    ] {
        assert_eq!(status(&format!("{scenario}.v2.patched.overcharge")), expected, "{scenario}");
    }
    // What the unpatched kernel does is no success, though everybody expects it.
    assert_eq!(status("open.v2.baseline.mainline"), "FAIL");
    for (scenario, expected) in [
        ("open", "PASS"),
        ("better", "PASS"),
        ("fail", "FAIL"),
        ("left-alone", "FAIL"),
        ("skip-known", "DONE"),
        ("error", "SKIP"),
    ] {
        assert_eq!(status(&format!("vs-baseline:{scenario}.v2.patched.overcharge")), expected);
    }
    let crash = &said["tests"]["crash.v2.patched.overcharge"];
    assert_eq!(crash["path"], "memcg_harness.crash.v2.overcharge");
    let load = &said["tests"]["open.v2.patched.overcharge:load_ms"];
    assert_eq!(load["number"], json!({ "value": 0.5125, "unit": "s", "prefix": "metric" }));
    let of = |list: &str, id: &Value| {
        let mut things = said[list].as_array().expect("a list").iter();
        things.find(|thing| thing["id"] == *id).expect("what an id names").clone()
    };
    let build = of("builds", &said["tests"]["open.v2.baseline.mainline"]["build_id"]);
    assert_eq!(build["config_name"], "tinyconfig+boot+memcg");
    let checkout = of("checkouts", &build["checkout_id"]);
    assert_eq!(checkout["patchset_hash"], "");
    assert_eq!(checkout["git_commit_hash"], "a".repeat(40));
}

#[test]
#[ignore = "needs Python packages: `cargo xtask test` installs them"]
fn json_keeps_its_schema() {
    let results = Results::new();
    made::write(results.folder.path());
    assert_eq!(results.read(made::RUN, "json"), json!({ "cells": 13 }));
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_real_run_is_the_same_in_every_format() {
    let results = Results::new();
    let ran = results.xtask(&["run-matrix", "--filter", "open-unkillable.v2"]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let cells = results.read("latest", "json")["cells"].as_u64().expect("a number");
    let junit = results.read("latest", "junit");
    let sides = 3;
    assert_eq!(cells, 4);
    assert_eq!(junit["tests"], 1 + sides + cells, "{junit:#}");
    assert_eq!([&junit["failures"], &junit["errors"], &junit["skipped"]], [&json!(0); 3]);
    for ktap in results.read_ktap("latest") {
        assert_eq!(ktap["passed"], 1 + sides + cells, "{ktap:#}");
        assert_eq!([&ktap["failed"], &ktap["skipped"], &ktap["errors"]], [&json!(0); 3]);
        assert_eq!(ktap["status"], "SUCCESS");
    }
    let kcidb = results.read("latest", "kcidb");
    let status = |id: &str| &kcidb["tests"][id]["status"];
    assert_eq!(status("open-unkillable.v2.baseline.mainline"), "FAIL");
    assert_eq!(status("open-unkillable.v2.overcharge.overcharge"), "PASS");
    assert_eq!(status("vs-baseline:open-unkillable.v2.overcharge.overcharge"), "PASS");
    // The hash of the patch set, made as KCIDB's documentation makes it.
    let series = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel-patches/6.12");
    let script =
        "cd \"$0\" && sha256sum $(grep '^[^#]' series) | cut -c-64 | sha256sum | cut -c-64";
    let hash = python::run(Path::new("/bin/sh"), &[Path::new("-c"), Path::new(script), &series]);
    let checkouts = kcidb["checkouts"].as_array().expect("a list");
    let mut hashes: Vec<&Value> =
        checkouts.iter().map(|checkout| &checkout["patchset_hash"]).collect();
    hashes.sort_by_key(|hash| hash.to_string());
    assert_eq!(json!(hashes), json!(["", hash.trim()]));
    let summary = std::fs::read_to_string(results.export("latest", "markdown")).expect("a file");
    assert!(summary.starts_with("## ✅ memcg: 4 cells: 4 as expected\n"), "{summary}");
    assert!(
        summary.contains("| ✅ FIXED | `open-unkillable.v2.overcharge.overcharge` |"),
        "{summary}"
    );
}
