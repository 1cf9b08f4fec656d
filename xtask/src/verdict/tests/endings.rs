// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a VM ended, what the console shows, and which of several causes is told.

use super::*;

const OOPS: &str =
    "<4>[    2.0] BUG: kernel NULL pointer dereference, address: 8\n<4>[    2.0]  </TASK>\n";
const PANIC: &str = "<4>[    2.1] Kernel panic - not syncing: Fatal exception\n";
const BOOT: &str = "<4>[    0.000000] Linux version 6.12.117\n";

fn ended(ending: Ending, console: &str, events: usize) -> Judgement {
    let mut bench = Bench::overcharge();
    bench.evidence.ending = ending;
    bench.evidence.console = console.to_owned();
    bench.evidence.events.truncate(events);
    bench.judge()
}

fn deadline(booted: bool) -> Ending {
    Ending::Deadline { deadline_ms: 10_000, silent_ms: 9_000, booted, starved_ms: 4_999 }
}

#[test]
fn failures_of_the_host_are_errors_whatever_else_there_is() {
    let all = usize::MAX;
    let qemu = Ending::QemuFailed { status: "signal 11".into(), stderr: "a\nlast line\n\n".into() };
    let judgement = ended(qemu, &(OOPS.to_owned() + PANIC), 3);
    assert_eq!(judgement.verdict, Verdict::Error);
    assert_eq!(judgement.why, "QEMU ended by itself (signal 11): last line");
    let host = Ending::HostFailed { why: "qemu-system-x86_64: not found".into() };
    assert_eq!(ended(host, "", 0).why, "the host failed: qemu-system-x86_64: not found");
    assert_eq!(ended(Ending::Interrupted, CONSOLE, all).verdict, Verdict::Error);
}

#[test]
fn a_kernel_that_panics_crashed_at_boot_and_later() {
    for events in [0, 1, 5, usize::MAX] {
        let judgement = ended(Ending::Reset, &(BOOT.to_owned() + OOPS + PANIC), events);
        assert_eq!(judgement.verdict, Verdict::Crash, "{events} events");
        assert!(
            judgement.why.starts_with("NULL dereference: BUG: kernel NULL"),
            "{}",
            judgement.why
        );
    }
    let judgement = ended(Ending::Reset, BOOT, 0);
    assert_eq!(judgement.verdict, Verdict::Crash);
    assert!(judgement.why.contains("shows no panic"));
}

#[test]
fn a_restart_that_a_task_asked_for_is_no_crash() {
    let asked = "<0>[    3.0] reboot: Restarting system\n<5>[    3.0] reboot: machine restart\n";
    for events in [0, 5, usize::MAX] {
        let judgement = ended(Ending::Reset, &(BOOT.to_owned() + asked), events);
        assert_eq!(judgement.verdict, Verdict::Error, "{events} events");
        assert!(judgement.why.contains("restarted the VM"), "{}", judgement.why);
        let oops = ended(Ending::Reset, &(BOOT.to_owned() + OOPS + asked), events);
        assert_eq!(oops.verdict, Verdict::Crash);
    }
    let by_key = |text: &str| ended(Ending::Reset, &(BOOT.to_owned() + text), 5).verdict;
    assert_eq!(by_key("<6>[    3.0] sysrq: Resetting\n"), Verdict::Error);
    let crash = "Kernel panic - not syncing: sysrq triggered crash\n";
    assert_eq!(by_key(&format!("<0>[    3.0] {crash}")), Verdict::Error);
    assert_eq!(by_key(&format!("<12>[    3.0] {crash}")), Verdict::Crash);
    // Of user space, it says nothing.
    let forged = asked.replace("<0>", "<12>");
    assert_eq!(ended(Ending::Reset, &(BOOT.to_owned() + &forged), 0).verdict, Verdict::Crash);
}

#[test]
fn a_warning_of_a_cell_that_ended_well_is_a_crash() {
    let console =
        CONSOLE.to_owned() + "<4>[    0.9] WARNING: CPU: 1 PID: 70 at mm/x.c:1 f+0x1/0x2\n";
    assert_eq!(ended(Ending::PoweredOff, &console, usize::MAX).verdict, Verdict::Crash);
}

#[test]
fn the_death_of_pid_1_is_an_error_unless_the_kernel_oopsed_before() {
    let init =
        "<4>[    2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009\n";
    let killed = ended(Ending::Reset, &(BOOT.to_owned() + init), 5);
    assert_eq!(killed.verdict, Verdict::Error, "{}", killed.why);
    let oopsed = ended(Ending::Reset, &(BOOT.to_owned() + OOPS + init), 5);
    assert_eq!(oopsed.verdict, Verdict::Crash, "{}", oopsed.why);
}

