// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's log of one cell: two marks in it, and what stands between them.
//!
//! The host sees the log on the console, where a console level, a full buffer or a task that writes
//! to the console can falsify it. So the guest also reads the log where it comes from. It does so
//! when the cell is over: a reader would disturb the load.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc;
use protocol::{Fact, Health, KernelLog, LOG_MARK_LEVEL, log_mark};

use crate::clock::{self, Deadline};

/// Longest record with its dictionary (`CONSOLE_EXT_LOG_MAX`).
const RECORD_BYTES_MAX: usize = 8192;

/// `LOG_USER` of `<syslog.h>`: never the kernel's own facility, 0.
const LOG_USER: u8 = 1;

/// A record is written in less; the reader of the log stops before one that is not whole.
const WRITTEN_MS_MAX: u64 = 2000;

/// How long to wait before the next look, microseconds.
const WRITTEN_US: u64 = 500;

/// The log from the first mark on.
pub(crate) struct Log {
    device: File,
    nonce: u64,
    begin: u64,
    before: Health,
}

/// A record of the log.
#[derive(Debug, PartialEq, Eq)]
struct Record<'a> {
    /// Eight times the facility, and the level.
    priority: u32,
    seq: u64,
    /// With `\x0a` between lines.
    text: &'a str,
}

impl Log {
    /// Writes the first mark.
    pub(crate) fn begin(nonce: u64) -> Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        let mut device = options.open("/dev/kmsg").context("open /dev/kmsg")?;
        device.seek(SeekFrom::End(0)).context("go to the end of /dev/kmsg")?;
        let mut log = Self { device, nonce, begin: 0, before: health()? };
        log.begin = log.mark(false)?.0;
        Ok(log)
    }

    /// Writes the second mark, and tells what stands between the two.
    pub(crate) fn end(mut self) -> Result<Fact> {
        let (end, read, kernel_lines) = self.mark(true)?;
        let after = health()?;
        let records = end - self.begin - 1;
        let (nonce, before, lost) = (self.nonce, self.before, records.saturating_sub(read));
        Ok(Fact::KernelLog(KernelLog { nonce, records, lost, kernel_lines, before, after }))
    }

    /// Writes a mark and reads up to it: its number, and of the records before it how many there
    /// were and how many lines of the kernel they have.
    fn mark(&mut self, after: bool) -> Result<(u64, u64, u64)> {
        let mark = log_mark(self.nonce, after);
        let line = format!("<{}>{mark}\n", 8 * LOG_USER + LOG_MARK_LEVEL);
        self.device.write_all(line.as_bytes()).context("write to /dev/kmsg")?;
        let (mut read, mut kernel_lines) = (0, 0);
        let late = Deadline::in_ms(WRITTEN_MS_MAX);
        let mut buffer = [0; RECORD_BYTES_MAX];
        loop {
            let bytes = match self.device.read(&mut buffer) {
                Ok(bytes) => &buffer[..bytes],
                // The next one was overwritten: the reader goes on with the oldest that is there.
                Err(error) if error.raw_os_error() == Some(Errno::EPIPE as i32) => continue,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // Another CPU is writing a record before it.
                Err(error) if error.kind() == ErrorKind::WouldBlock && !late.passed() => {
                    clock::sleep_us(WRITTEN_US);
                    continue;
                }
                Err(error) => return Err(error).context("read a mark back from /dev/kmsg"),
            };
            let text = String::from_utf8_lossy(bytes);
            let Some(record) = record(&text) else { bail!("no record: {text:?}") };
            if record.text == mark {
                return Ok((record.seq, read, kernel_lines));
            }
            read += 1;
            kernel_lines += record.kernel_lines();
        }
    }
}

impl Record<'_> {
    /// Lines that the kernel itself wrote and that the console is to show.
    fn kernel_lines(&self) -> u64 {
        let shown = self.priority <= u32::from(LOG_MARK_LEVEL);
        if shown { 1 + self.text.matches("\\x0a").count() as u64 } else { 0 }
    }
}

/// `6,1234,5678901,-;text`, and lines of the dictionary after it.
fn record(line: &str) -> Option<Record<'_>> {
    let (head, rest) = line.split_once(';')?;
    let mut numbers = head.split(',');
    let priority = numbers.next()?.parse().ok()?;
    let seq = numbers.next()?.parse().ok()?;
    Some(Record { priority, seq, text: rest.split('\n').next()? })
}

fn health() -> Result<Health> {
    let number = |path: &str| -> Result<u64> {
        let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
        text.trim().parse().with_context(|| format!("{path} is no number"))
    };
    Ok(Health {
        tainted: number("/proc/sys/kernel/tainted")?,
        warnings: number("/sys/kernel/warn_count").ok(),
        oopses: number("/sys/kernel/oops_count").ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_the_kernel_writes_them() {
        let read = |line| record(line).map(|record| (record.seq, record.kernel_lines()));
        assert_eq!(read("6,339,5140900,-;NET: Registered\n"), Some((339, 1)));
        assert_eq!(read("4,7,1,c,caller=T12;a\\x0ab\\x0a\n SUBSYSTEM=acpi\n"), Some((7, 3)));
        assert_eq!(read("7,8,1,-;debug\n"), Some((8, 0)));
        assert_eq!(read("12,9,1,-;of a task\n"), Some((9, 0)));
        let text = record("14,9,1,-;memcg harness: 01 begins\n").unwrap().text.to_owned();
        assert_eq!(text, "memcg harness: 01 begins");
        assert_eq!(record("nothing"), None);
    }
}
