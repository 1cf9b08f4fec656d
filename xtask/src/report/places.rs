// SPDX-License-Identifier: MIT OR Apache-2.0
//! A place in a stack, for people.

use crate::symbols::{Frame, Place, Source, Symbols};

/// Said once, where the lines of the series cannot be told.
pub(super) const NOT_NOTED: &str =
    "Lines of the series are not marked: this kernel was built before they were noted.";

/// What is known of the place that a line of a console names.
pub(super) fn place(line: &str, symbols: Option<&Symbols<'_>>) -> Place {
    let place = Frame::of(line).zip(symbols).map(|(frame, symbols)| symbols.place(frame));
    place.unwrap_or_default()
}

/// `file:line`, and for what was inlined each function that it was inlined into; with the patch
/// that wrote the line. Empty where nothing is known.
pub(super) fn told(place: &Place) -> Vec<String> {
    let inlined = place.sources.len() > 1;
    let mut told: Vec<String> = place.sources.iter().map(|it| source(it, inlined)).collect();
    let named = place.sources.iter().any(|source| source.patch.is_some());
    if let Some(last) = told.last_mut().filter(|_| place.of_series && !named) {
        last.push_str(" (the series changes this function)");
    }
    told
}

fn source(source: &Source, inlined: bool) -> String {
    let Source { function, file, line, patch } = source;
    let function = if inlined { format!("{function} ") } else { String::new() };
    let line = line.map_or(String::new(), |line| format!(":{line}"));
    let patch = patch.as_ref().map_or(String::new(), |patch| format!(" [{patch}]"));
    format!("{function}{file}{line}{patch}")
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn at(function: &str, line: Option<u32>, patch: Option<&str>) -> Source {
        let (function, patch) = (function.to_owned(), patch.map(str::to_owned));
        Source { function, file: "mm/memcontrol.c".to_owned(), line, patch }
    }

    #[test]
    fn a_place_is_told_with_its_patch() {
        let told = |sources: &[Source], of_series| {
            told(&Place { sources: sources.to_vec(), of_series }).join(" < ")
        };
        let plain = at("f", Some(7), None);
        assert_eq!(told(&[], false), "");
        assert_eq!(told(&[at("f", None, None)], false), "mm/memcontrol.c");
        assert_eq!(told(from_ref(&plain), false), "mm/memcontrol.c:7");
        assert_eq!(
            told(from_ref(&plain), true),
            "mm/memcontrol.c:7 (the series changes this function)"
        );
        let written = at("g", Some(9), Some("0003-memcg.patch"));
        assert_eq!(
            told(&[plain, written], true),
            "f mm/memcontrol.c:7 < g mm/memcontrol.c:9 [0003-memcg.patch]"
        );
    }
}
