// SPDX-License-Identifier: MIT OR Apache-2.0
//! Console text -> faults of the kernel, of the host, and hangs.
//!
//! An ordered table: the first pattern that fits a line names it, so narrow ones stand above wide
//! ones. A cheap substring decides first, a regex only then; nothing is anchored to the start of a
//! line, because the log lines of two CPUs may share one. memcg OOM reports are no faults: see
//! `oom`.

mod frames;
#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::{Verdict, whole};
use crate::evidence::Seen;
use crate::evidence::record::{Record, Source, records, shown};

pub(super) use frames::frames;

/// Lines of a report that are kept after its first; a lockdep splat has about 60.
const EXCERPT_LINES: usize = 80;

/// Longest title; a line of a flooded console can have any length.
const TITLE_CHARS: usize = 160;

/// Reports of a class that are kept; the first one is what matters, the rest mostly follow from it.
pub(super) const FINDINGS_MAX: usize = 50;

/// What the kernel prints at the end of a report.
const END_MARKS: [&str; 2] = ["---[ end ", " </TASK>"];

/// The guest ran out of memory, and the kernel went on.
const NO_MEMORY: &str = "allocation failure";

/// The kernel gave up: out of memory, and nothing to kill.
pub(super) const DEADLOCKED: &str = "system out of memory";

/// The OOM killer killed for the whole system, and the kernel went on.
pub(super) const SYSTEM_OOM_KILL: &str = "system OOM kill";

/// Of an error message that no pattern knows.
const UNKNOWN: &str = "kernel error";

/// Something on the console that no good run shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// [`Verdict::Crash`], [`Verdict::Hang`], or [`Verdict::Error`] for the harness's own failures.
    pub(crate) class: Verdict,
    /// Short name: `oops`, `lockdep`, `rcu stall`, …
    pub(crate) kind: &'static str,
    /// First line of the report without its time stamp.
    pub(crate) title: String,
    /// The report as printed, without marks.
    pub(crate) excerpt: Vec<String>,
    /// Its first line in the console, from 0.
    pub(crate) line: usize,
}

struct Pattern {
    /// `None`: a line that wider patterns below would take for a fault.
    class: Option<Verdict>,
    kind: &'static str,
    /// Cheap test first.
    needle: &'static str,
    /// Must match too; empty when the needle says it all.
    regex: &'static str,
}

const fn error(kind: &'static str, needle: &'static str, regex: &'static str) -> Pattern {
    Pattern { class: Some(Verdict::Error), kind, needle, regex }
}

const fn crash(kind: &'static str, needle: &'static str, regex: &'static str) -> Pattern {
    Pattern { class: Some(Verdict::Crash), kind, needle, regex }
}

const fn hang(kind: &'static str, needle: &'static str, regex: &'static str) -> Pattern {
    Pattern { class: Some(Verdict::Hang), kind, needle, regex }
}

const fn benign(needle: &'static str, regex: &'static str) -> Pattern {
    Pattern { class: None, kind: "", needle, regex }
}

