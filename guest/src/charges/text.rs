// SPDX-License-Identifier: MIT OR Apache-2.0
//! The text of a trace, line by line -> records. Pure.

/// One event with its stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// Of the task that made it.
    pub(super) pid: i32,
    /// When, by the instance's clock, microseconds.
    pub(super) at_us: u64,
    /// Name of the event.
    pub(super) event: &'a str,
    /// What follows the name.
    pub(super) said: &'a str,
    /// Functions, innermost first, where the stack was recorded.
    pub(super) stack: Vec<&'a str>,
}

impl<'a> Record<'a> {
    /// The value of `key=value`, without quotes.
    pub(super) fn field(&self, key: &str) -> Option<&'a str> {
        let mut words = self.said.split_whitespace();
        let value = words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?;
        Some(value.trim_matches('"'))
    }

    /// The same, a number; with `0x` in base 16.
    pub(super) fn number(&self, key: &str) -> Option<i64> {
        let value = self.field(key)?;
        match value.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => value.parse().ok(),
        }
    }
}

/// All records of a trace, and how many lines were none.
pub(super) fn records(text: &str) -> (Vec<Record<'_>>, u64) {
    let (mut records, mut torn): (Vec<Record<'_>>, u64) = (Vec::new(), 0);
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    for line in lines {
        if let Some(function) = line.trim_start().strip_prefix("=> ") {
            let stack = records.last_mut().map(|record| &mut record.stack);
            stack.into_iter().for_each(|stack| stack.push(symbol(function)));
        } else if !line.contains("<stack trace>") {
            match record(line) {
                Some(record) => records.push(record),
                None => torn += 1,
            }
        }
    }
    (records, torn)
}

/// `comm-pid [cpu] flags seconds.micros: event: what it says`.
fn record(line: &str) -> Option<Record<'_>> {
    let (task, rest) = line.split_once(" [")?;
    let pid = task.trim_end().rsplit_once('-')?.1.parse().ok()?;
    let (_, rest) = rest.split_once("] ")?;
    let (_, rest) = rest.trim_start().split_once(' ')?;
    let (time, rest) = rest.trim_start().split_once(": ")?;
    let (seconds, micros) = time.split_once('.')?;
    let at_us = seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?;
    let (event, said) = rest.split_once(": ")?;
    Some(Record { pid, at_us, event, said, stack: Vec::new() })
}

/// `try_charge_memcg+0x1a/0x500` without its offset.
pub(super) fn symbol(text: &str) -> &str {
    text.split(['+', '/', ' ']).next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_events_with_their_stacks() {
        let text = "# tracer: nop\n#\n           <...>-57      [001] .....     3.004005: charge: (obj_cgroup_charge_pages+0x4f/0xd0 <- try_charge_memcg) gfp=0x400cc0 pages=1 ret=-12 comm=\"actor-0\"\n           <...>-57      [001] .....     3.004009: <stack trace>\n => obj_cgroup_charge_pages\n => kmem_cache_alloc_noprof+0x1/0x2\n          guest-1       [000] d..1.    12.000001: signal_generate: sig=9 errno=0 code=128 comm=hog pid=58 grp=1 res=0\n";
        let (records, torn) = records(text);
        assert_eq!((records.len(), torn), (2, 0));
        let charge = &records[0];
        assert_eq!((charge.pid, charge.at_us, charge.event), (57, 3_004_005, "charge"));
        assert_eq!(charge.stack, ["obj_cgroup_charge_pages", "kmem_cache_alloc_noprof"]);
        assert_eq!(charge.number("gfp"), Some(0x40_0cc0));
        assert_eq!((charge.number("pages"), charge.number("ret")), (Some(1), Some(-12)));
        assert_eq!(charge.field("comm"), Some("actor-0"));
        assert_eq!((records[1].number("pid"), records[1].at_us), (Some(58), 12_000_001));
    }

    #[test]
    fn a_line_that_is_no_event_is_counted() {
        assert_eq!(records("CPU:1 [LOST 5 EVENTS]\nwhatever\n").1, 2);
    }
}
