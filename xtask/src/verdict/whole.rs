// SPDX-License-Identifier: MIT OR Apache-2.0
//! Is the console whole? Only then does it show that nothing happened.
//!
//! The guest writes two marks into the kernel's log, around all that it does, and reads back what
//! stands between them ([`KernelLog`]). The console must show it: from the kernel's first line to
//! the power-off, with both marks and every line of the kernel between them. Where the log was
//! overwritten before the guest read it, at least as many lines as there were records. What the
//! kernel counts of its own faults is believed whatever the console shows.

use std::ops::Range;

use protocol::{Health, KernelLog, LOG_MARK_LEVEL, log_mark};

use super::Verdict;
use super::reason::Reason;
use crate::evidence::Seen;
use crate::evidence::record::{Record, Source, is_marked, powered_off, records};

/// `TAINT_BAD_PAGE`, `TAINT_DIE`, `TAINT_WARN`, `TAINT_SOFTLOCKUP`.
const FAULTS: [(u64, char); 4] = [(5, 'B'), (7, 'D'), (9, 'W'), (14, 'L')];

/// The bit of a warning.
const TAINT_WARN: u64 = 1 << 9;

/// The lines between the guest's marks, from 0; `None` unless both are there, each once.
pub(super) fn between_marks(seen: &Seen<'_>) -> Option<Range<usize>> {
    let nonce = seen.log?.nonce;
    let [begins, ends] = [false, true].map(|after| {
        let mark = log_mark(nonce, after);
        let lines = records(&seen.evidence.console).enumerate();
        let mut at = lines.filter(|(_, record)| record.of_user() == Some(&mark)).map(|(at, _)| at);
        at.next().filter(|_| at.next().is_none())
    });
    let range = begins? + 1..ends?;
    (range.start <= range.end).then_some(range)
}

/// Why the console is not whole.
pub(super) fn gap(seen: &Seen<'_>) -> Option<String> {
    let evidence = seen.evidence;
    if evidence.console_dropped_bytes > 0 {
        return Some(format!(
            "{} bytes of the console were dropped",
            evidence.console_dropped_bytes
        ));
    }
    let console = &evidence.console;
    if !is_marked(console) {
        return Some("the console does not show who wrote its lines".to_owned());
    }
    let first = records(console).find(|record| record.source != Source::Unmarked);
    let begins = |text: &str| text.starts_with("Linux version ");
    if !first.and_then(|first| first.of_kernel()).is_some_and(begins) {
        return Some("the console does not begin with the kernel's first line".to_owned());
    }
    let boots = records(console).filter(|it| it.of_kernel().is_some_and(begins)).count();
    if boots > 1 {
        return Some(format!("the console shows {boots} boots, not one"));
    }
    let lost = records(console).find(|record| record.of_user().is_none() && is_loss(record));
    if let Some(lost) = lost {
        return Some(format!("the console lost messages: {}", lost.text));
    }
    if !powered_off(console) {
        return Some("the console does not end with the kernel's power-off line".to_owned());
    }
    let Some(log) = seen.log else {
        return Some("the guest never reported what is in the kernel's log".to_owned());
    };
    let Some(between) = between_marks(seen) else {
        return Some("the guest's marks in the kernel's log are not on the console".to_owned());
    };
    let shown = Shown::of(console, between);
    match log.lost {
        0 if shown.kernel_lines < log.kernel_lines => Some(format!(
            "the console shows {} of {} lines that the kernel logged",
            shown.kernel_lines, log.kernel_lines
        )),
        1.. if shown.lines < log.records => Some(format!(
            "the console shows {} lines of {} records that were logged",
            shown.lines, log.records
        )),
        _ => None,
    }
}

/// Why the console shows what the kernel did not log: a task wrote to the terminal.
pub(super) fn forged(seen: &Seen<'_>) -> Option<String> {
    let KernelLog { lost: 0, kernel_lines: logged, .. } = *seen.log? else { return None };
    let shown = Shown::of(&seen.evidence.console, between_marks(seen)?).kernel_lines;
    (is_marked(&seen.evidence.console) && shown > logged).then(|| {
        format!("the console shows {shown} lines of the kernel, which logged {logged}: forged")
    })
}

/// What the kernel says of itself although the console does not show why. Reports that were set
/// aside explain that it is tainted by a warning, and so many `known_warnings`.
pub(super) fn tainted(seen: &Seen<'_>, known_warnings: Option<u64>) -> Option<Reason> {
    let KernelLog { before, mut after, .. } = *seen.log?;
    if let Some(warnings) = known_warnings {
        after.tainted &= !TAINT_WARN;
        after.warnings = after.warnings.map(|count| count.saturating_sub(warnings));
    }
    let faults = taint_faults(after.tainted);
    let Health { tainted, warnings, oopses } = after;
    let (warnings, oopses) = (warnings.unwrap_or(0), oopses.unwrap_or(0));
    if warnings + oopses > 0 || !faults.is_empty() {
        let verdict =
            if warnings + oopses == 0 && faults == "L" { Verdict::Hang } else { Verdict::Crash };
        let why = format!(
            "the kernel is tainted with {tainted:#x} ({faults}; warnings: {warnings}, oopses: \
             {oopses}), and the console does not show why"
        );
        return Some(Reason::new(verdict, why));
    }
    // What a kernel is tainted with when it boots says how it was built, or on what it runs.
    let new = tainted & !before.tainted;
    (new != 0).then(|| {
        let why = format!("not proven: the kernel became tainted with {new:#x} while the cell ran");
        Reason::new(Verdict::Error, why)
    })
}

/// The letters of what in `/proc/sys/kernel/tainted` says that the kernel found a fault.
pub(crate) fn taint_faults(tainted: u64) -> String {
    let set = FAULTS.iter().filter(|(bit, _)| tainted >> bit & 1 == 1);
    set.map(|(_, letter)| *letter).collect()
}

/// What the console shows between the marks.
struct Shown {
    /// Of kernel and user space, at any level.
    lines: u64,
    /// Of the kernel, at the level of the marks or above.
    kernel_lines: u64,
}

impl Shown {
    fn of(console: &str, between: Range<usize>) -> Self {
        let mut shown = Self { lines: 0, kernel_lines: 0 };
        for record in records(console).skip(between.start).take(between.len()) {
            let counts = matches!(record.source, Source::Kernel(Some(0..=LOG_MARK_LEVEL)));
            shown.kernel_lines += u64::from(counts);
            shown.lines += u64::from(record.source != Source::Unmarked);
        }
        shown
    }
}

/// `** 17 printk messages dropped **`: what the kernel writes instead of them.
fn is_loss(record: &Record<'_>) -> bool {
    record.text.starts_with("** ") && record.text.contains(" printk messages dropped **")
}