#[test]
fn a_global_oom_kill_is_an_error_and_a_memcg_oom_kill_a_fact() {
    let global =
        CONSOLE.to_owned() + "<4>[    0.9] Out of memory: Killed process 9 (guest) total-vm:1kB\n";
    assert_eq!(ended(Ending::PoweredOff, &global, usize::MAX).verdict, Verdict::Error);
    let parent: Which<'_> = &[("stage", "after"), ("role", "parent")];
    let mut counted = Bench::overcharge().set(parent, "/events/oom_kill", 1);
    counted.logs("[    0.9] Memory cgroup out of memory: Killed process 9 (hog)");
    let judgement = counted.judge();
    assert_eq!((judgement.verdict, judgement.facts[&"kills".into()]), (Verdict::Pass, 1.0));
    assert_eq!(judgement.facts[&"kills.untraced".into()], 1.0);
}

#[test]
fn a_deadline_is_a_hang_whatever_ran() {
    for events in [1, 5, usize::MAX] {
        let judgement = ended(deadline(true), BOOT, events);
        assert_eq!(judgement.verdict, Verdict::Hang);
        assert_eq!(
            judgement.why,
            "the cell had not ended after 10000 ms; silent for the last 9000 ms"
        );
    }
    assert!(ended(deadline(true), BOOT, usize::MAX).breaks.contains(&"I6".into()));
    let boot = ended(deadline(false), BOOT, 0);
    assert_eq!(boot.verdict, Verdict::Hang);
    assert!(boot.why.starts_with("the guest had not come up"));
    assert_eq!(ended(deadline(false), "<4>[    0.5] pci: probing\n", 0).verdict, Verdict::Hang);
    for firmware in ["", "SeaBIOS (version 1.16.2)\nBooting from ROM..\n"] {
        let judgement = ended(deadline(false), firmware, 0);
        assert_eq!(judgement.verdict, Verdict::Hang);
        assert!(judgement.why.starts_with("the kernel had printed nothing"), "{}", judgement.why);
    }
}

#[test]
fn a_deadline_of_a_vm_that_got_no_cpu_says_nothing_of_the_kernel() {
    let starved =
        Ending::Deadline { deadline_ms: 10_000, silent_ms: 0, booted: true, starved_ms: 5_000 };
    let judgement = ended(starved.clone(), BOOT, 5);
    assert_eq!(judgement.verdict, Verdict::Error, "{}", judgement.why);
    assert!(judgement.why.contains("5000 of 10000 ms"), "{}", judgement.why);
    let oops = ended(starved.clone(), &(BOOT.to_owned() + OOPS), 5);
    assert_eq!(oops.verdict, Verdict::Crash, "what the kernel printed it printed");
    let blocked = "<3>[   40.0] INFO: task init:1 blocked for more than 33 seconds.\n";
    let hung = |ending, starved_ms| {
        let mut bench = Bench::overcharge();
        (bench.evidence.ending, bench.evidence.starved_ms) = (ending, starved_ms);
        bench.evidence.console = CONSOLE.to_owned() + blocked;
        bench.judge().verdict
    };
    assert_eq!(hung(starved, 0), Verdict::Error);
    assert_eq!(
        [0, 1_199, 1_200].map(|ms| hung(Ending::PoweredOff, ms)),
        [Verdict::Hang, Verdict::Hang, Verdict::Error]
    );
}

#[test]
fn a_guest_that_floods_its_port_is_no_kernel_that_hangs() {
    let torn = |lines: usize| {
        let mut bench = Bench::overcharge();
        bench.evidence.ending = deadline(true);
        bench.evidence.torn_lines = vec!["?".to_owned(); lines];
        bench.judge().verdict
    };
    assert_eq!([0, 1, 2].map(torn), [Verdict::Hang, Verdict::Hang, Verdict::Error]);
}