/// Most particular first. Texts are those of Linux 6.12 and 7.x, and of the
/// reports that syzkaller knows.
const PATTERNS: &[Pattern] = &[
    // The guest, the VM's size or its disk is at fault, not the kernel under test.
    error("death of PID 1", "Attempted to kill init", ""),
    error(DEADLOCKED, "System is deadlocked on memory", ""),
    error("system out of memory", "Kernel panic", "panic - not syncing: [Oo]ut of memory"),
    // Not of a memcg: its limit makes no allocator say so.
    error(NO_MEMORY, "page allocation ", r": page allocation (?:failure|stall)"),
    error(NO_MEMORY, "llocat", r"SLUB: Unable to allocate memory|percpu: allocation fail"),
    error(SYSTEM_OOM_KILL, "Out of memory", r"Out of memory(?: \([\w ]+\))?: Killed process"),
    error("crash that a task asked for", "sysrq triggered crash", ""),
    // Only of QEMU's disk: an error of a loop device is the kernel's own.
    error("disk error", "I/O error", r"I/O error(?:,| on) dev vd"),
    // Hangs: from the most to the least certain detector.
    hang(
        "panic on hang",
        "Kernel panic",
        "not syncing: (?:hung_task|softlockup|RCU Stall|Hard LOCKUP)",
    ),
    hang("hard lockup", "hard LOCKUP", ""),
    hang("rcu stall", "rcu", r"detected (?:expedited )?stalls?\b|self-detected stall"),
    hang("rcu stall", "rcu", r"rcu\w* (?:kthread starved for|kthread timer wakeup didn't happen)"),
    hang("soft lockup", "soft lockup", r"BUG: soft lockup"),
    hang("workqueue lockup", "workqueue lockup", "BUG: workqueue lockup"),
    hang("CSD lock", "CSD lock", r"csd: (?:Detected|Continued) non-responsive CSD lock"),
    // 7.x: `blocked in I/O wait for more than`, `has been waiting for writeback completion for more
    // than`. linux-next: `can't die for more than`. A task may have a line feed in its name.
    hang(
        "hung task",
        "for more than",
        r":\d+ (?:blocked|can't die|has been waiting)\b.* for more than \d+ seconds",
    ),
    // Sanitizers and checkers print `BUG:` and `WARNING:` too, so they come before those.
    crash("KASAN", "KASAN:", r"BUG: KASAN:"),
    crash("KFENCE", "KFENCE:", r"BUG: KFENCE:"),
    crash("KCSAN", "KCSAN:", r"BUG: KCSAN:"),
    crash("UBSAN", "UBSAN:", ""),
    crash("kmemleak", "kmemleak:", r"kmemleak: \d+ new suspected"),
    crash("CFI", "CFI failure", r"CFI failure (?:at|\()"),
    crash("Rust panic", "panicked", r"rust\w*: panicked|: panicked at \S+\.rs:\d+"),
    crash("page_counter underflow", "page_counter underflow", ""),
    // A css whose references were dropped more often than taken.
    crash("reference underflow", "percpu", r"percpu ref \(.*\) <= 0 |percpu_ref underflow"),
    crash("refcount", "refcount_t:", ""),
    // Checks that switched themselves off would let everything after them pass.
    crash("checks switched off", "ODEBUG: Out of memory", ""),
    crash("checks switched off", "turning off the locking correctness validator", ""),
    crash("checks switched off", "Disabling lock debugging due to kernel taint", ""),
    crash("checks switched off", "INFO: lockdep is turned off", ""),
    crash("checks switched off", "Kernel memory leak detector disabled", ""),
    crash(
        "debug objects",
        "ODEBUG: ",
        r"ODEBUG: (?:free|init|activate|deactivate|destroy|active_state|assert_init|object) ",
    ),
    crash("list corruption", "list_", r"list_(?:add|del)(?:_\w+)? corruption"),
    crash("scheduling while atomic", "scheduling while atomic", ""),
    crash("sleep in atomic", "sleeping function called from invalid context", ""),
    crash(
        "lockdep",
        "WARNING: ",
        r"WARNING: (?:possible |inconsistent lock|suspicious RCU|bad unlock|bad contention|nested lock|lock held|held lock|HARDIRQ-|SOFTIRQ-|RECLAIM_FS-|Nested lock|locking bug|chain_key|\w+-safe -> )",
    ),
    crash(
        "lockdep",
        "INFO: ",
        r"INFO: (?:possible (?:recursive|circular|irq lock)|suspicious RCU|\w+-safe -> )",
    ),
    crash("lockdep", "inconsistent lock state", r"\[ INFO: inconsistent lock state \]"),
    crash("lockdep", "non-static key", "trying to register non-static key"),
    crash("lockdep", "DEBUG_LOCKS_WARN_ON", ""),
    crash("lockdep", "BUG: MAX_LOCK", ""),
    crash("lockdep", "bad path found in chain graph", ""),
    crash("lockdep", "BUG: ", r"BUG: (?:Invalid wait context|held lock freed|looking up invalid)"),
    crash("locks held", "lock", r"still has locks held|is holding locks?\b|with locks still held"),
    crash("preemptible per-CPU access", "in preemptible", r"BUG: using \w+\(\) in preemptible"),
    crash("kernel BUG", "kernel BUG at", ""),
    crash("NULL dereference", "NULL pointer dereference", ""),
    crash("bad page access", "nable to handle", r"BUG: unable to handle|Unable to handle kernel"),
    // `traps: x[7] general protection fault ip:…` is a process in user space that failed.
    crash(
        "general protection fault",
        "general protection fault",
        r"general protection fault(?:, |: [0-9a-f]| for )",
    ),
    crash("divide error", "divide", r"divide[ _]error: [0-9a-f]+ \[#\d"),
    crash("double fault", "double fault", r"(?:PANIC|traps|Oops): .*double fault|double fault: \d"),
    crash("oops", "Oops", r"Oops(?: -[^:]*)?: "),
    crash("oops", "Fixing recursive fault but reboot is needed", ""),
    crash("oops", "Internal error: ", r"Internal error: .*\[#\d+\]"),
    crash("oops", "Unhandled fault", r"Unhandled fault: \S"),
    crash("panic", "Kernel panic", "Kernel panic - not syncing"),
    // 6.12 `WARNING: CPU: 0 PID: 1 at mm/x.c:1 f+0x…`; 7.x `WARNING: mm/x.c:1 at f+0x…, CPU#0:
    // sh/1`. Not the boot's `RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable`.
    crash("WARN", "WARNING: ", r"WARNING: (?:CPU: \d+ PID: \d+|\S+:\d+ at |.*, CPU#\d+: )"),
    crash("bad page", "page dumped because: ", ""),
    crash("slab corruption", "BUG ", r"BUG [\w.-]+ \((?:Not tainted|Tainted)"),
    crash("slab corruption", "SLUB", r"SLUB:? \S+ ?:?.*counted but counter="),
    // Not what ODEBUG says of itself at boot.
    crash("BUG", "BUG: ", "(?:^|[^E])BUG: "),
    crash("page table corruption", ": bad ", r"\.[ch]:\d+: bad p(?:gd|4d|ud|md|te) "),
    crash("swap corruption", "swap", r"unrecognized swap entry|: Bad swap (?:file|offset)"),
    crash("vmalloc corruption", "tree is corrupted: ", ""),
    crash("memcg statistics", "stat buffer overflow, please report", ""),
    crash("file system error", "-fs error", r"EXT4-fs error \(device"),
    crash("file system error", "JBD2: ", r"JBD2: .*(?:[Ee]rror|abort|corruption)"),
    crash("file system error", "Aborting journal on device", ""),
    crash(
        "file system error",
        "VFS: ",
        r"VFS: (?:Busy inodes after unmount|Close: file count is|brelse: )",
    ),
    crash(
        "kobject",
        "kobject",
        r"kobject.*(?:initialized object|failed for|is not initialized|does not have a release)",
    ),
    crash("sysfs", "cannot create duplicate filename", ""),
    crash("sysfs", "returned bad count", ""),
    crash("interrupts", "nobody cared", r"irq \d+: nobody cared"),
    crash("slab corruption", "INFO: ", r"INFO: (?:Freed|Allocated) in \S+ age="),
    crash("reference leak", "unregister_netdevice: waiting for", ""),
    // Below KERN_ERR: what only the kernel writes contradicts itself, or it is called wrongly.
    crash("file table corruption", "not NULL!", r"alloc_fd: slot \d+ not NULL!"),
    crash("leaked locks", "Leaked ", r"Leaked (?:\w+ )?locks? on dev="),
    crash("dentry loop", "VFS: ", r"VFS: Lookup of .* would have caused loop"),
    crash("file system", "passed in a files array", ""),
    crash("message queue corruption", "Inconsistency in POSIX message queue", ""),
    crash("statistics below zero", "vmstat_refresh: ", r"vmstat_refresh: \S+ -\d"),
    crash("reference underflow", "refcount went to 0 for", ""),
    crash("reference underflow", "Huge Page Reserved count may go negative", ""),
    crash("reference underflow", "HugeTLB", r"HugeTLB:? unexpected (?:inflated folio )?ref ?count"),
    crash("wrong call", "Fix your code!", ""),
    crash("wrong call", "Must use shrinker_alloc", ""),
    crash("wrong call", "Attempt to kill tasklet from interrupt", ""),
    crash(
        "wrong call",
        "Trying to free ",
        r"Trying to free (?:nonexistent resource|(?:free )?DMA\d)",
    ),
    crash("wrong call", "enabled irq's!", ""),
    crash("wrong call", "returned IRQ_WAKE_THREAD but no thread function", ""),
    crash("wrong call", "sent to offline CPU", ""),
    crash("contradiction", "REPLENISH flag missing", ""),
    crash("contradiction", "Unexpected attach lock mode", ""),
    crash("contradiction", "wrong text_len value", ""),
    crash("contradiction", "exe_file_deny_write_access() failed", ""),
    crash("contradiction", "invalid donation weights", ""),
    crash("contradiction", "unhandled return value: ", ""),
    crash("file system error", "freeing b_", r"freeing b_(?:frozen|committed)_data"),
    crash("file system error", "still in fc list", ""),
    crash("file system error", "ES ", r"ES (?:\w+ )?assertion failed"),
    // On a disk that only this kernel has written.
    crash(
        "file system error",
        "EXT4-fs",
        r"EXT4-fs .*(?:(?:initial|last) error at time|error recorded from previous mount)",
    ),
    crash(
        "file system error",
        "JBD2: ",
        r"JBD2: (?:no valid journal|journal (?:recovery|reset) failed|Incorrect |Invalid start)",
    ),
    crash(
        "file system error",
        "EXT4-fs warning",
        r"EXT4-fs warning .*(?:reserved data blocks|deleted pa|bad group: |too many blocks added|Corrupt directory|dx entry: |directory missing|bad inline directory|too many links|with no links|hash validation failed|buffers attached|have inline data|finished: extent)",
    ),
    // What becomes of tasks in a memcg is in its OOM reports.
    benign("Killed process ", "emory cgroup out of memory"),
    // What the kernel says of a task that mounts what is none, or of a disk without a command.
    benign("Can't lookup blockdev", ""),
    benign("VFS: Can't find ", r"VFS: Can't find (?:an? )?\w+ file ?system"),
    benign("operation not supported error, dev ", ""),
    // What the firmware or the command line made the kernel say at boot.
    benign(
        "WARNING: ",
        "WARNING: (?:polling idle and HT|[Tt]he mand mount option|fbcon: |'bootconfig' found|BIOS bug:|bogus zero IO-APIC)",
    ),
    // Any other line that begins so: a checker whose words this table does not know.
    crash("WARNING", "WARNING: ", r"^(?:\[[^\]]*\]\s?)+WARNING: "),
];

