// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines of a file that are there because of the series.

use std::collections::BTreeSet;

use similar::{Algorithm, ChangeTag, TextDiff};

/// A file that the series touches, as it is after the last patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Relative to the tree.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
    /// Numbers, from 1, of the lines that the base does not have.
    pub(crate) added: BTreeSet<u64>,
}

/// Compares a file of the base (empty: there was none) with what the series makes of it. What one
/// patch adds and a later one changes again is thus counted once, as it is in the end.
pub(crate) fn added(path: &str, before: &str, after: &str) -> File {
    let diff = TextDiff::configure().algorithm(Algorithm::Patience).diff_lines(before, after);
    let inserted = diff.iter_all_changes().filter(|change| change.tag() == ChangeTag::Insert);
    let numbers = inserted.filter_map(|change| Some(change.new_index()? as u64 + 1));
    File { path: path.to_owned(), added: numbers.collect(), text: after.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_base_does_not_have_is_added() {
        let of = |before, after| added("f", before, after).added.into_iter().collect::<Vec<_>>();
        assert_eq!(of("", "a\nb\n"), [1, 2]);
        assert_eq!(of("a\nb\nc\n", "a\nnew\nb\nchanged\n"), [2, 4]);
        assert_eq!(of("a\nb\n", "b\n"), [0; 0]);
        // Without a line end at the end of the file.
        assert_eq!(of("a\n", "a\nb"), [2]);
    }
}
