// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers as people read them.

use std::collections::BTreeMap;

use protocol::{MemcgRole, ProcessRole};

use crate::taxonomy::{CallFact, CellFact, FactName, Facts, Unit};

/// `2 GiB`, `512 KiB`, `4 MiB`, `20 B`; one digit after the point where it is not whole.
pub(crate) fn size(bytes: f64) -> String {
    let (number, unit) = match bytes {
        b if b >= 1073741824.0 => (b / 1073741824.0, "GiB"),
        b if b >= 1048576.0 => (b / 1048576.0, "MiB"),
        b if b >= 1024.0 => (b / 1024.0, "KiB"),
        b => (b, "B"),
    };
    if number.fract() == 0.0 {
        format!("{number:.0} {unit}")
    } else {
        format!("{number:.1} {unit}")
    }
}

/// `12 ms`, `1.2 s`.
pub(super) fn time_ms(ms: f64) -> String {
    if ms >= 1000.0 { format!("{:.1} s", ms / 1000.0) } else { format!("{ms:.0} ms") }
}

/// `300 us`, `12 ms`, `1.2 s`.
pub(super) fn time_us(us: f64) -> String {
    if us < 1000.0 { format!("{us:.0} us") } else { time_ms(us / 1000.0) }
}

/// `1` and not `1.0`, `0` and not `-0`; a fraction with two digits.
pub(super) fn plain(number: f64) -> String {
    let number = number + 0.0;
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.2}") }
}

/// A value with its unit.
pub(super) fn number(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Bytes => size(value),
        Unit::Us => time_us(value),
        Unit::Ms => time_ms(value),
        Unit::Count | Unit::Flag | Unit::Share => plain(value),
    }
}

/// `1 charge`, `2 charges`.
pub(crate) fn plural(count: impl TryInto<u64>, word: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {word}"),
        count if word.ends_with("ch") => format!("{count} {word}es"),
        count => format!("{count} {word}s"),
    }
}

/// A fact of a cell as it stands in a table: `?` where it is not known.
pub(super) fn fact(facts: &Facts, name: impl Into<FactName>) -> String {
    let name = name.into();
    facts.get(&name).map_or("?".to_owned(), |value| number(name.unit(), *value))
}

/// How long the load took: `500 ms`, `timed out (6.0 s)`, `?`.
pub(super) fn load(facts: &Facts) -> String {
    let took = fact(facts, CellFact::LoadMs);
    if timed_out(facts) { format!("timed out ({took})") } else { took }
}

/// Whether the load hit its time limit.
pub(super) fn timed_out(facts: &Facts) -> bool {
    facts.get(&CellFact::LoadComplete.into()) == Some(&0.0)
}

/// Calls of the actors that failed, by errno: `50 ENOMEM, 1 EFAULT`, or `0`.
pub(super) fn lost(facts: &Facts) -> String {
    if !facts.keys().any(|name| matches!(name, FactName::Call(_, _, CallFact::Attempted))) {
        return "?".to_owned();
    }
    let mut by_errno: BTreeMap<&str, f64> = BTreeMap::new();
    for (name, count) in facts.iter().filter(|(_, count)| **count > 0.0) {
        if let FactName::Errno(ProcessRole::Actor, _, errno) = name {
            *by_errno.entry(errno).or_default() += count;
        }
    }
    let list: Vec<String> =
        by_errno.iter().map(|(errno, count)| format!("{} {errno}", plain(*count))).collect();
    if list.is_empty() { "0".to_owned() } else { list.join(", ") }
}

/// Kills and from where: `1 in charge`, `2 on return`, `0`.
pub(super) fn kills(facts: &Facts) -> String {
    let events = FactName::Event(MemcgRole::Limited, "oom_kill".to_owned());
    let kills = facts.get(&CellFact::Kills.into()).or_else(|| facts.get(&events));
    let Some(kills) = kills else { return "?".to_owned() };
    let of = |fact: CellFact, word: &str| {
        let count = facts.get(&fact.into()).copied().filter(|count| *count > 0.0)?;
        Some(if count == *kills { word.to_owned() } else { format!("{} {word}", plain(count)) })
    };
    let places = [
        of(CellFact::KillsInCharge, "in charge"),
        of(CellFact::KillsInFault, "in fault"),
        of(CellFact::KillsOnReturn, "on return"),
    ];
    let places: Vec<String> = places.into_iter().flatten().collect();
    match places.as_slice() {
        [] => plain(*kills),
        [one] if !one.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{} {one}", plain(*kills))
        }
        several => format!("{} ({})", plain(*kills), several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_unit_of_their_fact() {
        assert_eq!(number(Unit::Ms, 1234.0), "1.2 s");
        assert_eq!(number(Unit::Ms, 12.0), "12 ms");
        assert_eq!(number(Unit::Us, 999.0), "999 us");
        assert_eq!(number(Unit::Us, 52_000.0), "52 ms");
        assert_eq!(number(Unit::Bytes, 8192.0), "8 KiB");
        assert_eq!(number(Unit::Count, 16.0), "16");
        assert_eq!([plain(-0.0), plain(0.5)], ["0", "0.50"]);
        assert_eq!([plural(0u32, "kill"), plural(1u32, "kill")], ["0 kills", "1 kill"]);
    }
}
