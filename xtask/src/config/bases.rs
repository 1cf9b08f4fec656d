// SPDX-License-Identifier: MIT OR Apache-2.0
//! Raw bases -> checked bases: where the source comes from, and what the version no longer has.

use super::{Text, raw};
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

/// Checks one base.
pub(super) fn check(text: &Text) -> Result<Base, Fault> {
    if !text.name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) {
        return Err(text.fault_all("the name of a base has letters, digits, `.`, `-` and `_` only"));
    }
    let raw: raw::Base = text.parse()?;
    Ok(Base {
        name: text.name.clone(),
        origin: origin(text, &raw)?,
        gone: raw
            .gone
            .iter()
            .map(|(symbol, gone)| self::gone(text, symbol, gone))
            .collect::<Result<_, _>>()?,
    })
}

fn origin(text: &Text, raw: &raw::Base) -> Result<Origin, Fault> {
    // These words go into apt's source list and its command line.
    for word in raw.debian_package.iter().chain(&raw.suite) {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
        if !word.get_ref().starts_with(|c: char| c.is_ascii_alphanumeric())
            || !word.get_ref().chars().all(fits)
        {
            let what = format!("`{}` is no name of Debian's", word.get_ref());
            return Err(text.fault(word.span(), what));
        }
    }
    match (&raw.debian_package, &raw.suite, &raw.tarball) {
        (Some(package), suite, None) => Ok(Origin::Debian {
            package: package.get_ref().clone(),
            suite: suite.as_ref().map(|suite| suite.get_ref().clone()),
        }),
        (None, None, Some(tarball)) => {
            let hash = tarball.get_ref().split_once("#sha256=").map_or("", |(_, hash)| hash);
            if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(
                    text.fault(tarball.span(), "`tarball` needs #sha256= and 64 hex digits")
                );
            }
            Ok(Origin::Tarball(tarball.get_ref().clone()))
        }
        (None, Some(suite), _) => {
            Err(text.fault(suite.span(), "`suite` is Debian's: it needs `debian_package`"))
        }
        _ => Err(text.fault_all("a base needs either `debian_package` or `tarball`")),
    }
}

fn gone(text: &Text, symbol: &toml::Spanned<String>, raw: &raw::Gone) -> Result<Gone, Fault> {
    let is_symbol = |word: &str| {
        word.strip_prefix("CONFIG_").is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
    };
    if !is_symbol(symbol.get_ref()) {
        let what = format!("`{}` is no symbol: write CONFIG_X", symbol.get_ref());
        return Err(text.fault(symbol.span(), what));
    }
    if raw.why.get_ref().trim().is_empty() {
        return Err(text.fault(raw.why.span(), "`why` must say what became of the symbol"));
    }
    let instead = match &raw.instead {
        None => None,
        Some(given) => match given.get_ref().split_once('=') {
            Some((symbol, value)) if is_symbol(symbol) && !value.is_empty() => {
                Some((symbol.to_owned(), value.to_owned()))
            }
            _ => return Err(text.fault(given.span(), "`instead` is CONFIG_X=value")),
        },
    };
    let place = text.place(symbol.span());
    Ok(Gone { symbol: symbol.get_ref().clone(), instead, place })
}
