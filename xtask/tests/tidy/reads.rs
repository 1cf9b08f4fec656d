// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files are read in one way, which takes regular files of bounded size only.

use crate::map::places;
use crate::names::Mention;
use crate::source::Tree;

/// The file that has that way.
const READER: &str = "xtask/src/host/file.rs";

/// Reads without a bound, waits for a FIFO, or opens a device.
const UNBOUNDED: &[&str] = &[
    "std::fs::File::open",
    "std::fs::read",
    "std::fs::read_to_string",
    "std::io::read_to_string",
    ".read_to_end",
    ".read_to_string",
];

/// Reads that have no bound.
pub(crate) fn unbounded(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for place in places(tree).iter().filter(|place| place.source.path != READER) {
        for Mention { line, name, .. } in &place.names.mentions {
            // `map(Read::read_to_end)` is the method too.
            let method = name.rsplit_once("::").map(|(_, method)| format!(".{method}"));
            let mut words = UNBOUNDED.iter();
            if words.any(|word| *word == name || method.as_deref() == Some(*word)) {
                let path = &place.source.path;
                broken.push(format!("{path}:{line}: `{name}`; `host::file` reads with a bound"));
            }
        }
    }
    broken
}
