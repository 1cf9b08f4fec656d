// SPDX-License-Identifier: MIT OR Apache-2.0
//! Config fragments: read, merged, put into a `.config`, and compared with the result. Pure.
//!
//! Contract: a symbol has one wish. Two fragments that disagree are an error that names both, since
//! "the later one wins" would hide it. After `olddefconfig` every wish is compared with the result;
//! [`super::kconfig`] explains a difference.

use std::collections::BTreeMap;

use crate::config::Gone;

/// The value that a fragment sets for one symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// With `CONFIG_`.
    pub(crate) symbol: String,
    /// As in a `.config`: `y`, `n` for unset, a number, or a string in quotes.
    pub(crate) value: String,
    /// `boot.config:12`
    pub(crate) place: String,
}

/// Reads fragments (file name, text) in order.
///
/// # Errors
/// A malformed line, or two values for one symbol, with the places.
pub(crate) fn merge(fragments: &[(String, String)]) -> Result<Vec<Wish>, String> {
    let mut wishes: BTreeMap<String, Wish> = BTreeMap::new();
    for (name, text) in fragments {
        for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            let place = format!("{name}:{at}");
            let Some((symbol, value)) =
                assignment(line).map_err(|why| format!("{place}: {why}"))?
            else {
                continue;
            };
            let wish = Wish { symbol: symbol.to_owned(), value: value.to_owned(), place };
            if agree(wishes.get(symbol), &wish)? {
                wishes.insert(symbol.to_owned(), wish);
            }
        }
    }
    Ok(wishes.into_values().collect())
}

/// Whether the wish is new.
///
/// # Errors
/// It contradicts the old one; both places are named.
fn agree(old: Option<&Wish>, new: &Wish) -> Result<bool, String> {
    let Wish { symbol, value, place } = new;
    match old {
        Some(old) if old.value != *value => Err(format!(
            "{place}: wants {symbol}={value}, but {} wants {symbol}={}",
            old.place, old.value
        )),
        old => Ok(old.is_none()),
    }
}

/// The wishes without symbols that this kernel version dropped, and with their replacements.
///
/// # Errors
/// A replacement that contradicts another wish, with the places.
pub(crate) fn replace(mut wishes: Vec<Wish>, gone: &[Gone]) -> Result<Vec<Wish>, String> {
    for Gone { symbol, instead, place } in gone {
        let before = wishes.len();
        wishes.retain(|wish| wish.symbol != *symbol);
        let Some((symbol, value)) = instead.as_ref().filter(|_| wishes.len() < before) else {
            continue;
        };
        let (symbol, value, place) = (symbol.clone(), value.clone(), place.clone());
        let wish = Wish { symbol, value, place };
        if agree(wishes.iter().find(|old| old.symbol == wish.symbol), &wish)? {
            wishes.push(wish);
        }
    }
    wishes.sort_by(|a, b| a.symbol.cmp(&b.symbol));
    Ok(wishes)
}

/// Whether the wishes ask for Rust in the kernel.
pub(crate) fn want_rust(wishes: &[Wish]) -> bool {
    wishes.iter().any(|wish| wish.symbol == "CONFIG_RUST" && wish.value == "y")
}

/// The same text for the same wishes; part of the image's key.
pub(crate) fn canonical(wishes: &[Wish]) -> String {
    wishes.iter().map(|wish| format!("{}={}\n", wish.symbol, wish.value)).collect()
}

