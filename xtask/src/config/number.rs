// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sizes, durations and comparisons as people write them in the config files.
//!
//! Every parser takes text and says in its error what it would have taken.

use std::time::Duration;

use super::{Comparison, Condition};

/// `"4M"` -> bytes. K, M and G are powers of 1024, as the kernel reads `memory.max`.
pub(crate) fn size_bytes(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.trim().strip_suffix(['K', 'M', 'G']) {
        Some(digits) if text.trim().ends_with('K') => (digits, 1 << 10),
        Some(digits) if text.trim().ends_with('M') => (digits, 1 << 20),
        Some(digits) => (digits, 1 << 30),
        None => (text.trim(), 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    number.ok_or_else(|| format!("`{text}` is no size: write bytes, or \"64K\", \"4M\", \"1G\""))
}

/// `"5s"`, `"1ms"`, `"500us"` -> a duration.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is no duration: write \"5s\", \"250ms\" or \"500us\""))
}

/// `">= 1"`, or several that must all hold: `">= 1, < 9"`.
pub(crate) fn conditions(fact: &str, text: &str) -> Result<Vec<Condition>, String> {
    text.split(',').map(|one| condition(fact, one.trim())).collect()
}

fn condition(fact: &str, text: &str) -> Result<Condition, String> {
    let wrong = || {
        format!("`{text}` compares nothing: write one of == >= <= > < and a number, as in \">= 1\"")
    };
    // Two-character signs first: `>` is a prefix of `>=`.
    let signs = [
        ("==", Comparison::Equal),
        (">=", Comparison::AtLeast),
        ("<=", Comparison::AtMost),
        (">", Comparison::Above),
        ("<", Comparison::Below),
    ];
    let (rest, comparison) = signs
        .iter()
        .find_map(|(sign, comparison)| Some((text.strip_prefix(sign)?, *comparison)))
        .ok_or_else(wrong)?;
    let number: f64 = rest.trim().parse().map_err(|_| wrong())?;
    if !number.is_finite() {
        return Err(wrong());
    }
    Ok(Condition { fact: fact.to_owned(), comparison, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size_bytes("4M"), Ok(4 << 20));
        assert_eq!(size_bytes("64K"), Ok(65536));
        assert_eq!(size_bytes("1G"), Ok(1 << 30));
        assert_eq!(size_bytes("4096"), Ok(4096));
        for wrong in ["", "M", "4MB", "-1", "4.5M", "99999999999G", "4 M"] {
            assert!(size_bytes(wrong).unwrap_err().contains("is no size"), "{wrong}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("500us"), Ok(Duration::from_micros(500)));
        assert!(duration("5").unwrap_err().contains("is no duration"));
    }

    #[test]
    fn comparisons_are_read_longest_sign_first() {
        let one = |text| conditions("f", text).map(|c| (c[0].comparison, c[0].number));
        assert_eq!(one(">= 1"), Ok((Comparison::AtLeast, 1.0)));
        assert_eq!(one(">1"), Ok((Comparison::Above, 1.0)));
        assert_eq!(one("== 0"), Ok((Comparison::Equal, 0.0)));
        assert_eq!(conditions("f", ">= 1, < 9").unwrap().len(), 2);
        for wrong in ["1", "= 1", ">= x", ">=", "", "== nan", "< inf"] {
            assert!(one(wrong).is_err(), "{wrong}");
        }
    }
}