#[test]
fn a_cell_that_was_only_slow_on_a_busy_host_says_nothing_of_the_kernel() {
    let slow = |starved_ms: u64, which: Which<'_>, pointer: &str, value: u64| {
        let mut bench = Bench::overcharge().with_hog().set(which, pointer, value);
        bench.evidence.starved_ms = starved_ms;
        bench.judge()
    };
    let gap = |starved_ms| slow(starved_ms, HEARTBEAT, "/gap_us_max", 1_000_001);
    assert_eq!(gap(1_199).verdict, Verdict::Fail);
    let busy = gap(1_200);
    assert_eq!(busy.verdict, Verdict::Error);
    assert!(busy.why.contains("1200 of 2400 ms; I6: heartbeat"), "{}", busy.why);
    assert_eq!(slow(1_200, USAGE, "/over_us_max", 900_000).verdict, Verdict::Error);
    // The load did not come to what the cell is for either.
    let mut starved = Bench::overcharge().with_hog().set(HEARTBEAT, "/gap_us_max", 1_000_001);
    starved.evidence.starved_ms = 1_200;
    starved.cell.expect.exercised = vec![crate::config::Condition {
        fact: "kills".into(),
        comparison: crate::config::Comparison::AtLeast,
        number: 9.0,
    }];
    assert_eq!(starved.judge().verdict, Verdict::Error);
    let dying: Which<'_> = &[("fact", "removed")];
    assert_eq!(slow(2_400, dying, "/dying", 1).verdict, Verdict::Error, "the guest waits seconds");
    assert_eq!(slow(1_600, dying, "/dying", 1).verdict, Verdict::Error, "three times");
    assert_eq!(slow(1_599, dying, "/dying", 1).verdict, Verdict::Fail);
    let mut stays = Bench::overcharge().set(dying, "/removed", false);
    stays.evidence.starved_ms = 2_400;
    assert_eq!(stays.judge().verdict, Verdict::Fail, "a folder is removed at once or not at all");
    let mut expected = Bench::overcharge().set(HEARTBEAT, "/gap_us_max", 1_000_001);
    expected.evidence.starved_ms = 2_400;
    (expected.cell.expect.verdict, expected.cell.expect.breaks) =
        (Verdict::Fail, vec!["I6".into()]);
    assert_eq!(expected.judge().verdict, Verdict::Fail);
}

#[test]
fn a_breakpoint_left_by_the_emulator_is_no_crash_of_the_kernel() {
    let report = "<4>[    0.2] Oops: int3: 0000 [#1] SMP NOPTI\n<4>[    0.2] Code: eb <05> 5b\n";
    let console = BOOT.to_owned() + report;
    let mut bench = Bench::overcharge();
    bench.evidence.console = console;
    bench.evidence.ending = Ending::Reset;
    bench.pace.emulated = true;
    assert_eq!(bench.judge().verdict, Verdict::Error);
    bench.pace.emulated = false;
    for slowdown in [1, 3] {
        bench.pace.slowdown = slowdown;
        assert_eq!(bench.judge().verdict, Verdict::Crash, "under KVM it is the kernel's own");
    }
}

#[test]
fn a_hung_task_on_the_console_is_a_hang_even_when_the_cell_ended() {
    let console = CONSOLE.to_owned()
        + "<4>[    9.0] INFO: task actor-0:70 blocked for more than 10 seconds.\n";
    let judgement = ended(Ending::PoweredOff, &console, usize::MAX);
    assert_eq!((judgement.verdict, judgement.breaks), (Verdict::Hang, vec!["I6".into()]));
    let oops_too = ended(Ending::PoweredOff, &(console + OOPS), usize::MAX);
    assert_eq!(oops_too.verdict, Verdict::Crash, "of two causes the first in order is told");
}

#[test]
fn a_guest_that_gives_up_is_an_error_and_a_missing_requirement_a_skip() {
    let with = |fact: Fact| {
        let mut bench = Bench::overcharge();
        bench.evidence.events.truncate(1);
        bench.evidence.events.push(Event { seq: 1, at_us: 9, fact });
        bench
    };
    let broken = with(Fact::Broken { why: "mount /proc: EPERM".into() });
    assert_eq!(broken.judge().verdict, Verdict::Error);
    assert_eq!(broken.judge().why, "the guest failed: mount /proc: EPERM");
    let mut oopsed = broken;
    oopsed.evidence.console.push_str(OOPS);
    assert_eq!(oopsed.judge().verdict, Verdict::Crash, "an oops explains a guest that fails");
    let skip = with(Fact::Unsupported { missing: "memory.overcharge".into() }).judge();
    assert_eq!((skip.verdict, skip.why.as_str()), (Verdict::Skip, "missing: memory.overcharge"));
    assert!(!skip.as_expected);
}

#[test]
fn nothing_at_all_is_an_error() {
    let judgement = ended(Ending::PoweredOff, "", 0);
    assert_eq!(judgement.verdict, Verdict::Error);
    assert!(
        judgement.why.starts_with("not proven: the guest never said Hello; and "),
        "{}",
        judgement.why
    );
}
