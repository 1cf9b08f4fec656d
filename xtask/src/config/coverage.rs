// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reasons why lines of a series need not run, as `configs/coverage/<base>.toml` has them.
//!
//! A reason names its lines by what they say, never by their number: it moves with them, and ends with them.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::Base;
use super::place::{Text, did_you_mean};
use crate::exit::Fault;

/// Why lines of a series need not run in any cell (`configs/coverage/<base>.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// File and line where it stands.
    pub(crate) place: String,
    /// The file that the lines are in, relative to the tree.
    pub(crate) file: String,
    /// What the line before the first of them says, where the same text stands in several places.
    pub(crate) after: Option<String>,
    /// What they say, one after the other; none: the whole file, which is not compiled into the kernel.
    pub(crate) lines: Vec<String>,
    /// Whether it is a matter of timing: that they ran is no fault of the reason.
    pub(crate) sometimes: bool,
    /// In words.
    pub(crate) why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    reason: Vec<Spanned<RawReason>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReason {
    file: String,
    after: Option<String>,
    #[serde(default)]
    lines: Vec<String>,
    #[serde(default)]
    sometimes: bool,
    why: Spanned<String>,
}

/// The reasons of one base.
pub(super) fn check(text: &Text, bases: &BTreeMap<String, Base>) -> Result<Vec<Reason>, Fault> {
    if !bases.contains_key(&text.name) {
        let fault = text.fault_all(format!("there is no base `{}`", text.name));
        return Err(fault.hint(did_you_mean(&text.name, bases.keys().map(String::as_str))));
    }
    let raw: Raw = text.parse()?;
    raw.reason.iter().map(|reason| checked(text, reason)).collect()
}

fn checked(text: &Text, raw: &Spanned<RawReason>) -> Result<Reason, Fault> {
    let place = text.place(raw.span());
    let RawReason { file, after, lines, sometimes, why } = raw.get_ref();
    if why.get_ref().trim().is_empty() {
        return Err(text.fault(why.span(), "`why` is empty"));
    }
    if lines.iter().any(|line| line.trim().is_empty()) || (after.is_some() && lines.is_empty()) {
        return Err(
            text.fault(raw.span(), "`lines` has an empty line, or is missing beside `after`")
        );
    }
    let trimmed = |line: &String| line.trim().to_owned();
    Ok(Reason {
        place,
        file: file.clone(),
        after: after.as_ref().map(trimmed),
        lines: lines.iter().map(trimmed).collect(),
        sometimes: *sometimes,
        why: why.get_ref().split_whitespace().collect::<Vec<_>>().join(" "),
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
        assert_eq!(no_why, "c.toml:4:7: `why` is empty");
        let empty = read("[[reason]]\nfile = \"a\"\nlines = [\"\"]\nwhy = \"w\"\n").unwrap_err();
        assert!(empty.contains("`lines` has an empty line"), "{empty}");
        assert!(read("[[reason]]\nfile = \"a\"\nline = 5\nwhy = \"w\"\n").is_err());
    }
}
