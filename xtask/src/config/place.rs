// SPDX-License-Identifier: MIT OR Apache-2.0
//! TOML files, the place of each value in them, and what the writer may have meant.
//!
//! A file that extends another one is merged with it, key by key, and read as one table. Every
//! fault reads `file:line:column: what`, names the file that the value is in, and hints at what
//! fits.

use std::fmt::Display;
use std::ops::{Deref, DerefMut};

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

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

/// A value with its place in a [`Source`].
#[derive(Clone, Debug, Default)]
pub(crate) struct At<T> {
    value: T,
    offset: usize,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(from)?;
        Ok(Self { offset: spanned.span().start, value: spanned.into_inner() })
    }
}

impl<T> At<T> {
    /// The value without its place.
    pub(super) fn into_inner(self) -> T {
        self.value
    }

    /// Another value in its place.
    pub(super) fn replaced(&self, value: T) -> Self {
        Self { value, offset: self.offset }
    }
}

impl<T> Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for At<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
impl<T> From<T> for At<T> {
    fn from(value: T) -> Self {
        Self { value, offset: 0 }
    }
}

/// Equal wherever they stand.
impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// A file and, if it extends one, that file. Their offsets follow one another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    text: &'a Text,
    parent: Option<&'a Text>,
}

/// Kinds of files that may extend another one of their kind.
pub(super) trait Inherit: DeserializeOwned {
    /// What messages call it.
    const KIND: &'static str;
    /// Keys that each file gives for itself.
    const NOT_INHERITED: &'static [&'static str] = &[];
    /// Lists that go on with that of the extended file.
    const JOINED: &'static [&'static str] = &[];
}

impl<'a> Source<'a> {
    /// Reads a file that cannot extend another one.
    pub(super) fn read<T: DeserializeOwned>(text: &'a Text) -> Result<(Self, T), Fault> {
        let source = Self { text, parent: None };
        Ok((source, source.parse(source.table(&text.text)?)?))
    }

    /// Reads files that may extend one another, by one step: a chain would hide what a kernel is
    /// built from, or what a matrix runs.
    pub(super) fn read_all<T: Inherit>(texts: &'a [Text]) -> Result<Vec<(Self, T)>, Fault> {
        #[derive(serde::Deserialize)]
        struct Extends {
            extends: Option<At<String>>,
        }
        let by_name = texts.iter().map(|text| (text.name.clone(), text)).collect();
        let read = |text: &'a Text| {
            let (mut source, Extends { extends }) = Self::read(text)?;
            if let Some(name) = extends {
                let parent = *source.known(T::KIND, &name, &by_name)?;
                let (_, above) = Self::read::<Extends>(parent)?;
                if above.extends.is_some() {
                    let what = format!("`{}` extends another {} itself", *name, T::KIND);
                    let hint = format!("extend the {} that it extends", T::KIND);
                    return Err(source.fault(&name, what).hint(hint));
                }
                source.parent = Some(parent);
            }
            Ok((source, source.read_merged()?))
        };
        texts.iter().map(read).collect()
    }

    /// Merges the two files and reads the result.
    fn read_merged<T: Inherit>(&self) -> Result<T, Fault> {
        // Padded: an offset says which of the two files a value is in.
        let padded = |parent: &Text| " ".repeat(self.begin_of_parent()) + &parent.text;
        let above = self.parent.map_or_else(String::new, padded);
        let mut table = self.table(&self.text.text)?;
        for (key, value) in self.table(&above)?.into_inner() {
            let name: &str = key.get_ref();
            match table.get_mut().get_mut(name) {
                _ if T::NOT_INHERITED.contains(&name) => {}
                None => drop(table.get_mut().insert(key, value)),
                Some(own) if T::JOINED.contains(&name) => {
                    if let (DeValue::Array(own), DeValue::Array(above)) =
                        (own.get_mut(), value.into_inner())
                    {
                        above.into_iter().for_each(|entry| own.push(entry));
                    }
                }
                Some(_) => {}
            }
        }
        self.parse(table)
    }

    fn table<'t>(&self, text: &'t str) -> Result<Spanned<DeTable<'t>>, Fault> {
        DeTable::parse(text).map_err(|error| self.refused(&error))
    }

    fn parse<T: DeserializeOwned>(&self, table: Spanned<DeTable<'_>>) -> Result<T, Fault> {
        T::deserialize(toml::Deserializer::from(table)).map_err(|error| self.refused(&error))
    }

    /// A fault for what the parser or a value refuses.
    fn refused(&self, error: &toml::de::Error) -> Fault {
        let message = error.message();
        let offset = error.span().map_or(0, |span| span.start);
        // Without its input the error shows the keys that lead to the value: "in `vm.cpus`".
        let shown = error.to_string();
        let keys = shown.strip_prefix(message).and_then(|rest| rest.trim().strip_prefix("in "));
        let of_keys = keys.map_or_else(String::new, |keys| format!("{keys}: "));
        if let Some((kind, wrong, known)) = unknown(message) {
            let fault = self.fault_at(offset, format!("{of_keys}unknown {kind} `{wrong}`"));
            return fault.hint(did_you_mean(&wrong, known.iter().map(String::as_str)));
        }
        let (what, hint) = message.split_once('\n').unwrap_or((message, ""));
        self.fault_at(offset, format!("{of_keys}{what}")).hint(hint)
    }

    /// Name of what the file describes.
    pub(super) fn name(&self) -> &'a str {
        &self.text.name
    }

    /// Name of what it extends.
    pub(super) fn extends(&self) -> Option<&'a str> {
        self.parent.map(|parent| parent.name.as_str())
    }

    /// Whether a value comes from the file that this one extends.
    pub(super) fn inherits<T>(&self, value: &At<T>) -> bool {
        value.offset >= self.begin_of_parent()
    }

    /// A fault about a value.
    pub(super) fn fault<T>(&self, value: &At<T>, what: impl Display) -> Fault {
        self.fault_at(value.offset, what)
    }

    /// A fault about the file as a whole.
    pub(super) fn fault_all(&self, what: impl Display) -> Fault {
        self.text.fault_all(what)
    }

    /// File and line of a value that is looked at later.
    pub(super) fn place<T>(&self, value: &At<T>) -> String {
        let (text, offset) = self.find(value.offset);
        format!("{}:{}", text.path, line_column(&text.text, offset).0)
    }

    /// The item of that name, or a fault that lists the known names.
    pub(super) fn known<'b, T>(
        &self,
        kind: &str,
        name: &At<String>,
        all: &'b std::collections::BTreeMap<String, T>,
    ) -> Result<&'b T, Fault> {
        all.get(&**name).ok_or_else(|| {
            self.fault(name, format!("unknown {kind} `{}`", **name))
                .hint(did_you_mean(name, all.keys().map(String::as_str)))
        })
    }

    fn fault_at(&self, offset: usize, what: impl Display) -> Fault {
        let (text, offset) = self.find(offset);
        let (line, column) = line_column(&text.text, offset);
        Fault::new(Exit::Usage, format!("{}:{line}:{column}: {what}", text.path))
    }

    fn find(&self, offset: usize) -> (&'a Text, usize) {
        match (self.parent, offset.checked_sub(self.begin_of_parent())) {
            (Some(parent), Some(offset)) => (parent, offset),
            _ => (self.text, offset),
        }
    }

    /// An error at the end of the own text is still in it.
    fn begin_of_parent(&self) -> usize {
        self.text.text.len() + 1
    }
}

