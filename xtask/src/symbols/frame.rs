// SPDX-License-Identifier: MIT OR Apache-2.0
//! A line of a stack trace -> the place that it names. Pure.

use std::sync::LazyLock;

use regex::Regex;

/// A place in a stack trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Frame<'a> {
    /// Symbol, with what the compiler added to it (`.isra.0`).
    pub(crate) symbol: &'a str,
    /// Bytes from its begin.
    pub(crate) offset: u64,
    /// Bytes of it.
    pub(crate) size: u64,
    /// Whether the instruction before it is meant: this one is where a call returns to.
    pub(crate) returns: bool,
}

impl<'a> Frame<'a> {
    /// The place in a line of a stack, or at which an instruction failed.
    pub(crate) fn of(line: &'a str) -> Option<Self> {
        static PLACE: LazyLock<Option<Regex>> = LazyLock::new(|| {
            let place = r"\b([A-Za-z_][\w$.]*)\+0x([0-9a-f]{1,8})/0x([0-9a-f]{1,8})";
            Regex::new(&format!("(RIP: 0010:|WARNING: .*?)?{place}")).ok()
        });
        let found = PLACE.as_ref()?.captures(line)?;
        let number = |at: usize| u64::from_str_radix(found.get(at)?.as_str(), 16).ok();
        let (offset, size) = (number(3)?, number(4)?);
        let returns = found.get(1).is_none();
        Some(Self { symbol: found.get(2)?.as_str(), offset, size, returns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_lines_of_stacks() {
        let at = |symbol, offset, size, returns| Some(Frame { symbol, offset, size, returns });
        assert_eq!(
            Frame::of("[    2.3][   T41]  try_charge_memcg.isra.0+0x45/0x6e0"),
            at("try_charge_memcg.isra.0", 0x45, 0x6e0, true)
        );
        assert_eq!(Frame::of("[  2.3] RIP: 0010:f+0x10/0x20"), at("f", 0x10, 0x20, false));
        for warning in [
            "<4>[  2.3] WARNING: CPU: 1 PID: 70 at mm/memcontrol.c:9 f+0x10/0x20",
            "<4>[  2.3] WARNING: mm/memcontrol.c:9 at f+0x10/0x20, CPU#1: actor-0/70",
        ] {
            assert_eq!(Frame::of(warning), at("f", 0x10, 0x20, false));
        }
        assert_eq!(Frame::of("[  2.3] RIP: 0033:0x7f0701f3fbc1"), None);
        assert_eq!(Frame::of("[  2.3] memory: usage 8196kB, limit 8192kB"), None);
    }
}
