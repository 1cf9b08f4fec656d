// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernels and guests that die: a clear verdict, and the cells beside them still run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{Bench, counted};

/// A matrix of one healthy kernel and one that is not.
const MATRIX: &str = r#"
kernels = ["baseline", "broken"]
baseline = "baseline"
scenarios = ["open-unkillable"]
[vm]
cpus = 2
memory = "512M"
"#;

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_kernel_that_panics_at_boot_is_a_crash() {
    let bench = Bench::new();
    // Without an init in the initramfs and without a root device the kernel panics.
    bench.write(
        "kernels/broken.toml",
        "extends = \"overcharge\"\npolicies = [\"overcharge\"]\ncmdline = [\"rdinit=/missing\"]\n",
    );
    bench.write("matrices/broken.toml", MATRIX);
    bench.run(&["run-matrix", "--matrix", "broken"]).expect_exit(1).expect_output("CRASH");
    let result = bench.result();
    let judgement = judgement(&result, "broken");
    assert_eq!(judgement["verdict"], "CRASH", "{judgement:#}");
    assert!(judgement["why"].as_str().unwrap().contains("panic"), "{judgement:#}");
    assert_baseline_ran(&result);
    let stopped =
        bench.run(&["run-matrix", "--matrix", "broken", "--jobs", "1", "--max-fail", "1"]);
    stopped.expect_exit(1).expect_error("--max-fail: 1 not as expected");
    bench.run(&["run-matrix", "--resume", "--dry-run"]).expect_exit(0).expect_output("broken");
    // What it left open is run again once it is mended; the kernel is that of now.
    bench.write("kernels/broken.toml", "extends = \"overcharge\"\npolicies = [\"overcharge\"]\n");
    let again = bench.run(&["run-matrix", "--rerun"]);
    again.expect_exit(0).expect_output("4 cells: 4 as expected");
    bench
        .run(&["run-matrix", "--rerun"])
        .expect_exit(2)
        .expect_error("was as expected at the first attempt");
    bench.run(&["run-matrix", "--resume"]).expect_exit(2).expect_error("every cell ran");
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn no_cell_begins_from_a_boot_that_was_not_clean() {
    let bench = Bench::new();
    // The kernel prints its command line, which so looks like a report on the console.
    bench.write("kernels/broken.toml", "extends = \"baseline\"\ncmdline = [\"note=UBSAN:\"]\n");
    bench.write("matrices/broken.toml", MATRIX);
    let ran = bench.run(&["run-matrix", "--matrix", "broken"]);
    ran.expect_exit(1).expect_error("no shared boot of broken-1").expect_output("CRASH");
    let result = bench.result();
    assert_eq!(judgement(&result, "broken")["verdict"], "CRASH");
    assert!(bench.results().join("latest/boots/broken-1/attempt-1/console.log").exists());
    assert_baseline_ran(&result);
}

/// Whatever it does, its console would not show it.
#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_kernel_that_does_not_show_its_log_is_an_error() {
    for (word, why) in [
        ("quiet", "does not begin with the kernel's first line"),
        ("console_msg_format=default", "does not show who wrote its lines"),
        ("printk.devkmsg=off", "mark"),
    ] {
        let bench = Bench::new();
        let broken = format!("extends = \"baseline\"\ncmdline = [\"{word}\"]\n");
        bench.write("kernels/broken.toml", &broken);
        bench.write("matrices/broken.toml", MATRIX);
        bench.run(&["run-matrix", "--matrix", "broken"]).expect_exit(1).expect_output("ERROR");
        let result = bench.result();
        let judgement = judgement(&result, "broken");
        assert_eq!(judgement["verdict"], "ERROR", "{word}: {judgement:#}");
        assert!(judgement["why"].as_str().unwrap().contains(why), "{word}: {judgement:#}");
        assert_baseline_ran(&result);
    }
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_kernel_that_hangs_at_boot_is_a_hang() {
    let bench = Bench::new();
    bench.write("kernels/broken.toml", "extends = \"baseline\"\n");
    bench.write("matrices/broken.toml", MATRIX);
    let image = hanging_image(&bench);
    let image = format!("broken={}", image.display());
    bench
        .run(&["run-matrix", "--matrix", "broken", "--image", &image])
        .expect_exit(1)
        .expect_output("HANG");
    let result = bench.result();
    let judgement = judgement(&result, "broken");
    assert_eq!(judgement["verdict"], "HANG", "{judgement:#}");
    // The image jumps to itself, in 32-bit mode: QEMU can tell where each CPU is.
    let place = bench.results().join("latest/cells/open-unkillable.v2.broken.mainline/attempt-1");
    let registers = fs::read_to_string(place.join("registers.txt")).unwrap();
    assert_eq!(registers.matches("IP=").count(), 2, "{registers}");
    assert!(fs::metadata(place.join("memory.kdump")).unwrap().len() > 1000);
    let shown = bench.run(&["show", "open-unkillable.v2.broken"]);
    shown.expect_exit(0).expect_output("registers.txt: registers of every CPU at the deadline");
    assert_baseline_ran(&result);
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_guest_that_is_killed_is_an_error_and_the_other_cells_run() {
    let bench = Bench::new();
    let mut run = bench
        .command(&["run-matrix", "--filter", "create-contended*", "--jobs", "2"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("xtask starts");
    // The first attempt and the repetition alone: both are killed.
    let victim = "create-contended.v2.baseline.mainline";
    for _ in 0..2 {
        let pid = wait_for_qemu(run.id(), victim);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("QEMU is ours");
        while is_alive(pid) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert_eq!(run.wait().expect("xtask ends").code(), Some(1));
    let result = bench.result();
    assert_eq!(judgement(&result, "baseline")["verdict"], "ERROR");
    let judgement = judgement(&result, "overcharge");
    assert_eq!(judgement["verdict"], "PASS", "{judgement:#}");
}

/// The built baseline with its first 64-bit-capable instruction turned into a jump to itself.
fn hanging_image(bench: &Bench) -> PathBuf {
    let list = bench.run(&["build-kernel", "baseline", "--print-image"]);
    list.expect_exit(0);
    let image = list.stdout.trim().lines().last().expect("a path").to_owned();
    let mut bytes = fs::read(Path::new(&image)).expect("the built image");
    // Offset 0x1f1 holds the number of set-up sectors; behind them stands the protected-mode code
    // (Documentation/arch/x86/boot.rst). `eb fe` jumps to itself.
    let entry = (usize::from(bytes[0x1f1]) + 1) * 512;
    bytes[entry..entry + 2].copy_from_slice(&[0xeb, 0xfe]);
    let path = bench.configs().join("hangs.bzImage");
    fs::write(&path, bytes).expect("the temporary folder is writable");
    path
}

fn judgement<'a>(result: &'a Value, kernel: &str) -> &'a Value {
    let mut cells = result["cells"].as_array().expect("cells is a list").iter();
    let ran = cells.find(|ran| ran["cell"]["kernel"] == kernel);
    counted(ran.expect("the kernel has a cell"))
}

fn assert_baseline_ran(result: &Value) {
    let judgement = judgement(result, "baseline");
    assert_eq!(judgement["as_expected"], true, "{judgement:#}");
}

/// The QEMU below process `harness` that runs `cell`, once the guest is up.
fn wait_for_qemu(harness: u32, cell: &str) -> nix::unistd::Pid {
    for _ in 0..3000 {
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let path = entry.path();
            let Ok(cmdline) = fs::read_to_string(path.join("cmdline")) else { continue };
            let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
            let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
            let is_child = parent == Some(harness.to_string().as_str());
            if is_child && cmdline.contains("qemu") && cmdline.contains(cell) {
                let pid = entry.file_name().to_string_lossy().parse().expect("a pid");
                return nix::unistd::Pid::from_raw(pid);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no QEMU of {cell} below process {harness} in a minute");
}

fn is_alive(pid: nix::unistd::Pid) -> bool {
    nix::sys::signal::kill(pid, None).is_ok()
}
