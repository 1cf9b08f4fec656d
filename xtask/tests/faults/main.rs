// SPDX-License-Identifier: MIT OR Apache-2.0
//! Injects the faults of the tables beside this file, and compares what the harness does with what
//! it should do. With `FAULTS` what was seen is written into docs/reliability.md.
//!
//! Contract: a row is a shell script in a folder of its own, with `prelude.sh` before it. It builds
//! no kernel, changes nothing outside of its folder, and ends within its limit.

mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use table::{Row, Seen};
use tempfile::TempDir;

/// Rows that run in parallel: most of them wait for a process.
const WORKERS: usize = 2;
/// Of the rows that damage a run, every so-and-so-many is injected by `cargo xtask test`.
const SAMPLE: usize = 16;
/// What the rows damage: one run, which was merged of two parts. Three cells of two kernels, each
/// with one attempt: the emulator breaks about one boot in fifty.
const RUN: &str = r#"set -e
x plan --parts 2 --filter "$ONE" --filter "${GOOD%.*}.o*" --output plan.json
for try in 1 2 3 4; do
	for part in 1/2 2/2; do x run-matrix --accel tcg --plan plan.json --partition $part; done
	again=("$PARTS"/*/cells/*/attempt-2)
	test "$again" || break
	rm -r "$PARTS"
done
x merge "$PARTS""#;

/// Runs a script in `folder`; returns its exit code and all that it printed.
fn sh(folder: &Path, script: &str, limit_s: u32) -> (i32, String) {
    let output = Command::new("timeout")
        .args(["--kill-after=5", &limit_s.to_string(), "bash", "-c"])
        .arg(format!("exec 2>&1\n{}\n{script}", include_str!("prelude.sh")))
        .current_dir(folder)
        .env("XTASK", env!("CARGO_BIN_EXE_memcg-harness"))
        .env("WORKSPACE", workspace())
        .env("NO_COLOR", "1")
        .env_remove("RUST_BACKTRACE")
        .output()
        .expect("bash");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

/// Injects one row, in a copy of the folder `run` if it needs that.
fn inject(row: &Row, run: &Path) -> Seen {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if row.needs_run {
        let copied = Command::new("cp").arg("-a").arg(run.join(".")).arg(folder.path()).status();
        assert!(copied.is_ok_and(|status| status.success()), "a copy of the run");
    }
    let (exit, said) = sh(folder.path(), &row.inject, row.limit_s);
    row.seen(exit, &said.replace(&folder.path().display().to_string(), "."))
}

/// Injects all rows; panics with those that do not end as they should.
fn check(rows: &[&Row], run: &Path) -> Vec<Seen> {
    let next = AtomicUsize::new(0);
    let seen = Mutex::new(vec![None; rows.len()]);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(row) = rows.get(at) else { break };
            let found = inject(row, run);
            seen.lock().expect("no worker panics")[at] = Some(found);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
    });
    let seen = seen.into_inner().expect("no worker panics");
    let seen: Vec<Seen> = seen.into_iter().map(|seen| seen.expect("every row ran")).collect();
    let wrong = rows.iter().zip(&seen).filter_map(|(row, seen)| row.complaint(seen));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} rows are not as expected\n{}", wrong.len(), wrong.join("\n"));
    seen
}

/// The run that rows damage.
fn stored_run() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (exit, said) = sh(folder.path(), RUN, 600);
    assert_eq!(exit, 0, "the run that is damaged later: {said}");
    folder
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace")
}

fn page() -> PathBuf {
    workspace().join("docs/reliability.md")
}

#[test]
fn wrong_inputs_end_as_the_table_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = table::rows();
    let inputs: Vec<&Row> = rows.iter().filter(|row| !row.needs_run).collect();
    check(&inputs, folder.path());
}

/// `FAULTS=WORD` chooses the rows whose fault has that word, `WORD|WORD` those that have either,
/// `all` every row.
#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn faults_end_as_the_table_says() {
    let run = stored_run();
    let rows = table::rows();
    let word = std::env::var("FAULTS").unwrap_or_default();
    let chosen: Vec<&Row> = match word.as_str() {
        "" => rows.iter().filter(|row| row.needs_run).step_by(SAMPLE).collect(),
        "all" => rows.iter().collect(),
        words => {
            let has = |row: &&Row| words.split('|').any(|word| row.fault.contains(word));
            rows.iter().filter(has).collect()
        }
    };
    assert!(!chosen.is_empty(), "no fault has the word `{word}`");
    let seen = check(&chosen, run.path());
    if !word.is_empty() {
        let of = |row: &Row| {
            let at = chosen.iter().position(|chosen| std::ptr::eq(*chosen, row));
            at.map(|at| &seen[at])
        };
        let seen: Vec<Option<&Seen>> = rows.iter().map(of).collect();
        let text = fs::read_to_string(page()).expect("docs/reliability.md");
        fs::write(page(), table::written(&text, &rows, &seen)).expect("docs/reliability.md");
    }
}

#[test]
fn the_page_has_the_rows_of_the_tables() {
    let text = fs::read_to_string(page()).expect("docs/reliability.md");
    let rows = table::rows();
    assert!(rows.len() >= 120, "{} faults", rows.len());
    let wanted: Vec<String> = rows.iter().map(Row::begin).collect();
    let there = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault"));
    let is_missing = |row: &&String| !text.lines().any(|line| line.starts_with(*row));
    let missing: Vec<&String> = wanted.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "not in docs/reliability.md, FAULTS adds them: {missing:#?}");
    assert_eq!(there.count(), rows.len(), "docs/reliability.md has rows that no table has");
}
