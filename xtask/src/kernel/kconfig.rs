// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why Kconfig did not take a symbol: its unmet dependency, found in the Kconfig files. Pure.
//!
//! Contract: an explanation, not an evaluation. It reads `depends on`, enclosing `if`, `menu` and
//! `choice` blocks, prompts, and simple terms. Macros and ranges are shown as they are.

use std::collections::BTreeMap;

/// A `config` entry with its dependencies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Definition {
    place: String,
    depends: Vec<String>,
    prompt: bool,
    in_choice: bool,
}

/// Why `symbol` (with `CONFIG_`) has another value than the one asked for, given the Kconfig files
/// (name, text) and the values of the `.config`.
pub(crate) fn explain(
    symbol: &str,
    files: &[(String, String)],
    values: &BTreeMap<&str, &str>,
) -> String {
    let name = symbol.strip_prefix("CONFIG_").unwrap_or(symbol);
    let definitions: Vec<Definition> =
        files.iter().flat_map(|(file, text)| definitions(name, file, text)).collect();
    let Some(best) = definitions.iter().find(|d| d.prompt).or(definitions.first()) else {
        return "no Kconfig of this kernel defines it (misspelt, or added by a patch?)".to_owned();
    };
    let pieces = best.depends.iter().flat_map(|expression| split_and(expression));
    let unmet = pieces.filter(|piece| eval(piece, values) == Some(false));
    let unmet: Vec<String> = unmet.map(|piece| with_states(piece, values)).collect();
    let why = if !unmet.is_empty() {
        format!("it depends on {}", unmet.join(", and on "))
    } else if !best.prompt {
        "it has no prompt: only its default or another symbol's `select` sets it".to_owned()
    } else if best.in_choice {
        "it is one of a choice, and another one is set".to_owned()
    } else {
        let depends = match best.depends.join(" && ") {
            none if none.is_empty() => "it depends on nothing".to_owned(),
            some => format!("its dependencies seem to hold: {some}"),
        };
        format!("{depends}; a `select`, a range or a macro overrides it")
    };
    format!("{why} ({})", best.place)
}

/// Every symbol that is defined, without `CONFIG_`, with the place of its first definition.
pub(crate) fn defined(files: &[(String, String)]) -> BTreeMap<&str, String> {
    let mut places = BTreeMap::new();
    for (file, text) in files {
        for (at, line) in (1..).zip(text.lines()) {
            if let Some((word, name)) = line.trim().split_once([' ', '\t'])
                && matches!(word, "config" | "menuconfig")
            {
                places.entry(name.trim()).or_insert_with(|| format!("{file}:{at}"));
            }
        }
    }
    places
}

fn with_states(piece: &str, values: &BTreeMap<&str, &str>) -> String {
    let state = |word: &str| values.get(format!("CONFIG_{word}").as_str()).copied().unwrap_or("n");
    let symbols = words(piece).into_iter().filter(|word| is_symbol(word));
    let states: Vec<String> = symbols.map(|word| format!("{word}={}", state(word))).collect();
    format!("`{}`, which is not met: {}", piece.trim(), states.join(", "))
}

/// What the attributes of the current lines belong to.
#[derive(Clone, Copy)]
enum Entry {
    /// The last definition found.
    Wanted,
    /// The innermost `menu` or `choice`.
    Block,
    /// Anything else.
    Other,
}

