// SPDX-License-Identifier: MIT OR Apache-2.0
//! The path of KVM, without a host where KVM works: a QEMU first in `PATH` takes `-accel kvm` and
//! `-cpu host`, as QEMU does on such a host, and emulates. It can also fail as KVM does.
//!
//! `/dev/kvm` is of the test too: a file in a mount namespace.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Bench, Ran};

/// A QEMU whose KVM is TCG. `mode` beside it says how its KVM behaves: `fast`, `slow`, `silent`
/// (the kernel never prints), `refused`; `dies N MODE` from the Nth VM on, probes not counted. One
/// thread: the breakpoint that the emulator leaves with more is a CRASH under KVM.
const QEMU: &str = r#"#!/bin/bash
here=$(dirname "$0")
read -r mode number then <"$here/mode"
words=() kvm= cpu=
keep() { [[ $mode = silent && $1 =~ ^-(kernel|initrd|append)$ ]] || words+=("$@"); }
case " $* " in *' -accel kvm '*)
    [[ " $* " = *' -name probe '* ]] || echo x >>"$here/starts"
    [[ $mode = dies && $(wc -l <"$here/starts") -ge $number ]] && mode=$then ;;
esac
while (($#)); do case $1 in
-accel) [[ $2 = kvm ]] && kvm=1 && set -- -accel tcg,thread=single "${@:3}"; words+=("$1" "$2"); shift 2 ;;
-cpu) cpu=$2; words+=(-cpu max); shift 2 ;;
-kernel | -initrd | -append) keep "$1" "$2"; shift 2 ;;
*) words+=("$1"); shift ;;
esac; done
if [[ $kvm ]]; then
    [[ $cpu = host,migratable=on ]] || { echo "cpu $cpu cannot be saved" >&2; exit 1; }
    case $mode in
    refused)
        echo "Could not access KVM kernel module: Permission denied" >&2
        echo "qemu-system-x86_64: failed to initialize kvm: Permission denied" >&2
        exit 1 ;;
    slow) sleep 3 ;;
    esac
elif [[ $cpu = host* ]]; then
    echo "qemu-system-x86_64: CPU model 'host' requires KVM" >&2
    exit 1
fi
exec "$REAL_QEMU" "${words[@]}"
"#;

/// A `/dev` with the devices that QEMU and the harness use, and a `kvm` that opens, that does not,
/// or none.
const DEV: &str = r#"dev=$1 how=$2; shift 2
mount -t tmpfs -o mode=755 none "$dev"
for name in null zero full random urandom tty; do
    : >"$dev/$name"; mount --bind /dev/$name "$dev/$name"
done
ln -s /proc/self/fd "$dev/fd"
mkdir "$dev/shm"
case $how in opens | denied) : >"$dev/kvm"; mount --bind /dev/null "$dev/kvm" ;; esac
case $how in denied) mount -o remount,bind,nodev "$dev/kvm" ;; esac
mount --rbind "$dev" /dev
exec "$@""#;

const CELLS: [&str; 4] =
    ["--filter", "open-unkillable.v2.*.mainline*", "--filter", "open-unkillable.v2.*.overcharge*"];

struct Host {
    bench: Bench,
    /// `KERNEL=IMAGE` of both kernels.
    images: [String; 2],
}

impl Host {
    fn new(mode: &str) -> Self {
        let bench = Bench::new();
        let images = ["baseline", "overcharge"].map(|kernel| {
            let built = bench.run(&["build-kernel", kernel, "--print-image"]);
            format!("{kernel}={}", built.expect_exit(0).stdout.trim())
        });
        let host = Self { bench, images };
        for folder in ["bin", "dev", "cache"] {
            fs::create_dir(host.path(folder)).unwrap();
        }
        fs::write(host.path("bin/qemu-system-x86_64"), QEMU).unwrap();
        let runs = fs::Permissions::from_mode(0o755);
        fs::set_permissions(host.path("bin/qemu-system-x86_64"), runs).unwrap();
        host.set(mode);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.bench.folder.path().join(name)
    }

