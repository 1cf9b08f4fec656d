// SPDX-License-Identifier: MIT OR Apache-2.0
//! A run folder made by hand, with every verdict in it and texts that are nobody's friend.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// Name of the run.
pub(crate) const RUN: &str = "2026-01-31T04-00-00Z";

/// A reason that holds what ends a line, a directive, a tag and a log.
pub(crate) const NASTY: &str = "WARN: WARNING: mm/x.c:1 at f+0x1/0x2, CPU#0: sh/1 # SKIP <b>&amp; ]]> \u{1b}[31m\0\u{ffff}\u{2028}\r\n\
     not ok 1 - no. Kernel panic - not syncing: VFS: reboot: System halted | `x` \\ \"' \u{e9}";

/// Writes its result, as if it was copied without the evidence, into a results folder.
pub(crate) fn write(results: &Path) {
    let folder = results.join(RUN);
    fs::create_dir_all(&folder).expect("a folder in a temporary folder");
    let text = serde_json::to_string(&result()).expect("JSON");
    fs::write(folder.join("result.json"), text).expect("a file in a temporary folder");
}

/// Every verdict: as expected, not, flaky, and one whose first try was the host's failure.
fn result() -> Value {
    let fail = |rule: &str| ("FAIL", vec![rule.to_owned()]);
    let (pass, skip) = (("PASS", vec![]), ("SKIP", vec![]));
    let plain = |verdict| (verdict, vec![]);
    let patched = |name: &str, is, expected| cell(name, "patched", "overcharge", is, expected);
    let mut flaky = patched("flaky", fail("I3"), pass.clone());
    flaky["again"] = attempt("flaky.v2.patched.overcharge", 2, &pass, true, "12 checks kept");
    let mut retried = patched("retried", plain("ERROR"), pass.clone());
    retried["again"] = attempt("retried.v2.patched.overcharge", 2, &pass, true, "12 checks kept");
    let mut crash = patched("crash", plain("CRASH"), pass.clone());
    crash["first"]["judgement"]["why"] = json!(NASTY);
    let cells = vec![
        cell("open", "baseline", "mainline", fail("I1"), fail("I1")),
        patched("open", pass.clone(), pass.clone()),
        crash,
        patched("hang", plain("HANG"), pass.clone()),
        patched("fail", fail("I2"), pass.clone()),
        patched("better", pass.clone(), fail("I1")),
        flaky,
        patched("error", plain("ERROR"), pass.clone()),
        retried,
        patched("unproven", plain("INCONCLUSIVE"), pass.clone()),
        patched("skip", skip.clone(), pass.clone()),
        patched("skip-known", skip.clone(), skip),
        patched("left-alone", fail("I1"), fail("I1")),
    ];
    let outcomes = [
        ("open", "fixed"),
        ("better", "inert"),
        ("fail", "regressed"),
        ("left-alone", "not_fixed"),
        ("flaky", "not_fixed"),
        ("skip-known", "no_difference"),
        ("error", "unknown"),
    ];
    let sides = outcomes.map(|(scenario, outcome)| {
        let side = json!({ "shown": null, "repetitions": [
            { "repetition": 1, "verdict": "PASS", "shows": null, "values": [0.0] }] });
        json!({ "cell": { "scenario": scenario, "cgroup": "v2", "kernel": "patched", "policy": "overcharge" },
            "wanted": "fix", "outcome": outcome, "baseline": side, "patched": side, "chance": null,
            "problem": [{ "fact": "open.ENOMEM", "comparison": "at_least", "number": 1.0 }],
            "differences": [] })
    });
    let count = |verdict: &str| {
        let counts = |cell: &&Value| judgement_of(cell)["verdict"] == verdict;
        cells.iter().filter(counts).count()
    };
    let verdicts: serde_json::Map<String, Value> =
        ["ERROR", "CRASH", "HANG", "SKIP", "FAIL", "INCONCLUSIVE", "PASS"]
            .map(|verdict| (verdict.to_owned(), json!(count(verdict))))
            .into_iter()
            .collect();
    json!({
        "schema_version": 4, "run": RUN, "manifest": manifest(),
        "comparisons": sides,
        "totals": { "planned": cells.len(), "ran": cells.len(), "as_expected": 5, "flaky": 1,
            "unexpected": 7, "regressed": 1, "verdicts": verdicts },
        "cells": cells,
    })
}

