// SPDX-License-Identifier: MIT OR Apache-2.0
//! The HTML report of a real run, read by those who will: a validator, a browser at the width of a
//! phone and of a desk, light and dark, without scripts, and a checker of accessibility. Then the
//! same with everything in it that could be hostile.
//!
//! `#[ignore]`d here because it boots VMs and needs Node.js and Chromium; `cargo xtask test` has
//! both.

mod node;
#[path = "../python/mod.rs"]
mod python;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

const READ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/html_readers/read.mjs");

/// Three cells: a kill in a charge, one on return, and charges over the limit.
const FILTERS: [&str; 3] = [
    "open-killable.v2.baseline.mainline",
    "open-killable.v2.overcharge.overcharge",
    "open-unkillable.v2.overcharge.overcharge",
];

const HOSTILE: &str =
    "</code></style><script>alert(1)</script><img src=x onerror=alert(2)> \u{1b}[31m \u{202e} \" '";

#[test]
#[ignore = "boots VMs, and needs Node.js and Chromium"]
fn readers_accept_the_report_of_a_run() {
    let results = tempfile::tempdir().expect("a temporary folder");
    let mut words = vec!["run-matrix", "--jobs", "1"];
    words.extend(FILTERS.iter().flat_map(|filter| ["--filter", filter]));
    xtask(results.path(), &words, 0);
    let run = fs::canonicalize(results.path().join("latest")).expect("a run");
    let report = fs::read_to_string(run.join("report.html")).expect("run-matrix writes it");
    for part in [
        "FIXED",
        "charged over the limit",
        "reconciled after",
        "was killed at",
        "mm/memcontrol.c:",
        "memory.overcharge = kmem",
        "<a class=\"cell",
    ] {
        assert!(report.contains(part), "no {part:?} in the report of {FILTERS:?}");
    }
    assert!(report.len() < 60_000 * (FILTERS.len() + 1), "{} bytes", report.len());
    read(&run.join("report.html"), "report-real");

    let name = run.file_name().expect("its name").to_str().expect("a stamp");
    keep_jobs(results.path(), name);
    xtask(results.path(), &["history"], 0);
    let page = fs::read_to_string(results.path().join("history.html")).expect("history writes it");
    for link in [&format!("href=\"{name}/report.html\""), "href=\"jobs/2026-01-40-inject.json\""] {
        assert!(page.contains(link), "no {link} in {page}");
    }
    read(&results.path().join("history.html"), "history");

    make_hostile(&run);
    // Evidence that is not as it was sealed is not shown.
    xtask(results.path(), &["report"], 1);
    let report = fs::read_to_string(run.join("report.html")).expect("report writes it");
    assert!(report.contains("&lt;script&gt;alert(1)"), "it is told");
    assert!(report.contains("cannot be shown"), "the evidence that was removed is missed");
    read(&run.join("report.html"), "report-hostile");
}

/// Forty days of two jobs: one red since the middle, one that left no run.
fn keep_jobs(results: &Path, run: &str) {
    let jobs = results.join("jobs");
    fs::create_dir(&jobs).expect("a folder in the results");
    for (at, day) in (1..=40).map(|at| (at, format!("2026-0{}-{:02}", 1 + at / 21, 1 + at % 21))) {
        for (job, run) in [("mutants", Some(run)), ("inject", None)] {
            let record = json!({
                "job": job, "command": [job], "started_at": format!("{day}T05:00:00Z"),
                "duration_ms": 1, "exit": u32::from(job == "inject" && at > 20), "run": run,
                "said": ["error: x"],
            });
            fs::write(jobs.join(format!("2026-01-{at:02}-{job}.json")), record.to_string())
                .expect("a record");
        }
    }
}

/// Cells whose evidence was removed or changed, and texts that are markup.
fn make_hostile(run: &Path) {
    let path = run.join("result.json");
    let text = fs::read_to_string(&path).expect("the result");
    let mut result: Value = serde_json::from_str(&text).expect("JSON");
    result["manifest"]["qemu"] = json!(HOSTILE);
    let mut cells = result["cells"].as_array().expect("cells").iter();
    let at = cells.position(|ran| ran["cell"]["id"] == FILTERS[1]).expect("the cell ran");
    let judgement = &mut result["cells"][at]["first"]["judgement"];
    judgement["as_expected"] = json!(false);
    judgement["verdict"] = json!("CRASH");
    judgement["why"] = json!(HOSTILE.repeat(20));
    judgement["checks"][0]["said"] = json!("x".repeat(2000));
    fs::write(&path, result.to_string()).expect("the result");
    let manifest = result["manifest"].to_string();
    fs::write(run.join("manifest.json"), manifest).expect("the manifest");
    let console = format!("[ 1.0] BUG: {HOSTILE}\n[ 1.0]  f+0x1/0x2 {}\n", "y".repeat(100_000));
    let attempt = |cell: &str| run.join("cells").join(cell).join("attempt-1");
    fs::write(attempt(FILTERS[0]).join("console.log"), console).expect("a console");
    fs::remove_dir_all(attempt(FILTERS[1])).expect("evidence");
}

/// Fails with all that the readers object to. Screenshots stay in `target`, to be looked at.
fn read(page: &Path, name: &str) {
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&shots).expect("a folder in `target`");
    let packages: PathBuf = node::packages();
    let path = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let output = node::node(&packages, &[READ, "/usr/bin/chromium", &path(page), &path(&shots)]);
    let kept = shots.join("page.html");
    fs::copy(page, &kept).expect("a file in `target`");
    assert!(output.status.success(), "{}:\n{}", kept.display(), node::text(&output));
}

fn xtask(results: &Path, words: &[&str], exit: i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memcg-harness"));
    command.args(words).arg("--results").arg(results).env("NO_COLOR", "1");
    let output = command.output().expect("xtask starts");
    assert_eq!(output.status.code(), Some(exit), "{words:?}: {}", node::text(&output));
}