/// A `.config` in which the wishes replace the lines of their symbols.
pub(crate) fn apply(config: &str, wishes: &[Wish]) -> String {
    let wished = |symbol: &str| wishes.iter().any(|wish| wish.symbol == symbol);
    let mut text = String::new();
    for line in config.lines() {
        if !matches!(assignment(line.trim()), Ok(Some((symbol, _))) if wished(symbol)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    for Wish { symbol, value, .. } in wishes {
        match value.as_str() {
            "n" => text.push_str(&format!("# {symbol} is not set\n")),
            _ => text.push_str(&format!("{symbol}={value}\n")),
        }
    }
    text
}

/// The values in a `.config`, by symbol with `CONFIG_`; without unset symbols.
pub(crate) fn values(config: &str) -> BTreeMap<&str, &str> {
    let lines = config.lines().filter_map(|line| assignment(line.trim()).ok().flatten());
    lines.filter(|(_, value)| *value != "n").collect()
}

/// The wishes that Kconfig did not take, each with the value it set.
pub(crate) fn denied<'a>(config: &str, wishes: &'a [Wish]) -> Vec<(&'a Wish, String)> {
    let values = values(config);
    let found = |wish: &Wish| values.get(wish.symbol.as_str()).copied().unwrap_or("n").to_owned();
    wishes
        .iter()
        .map(|wish| (wish, found(wish)))
        .filter(|(wish, found)| *found != wish.value)
        .collect()
}

/// `CONFIG_X=v` or `# CONFIG_X is not set`; `None` for blanks and comments.
///
/// A comment that swallowed such a line is an error: the kernel would be another one, in silence.
fn assignment(line: &str) -> Result<Option<(&str, &str)>, String> {
    if let Some(comment) = line.strip_prefix('#') {
        let Some(symbol) = comment.trim_start().strip_suffix(" is not set") else {
            return Ok(None);
        };
        return match is_symbol(symbol) {
            true => Ok(Some((symbol, "n"))),
            false if symbol.contains("CONFIG_") => {
                Err(format!("`{line}`: put `# CONFIG_X is not set` on a line of its own"))
            }
            false => Ok(None),
        };
    }
    match line.split_once('=') {
        _ if line.is_empty() => Ok(None),
        Some((symbol, value)) if is_symbol(symbol) && !value.is_empty() => {
            Ok(Some((symbol, value)))
        }
        _ => Err(format!("`{line}` is neither CONFIG_X=value nor `# CONFIG_X is not set`")),
    }
}

fn is_symbol(word: &str) -> bool {
    let rest = word.strip_prefix("CONFIG_").unwrap_or_default();
    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(texts: &[&str]) -> Result<Vec<Wish>, String> {
        let name = |at: usize| ["boot.config", "memcg.config", "x.config"][at].to_owned();
        let fragments: Vec<_> =
            texts.iter().enumerate().map(|(at, text)| (name(at), (*text).to_owned())).collect();
        merge(&fragments)
    }

    #[test]
    fn fragments_are_merged_with_their_places() {
        let wishes = merged(&[
            "# about\nCONFIG_A=y\n\n# CONFIG_B is not set\n",
            "CONFIG_A=y\nCONFIG_C=\"a b\"\n",
        ])
        .unwrap();
        let said: Vec<_> =
            wishes.iter().map(|w| format!("{} {} {}", w.symbol, w.value, w.place)).collect();
        assert_eq!(
            said,
            [
                "CONFIG_A y boot.config:2",
                "CONFIG_B n boot.config:4",
                "CONFIG_C \"a b\" memcg.config:2"
            ]
        );
        assert!(!want_rust(&wishes));
        assert!(want_rust(&merged(&["CONFIG_RUST=y"]).unwrap()));
    }

    #[test]
    fn two_wishes_for_one_symbol_name_both_places() {
        let error = merged(&["CONFIG_A=y\n", "\n# CONFIG_A is not set\n"]).unwrap_err();
        assert_eq!(error, "memcg.config:2: wants CONFIG_A=n, but boot.config:1 wants CONFIG_A=y");
    }

    #[test]
    fn what_is_gone_is_not_asked_for_and_its_successor_is() {
        let gone = |symbol: &str, instead: Option<(&str, &str)>| Gone {
            symbol: symbol.to_owned(),
            instead: instead.map(|(symbol, value)| (symbol.to_owned(), value.to_owned())),
            place: "configs/bases/x.toml:1".to_owned(),
        };
        let wishes = || merged(&["CONFIG_B=y\nCONFIG_OLD=y\n", "CONFIG_D=y\n"]).unwrap();
        let list = [gone("CONFIG_OLD", Some(("CONFIG_C", "y"))), gone("CONFIG_D", None)];
        let text = canonical(&replace(wishes(), &list).unwrap());
        assert_eq!(text, "CONFIG_B=y\nCONFIG_C=y\n");
        let unasked = [gone("CONFIG_NOBODY", Some(("CONFIG_C", "y")))];
        assert_eq!(replace(wishes(), &unasked).unwrap(), wishes(), "nobody asked for it");
        let error = replace(wishes(), &[gone("CONFIG_OLD", Some(("CONFIG_B", "n")))]).unwrap_err();
        assert_eq!(
            error,
            "configs/bases/x.toml:1: wants CONFIG_B=n, but boot.config:1 wants CONFIG_B=y"
        );
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for text in ["CONFIG_A", "A=y", "CONFIG_A=", "CONFIG_A B=y"] {
            let error = merged(&[text]).unwrap_err();
            assert!(
                error.starts_with("boot.config:1: `CONFIG_A") || error.contains("`A=y`"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_comment_that_swallowed_a_symbol_is_refused() {
        for text in ["# run. CONFIG_A is not set", "# CONFIG_A is not set CONFIG_B is not set"] {
            let error = merged(&[text]).unwrap_err();
            assert!(error.contains("on a line of its own"), "{error}");
        }
        assert_eq!(merged(&["# what is not set\n# CONFIG_A"]).unwrap(), []);
    }

    #[test]
    fn wishes_replace_what_was_there_and_are_looked_up_after() {
        let wishes = merged(&["CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_N=3\n"]).unwrap();
        let text = apply("# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_AB=y\nCONFIG_N=1\n", &wishes);
        assert_eq!(text, "CONFIG_AB=y\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_N=3\n");
        assert!(denied(&text, &wishes).is_empty());
        let denied = denied("CONFIG_N=2\nCONFIG_B=m\n", &wishes);
        let said: Vec<_> =
            denied.iter().map(|(wish, found)| format!("{}={found}", wish.symbol)).collect();
        assert_eq!(said, ["CONFIG_A=n", "CONFIG_B=m", "CONFIG_N=2"]);
    }
}