static REGEXES: LazyLock<Vec<Option<Regex>>> = LazyLock::new(|| {
    // A wrong regex is a typing error that the tests of this file see.
    PATTERNS.iter().map(|pattern| Regex::new(pattern.regex).ok()).collect()
});

/// Everything on the console that no good run shows, in order. User space's lines say nothing.
pub(crate) fn findings(console: &str) -> Vec<Finding> {
    search(console, &(0..0))
}

/// The same of a cell. Between the guest's marks an error message of the kernel that no pattern
/// knows is a fault too.
pub(crate) fn findings_of(seen: &Seen<'_>) -> Vec<Finding> {
    search(&seen.evidence.console, &whole::between_marks(seen).unwrap_or_default())
}

fn search(console: &str, strict: &Range<usize>) -> Vec<Finding> {
    let records: Vec<Record<'_>> = records(console).collect();
    let mut found: Vec<Finding> = Vec::new();
    let mut report_end = 0;
    for (at, record) in records.iter().enumerate() {
        let in_report = |kind, class| {
            let own = |last: &Finding| class == last.class && (kind == last.kind || !goes_on(last));
            at < report_end && found.last().is_some_and(own)
        };
        let (kind, class) = match known(record) {
            Some(Pattern { class: None, .. }) => continue,
            // Inside a report other patterns fit too: a Rust panic ends in a BUG.
            Some(Pattern { kind, class: Some(class), .. }) if !in_report(*kind, *class) => {
                (*kind, *class)
            }
            None if strict.contains(&at) && at >= report_end && is_error(record) => {
                (UNKNOWN, Verdict::Crash)
            }
            _ => continue,
        };
        // A flood of one class hides no other.
        if found.iter().filter(|finding| finding.class == class).count() == FINDINGS_MAX {
            continue;
        }
        report_end = end_of_report(&records, at);
        let lines = console.lines().skip(at).take(report_end - at);
        found.push(Finding {
            class,
            kind,
            title: record.text.chars().take(TITLE_CHARS).collect(),
            excerpt: lines.map(|line| shown(line).to_owned()).collect(),
            line: at,
        });
    }
    found
}