impl Text {
    /// A fault about the file as a whole.
    pub(super) fn fault_all(&self, what: impl Display) -> Fault {
        Fault::new(Exit::Usage, format!("{}: {what}", self.path))
    }
}

/// Why a value is refused, and what would fit. serde carries one text: the hint is its second line.
pub(super) fn refuse<E: de::Error>(what: impl Display, hint: impl Display) -> E {
    E::custom(format_args!("{what}\n{hint}"))
}

/// Line and column of a byte offset, both from 1; columns count characters.
fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let begin = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    (line, String::from_utf8_lossy(&before[begin..]).chars().count() + 1)
}

/// Takes serde's ``unknown field `x`, expected one of `a`, `b` `` apart: kind, word, known words.
fn unknown(message: &str) -> Option<(&'static str, String, Vec<String>)> {
    let kinds = [("unknown field ", "key"), ("unknown variant ", "value")];
    let of = |(begin, kind): (&str, &'static str)| Some((message.strip_prefix(begin)?, kind));
    let (rest, kind) = kinds.into_iter().find_map(of)?;
    let mut quoted = rest.split('`').skip(1).step_by(2).map(str::to_owned);
    Some((kind, quoted.next()?, quoted.collect()))
}

/// `known` with the words most like `word` first.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut sorted: Vec<&str> = known.into_iter().collect();
    sorted.sort_by_cached_key(|candidate| {
        (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), *candidate)
    });
    sorted
}

/// The known word that `word` was probably meant to be.
pub(crate) fn close_to<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let first = *nearest(word, known).first()?;
    (strsim::damerau_levenshtein(word, first) <= 1 + word.len() / 3).then_some(first)
}

/// A hint that lists the known words, nearest first.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let sorted = nearest(word, known);
    if sorted.is_empty() {
        return "there are none yet".to_owned();
    }
    let close = close_to(word, sorted.iter().copied());
    let guess = close.map_or(String::new(), |first| format!("did you mean `{first}`? "));
    format!("{guess}known: {}", sorted.join(", "))
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
