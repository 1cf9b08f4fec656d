// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values of the config files: sizes, durations, ranges, names of files.
//!
//! For `deserialize_with`: each function checks while the parser still knows the place, and says
//! what it would have taken.

use std::time::Duration;

use protocol::MemcgWrite;
use serde::de::{Deserialize, Deserializer, Visitor};

use super::place::refuse;

/// What is wrong, and what would fit.
pub(super) type Refusal = (String, String);

/// A text that `read` takes.
pub(super) fn text<'de, D: Deserializer<'de>, T>(
    from: D,
    read: impl FnOnce(&str) -> Result<T, Refusal>,
) -> Result<T, D::Error> {
    // Inside of the visitor: an error after it would be placed at the whole list of a value.
    struct Text<F>(F);
    impl<T, F: FnOnce(&str) -> Result<T, Refusal>> Visitor<'_> for Text<F> {
        type Value = T;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            (self.0)(text).map_err(|(what, hint)| refuse(what, hint))
        }
    }
    from.deserialize_str(Text(read))
}

/// Deserializes a type from a text.
macro_rules! from_text {
    ($type:ty, $read:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::config::value::text(from, $read)
            }
        }
    };
}
pub(super) use from_text;

/// Words for people; at least one.
pub(super) fn words<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from, |text| match text.trim() {
        "" => Err(("the text is empty".to_owned(), "write a sentence".to_owned())),
        words => Ok(words.to_owned()),
    })
}

/// Words that need not be given.
pub(super) fn some_words<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    words(from).map(Some)
}

/// A number from `MIN` to `MAX`.
pub(super) fn within<'de, D: Deserializer<'de>, N: TryFrom<u64>, const MIN: u64, const MAX: u64>(
    from: D,
) -> Result<N, D::Error> {
    let number = u64::deserialize(from)?;
    let fits = Some(number).filter(|number| (MIN..=MAX).contains(number));
    fits.and_then(|number| N::try_from(number).ok()).ok_or_else(|| {
        let hint = if MAX == u64::MAX { String::new() } else { format!(" and at most {MAX}") };
        refuse(format!("{number} is out of range"), format!("at least {MIN}{hint}"))
    })
}

/// The default of a number of times.
pub(super) fn one() -> u32 {
    1
}

/// A number that is not 0.
pub(super) fn at_least_one<'de, D: Deserializer<'de>, N: TryFrom<u64>>(
    from: D,
) -> Result<N, D::Error> {
    within::<D, N, 1, { u64::MAX }>(from)
}

/// `"4M"` -> bytes. K, M and G are powers of 1024, as the kernel reads `memory.max`.
fn size_bytes(text: &str) -> Result<u64, Refusal> {
    let text = text.trim();
    let shift = match text.bytes().last() {
        Some(b'K') => 10,
        Some(b'M') => 20,
        Some(b'G') => 30,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| {
        (format!("`{text}` is not a size"), "write bytes, or \"64K\", \"4M\", \"1G\"".to_owned())
    })
}

/// A size that the kernel will not round: `memory.max` counts pages.
fn pages(text: &str, pages_min: u64) -> Result<u64, Refusal> {
    const PAGE_BYTES: u64 = 4096;
    let bytes = size_bytes(text)?;
    match bytes % PAGE_BYTES == 0 && bytes >= pages_min * PAGE_BYTES {
        true => Ok(bytes),
        false => Err((
            format!("{bytes} bytes are no whole pages"),
            format!("a multiple of {PAGE_BYTES}, at least {pages_min} of them"),
        )),
    }
}

/// Bytes of a limit: whole pages, at least one.
pub(super) fn limit_bytes(text: &str) -> Result<u64, Refusal> {
    pages(text, 1)
}

/// Bytes of a limit: whole pages, at least one.
pub(super) fn limit<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    text(from, limit_bytes)
}

/// Bytes, whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

from_text!(Bytes, |text| pages(text, 0).map(Self));

/// Bytes, whole pages.
pub(super) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    text(from, |text| pages(text, 0))
}

/// Bytes that need not be given.
pub(super) fn some_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    bytes(from).map(Some)
}

/// Memory of a VM, MiB.
pub(super) fn memory_mib<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    text(from, |text| {
        let bytes = size_bytes(text)?;
        let mib = u32::try_from(bytes >> 20).ok();
        mib.filter(|mib| *mib >= 64 && bytes % (1 << 20) == 0).ok_or_else(|| {
            let what = format!("`{text}` is no memory for a VM");
            (what, "whole MiB, at least \"64M\"".to_owned())
        })
    })
}

/// A duration in units of `unit_us` microseconds, from `min` to `max` of them.
fn duration(text: &str, unit_us: u64, [min, max]: [u64; 2]) -> Result<u64, Refusal> {
    let time = humantime::parse_duration(text).map_err(|_| {
        let hint = "write \"5s\", \"250ms\" or \"500us\"".to_owned();
        (format!("`{text}` is not a duration"), hint)
    })?;
    let [min, max] = [min, max].map(|units| Duration::from_micros(units * unit_us));
    match (min..=max).contains(&time) {
        true => Ok(time.as_micros() as u64 / unit_us),
        false => Err((format!("`{text}` is out of range"), format!("from {min:?} to {max:?}"))),
    }
}

/// Milliseconds.
pub(super) fn ms<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    from: D,
) -> Result<u64, D::Error> {
    text(from, |text| duration(text, 1000, [MIN, MAX]))
}

/// Microseconds.
pub(super) fn us<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    from: D,
) -> Result<u64, D::Error> {
    text(from, |text| duration(text, 1, [MIN, MAX]))
}

/// Words of a kernel command line, one an entry.
pub(super) fn cmdline<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct Word(String);
    from_text!(Word, |word| match word.is_empty() || word.contains(char::is_whitespace) {
        false => Ok(Self(word.to_owned())),
        true => Err((
            format!("`{word}` is not one word of a kernel command line"),
            "write one word an entry".to_owned(),
        )),
    });
    Ok(Vec::<Word>::deserialize(from)?.into_iter().map(|word| word.0).collect())
}

/// Name of a file in a memcg: a path would let a config write anywhere in the guest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MemcgFile(pub(super) String);

from_text!(MemcgFile, |name| match name.is_empty() || name.contains('/') {
    false => Ok(Self(name.to_owned())),
    true => Err((
        format!("`{name}` is not the name of a file in a memcg"),
        "no folder, for example \"memory.high\"".to_owned(),
    )),
});

/// Writes into files of a memcg: `"memory.high" = "1M"`.
pub(super) fn writes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<MemcgWrite>, D::Error> {
    let writes = std::collections::BTreeMap::<MemcgFile, String>::deserialize(from)?;
    Ok(writes.into_iter().map(|(file, value)| MemcgWrite { file: file.0, value }).collect())
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
        for wrong in ["", "M", "4MB", "-1", "4.5M", "99999999999G", "4 M", "4ä"] {
            assert!(size_bytes(wrong).unwrap_err().0.contains("is not a size"), "{wrong}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("5s", 1000, [1, 5000]), Ok(5000));
        assert_eq!(duration("500us", 1, [1, 5000]), Ok(500));
        let refused = |text| duration(text, 1000, [2, 5000]).unwrap_err();
        assert!(refused("5").0.contains("is not a duration"));
        assert!(
            refused("5001ms").1.contains("from 2ms to 5s") && refused("1ms").0.contains("range")
        );
    }
}