/// Whether a report is whole, to the mark at its end, and nothing in it is another report.
pub(super) fn is_single(finding: &Finding) -> bool {
    let ends =
        finding.excerpt.last().is_some_and(|line| END_MARKS.iter().any(|m| line.contains(m)));
    let rest: String = finding.excerpt.iter().skip(1).map(|line| format!("{line}\n")).collect();
    ends && findings(&rest).is_empty()
}

/// The finding that names the cell's verdict, if there is one: the worst, and of those the first.
///
/// A kernel must survive a lack of memory, so that never hides a crash. Any other failure of the
/// harness does if it came first: a kernel that oopses in PID 1 also kills PID 1, but a kernel
/// without PID 1 or its disk may say anything. A hang can follow from each, so it hides none.
pub(crate) fn decisive(findings: &[Finding]) -> Option<&Finding> {
    let ended = |finding: &Finding| finding.class == Verdict::Error && !goes_on(finding);
    let end = findings.iter().position(ended).unwrap_or(findings.len());
    let crash = findings[..end].iter().find(|finding| finding.class == Verdict::Crash);
    let error = || findings.iter().find(|finding| finding.class == Verdict::Error);
    crash.or_else(error).or(findings.first())
}

/// Whether it is a lack of memory that the kernel must survive.
pub(super) fn goes_on(finding: &Finding) -> bool {
    [NO_MEMORY, SYSTEM_OOM_KILL].contains(&finding.kind)
}

