// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reasons why lines of a series need not run, as `configs/coverage/<base>.toml` has them.
//!
//! A reason names its lines by what they say, never by their number: it moves with them, and ends
//! with them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::place::{At, Source, Text, did_you_mean};
use super::{Base, value};
use crate::exit::Fault;

/// Why lines of a series need not run in any cell (`configs/coverage/<base>.toml`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    /// File and line of the entry.
    #[serde(skip)]
    pub(crate) place: String,
    /// The file that the lines are in, relative to the tree.
    pub(crate) file: String,
    /// The line before the first of them, where the same text appears in several places.
    pub(crate) after: Option<String>,
    /// The text of the lines, in order. Empty: the whole file, which this kernel does not compile.
    #[serde(default)]
    pub(crate) lines: Vec<String>,
    /// Whether it depends on timing: the lines may run all the same.
    #[serde(default)]
    pub(crate) sometimes: bool,
    /// In words.
    #[serde(deserialize_with = "value::words")]
    pub(crate) why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    reason: Vec<At<Reason>>,
}

/// The reasons of one base.
pub(super) fn check(text: &Text, bases: &BTreeMap<String, Base>) -> Result<Vec<Reason>, Fault> {
    if !bases.contains_key(&text.name) {
        let fault = text.fault_all(format!("there is no base `{}`", text.name));
        return Err(fault.hint(did_you_mean(&text.name, bases.keys().map(String::as_str))));
    }
    let (source, table): (_, Table) = Source::read(text)?;
    table.reason.into_iter().map(|reason| checked(&source, reason)).collect()
}

fn checked(source: &Source<'_>, given: At<Reason>) -> Result<Reason, Fault> {
    let Reason { lines, after, .. } = &*given;
    if lines.iter().any(|line| line.trim().is_empty()) || (after.is_some() && lines.is_empty()) {
        let what = "`lines` has an empty line, or `after` is given without `lines`";
        return Err(source.fault(&given, what));
    }
    let place = source.place(&given);
    let reason = given.into_inner();
    let trimmed = |line: &String| line.trim().to_owned();
    Ok(Reason {
        place,
        after: reason.after.as_ref().map(trimmed),
        lines: reason.lines.iter().map(trimmed).collect(),
        why: reason.why.split_whitespace().collect::<Vec<_>>().join(" "),
        ..reason
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Reason>, String> {
        let base =
            Text { name: "6.12".into(), path: "b".into(), text: "debian_package = \"x\"\n".into() };
        let bases = BTreeMap::from([("6.12".into(), super::super::bases::check(&base).unwrap())]);
        let text = Text { name: "6.12".into(), path: "c.toml".into(), text: text.into() };
        check(&text, &bases).map_err(|fault| fault.what)
    }

    #[test]
    fn a_reason_has_lines_and_a_why() {
        let text = "[[reason]]\nfile = \"mm/a.c\"\nafter = \" if (!p)\"\nlines = [\"\\treturn;\"]\nwhy = \"\"\"no\n  memory\"\"\"\n";
        let reasons = read(text).unwrap();
        let expected = Reason {
            place: "c.toml:1".into(),
            file: "mm/a.c".into(),
            after: Some("if (!p)".into()),
            lines: vec!["return;".into()],
            sometimes: false,
            why: "no memory".into(),
        };
        assert_eq!(reasons, [expected]);
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn what_says_nothing_is_refused_with_its_place() {
        let no_why = read("[[reason]]\nfile = \"a\"\nlines = [\"x\"]\nwhy = \" \"\n").unwrap_err();
        assert_eq!(no_why, "c.toml:4:7: `reason.why`: the text is empty");
        let empty = read("[[reason]]\nfile = \"a\"\nlines = [\"\"]\nwhy = \"w\"\n").unwrap_err();
        assert!(empty.contains("`lines` has an empty line"), "{empty}");
        assert!(read("[[reason]]\nfile = \"a\"\nline = 5\nwhy = \"w\"\n").is_err());
    }
}
