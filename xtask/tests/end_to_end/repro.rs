// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cell of a stored run, again: counted, recorded, and stopped in a debugger.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::Bench;

const CELL: &str = "open-unkillable.v2.baseline.mainline";
const PATCHED: &str = "open-killable.v2.overcharge.overcharge";

/// The same verdict twice, on the kernel of the run; then gdb finds function, file and line.
#[test]
#[ignore = "boots VMs; run by `cargo xtask test`"]
fn a_cell_of_a_run_is_repeated_and_stopped_in_the_function_of_interest() {
    let bench = Bench::new();
    bench.run(&["run-matrix", "--filter", CELL, "--filter", PATCHED]).expect_exit(0);
    let repeated = bench.run(&["repro", CELL, "--times", "2", "--jobs", "2"]);
    let row = "FAIL I1  yes       2 of 2    34 to 100 %";
    assert!(repeated.expect_exit(0).stdout.contains(row), "{}", repeated.stdout);
    repeated.expect_output("2 of 2   34 to 100 %      I1 no escape");

    without_the_harness(&repeated.stdout);
    recorded(&bench);
    let elsewhere = bench.folder.path().join("cache").display().to_string();
    let missing = bench.run(&["repro", PATCHED, "--cache", &elsewhere]);
    missing.expect_exit(2).expect_error("`cargo xtask build-kernel overcharge` builds it");
    missing.expect_error("It was built from Debian linux-source-6.12").expect_error("  rustc: ");

    let in_charge = ["try_charge_memcg (", "at mm/memcontrol.c:"];
    stopped(&bench, CELL, "try_charge_memcg", &in_charge);
    // Rust, with its inlined frames, called from C.
    let reconciler = [
        "memcg_overcharge::memcg_overcharge_reconcile () at mm/memcg_overcharge.rs:",
        "in __memcg_overcharge_resume () at mm/memcg_overcharge_glue.c:",
    ];
    stopped(&bench, PATCHED, "memcg_overcharge_reconcile", &reconciler);
}

/// A recording is judged, replayed to the same events, and gone through backwards.
fn recorded(bench: &Bench) {
    let none = bench.run(&["repro", CELL, "--replay", "--run", "none"]);
    none.expect_exit(2).expect_error("`cargo xtask repro CELL --record` makes one");
    let kvm = bench.run(&["repro", CELL, "--record", "--accel", "kvm"]);
    kvm.expect_exit(2).expect_error("QEMU cannot record under KVM");
    let recorded = bench.run(&["repro", CELL, "--record"]);
    recorded.expect_exit(0).expect_output("FAIL I1 as expected: I1: 10 of ");
    let replayed = bench.run(&["repro", CELL, "--replay"]);
    let said = format!("{CELL}: FAIL I1; 30 events and the console are those of the recording\n");
    assert_eq!(replayed.expect_exit(0).stdout, said);

    let count = "-ex 'monitor info replay'";
    let there_and_back = format!("{count} -ex continue {count} -ex reverse-continue {count}");
    let (said, gdb) = by_gdb(bench, &[CELL, "--replay"], "try_charge_memcg", &there_and_back);
    let at = |line: &str| line.split_once("count = ").and_then(|(_, at)| at.trim().parse().ok());
    let counts: Vec<u64> = said.lines().filter_map(at).collect();
    let [first, second, back] = counts[..] else { panic!("{gdb}\n{said}") };
    assert!(first == back && first < second, "{first} {second} {back}");

    let log = bench.results().join("repro/latest/cells").join(CELL).join("attempt-1/recording.rr");
    fs::write(&log, "other").unwrap();
    let spoilt = bench.run(&["repro", CELL, "--replay"]);
    spoilt.expect_exit(2).expect_error("recording.rr: it is not the file that was sealed");
}

/// Runs the script that is printed: the guest reports all of the cell.
fn without_the_harness(stdout: &str) {
    let (_, text) = stdout.split_once("\nwithout this project (sh ").expect("the script");
    let (path, script) = text.split_once("):\n").unwrap();
    assert!(fs::read_to_string(path).unwrap().ends_with(script) && script.contains("-kernel "));
    let ran = Command::new("timeout").args(["60", "sh", path]).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let events = said.lines().last().and_then(|line| line.strip_prefix("events: "));
    let events = fs::read_to_string(events.expect("the path of the events")).unwrap();
    assert!(events.contains("\"fact\":\"operations\"") && events.contains("\"fact\":\"ended\""));
}

/// The backtrace at the function has all of these.
fn stopped(bench: &Bench, cell: &str, function: &str, expected: &[&str]) {
    let (stack, gdb) = by_gdb(bench, &[cell], function, "-ex 'bt 4'");
    for part in expected {
        assert!(stack.contains(part), "no {part:?}\n{gdb}\n{stack}");
    }
}

/// Pastes the printed line, with these commands after the stop at the function. Returns what gdb
/// said, and the line.
fn by_gdb(bench: &Bench, cell: &[&str], function: &str, commands: &str) -> (String, String) {
    let words = [&["repro"], cell, &["--gdb", "--break", function]].concat();
    let mut command = bench.command(&words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut vm = command.spawn().unwrap();
    let said = BufReader::new(vm.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = said.map(|line| line.trim().to_owned()).find(|line| line.starts_with("gdb "));
    let gdb = line.expect("the command line for gdb");
    // QEMU begins to listen after the line is printed.
    let script = format!("sleep 2; timeout 120 {gdb} -batch {commands} -ex kill 2>&1");
    let stopped = Command::new("sh").args(["-c", &script]).output().unwrap();
    vm.wait().unwrap();
    (String::from_utf8_lossy(&stopped.stdout).into_owned(), gdb)
}