/// The first pattern that fits a line of the kernel.
fn known(record: &Record<'_>) -> Option<&'static Pattern> {
    record.of_kernel()?;
    let (pattern, _) = PATTERNS.iter().zip(REGEXES.iter()).find(|(pattern, regex)| {
        record.line.contains(pattern.needle)
            && (pattern.regex.is_empty()
                || regex.as_ref().is_some_and(|regex| regex.is_match(record.line)))
    })?;
    Some(pattern)
}

/// KERN_ERR or worse.
fn is_error(record: &Record<'_>) -> bool {
    matches!(record.source, Source::Kernel(Some(0..=3)))
}

/// After the mark that the kernel prints at a report's end, or when there is none after a bound.
fn end_of_report(records: &[Record<'_>], begin: usize) -> usize {
    let bound = records.len().min(begin + EXCERPT_LINES);
    let has =
        |at: usize, mark: &str| records[at].of_kernel().is_some_and(|text| text.contains(mark));
    let end = (begin + 1..bound)
        .find(|&at| END_MARKS.iter().any(|mark| has(at, mark)))
        .map_or(bound, |at| at + 1);
    // The trace of an oops ends before its registers and its end mark: take those too.
    if has(end - 1, END_MARKS[0]) {
        return end;
    }
    match (end..bound).find(|&at| has(at, END_MARKS[0])) {
        Some(at) if at - end < 40 => at + 1,
        _ => end,
    }
}