/// Every entry for `name` in one file.
fn definitions(name: &str, file: &str, text: &str) -> Vec<Definition> {
    let lines = joined(text);
    let mut found: Vec<Definition> = Vec::new();
    // Kind and dependencies of the enclosing blocks.
    let mut blocks: Vec<(&str, Vec<String>)> = Vec::new();
    let (mut entry, mut in_help) = (Entry::Other, false);
    for (at, line) in &lines {
        let indented = line.starts_with([' ', '\t']);
        let (word, rest) = line.trim().split_once([' ', '\t']).unwrap_or((line.trim(), ""));
        if word.is_empty() || word.starts_with('#') || (in_help && indented) {
            continue;
        }
        in_help = matches!(word, "help" | "---help---");
        match word {
            "config" | "menuconfig" if rest.trim() == name => {
                entry = Entry::Wanted;
                found.push(Definition {
                    place: format!("{file}:{at}"),
                    depends: blocks.iter().flat_map(|(_, depends)| depends.clone()).collect(),
                    prompt: false,
                    in_choice: blocks.iter().any(|(kind, _)| *kind == "choice"),
                });
            }
            "config" | "menuconfig" => entry = Entry::Other,
            "if" => {
                entry = Entry::Other;
                blocks.push((word, vec![rest.trim().to_owned()]));
            }
            "menu" | "choice" => {
                entry = Entry::Block;
                blocks.push((word, Vec::new()));
            }
            "endif" | "endmenu" | "endchoice" => {
                entry = Entry::Other;
                blocks.pop();
            }
            "depends" => {
                let depends = match entry {
                    Entry::Wanted => found.last_mut().map(|definition| &mut definition.depends),
                    Entry::Block => blocks.last_mut().map(|(_, depends)| depends),
                    Entry::Other => None,
                };
                let expression = rest.trim_start_matches("on").trim().to_owned();
                depends.into_iter().for_each(|depends| depends.push(expression.clone()));
            }
            "bool" | "tristate" | "int" | "hex" | "string" | "prompt" => {
                if let (Entry::Wanted, Some(definition)) = (entry, found.last_mut()) {
                    definition.prompt |= rest.contains(['"', '\'']);
                }
            }
            _ => {}
        }
    }
    found
}

/// Lines with their numbers; a backslash at the end joins a line with the next one.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (at, line) in text.lines().enumerate() {
        let part = line.trim_end().trim_end_matches('\\');
        match lines.last_mut().filter(|_| open) {
            Some((_, last)) => last.push_str(part),
            None => lines.push((at + 1, part.to_owned())),
        }
        open = line.trim_end().ends_with('\\');
    }
    lines
}

/// The parts of `a && (b || c) && d`.
fn split_and(expression: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0_i32, 0, Vec::new());
    let bytes = expression.as_bytes();
    for at in 0..bytes.len() {
        match bytes[at] {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'|' if depth == 0 => return vec![expression],
            b'&' if depth == 0 && bytes.get(at + 1) == Some(&b'&') => {
                parts.push(&expression[from..at]);
                from = at + 2;
            }
            _ => {}
        }
    }
    parts.push(&expression[from..]);
    parts
}

fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let length = ["&&", "||", "!=", "<=", ">="]
            .iter()
            .find(|op| rest.starts_with(**op))
            .map(|op| op.len());
        let length = length.unwrap_or_else(|| {
            match rest.find(|c: char| !c.is_alphanumeric() && !"_\"'$.-".contains(c)) {
                Some(0) => rest.chars().next().map_or(1, char::len_utf8),
                Some(length) => length,
                None => rest.len(),
            }
        });
        words.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    words
}

fn is_symbol(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit())
        && word.bytes().any(|b| b.is_ascii_uppercase())
}

/// Whether an expression holds; `None` if it cannot be read.
fn eval(expression: &str, values: &BTreeMap<&str, &str>) -> Option<bool> {
    let words = words(expression);
    let mut at = 0;
    let value = or(&words, &mut at, values)?;
    (at == words.len()).then_some(value)
}

fn or(words: &[&str], at: &mut usize, values: &BTreeMap<&str, &str>) -> Option<bool> {
    let mut value = and(words, at, values)?;
    while words.get(*at) == Some(&"||") {
        *at += 1;
        value |= and(words, at, values)?;
    }
    Some(value)
}

fn and(words: &[&str], at: &mut usize, values: &BTreeMap<&str, &str>) -> Option<bool> {
    let mut value = term(words, at, values)?;
    while words.get(*at) == Some(&"&&") {
        *at += 1;
        value &= term(words, at, values)?;
    }
    Some(value)
}

