// SPDX-License-Identifier: MIT OR Apache-2.0
//! Consoles that lost a part, and those that show what the kernel did not log.

use super::*;

const LOG: Which<'_> = &[("fact", "kernel_log")];
const WARN: &str = "<4>[    0.7] WARNING: CPU: 1 PID: 70 at mm/x.c:1 f+0x1/0x2\n";
const LINE: &str = "<6>[    0.600000] loop0: detected capacity change from 0 to 8192\n";

fn console(text: String) -> Bench {
    let mut bench = Bench::overcharge();
    bench.evidence.console = text;
    bench
}

/// The console with this before the guest's second mark.
fn with(text: &str) -> Bench {
    console(CONSOLE.replace(SECOND_MARK, &format!("{text}{SECOND_MARK}")))
}

#[test]
fn a_console_that_lost_a_part_is_an_error() {
    let first = CONSOLE.lines().next().unwrap();
    let dropped = "** 17 printk messages dropped **\n";
    for (bench, why) in [
        (console(CONSOLE.replace(first, "")), "does not begin with the kernel's first line"),
        (console(CONSOLE.replace("Linux version", "Linux")), "does not begin"),
        (console(CONSOLE.replace("<0>", "<8>")), "does not end with the kernel's power-off"),
        (console(CONSOLE.replace(" ends", " en")), "the guest's marks"),
        (console(CONSOLE.replace("<14>", "")), "the guest's marks"),
        (console(CONSOLE.replace("2a begins", "2b begins")), "the guest's marks"),
        (with("<14>[    0.8] memcg harness: 000000000000002a ends\n"), "the guest's marks"),
        (console(CONSOLE.replace(LINE, "")), "the console shows 0 of 1 lines"),
        (console(CONSOLE.replace(LINE, &LINE.replace("<6>", "<14>"))), "shows 0 of 1 lines"),
        (console(CONSOLE.replace("<0>", &format!("{first}\n<0>"))), "shows 2 boots, not one"),
        (with(dropped), "the console lost messages: ** 17 printk messages dropped **"),
        (
            console(CONSOLE.replace("<0>", &format!("<4>[    0.95] {dropped}<0>"))),
            "the console lost messages: ** 17 printk messages dropped **",
        ),
    ] {
        let judgement = bench.judge();
        assert_eq!(judgement.verdict, Verdict::Error, "{why}: {}", judgement.why);
        assert!(judgement.why.contains(why), "{why}: {}", judgement.why);
        assert_eq!([bench.outcome("I4"), bench.outcome("I10")], [Outcome::Unknown; 2], "{why}");
        assert!(!judgement.facts.contains_key(&"kills".into()), "{why}");
    }
    let without_marks: String = CONSOLE.lines().map(|line| format!("{}\n", &line[3..])).collect();
    assert_eq!(console(without_marks).judge().verdict, Verdict::Error);
    assert_eq!(with(&format!("<12>[    0.8] {dropped}")).judge().verdict, Verdict::Pass);
    assert_eq!(with("a task on the terminal\n").judge().verdict, Verdict::Pass);
}

#[test]
fn a_log_that_was_overwritten_has_a_line_for_each_record() {
    let records = |count: u64| {
        let bench = Bench::overcharge().set(LOG, "/lost", 1).set(LOG, "/records", count);
        bench.set(LOG, "/kernel_lines", 0).judge().verdict
    };
    assert_eq!([records(1), records(2)], [Verdict::Pass, Verdict::Error]);
}

#[test]
fn what_the_kernel_did_not_log_is_forged() {
    let forged = with(WARN).judge();
    assert_eq!(forged.verdict, Verdict::Error, "{}", forged.why);
    assert!(forged.why.contains("2 lines of the kernel, which logged 1"), "{}", forged.why);
    let mut logged = Bench::overcharge();
    logged.logs(&WARN[3..]);
    assert_eq!(logged.judge().verdict, Verdict::Crash);
}