fn judgement_of(cell: &Value) -> &Value {
    let attempt = match &cell["again"] {
        Value::Object(_) if cell["first"]["judgement"]["verdict"] == "ERROR" => &cell["again"],
        _ => &cell["first"],
    };
    &attempt["judgement"]
}

fn manifest() -> Value {
    let kernel = |key: &str, patches: Value, hash: &str, commit: Value| {
        json!({ "source": "Debian linux-source-6.12 6.12.117-1", "key": key, "image_sha256": "0".repeat(64),
            "patches": patches, "toolchain": "gcc: gcc 12.2.0\nbinutils: GNU ld 2.40\n",
            "source_id": "deb-e849", "version": "6.12.117", "git_commit": commit, "patchset_hash": hash,
            "fragments": ["boot", "memcg"] })
    };
    json!({
        "harness": "0.1.0", "nonce": "0", "command": ["cargo", "xtask", "run-matrix"],
        "started_at": "2026-01-31T04:00:00Z", "duration_ms": 41_000, "matrix": "default", "seed": 1,
        "jobs": 2, "interrupted": false, "accelerator": "tcg", "slowdown": 3,
        "qemu": "QEMU emulator version 7.2.22", "guest_sha256": "1".repeat(64),
        "host": { "system": "Linux 6.1.0", "cpus": 2, "memory_mib": 24_576 },
        "kernels": {
            "baseline": kernel("b", json!([]), "", json!("a".repeat(40))),
            "patched": kernel("p", json!(["0001-x.patch"]), &"3".repeat(64), Value::Null),
        },
    })
}

fn cell(
    scenario: &str,
    kernel: &str,
    policy: &str,
    is: (&str, Vec<String>),
    expected: (&str, Vec<String>),
) -> Value {
    let id = format!("{scenario}.v2.{kernel}.{policy}");
    let (verdict, breaks) = &expected;
    json!({
        "cell": {
            "id": id, "kernel": kernel, "policy": policy, "scenario": scenario, "cgroup": "v2", "repetition": 1,
            "vm": { "cpus": 2, "memory_mib": 512, "cmdline": [], "counted": false },
            "request": { "protocol": 4, "cell": id, "workload": "open-keep", "cgroup": "v2",
                "limit_bytes": 4_194_304, "tasks": 1, "killable": false, "hog_bytes": 0, "operations": 10,
                "load_ms_max": 5000, "seed": 7, "sample_period_us": 1000, "writes": [], "parent": null,
                "second": null, "policy": [], "counters_file": null, "cap_file": null, "params": {} },
            "expect": { "verdict": verdict, "breaks": breaks, "or_more": false, "may_break": [],
                "exercised": [], "facts": [] },
            "expects_as": policy, "alone": false, "slowdown": 1, "forced_bytes": 0,
            "note": { "title": "made by hand", "about": "About it.", "measures": ["load.ms"], "problem": [] },
            "deadline": { "boot_ms": 10_000, "cell_ms": 38_000 },
        },
        "first": attempt(&id, 1, &is, is == expected, &format!("why it is {}", is.0)),
        "again": null,
    })
}

fn attempt(id: &str, number: u32, is: &(&str, Vec<String>), as_expected: bool, why: &str) -> Value {
    let (verdict, breaks) = is;
    let broken = breaks
        .iter()
        .map(|rule| json!({ "rule": rule, "outcome": "broken", "said": "7 of 10 <lost> #" }));
    json!({
        "folder": format!("cells/{id}/attempt-{number}"), "wall_ms": 2400,
        "judgement": { "verdict": verdict, "breaks": breaks, "why": why, "as_expected": as_expected,
            "checks": broken.collect::<Vec<_>>(), "facts": { "load.ms": 512.5 } },
        "usage": [[0, 4096]], "marks": [],
    })
}
