// SPDX-License-Identifier: MIT OR Apache-2.0
//! All charges of one task, in their order, between two marks that the task itself puts into the
//! trace.

use std::fs::File;
use std::io::Write as _;

use anyhow::{Context, Result, ensure};
use protocol::InjectedCharge;

use super::failed::{Bits, whole_path};
use super::text::{Record, records};
use super::tracefs::Instance;

/// Name of the event of a mark.
const MARK: &str = "tracing_mark_write";

/// Watches one task.
pub(crate) struct Window<'a> {
    instance: &'a Instance,
    bits: &'a Bits,
    marks: File,
}

impl<'a> Window<'a> {
    pub(super) fn new(instance: &'a Instance, bits: &'a Bits) -> Result<Self> {
        instance.stop()?;
        instance.clear()?;
        Ok(Self { instance, bits, marks: instance.marks()? })
    }

    /// Watches the task of that number.
    pub(crate) fn open(&self, pid: i32) -> Result<()> {
        self.instance.filter(&format!("common_pid == {pid}"))?;
        self.instance.start()
    }

    /// Puts a mark, by the task itself.
    pub(crate) fn mark(&self, word: &str) -> Result<()> {
        (&self.marks).write_all(word.as_bytes()).context("mark the trace")
    }

    /// The charges of the task between its marks; without a second one, to its end.
    ///
    /// # Errors
    /// The trace has a hole or cannot be read.
    pub(crate) fn close(self, pid: i32) -> Result<Vec<InjectedCharge>> {
        self.instance.stop()?;
        let (text, cut) = self.instance.text()?;
        let lost = self.instance.lost()?;
        let (records, torn) = records(&text);
        ensure!(!cut && lost + torn == 0, "the trace lost {lost} events, {torn} lines are none");
        between(&records, pid).map(|record| charge(record, self.bits)).collect()
    }
}

fn between<'a>(records: &'a [Record<'a>], pid: i32) -> impl Iterator<Item = &'a Record<'a>> {
    let own = records.iter().filter(move |record| record.pid == pid);
    let begun = own.skip_while(|record| record.event != MARK).skip(1);
    begun.take_while(|record| record.event != MARK).filter(|record| record.event == "charge")
}

fn charge(record: &Record<'_>, bits: &Bits) -> Result<InjectedCharge> {
    let number = |key| record.number(key).with_context(|| format!("no {key} in {}", record.said));
    Ok(InjectedCharge {
        gfp: bits.names(number("gfp")?),
        pages: number("pages")?.try_into()?,
        error: number("ret")?.try_into()?,
        path: whole_path(record),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_task_charges_between_its_marks_counts() {
        let line = |pid: i32, event: &str| format!(" <...>-{pid} [000] ..... 1.5: {event}\n");
        let charge = |caller: &str| {
            format!("charge: ({caller}+0x1/0x2 <- try_charge_memcg) gfp=0x0 pages=1 ret=0")
        };
        let text = [
            line(7, &charge("before")),
            line(7, "tracing_mark_write: begin"),
            line(8, &charge("another")),
            line(7, &charge("first")),
            line(7, "signal_generate: sig=9 pid=8"),
            line(7, &charge("second")),
            line(7, "tracing_mark_write: end"),
            line(7, &charge("after")),
        ]
        .concat();
        let (records, torn) = records(&text);
        assert_eq!(torn, 0);
        let callers: Vec<String> =
            between(&records, 7).map(|record| whole_path(record)[0].clone()).collect();
        assert_eq!(callers, ["first", "second"]);
    }
}
