// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines of the console -> records of the kernel's log: who wrote each, and its text. Pure.
//!
//! With `console_msg_format=syslog` each line begins with `<N>`, N = 8 * facility + level. The
//! kernel has facility 0, and `devkmsg_write()` never lets user space have it. So user space can
//! neither forge nor hide a message of the kernel by way of `/dev/kmsg`. A task that writes to the
//! terminal itself can write such a mark, but not into the log: [`KernelLog`](protocol::KernelLog)
//! counts what is there.

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The kernel, at this level: 3 is KERN_ERR, 4 KERN_WARNING; `None` on a console without marks,
    /// where all is taken for the kernel's.
    Kernel(Option<u8>),
    /// A task, through `/dev/kmsg`.
    User,
    /// Firmware, the harness, or a task through the terminal: on a console with marks a line
    /// without one.
    Unmarked,
}

/// One line of the console in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Who wrote it.
    pub(crate) source: Source,
    /// From the time stamp on.
    pub(crate) line: &'a str,
    /// The text, without time stamp and caller.
    pub(crate) text: &'a str,
}

impl<'a> Record<'a> {
    /// The text, if the kernel wrote it.
    pub(crate) fn of_kernel(&self) -> Option<&'a str> {
        matches!(self.source, Source::Kernel(_)).then_some(self.text)
    }

    /// The text, if a task wrote it to the log.
    pub(crate) fn of_user(&self) -> Option<&'a str> {
        (self.source == Source::User).then_some(self.text)
    }
}

/// The lines of a console, in order.
pub(crate) fn records(console: &str) -> impl Iterator<Item = Record<'_>> {
    let marked = is_marked(console);
    console.lines().map(move |line| match record(line) {
        record if marked => record,
        record => Record { source: Source::Kernel(None), line, ..record },
    })
}

/// Whether the lines of a console say who wrote them: the first line of a log does.
pub(crate) fn is_marked(console: &str) -> bool {
    let mut lines = console.lines().map(record);
    let first =
        lines.find(|record| record.source != Source::Unmarked || record.text != record.line);
    first.is_some_and(|first| first.source != Source::Unmarked)
}

/// Whether the kernel switched the machine off. It says so at KERN_EMERG, which no console level
/// hides.
pub(crate) fn powered_off(console: &str) -> bool {
    records(console).any(|record| record.of_kernel() == Some("reboot: Power down"))
}

/// Whether a task restarted the machine, by `reboot(2)` or SysRq. After a panic neither is said.
pub(crate) fn restarted(console: &str) -> bool {
    let said =
        |text: &str| text.starts_with("reboot: Restarting system") || text == "sysrq: Resetting";
    records(console).any(|record| record.of_kernel().is_some_and(said))
}

/// A line of the console as people read it: without the mark.
pub(crate) fn shown(line: &str) -> &str {
    mark(line).map_or(line, |(_, rest)| rest).trim_end()
}

/// The text of a line, without mark, time stamp and caller.
pub(crate) fn message(line: &str) -> &str {
    record(line).text
}

/// Takes a line apart: `<4>[    1.234567][  T12] text`.
fn record(line: &str) -> Record<'_> {
    let (source, line) = match mark(line).or_else(|| glued(line)) {
        Some((number @ 0..8, rest)) => (Source::Kernel(Some(number as u8)), rest),
        Some((_, rest)) => (Source::User, rest),
        None => (Source::Unmarked, line.trim_start()),
    };
    Record { source, line: line.trim_end(), text: after_stamps(line).trim_end() }
}

/// The number of `<N>`, and what follows it.
fn mark(line: &str) -> Option<(u32, &str)> {
    let (number, rest) = line.strip_prefix('<')?.split_once('>')?;
    let is_number = number.len() <= 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    Some((number.parse().ok().filter(|_| is_number)?, rest))
}

/// A record after what a task wrote to the terminal without an end of line.
fn glued(line: &str) -> Option<(u32, &str)> {
    let marks = line.match_indices('<').filter_map(|(at, _)| mark(&line[at..]));
    marks.into_iter().find(|(_, rest)| after_stamps(rest) != *rest)
}

/// What follows `[    1.234567][  T12] `.
fn after_stamps(line: &str) -> &str {
    let mut rest = line;
    while let Some((stamp, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let stamp = stamp.trim_start();
        let caller = stamp.strip_prefix(['T', 'C']);
        let digits = caller.unwrap_or(stamp);
        // A pid in brackets, as in the table of an OOM report, is text.
        let is_stamp = caller.is_some() || stamp.contains('.');
        if !is_stamp || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            break;
        }
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: Source = Source::Kernel(Some(4));

    #[test]
    fn marks_tell_the_kernel_from_user_space() {
        let of = |line| (record(line).source, record(line).text);
        assert_eq!(of("<4>[    1.234567][  T12] text"), (KERNEL, "text"));
        assert_eq!(of("<0>[   11.454397] x: y\r"), (Source::Kernel(Some(0)), "x: y"));
        assert_eq!(of("<12>[    1.2][    C0] WARNING: x"), (Source::User, "WARNING: x"));
        assert_eq!(of("<15>text"), (Source::User, "text"));
        assert_eq!(of("<4>[    1.2] [     41]  0"), (KERNEL, "[     41]  0"));
        assert_eq!(of("[    1.2] text  "), (Source::Unmarked, "text"));
        for unmarked in ["<TASK>", "[drm] text", "<+4>[    1.2] x", "<99999>[    1.2] x", ""] {
            assert_eq!(of(unmarked), (Source::Unmarked, unmarked));
        }
    }

    #[test]
    fn what_a_task_writes_before_a_record_does_not_hide_it() {
        let of = |line| (record(line).source, record(line).text);
        assert_eq!(of("$ <4>[    1.2] WARNING: x"), (KERNEL, "WARNING: x"));
        assert_eq!(of("a <b> <12>[    1.2] <4>[    1.2] x"), (Source::User, "<4>[    1.2] x"));
        assert_eq!(of("<12>[    1.2] a\r<4>[    1.2] x"), (Source::User, "a\r<4>[    1.2] x"));
        assert_eq!(of("$ <4>text").0, Source::Unmarked);
    }

    #[test]
    fn a_console_without_marks_is_the_kernels() {
        let sources = |console| records(console).map(|record| record.source).collect::<Vec<_>>();
        assert_eq!(
            sources("firmware\n<5>[    0.0] Linux version 6\nx\n<12>[    1.0] y"),
            [Source::Unmarked, Source::Kernel(Some(5)), Source::Unmarked, Source::User]
        );
        assert_eq!(sources("firmware\n[    0.0] Linux version 6\n<4>x"), [Source::Kernel(None); 3]);
        assert_eq!(sources("x"), [Source::Kernel(None)]);
    }

    #[test]
    fn people_read_lines_without_marks() {
        assert_eq!(shown("<4>[    1.2]  <TASK>\r"), "[    1.2]  <TASK>");
        assert_eq!(shown("[    1.2] x"), "[    1.2] x");
    }
}
