// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole cells against a shell script in QEMU's place: what needs no kernel to go wrong.

mod code;
mod crash;
mod hosts;
mod persons;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use protocol::{CellRequest, Fact, Order};
use tempfile::TempDir;

use super::Accel;
use super::cell::{self, Begin};
use super::process::Vm;
use super::rig::{Job, Qemu, Rig};
use super::snapshot::{self, Boot};
use crate::evidence::{Ending, Evidence};
use crate::evidence::{console, store};
use crate::host::stop::Stop;
use crate::plan::{Deadline, VmShape};

/// Finds the descriptors of the wires in the arguments, as QEMU does.
const PRELUDE: &str = r#"#!/bin/bash
for word in "$@"; do
    case $word in
    socket,id=console,fd=*) console=${word##*=} ;;
    socket,id=port,fd=*) port=${word##*=} ;;
    socket,id=qmp,fd=*) qmp=${word##*=} ;;
    /dev/fd/*) code=$word ;;
    esac
done
cd "$(dirname "$0")"
say() { printf '%s\n' "$1" >&$port; }
hello() { say '{"seq":0,"at_us":1,"fact":"hello","protocol":'"${1:-$protocol}"',"kernel_release":"6","cpus":1,"memory_bytes":1,"page_bytes":4096,"workloads":[]}'; }
tell() { printf '%s\n' "$1" >&$qmp; }
# As QEMU does while the guest hangs.
hang() { while read -r command <&$qmp; do
    echo "$command" >>commands
    case $command in *query-status*) tell '{"return":{"status":"'"${1:-running}"'"}}' ;;
    *registers*) tell '{"return":"CPU#0\r\nRIP=1","id":"registers"}' ;; esac
done; sleep 600; }
shutdown() { printf '{"event":"SHUTDOWN","data":{"guest":true,"reason":"%s"}}\n' "$1" >&$qmp; }
"#;

struct Lab {
    dir: TempDir,
    stop: Stop,
    cell_ms: u64,
}

impl Lab {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), stop: Stop::default(), cell_ms: 20_000 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the script with another process: this one forks on many threads, and a child that
    /// holds the file open for writing makes the kernel refuse to run it (ETXTBSY).
    fn script(&self, body: &str) -> String {
        let version = protocol::VERSION;
        let script = format!("{PRELUDE}protocol={version}\n{body}");
        std::fs::write(self.path("source"), script).unwrap();
        let script = self.path("qemu");
        let copied = Command::new("cp").arg(self.path("source")).arg(&script).status().unwrap();
        assert!(copied.success());
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        script.to_str().unwrap().to_owned()
    }

    fn run(&self, body: &str) -> Evidence {
        self.run_binary(self.script(body))
    }

    fn rig(binary: String) -> Rig {
        Rig {
            qemu: Qemu { binary, version: "script".into() },
            accel: Accel::Kvm,
            slowdown: 1,
            kvm: None,
            tsc_khz: None,
            initramfs: "/none".into(),
            disk: None,
            watched: Vec::new(),
            dumps: std::sync::Arc::new(crate::vm::rig::Dumps::new(0, false)),
        }
    }

    fn run_binary(&self, binary: String) -> Evidence {
        self.run_from(&Self::rig(binary), Begin::Boot(Path::new("/none")))
    }

    fn run_from(&self, rig: &Rig, begin: Begin<'_>) -> Evidence {
        let request = CellRequest { cell: "the-cell".into(), ..CellRequest::idle() };
        let job = self.job(&request);
        let evidence = cell::run(rig, job, begin, &self.path("cell"), &self.stop);
        if evidence.wall_ms > 0 && self.path("cell/ending.json").exists() {
            let loaded = store::load(&self.path("cell")).unwrap();
            assert_eq!(format!("{loaded:?}"), format!("{evidence:?}"), "read back");
        }
        evidence
    }

    fn job<'a>(&self, request: &'a CellRequest) -> Job<'a> {
        static VM: VmShape =
            VmShape { cpus: 1, memory_mib: 64, cmdline: Vec::new(), counted: false };
        let deadline = Deadline { boot_ms: 20_000.min(self.cell_ms), cell_ms: self.cell_ms };
        Job { id: "the-cell", vm: &VM, request, deadline }
    }

    fn boot(&self, rig: &Rig) -> Boot {
        let request = CellRequest::idle();
        let bzimage = Path::new("/none");
        snapshot::take(rig, self.job(&request), bzimage, &self.path("boot"), &self.stop).unwrap()
    }
}

/// A zombie that its reaper has not seen yet is dead enough.
fn is_dead(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

fn is_gone(pid: &str) -> bool {
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        if is_dead(pid) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn a_cell_runs_to_its_power_off() {
    let lab = Lab::new();
    let evidence = lab.run(
        r#"printf 'Linux\r\n' >&$console
        hello
        read -r request <&$port
        echo "$request" >request
        say '{"seq":1,"at_us":2,"fact":"ended"}'
        shutdown guest-shutdown"#,
    );
    assert_eq!(evidence.ending, Ending::PoweredOff);
    assert_eq!(evidence.events.len(), 2);
    assert_eq!(evidence.events[1].fact, Fact::Ended);
    assert_eq!(evidence.console, "Linux\r\n");
    assert!(evidence.torn_lines.is_empty(), "{:?}", evidence.torn_lines);
    let heard = std::fs::read_to_string(lab.path("request")).unwrap();
    assert_eq!(serde_json::from_str::<Order>(&heard).unwrap().request, evidence.request);
}

#[test]
fn a_reset_is_no_power_off() {
    let evidence = Lab::new().run("printf 'Kernel panic' >&$console; hello; shutdown guest-reset");
    assert_eq!(evidence.ending, Ending::Reset);
    assert_eq!(evidence.console, "Kernel panic");
}

#[test]
fn a_qemu_that_fails_is_quoted() {
    let evidence = Lab::new().run("echo 'cannot set up guest memory' >&2; exit 1");
    let Ending::QemuFailed { status, stderr } = evidence.ending else { panic!("{evidence:?}") };
    assert_eq!(
        (status.as_str(), stderr.as_str()),
        ("exit status: 1", "cannot set up guest memory")
    );
}

#[test]
fn a_qemu_that_is_killed_or_just_ends_has_failed() {
    for (body, word) in [
        ("kill -9 $$", "SIGKILL"),
        ("exit 0", "had not ended"),
        ("shutdown host-signal", "host-signal"),
    ] {
        let evidence = Lab::new().run(body);
        let Ending::QemuFailed { status, .. } = evidence.ending else { panic!("{evidence:?}") };
        assert!(status.contains(word), "{body}: {status}");
    }
}

#[test]
fn a_qemu_that_is_not_there_fails_the_host() {
    let evidence = Lab::new().run_binary("/nowhere/qemu".into());
    let Ending::HostFailed { why } = evidence.ending else { panic!("{evidence:?}") };
    assert!(why.contains("/nowhere/qemu"), "{why}");
}

#[test]
fn a_hang_at_boot_ends_at_the_deadline_with_everything_qemu_started() {
    let lab = Lab { cell_ms: 2000, ..Lab::new() };
    let evidence = lab.run("printf booting >&$console; sleep 600 & echo $! >sleeper; hang");
    let Ending::Deadline { deadline_ms: 2000, booted: false, silent_ms, .. } = evidence.ending
    else {
        panic!("{evidence:?}")
    };
    assert!(silent_ms >= 300, "{silent_ms}");
    let console = std::fs::read_to_string(lab.path("cell/console.log")).unwrap();
    assert!(console.contains("asking the kernel where it hangs"), "{console}");
    assert_eq!((evidence.console.as_str(), console.find("\n[harness:")), ("booting", Some(7)));
    assert_eq!(store::load(&lab.path("cell")).unwrap().console, "booting");
    assert!(is_gone(&std::fs::read_to_string(lab.path("sleeper")).unwrap()));
    let commands = std::fs::read_to_string(lab.path("commands")).unwrap();
    assert_eq!(commands.matches("chardev-send-break").count(), 5, "{commands}");
    let registers = std::fs::read_to_string(lab.path("cell").join(store::REGISTERS)).unwrap();
    assert_eq!(registers, "CPU#0\r\nRIP=1");
}

#[test]
fn a_thread_that_waits_for_a_cpu_is_seen() {
    let lab = Lab::new();
    // Both on one CPU: each waits for half of the time.
    let script =
        lab.script("taskset -cp 0 $$ >/dev/null; while :; do :; done & while :; do :; done");
    let vm = Vm::spawn(|_| vec![script]).unwrap();
    let begun = Instant::now();
    while vm.waited_for_cpu() < Duration::from_millis(50) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", vm.waited_for_cpu());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_hang_after_hello_is_told_from_one_at_boot() {
    let lab = Lab { cell_ms: 500, ..Lab::new() };
    let evidence = lab.run(
        "hello; { read -r order; read -r more; printf \"to the guest: $more\" >&$console; } <&$port &
        hang",
    );
    assert!(matches!(evidence.ending, Ending::Deadline { booted: true, .. }), "{evidence:?}");
    let console = std::fs::read_to_string(lab.path("cell/console.log")).unwrap();
    assert!(console.contains("to the guest: look"), "{console}");
    assert!(!evidence.console.contains("look"), "it is no evidence: {}", evidence.console);
}

#[test]
fn a_flooded_console_is_bounded() {
    let evidence = Lab::new().run(
        r"hello; head -c 20000000 /dev/zero | tr '\0' x >&$console
        printf 'last words' >&$console; shutdown guest-reset",
    );
    assert_eq!(evidence.ending, Ending::Reset);
    let kept = console::HEAD_BYTES_MAX + console::TAIL_BYTES_MAX;
    assert_eq!(evidence.console_dropped_bytes, 20_000_010 - kept as u64);
    assert!(evidence.console.len() <= kept + 100, "{}", evidence.console.len());
    assert!(evidence.console.ends_with("last words"));
}

#[test]
fn a_flooded_port_is_bounded_and_ends_at_the_deadline() {
    let lab = Lab { cell_ms: 500, ..Lab::new() };
    let evidence = lab.run("hello; yes port >&$port & hang");
    assert!(matches!(evidence.ending, Ending::Deadline { .. }), "{:?}", evidence.ending);
    assert_eq!(evidence.events.len(), 1);
    assert!(evidence.torn_lines.len() <= 40, "{}", evidence.torn_lines.len());
    assert!(evidence.torn_lines.last().unwrap().contains("more such lines"));
}

#[test]
fn garbage_on_the_port_is_kept_beside_the_events() {
    let evidence = Lab::new().run(
        r#"hello; say '{"seq":1'; say $'\xff\xfe'; say '{"seq":1,"at_us":2,"fact":"ended"}'
        printf '{"seq":2,' >&$port; shutdown guest-shutdown"#,
    );
    assert_eq!(evidence.ending, Ending::PoweredOff);
    assert_eq!(evidence.events.len(), 2);
    assert_eq!(evidence.torn_lines, ["{\"seq\":1", "\u{fffd}\u{fffd}", "{\"seq\":2,"]);
}

#[test]
fn another_protocol_is_refused() {
    let evidence = Lab::new().run("hello 4711; sleep 600");
    let Ending::HostFailed { why } = evidence.ending else { panic!("{evidence:?}") };
    assert!(why.contains("4711"), "{why}");
}

#[test]
fn being_asked_to_stop_ends_it_at_once() {
    let lab = Lab::new();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !lab.path("sleeper").exists() && begun.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(5));
            }
            lab.stop.ask();
        });
        assert_eq!(lab.run("hello; echo $$ >sleeper; sleep 600").ending, Ending::Interrupted);
    });
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(is_gone(&std::fs::read_to_string(lab.path("sleeper")).unwrap()));
}

#[test]
fn it_dies_with_the_thread_that_started_it() {
    let lab = Lab::new();
    let script = lab.script("exec sleep 600");
    // Forgotten: what kills it must be the kernel, as after a SIGKILL of the harness.
    let start = || {
        let vm = Vm::spawn(|_| vec![script.clone()]).unwrap();
        let pid = vm.pid().to_string();
        std::mem::forget(vm);
        pid
    };
    let pid = std::thread::scope(|scope| scope.spawn(start).join().unwrap());
    assert!(is_gone(&pid), "QEMU {pid} outlived the thread that started it");
}

#[test]
fn a_folder_without_an_ending_is_read_as_far_as_it_goes() {
    let lab = Lab::new();
    lab.run("hello; printf 'x' >&$console; shutdown guest-shutdown");
    std::fs::remove_file(lab.path("cell/ending.json")).unwrap();
    let evidence = store::load(&lab.path("cell")).unwrap();
    assert_eq!(evidence.ending, Ending::Interrupted);
    assert_eq!((evidence.events.len(), evidence.console.as_str()), (1, "x"));
}

#[test]
fn a_folder_that_cannot_be_written_fails_the_host_and_starts_nothing() {
    let lab = Lab::new();
    std::fs::write(lab.path("cell"), "a file where the folder should be").unwrap();
    let evidence = lab.run("touch started; shutdown guest-shutdown");
    let Ending::HostFailed { why } = evidence.ending else { panic!("{evidence:?}") };
    assert!(why.contains("cell"), "{why}");
    assert!(!lab.path("started").exists());
}

/// Boots, or goes on from a boot, as the arguments say.
const RESTORABLE: &str = r#"
moved() { printf '{"event":"MIGRATION","data":{"status":"%s"}}\n' "$1" >&$qmp; }
until_told() { while read -r command <&$qmp; do case $command in *'"'"$1"'"'*) return ;; esac; done; }
case "$*" in
*incoming*)
    echo $$ >>ahead
    until_told migrate-incoming
    [ -e refuse ] && { moved failed; sleep 600; }
    moved completed
    until_told cont
    read -r order <&$port
    echo "$order" >order
    printf 'cell' >&$console
    say '{"seq":1,"at_us":2,"fact":"ended"}'
    shutdown guest-shutdown ;;
*)
    printf 'boot ' >&$console
    [ -e panics ] && { shutdown guest-reset; exit; }
    hello
    until_told migrate
    moved completed
    sleep 600 ;;
esac"#;

#[test]
fn cells_begin_where_one_boot_ended() {
    let lab = Lab::new();
    let rig = Lab::rig(lab.script(RESTORABLE));
    let boot = lab.boot(&rig);
    assert_eq!((boot.evidence.ending, boot.evidence.console.as_str()), (Ending::Saved, "boot "));
    let snapshot = boot.snapshot.unwrap();
    for _ in 0..2 {
        let evidence = lab.run_from(&rig, Begin::Snapshot(&snapshot));
        assert_eq!(evidence.ending, Ending::PoweredOff);
        assert_eq!(evidence.console, "boot cell", "the boot is part of the evidence");
        let facts: Vec<u64> = evidence.events.iter().map(|event| event.seq).collect();
        assert_eq!(facts, [0, 1], "{:?}", evidence.events);
        let order = std::fs::read_to_string(lab.path("order")).unwrap();
        let order: Order = serde_json::from_str(&order).unwrap();
        assert!(order.wall_clock_us > Some(1_700_000_000_000_000), "{order:?}");
        assert_eq!(order.request, evidence.request);
    }
    std::fs::write(lab.path("refuse"), "").unwrap();
    let evidence = lab.run_from(&rig, Begin::Snapshot(&snapshot));
    let Ending::HostFailed { why } = evidence.ending else { panic!("{evidence:?}") };
    assert!(why.contains("cannot restore"), "{why}");
}

#[test]
fn one_vm_is_started_ahead_and_ends_with_the_snapshot() {
    let lab = Lab::new();
    let rig = Lab::rig(lab.script(RESTORABLE));
    let snapshot = lab.boot(&rig).snapshot.unwrap();
    let ahead = || -> Vec<String> {
        let pids = std::fs::read_to_string(lab.path("ahead")).unwrap_or_default();
        pids.lines().map(str::to_owned).collect()
    };
    let comes_to = |count| {
        let begun = Instant::now();
        while ahead().len() < count && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(ahead().len(), count);
    };
    comes_to(1);
    assert_eq!(lab.run_from(&rig, Begin::Snapshot(&snapshot)).ending, Ending::PoweredOff);
    comes_to(2);
    assert!(!is_dead(&ahead()[1]), "it waits");
    drop(snapshot);
    assert!(is_gone(&ahead()[1]));
}

#[test]
fn a_boot_that_ends_is_no_place_to_begin() {
    let lab = Lab::new();
    std::fs::write(lab.path("panics"), "").unwrap();
    let boot = lab.boot(&Lab::rig(lab.script(RESTORABLE)));
    assert!(boot.snapshot.is_none());
    assert_eq!(boot.evidence.ending, Ending::Reset);
    let slow = Lab { cell_ms: 300, ..Lab::new() };
    let boot = slow.boot(&Lab::rig(slow.script("hello; sleep 600")));
    assert!(boot.snapshot.is_none(), "its state never came");
}
