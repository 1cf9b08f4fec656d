// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hosts that lack something, and harnesses that are stopped: a message, a code, no orphan.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Bench, Ran};

const ONE_CELL: &str = "open-unkillable.v2.baseline.mainline";

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_missing_qemu_is_named_with_the_command_that_installs_it() {
    let bench = Bench::new();
    let path = bench.configs().join("bin");
    fs::create_dir(&path).unwrap();
    for folder in std::env::split_paths(&std::env::var_os("PATH").expect("a PATH")) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_name().to_string_lossy().starts_with("qemu-system") {
                // The same tool in two folders: the first one counts, as in PATH.
                let _ = symlink(entry.path(), path.join(entry.file_name()));
            }
        }
    }
    let output = bench.command(&["run-matrix", "--filter", ONE_CELL]).env("PATH", &path).output();
    Ran::of(output.unwrap())
        .expect_exit(3)
        .expect_error("qemu-system-x86_64")
        .expect_error("apt-get install");
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_full_disk_is_said_and_leaves_nothing_half_written() {
    let bench = Bench::new();
    // A results folder on a 64 KiB file system; a user namespace makes root unnecessary.
    fs::create_dir_all(bench.results()).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=64k tmpfs {results} && head -c 60k /dev/zero > {results}/filler && exec \"$@\"",
        results = bench.results().display()
    );
    let inner = bench.command(&["run-matrix", "--filter", ONE_CELL]);
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", &script, "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("NO_COLOR", "1")
        .output();
    Ran::of(output.unwrap()).expect_exit(7).expect_error("No space left").expect_error("help:");
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn no_qemu_outlives_the_harness_and_finished_work_is_kept() {
    for (signal, exit) in [("INT", Some(130)), ("TERM", Some(130)), ("KILL", None)] {
        let bench = Bench::new();
        let mut run = bench
            .command(&["run-matrix", "--filter", "create-contended.v2.baseline*"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut started = Vec::new();
        let manifest = bench.results().join("latest/manifest.json");
        // The manifest is waited for too: the first QEMU may be the one that tries the accelerator.
        wait_until("QEMU runs a cell", || {
            started = qemus_below(run.id());
            !started.is_empty() && manifest.exists()
        });
        let status =
            Command::new("kill").args([&format!("-{signal}"), &run.id().to_string()]).status();
        assert!(status.unwrap().success());
        assert_eq!(run.wait().unwrap().code(), exit, "SIG{signal}");
        wait_until("no QEMU is left", || started.iter().all(|pid| !is_qemu(pid)));
        let kept = fs::read(&manifest).expect("the manifest is kept");
        let _: serde_json::Value = serde_json::from_slice(&kept).expect("and whole");
        // What was cut off is left open.
        let open = bench.run(&["run-matrix", "--resume", "--dry-run"]);
        open.expect_exit(0).expect_output("create-contended.v2.baseline.mainline");
    }
}

/// Process ids of the QEMUs whose parent is `harness`.
fn qemus_below(harness: u32) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|pid| is_qemu(pid) && parent(pid) == Some(harness.to_string()))
        .collect()
}

fn is_qemu(pid: &str) -> bool {
    let cmdline = fs::read_to_string(format!("/proc/{pid}/cmdline"));
    cmdline
        .is_ok_and(|cmdline| cmdline.starts_with("qemu-system") || cmdline.contains("/qemu-system"))
}

fn parent(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit(')').next()?.split_whitespace().nth(1)?.to_owned())
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(120), "not within two minutes: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A QEMU whose first guest shows what a breakpoint that the emulator left behind makes of a boot.
const BREAKS_ONE_BOOT: &str = r#"#!/bin/bash
here=$(dirname "$0")
words=("$@")
if [[ " $* " = *' -name open-unkillable'* ]]; then
    echo x >>"$here/starts"
    for at in "${!words[@]}"; do
        [[ ${words[at]} = -append && $(wc -l <"$here/starts") = 1 ]] &&
            words[at + 1]=$'note="\nOops: int3: 0000 [#1] SMP\nCode: eb <05> 5b\n" '${words[at + 1]}
    done
fi
PATH=${PATH#*:} exec qemu-system-x86_64 "${words[@]}"
"#;

/// One attempt, made again at once: nothing of it is unexpected, or flaky.
#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_boot_that_the_emulator_broke_is_made_again() {
    let bench = Bench::new();
    let qemu = bench.folder.path().join("bin/qemu-system-x86_64");
    fs::create_dir(qemu.parent().unwrap()).unwrap();
    fs::write(&qemu, BREAKS_ONE_BOOT).unwrap();
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", qemu.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let words = ["run-matrix", "--accel", "tcg", "--no-snapshot", "--filter", ONE_CELL];
    let ran = Ran::of(bench.command(&words).env("PATH", path).output().unwrap());
    ran.expect_exit(0).expect_output("1 cell: 1 as expected");
    let starts = fs::read_to_string(qemu.with_file_name("starts")).unwrap();
    assert_eq!(starts.lines().count(), 2);
    assert!(bench.result()["cells"][0]["again"].is_null(), "a second attempt");
    ran.expect_error("the emulator broke this boot");
    let aside = format!("latest/cells/{ONE_CELL}/attempt-1.emulator-1/console.log");
    assert!(bench.results().join(aside).is_file(), "the evidence of the broken boot is kept");
}
