// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers as people read them.

use std::collections::BTreeMap;

/// `512 KiB`, `4 MiB`, `20 B`; one digit after the point where it is not whole.
pub(super) fn size(bytes: f64) -> String {
    let (number, unit) = match bytes {
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

/// `1` and not `1.0`; a fraction with two digits.
pub(super) fn plain(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.2}") }
}

/// Calls of the actors that failed, by errno: `50 ENOMEM, 1 EFAULT`, or `0`.
pub(super) fn lost(facts: &BTreeMap<String, f64>) -> String {
    if !facts.keys().any(|name| name.ends_with(".attempted")) {
        return "?".to_owned();
    }
    let mut by_errno: BTreeMap<&str, f64> = BTreeMap::new();
    for (name, count) in facts.iter().filter(|(_, count)| **count > 0.0) {
        if let Some((op, errno)) = name.split_once('.')
            && crate::taxonomy::names::is_errno(errno)
            && !crate::taxonomy::names::ROLE_PREFIXES.contains(&format!("{op}.").as_str())
        {
            *by_errno.entry(errno).or_default() += count;
        }
    }
    let list: Vec<String> =
        by_errno.iter().map(|(errno, count)| format!("{} {errno}", plain(*count))).collect();
    if list.is_empty() { "0".to_owned() } else { list.join(", ") }
}

/// Kills and from where: `1 in charge`, `2 on return`, `0`.
pub(super) fn kills(facts: &BTreeMap<String, f64>) -> String {
    let Some(kills) = facts.get("kills").or_else(|| facts.get("events.oom_kill")) else {
        return "?".to_owned();
    };
    let of = |name: &str, word: &str| {
        let count = facts.get(name).copied().filter(|count| *count > 0.0)?;
        Some(if count == *kills { word.to_owned() } else { format!("{} {word}", plain(count)) })
    };
    let places = [
        of("kills.in_charge", "in charge"),
        of("kills.in_fault", "in fault"),
        of("kills.on_return", "on return"),
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
