// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bases, as `configs/bases/*.toml` has them: where the source comes from, and what it no longer
//! has.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::place::{At, Source, Text};
use super::value::{self, from_text};
use crate::exit::Fault;

/// An unpatched kernel source of one version (`configs/bases/<name>.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    /// For example `6.12`.
    pub(crate) name: String,
    /// Where its source comes from, unless `--source` says otherwise.
    pub(crate) origin: Origin,
    /// What fragments ask for and this version no longer has.
    pub(crate) gone: Vec<Gone>,
}

/// Where the source of a base comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A package of Debian that holds the source.
    Debian {
        /// For example `linux-source-6.12`.
        package: String,
        /// Suite of Debian's archive; that of the machine's own release if unset.
        suite: Option<String>,
    },
    /// A tarball with its hash: `URL#sha256=HEX` or `FILE#sha256=HEX`.
    Tarball(String),
}

/// A config symbol that a version no longer has, and what is asked for in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    /// With `CONFIG_`.
    pub(crate) symbol: String,
    /// Symbol and value; `None` where nothing took its place.
    pub(crate) instead: Option<(String, String)>,
    /// `configs/bases/7.3.toml:5`
    pub(crate) place: String,
}

/// A file of `configs/bases`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    debian_package: Option<At<DebianName>>,
    suite: Option<At<DebianName>>,
    tarball: Option<At<String>>,
    #[serde(default)]
    gone: BTreeMap<Symbol, At<GoneTable>>,
}

/// `[gone.CONFIG_X]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoneTable {
    /// What became of the symbol; for people only.
    #[serde(rename = "why", deserialize_with = "value::words")]
    _why: String,
    #[serde(default, deserialize_with = "instead")]
    instead: Option<(String, String)>,
}

/// A word for apt's source list and command line.
#[derive(Debug)]
struct DebianName(String);

from_text!(DebianName, |word| {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
    match word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(fits) {
        true => Ok(Self(word.to_owned())),
        false => Err((format!("`{word}` is not a name in Debian"), String::new())),
    }
});

/// A config symbol.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Symbol(String);

from_text!(Symbol, |word| match is_symbol(word) {
    true => Ok(Self(word.to_owned())),
    false => Err((format!("`{word}` is not a symbol"), "write CONFIG_X".to_owned())),
});

fn is_symbol(word: &str) -> bool {
    word.strip_prefix("CONFIG_").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

fn instead<'de, D: Deserializer<'de>>(from: D) -> Result<Option<(String, String)>, D::Error> {
    value::text(from, |given| match given.split_once('=') {
        Some((symbol, value)) if is_symbol(symbol) && !value.is_empty() => {
            Ok(Some((symbol.to_owned(), value.to_owned())))
        }
        _ => Err((format!("`{given}` sets no symbol"), "write CONFIG_X=value".to_owned())),
    })
}

/// Checks one base.
pub(super) fn check(text: &Text) -> Result<Base, Fault> {
    if !text.name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) {
        return Err(text.fault_all("the name of a base has letters, digits, `.`, `-` and `_` only"));
    }
    let (source, table): (_, Table) = Source::read(text)?;
    let gone = table.gone.into_iter().map(|(symbol, gone)| Gone {
        place: source.place(&gone),
        symbol: symbol.0,
        instead: gone.into_inner().instead,
    });
    Ok(Base {
        name: text.name.clone(),
        gone: gone.collect(),
        origin: origin(&source, table.debian_package, table.suite, table.tarball)?,
    })
}

fn origin(
    source: &Source<'_>,
    package: Option<At<DebianName>>,
    suite: Option<At<DebianName>>,
    tarball: Option<At<String>>,
) -> Result<Origin, Fault> {
    match (package, suite, tarball) {
        (Some(package), suite, None) => Ok(Origin::Debian {
            package: package.into_inner().0,
            suite: suite.map(|suite| suite.into_inner().0),
        }),
        (None, None, Some(tarball)) => {
            let hash = tarball.split_once("#sha256=").map_or("", |(_, hash)| hash);
            match hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                true => Ok(Origin::Tarball(tarball.into_inner())),
                false => Err(source.fault(&tarball, "`tarball` needs #sha256= and 64 hex digits")),
            }
        }
        (None, Some(suite), _) => {
            Err(source.fault(&suite, "`suite` is a suite of Debian: it needs `debian_package`"))
        }
        _ => Err(source.fault_all("a base needs either `debian_package` or `tarball`")),
    }
}