fn term(words: &[&str], at: &mut usize, values: &BTreeMap<&str, &str>) -> Option<bool> {
    let word = *words.get(*at)?;
    *at += 1;
    match word {
        "!" => Some(!term(words, at, values)?),
        "(" => {
            let value = or(words, at, values)?;
            (words.get(*at) == Some(&")")).then(|| *at += 1)?;
            Some(value)
        }
        _ => {
            let left = value_of(word, values)?;
            let operator = words.get(*at).copied().filter(|word| matches!(*word, "=" | "!="));
            let Some(operator) = operator else { return Some(left == "y" || left == "m") };
            let right = value_of(words.get(*at + 1)?, values)?;
            *at += 2;
            Some((left == right) == (operator == "="))
        }
    }
}

fn value_of<'a>(word: &'a str, values: &BTreeMap<&str, &'a str>) -> Option<&'a str> {
    match word {
        "y" | "n" | "m" => Some(word),
        _ if word.starts_with(['"', '\'']) => Some(word.trim_matches(['"', '\''])),
        _ if is_symbol(word) => Some(
            values.get(format!("CONFIG_{word}").as_str()).copied().unwrap_or("n").trim_matches('"'),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "menu \"Top\"\n\tdepends on NET\n\nconfig A\n\tbool \"a prompt\"\n\tdepends on B && (C || !D) && \\\n\t\tE=y\n\
        \thelp\n\t  It depends on luck.\n\nendmenu\n\nif X\nchoice\n\tprompt \"which\"\nconfig ONE\n\tbool \"one\"\nconfig TWO\n\tbool \"two\"\nendchoice\nendif\n\
        config HIDDEN\n\tdef_bool y\n\tdepends on $(success,true)\nconfig FREE\n\tint \"n\"\n\trange 1 2\n";

    fn say(symbol: &str, set: &[&str]) -> String {
        let names: Vec<String> = set.iter().map(|name| format!("CONFIG_{name}")).collect();
        let values = names.iter().map(|name| (name.as_str(), "y")).collect();
        explain(symbol, &[("init/Kconfig".to_owned(), TEXT.to_owned())], &values)
    }

    #[test]
    fn the_unmet_part_is_named_with_its_state() {
        assert_eq!(
            say("CONFIG_A", &["NET", "B", "C"]),
            "it depends on `E=y`, which is not met: E=n (init/Kconfig:4)"
        );
        let said = say("CONFIG_A", &["NET", "E", "D", "B"]);
        assert_eq!(said, "it depends on `(C || !D)`, which is not met: C=n, D=y (init/Kconfig:4)");
        assert!(
            say("CONFIG_A", &["B", "C", "E"]).starts_with("it depends on `NET`"),
            "of the menu"
        );
        assert!(
            say("CONFIG_A", &["C", "E"]).contains("`NET`, which is not met: NET=n, and on `B`")
        );
        assert!(say("CONFIG_ONE", &[]).starts_with("it depends on `X`"), "of the if block");
    }

    #[test]
    fn a_definition_is_found_and_a_mention_is_none() {
        let files = [("init/Kconfig".to_owned(), TEXT.to_owned())];
        let places = defined(&files);
        assert_eq!((places["HIDDEN"].as_str(), places.get("NET")), ("init/Kconfig:22", None));
    }

    #[test]
    fn other_reasons_are_told_apart() {
        assert!(say("CONFIG_NOPE", &[]).contains("no Kconfig of this kernel defines it"));
        assert!(say("CONFIG_ONE", &["X"]).contains("one of a choice"));
        assert!(say("CONFIG_HIDDEN", &[]).contains("no prompt"));
        assert!(say("CONFIG_FREE", &[]).contains("depends on nothing"));
    }

    #[test]
    fn expressions_hold_or_not_or_are_not_understood() {
        let values = BTreeMap::from([("CONFIG_A", "y"), ("CONFIG_N", "3")]);
        for (text, expected) in [
            ("A && !B", Some(true)),
            ("A=n || B", Some(false)),
            ("A!=n && (B || A)", Some(true)),
            ("$(cc-option,-x)", None),
            ("A && ", None),
        ] {
            assert_eq!(eval(text, &values), expected, "{text}");
        }
    }
}