    /// Sets how KVM behaves from now on.
    fn set(&self, mode: &str) {
        fs::write(self.path("bin/mode"), format!("{mode}\n")).unwrap();
        fs::write(self.path("bin/starts"), "").unwrap();
    }

    /// The harness on this host, with a cache of its own.
    fn run(&self, device: &str, arguments: &[&str]) -> Ran {
        let path = std::env::var_os("PATH").expect("a PATH");
        let mut folders = vec![self.path("bin")];
        folders.extend(std::env::split_paths(&path));
        let inner = self.bench.command(arguments);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-ec", DEV, "sh"]);
        command.arg(self.path("dev")).arg(device).arg(inner.get_program()).args(inner.get_args());
        command.arg("--cache").arg(self.path("cache"));
        command.env("PATH", std::env::join_paths(folders).unwrap()).env("NO_COLOR", "1");
        command.env("REAL_QEMU", real_qemu(&path)).env_remove("RUST_BACKTRACE");
        Ran::of(command.output().expect("unshare starts"))
    }

    fn run_cells(&self, device: &str, more: &[&str]) -> Ran {
        let [baseline, overcharge] = &self.images;
        let images = ["--image", baseline, "--image", overcharge];
        self.run(device, &[&["run-matrix"], &CELLS[..], &images, more].concat())
    }

    fn doctor(&self, device: &str) -> Ran {
        self.run(device, &["doctor", "--kvm", "--image", &self.images[0]])
    }

    /// Command lines of all VMs of the newest run.
    fn command_lines(&self) -> String {
        let latest = self.bench.results().join("latest/").canonicalize().unwrap();
        let found = Command::new("find").arg(latest).args(["-name", "qemu.cmdline"]).output();
        let found = String::from_utf8(found.unwrap().stdout).unwrap();
        found.lines().map(|file| fs::read_to_string(file).unwrap()).collect()
    }
}

fn real_qemu(path: &std::ffi::OsStr) -> PathBuf {
    let here = |folder: PathBuf| folder.join("qemu-system-x86_64");
    std::env::split_paths(path).map(here).find(|file| file.exists()).expect("QEMU is installed")
}

