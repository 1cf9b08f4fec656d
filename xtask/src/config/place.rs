// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where in which file something is wrong, and what the writer may have meant.
//!
//! Every fault of this room reads `file:line:column: what`, with the allowed words as its hint.

use std::fmt::Display;
use std::ops::Range;

use serde::de::DeserializeOwned;

use crate::exit::{Exit, Fault};

/// One TOML file as the caller read it.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// File name without `.toml`: the name of what it describes.
    pub(crate) name: String,
    /// As people should read it in an error, relative to the workspace.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

impl Text {
    /// A fault at the first byte of `span`.
    pub(crate) fn fault(&self, span: Range<usize>, what: impl Display) -> Fault {
        let (line, column) = line_column(&self.text, span.start);
        Fault::new(Exit::Usage, format!("{}:{line}:{column}: {what}", self.path))
    }

    /// File and line, for a value that is looked at later.
    pub(crate) fn place(&self, span: Range<usize>) -> String {
        format!("{}:{}", self.path, line_column(&self.text, span.start).0)
    }

    /// A fault about the file as a whole.
    pub(crate) fn fault_all(&self, what: impl Display) -> Fault {
        Fault::new(Exit::Usage, format!("{}: {what}", self.path))
    }

    /// Parses the text into its raw structure; a wrong key or type is a fault with its place.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        toml::from_str(&self.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            match unknown_field(error.message()) {
                Some((wrong, known)) => self
                    .fault(span, format!("unknown key `{wrong}`"))
                    .hint(did_you_mean(&wrong, known.iter().map(String::as_str))),
                None => self.fault(span, error.message()),
            }
        })
    }
}

/// Line and column of a byte offset, both from 1; columns count characters.
fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let begin = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    (line, String::from_utf8_lossy(&before[begin..]).chars().count() + 1)
}

/// Takes serde's ``unknown field `x`, expected one of `a`, `b` `` apart.
fn unknown_field(message: &str) -> Option<(String, Vec<String>)> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let wrong = quoted.next()?.to_owned();
    Some((wrong, quoted.map(str::to_owned).collect()))
}

/// `known` with the words most like `word` first.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut sorted: Vec<&str> = known.into_iter().collect();
    sorted.sort_by_cached_key(|candidate| {
        (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), *candidate)
    });
    sorted
}

/// A hint that lists the known words, nearest first.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let sorted = nearest(word, known);
    match sorted.first() {
        None => "there are none yet".to_owned(),
        Some(first) => {
            let close = strsim::damerau_levenshtein(word, first) <= 1 + word.len() / 3;
            let guess = if close { format!("did you mean `{first}`? ") } else { String::new() };
            format!("{guess}known: {}", sorted.join(", "))
        }
    }
}

/// The item of that name, or a fault at `span` that lists the known names.
pub(crate) fn known<'a, T>(
    text: &Text,
    kind: &str,
    name: &toml::Spanned<String>,
    all: &'a std::collections::BTreeMap<String, T>,
) -> Result<&'a T, Fault> {
    all.get(name.get_ref()).ok_or_else(|| {
        text.fault(name.span(), format!("unknown {kind} `{}`", name.get_ref()))
            .hint(did_you_mean(name.get_ref(), all.keys().map(String::as_str)))
    })
}

/// Words of a kernel command line, one an entry.
pub(crate) fn words(text: &Text, given: &[toml::Spanned<String>]) -> Result<Vec<String>, Fault> {
    for word in given {
        if word.get_ref().is_empty() || word.get_ref().contains(char::is_whitespace) {
            return Err(text.fault(word.span(), "one word of the kernel command line an entry"));
        }
    }
    Ok(given.iter().map(|word| word.get_ref().clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        assert_eq!(line_column("ab\ncd", 0), (1, 1));
        assert_eq!(line_column("ab\ncd", 4), (2, 2));
        assert_eq!(line_column("ä = 1", 3), (1, 3));
        assert_eq!(line_column("ab", 99), (1, 3));
    }

    #[test]
    fn the_nearest_word_comes_first_and_a_far_one_is_no_guess() {
        assert_eq!(nearest("tsks", ["limit", "tasks", "title"])[0], "tasks");
        assert_eq!(
            did_you_mean("tsks", ["limit", "tasks"]),
            "did you mean `tasks`? known: tasks, limit"
        );
        assert_eq!(did_you_mean("zzzz", ["limit", "tasks"]), "known: limit, tasks");
    }
}