#[test]
fn a_kernel_that_counts_a_fault_crashed_whatever_its_console_shows() {
    let table = [
        ("/after/tainted", 1_u64 << 9, Verdict::Crash),
        ("/after/tainted", 1 << 7, Verdict::Crash),
        ("/after/tainted", 1 << 5 | 1 << 14, Verdict::Crash),
        ("/after/tainted", 1 << 14, Verdict::Hang),
        ("/after/tainted", 1 << 6, Verdict::Error),
        ("/after/warnings", 1, Verdict::Crash),
        ("/after/oopses", 1, Verdict::Crash),
    ];
    for (place, value, verdict) in table {
        let judgement = Bench::overcharge().set(LOG, place, value).judge();
        assert_eq!(judgement.verdict, verdict, "{place} {value}: {}", judgement.why);
        let mut lost = Bench::overcharge().set(LOG, place, value);
        lost.evidence.console = CONSOLE.replace(LINE, "");
        assert_eq!(lost.judge().verdict, verdict, "{place} {value}");
    }
    let randstruct = 1_u64 << 17;
    let built_so = Bench::overcharge().set(LOG, "/before/tainted", randstruct);
    assert_eq!(built_so.set(LOG, "/after/tainted", randstruct).judge().verdict, Verdict::Pass);
}

#[test]
fn an_error_message_that_no_pattern_knows_is_a_fault_while_the_cell_runs() {
    let told = |line: &str| {
        let mut bench = Bench::overcharge();
        bench.logs("[    0.7] x");
        bench.evidence.console = bench.evidence.console.replace("<4>[    0.7] x", line);
        bench.judge()
    };
    let unknown = told("<3>[    0.7] floor: the ceiling is missing");
    assert_eq!(unknown.verdict, Verdict::Crash);
    assert_eq!(unknown.why, "kernel error: floor: the ceiling is missing");
    assert_eq!(told("<4>[    0.7] floor: the ceiling is missing").verdict, Verdict::Pass);
    let kill = "<3>[    0.7] Memory cgroup out of memory: Killed process 9 (hog)";
    assert_eq!(told(kill).verdict, Verdict::Fail, "I4: nobody counted it");
    for told_to_a_task in [
        "/dev/zero: Can't lookup blockdev",
        "EXT4-fs (loop0): VFS: Can't find ext4 filesystem",
        "operation not supported error, dev loop0, sector 819072 op 0x9:(WRITE_ZEROES) flags 0x8",
    ] {
        let judged = told(&format!("<3>[    0.7] {told_to_a_task}"));
        assert_eq!(judged.verdict, Verdict::Pass, "{}", judged.why);
    }
    let boot = "<3>[    0.1] floor: the ceiling is missing\n";
    let at_boot = console(CONSOLE.replace("<14>[    0.5", &format!("{boot}<14>[    0.5")));
    assert_eq!(at_boot.judge().verdict, Verdict::Pass);
}

/// A host that starved the VM, or a lack of memory, is no cover for a WARN that was lost.
#[test]
fn a_lost_warning_is_worse_than_a_hang_or_a_lack_of_memory() {
    let blocked = "<3>[   40.0] INFO: task init:1 blocked for more than 33 seconds.\n";
    let memory = "<4>[   40.0] guest: page allocation failure: order:0\n";
    let oops = "<4>[   41.0] Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI\n";
    let judged = |lines: &[&str], warnings: u64| {
        let mut bench = Bench::overcharge().set(LOG, "/after/warnings", warnings);
        bench.evidence.console = format!("{CONSOLE}{}", lines.concat());
        bench.evidence.starved_ms = bench.evidence.wall_ms;
        bench.judge().verdict
    };
    for fault in [blocked, memory] {
        assert_eq!(judged(&[fault], 0), Verdict::Error);
        assert_eq!(judged(&[fault], 1), Verdict::Crash);
        assert_eq!(judged(&[fault, oops], 0), Verdict::Crash);
    }
}