/// The verdicts on the cells, by id.
fn verdicts(result: &Value) -> Vec<String> {
    let cells = result["cells"].as_array().expect("cells is a list").iter();
    let one = |ran: &Value| {
        let judgement = super::counted(ran);
        format!("{} {}", ran["cell"]["id"].as_str().unwrap(), judgement["verdict"])
    };
    cells.map(one).collect()
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn cells_under_kvm_have_its_command_line_its_limits_and_its_snapshots() {
    let host = Host::new("fast");
    // A boot is shared by two cells at least.
    let twice = |accel| host.run_cells("opens", &["--accel", accel, "--repetitions", "2"]);
    twice("tcg").expect_exit(0);
    let under_tcg = verdicts(&host.bench.result());
    let ran = twice("kvm");
    ran.expect_exit(0).expect_error("accelerator: KVM: a guest booted in ");
    let result = host.bench.result();
    assert_eq!(verdicts(&result), under_tcg);
    assert!(result["comparisons"].to_string().contains("\"fixed\""));

    let manifest = &result["manifest"];
    assert_eq!(manifest["accelerator"], "kvm");
    let boot_ms = manifest["kvm"]["boot_ms"].as_u64().expect("a measured boot");
    assert_eq!(manifest["slowdown"], boot_ms.div_ceil(2_500).clamp(1, 3), "{boot_ms} ms");
    let text = host.command_lines();
    assert!(text.contains("-accel kvm") && text.contains("-cpu host,migratable=on"), "{text}");
    // A busy host may spoil the clock of a boot that emulates.
    let shared = text.contains("-incoming defer") || ran.stderr.contains("each cell boots");
    assert!(shared, "no cell began from a snapshot:\n{text}\n{}", ran.stderr);
    for word in ["tcg", "lpj=", "mitigations=off"] {
        assert!(!text.contains(word), "{word} is for emulation:\n{text}");
    }
    // Asked once.
    host.set("silent");
    let cached = host.run_cells("opens", &["--accel", "kvm", "--jobs", "4"]);
    cached.expect_error("a guest booted in ");
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_kvm_that_does_not_work_is_refused_in_seconds_with_its_cause() {
    let host = Host::new("silent");
    let begun = Instant::now();
    let required = |device| host.run_cells(device, &["--accel", "kvm"]);
    required("opens")
        .expect_exit(7)
        .expect_error("a guest did not answer within 7500 ms (console lines: 0)")
        .expect_error("--accel tcg");
    required("opens").expect_exit(7).expect_error("(console lines: 0) (cached)");
    required("denied")
        .expect_exit(7)
        .expect_error("/dev/kvm does not open: Permission denied")
        .expect_error("65-kvm.rules");
    required("absent").expect_exit(7).expect_error("no /dev/kvm");
    host.doctor("denied").expect_exit(7).expect_error("/dev/kvm does not open");
    let row = host.run("denied", &["doctor"]);
    row.expect_output("missing: /dev/kvm does not open: Permission denied").expect_output("udev");
    host.set("refused");
    host.doctor("opens")
        .expect_exit(7)
        .expect_error("Could not access KVM kernel module: Permission denied");
    assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
    // Emulation is never chosen silently.
    host.run_cells("opens", &["--accel", "auto", "--filter", "*.v2.baseline.mainline"])
        .expect_error("TCG, which is slower: QEMU ended");
    assert_eq!(host.bench.result()["manifest"]["accelerator"], "tcg");
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_slow_kvm_gets_longer_limits_and_says_so() {
    let host = Host::new("slow");
    let ran = host.run_cells("opens", &["--accel", "kvm", "--jobs", "1"]);
    ran.expect_exit(0).expect_error("slow, so every limit is ");
    let result = host.bench.result();
    assert!(result["manifest"]["kvm"]["boot_ms"].as_u64() > Some(3_000), "{}", result["manifest"]);
    assert!(result["manifest"]["slowdown"].as_u64() >= Some(2), "{}", result["manifest"]);
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_kvm_that_dies_during_a_run_is_no_hang_of_the_kernel() {
    let host = Host::new("dies 2 silent");
    let begun = Instant::now();
    let ran = host.run_cells("opens", &["--accel", "kvm", "--no-snapshot", "--jobs", "1"]);
    ran.expect_exit(1).expect_output("KVM stopped working during the run: a guest did not answer");
    assert!(begun.elapsed() < Duration::from_secs(150), "{:?}", begun.elapsed());
    let verdicts = verdicts(&host.bench.result());
    assert!(verdicts.iter().all(|verdict| !verdict.contains("HANG")), "{verdicts:?}");
    assert!(verdicts.iter().any(|verdict| verdict.contains("ERROR")), "{verdicts:?}");
    assert!(verdicts.iter().any(|verdict| !verdict.contains("ERROR")), "{verdicts:?}");

    // Whoever comes next asks again.
    host.set("dies 2 refused");
    host.run_cells("opens", &["--accel", "kvm"])
        .expect_exit(1)
        .expect_error("a guest booted in ")
        .expect_output("KVM stopped working during the run: QEMU ended");
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn doctor_proves_kvm_and_the_proof_is_in_the_next_manifest() {
    let host = Host::new("fast");
    host.doctor("opens")
        .expect_exit(0)
        .expect_output("cells a second")
        .expect_output("KVM works: all verdicts are the same under both");
    host.run_cells("opens", &["--accel", "kvm", "--filter", "*.v2.baseline.mainline"]);
    let manifest = &host.bench.result()["manifest"];
    let smoke = &manifest["kvm"]["smoke"];
    assert!(smoke["kvm"]["cells"].as_u64() > Some(0), "{manifest}");
    assert_eq!(smoke["differ"], serde_json::json!([]));
    let page = host.bench.results().join("latest/report.html");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("smoke cells a second"), "the report says it");
    host.set("dies 4 refused");
    host.doctor("opens")
        .expect_exit(1)
        .expect_output("ERROR under KVM, ")
        .expect_output("KVM is not to be trusted here");
    assert!(Path::new(&host.path("cache/kvm.json")).exists());
}
