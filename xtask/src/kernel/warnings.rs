// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiler warnings in a build log. Pure.
//!
//! Contract: warnings of two logs are equal if file and text are. Line numbers do not count, since
//! patches move them. Counts ("3 warnings emitted") are no warnings.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::errors;

/// Warnings kept of one log.
const WARNINGS_MAX: usize = 200;

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// Its file, relative to the tree; empty if it names none.
    pub(crate) file: String,
    /// Its text, on one line.
    pub(crate) message: String,
    /// Its lines in the log.
    pub(crate) block: String,
}

impl Warning {
    /// Whether it is about Rust: rustc's or clippy's.
    pub(crate) fn of_rust(&self) -> bool {
        self.file.ends_with(".rs")
    }

    fn key(&self) -> (String, String) {
        (self.file.clone(), self.message.clone())
    }
}

/// Warnings of `log` that `known` does not have.
pub(crate) fn new_in(log: &str, known: &str) -> Vec<Warning> {
    let known: BTreeSet<_> = all(known).iter().map(Warning::key).collect();
    all(log).into_iter().filter(|warning| !known.contains(&warning.key())).collect()
}

/// Every warning of a log, each once.
fn all(log: &str) -> Vec<Warning> {
    let lines: Vec<&str> = log.lines().collect();
    let mut seen = BTreeSet::new();
    let mut found: Vec<Warning> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((file, message)) =
            gcc(line).or_else(|| rustc(&lines[at..])).or_else(|| tool(line))
        else {
            continue;
        };
        let more = errors::continued(&lines[at + 1..], |_| false);
        let block = lines[at..=at + more].join("\n");
        let warning = Warning { file, message, block };
        if seen.insert(warning.key()) && found.len() < WARNINGS_MAX {
            found.push(warning);
        }
    }
    found
}

/// `mm/x.c:12:3: warning: unused variable 'y' [-Wunused-variable]`; also the linker's and
/// objtool's.
fn gcc(line: &str) -> Option<(String, String)> {
    let (place, message) = line.split_once(": warning: ")?;
    // make warns about clocks and job servers, not about the source.
    if place.starts_with("make") || place.contains(' ') {
        return None;
    }
    let file = place.split(':').next().unwrap_or_default();
    Some((file.trim_start_matches("./").to_owned(), message.trim().to_owned()))
}

/// `warning: text` with `  --> mm/x.rs:3:9` below it.
fn rustc(lines: &[&str]) -> Option<(String, String)> {
    let message = lines.first()?.strip_prefix("warning: ")?;
    let place =
        lines[1..].iter().take(3).find_map(|line| line.trim_start().strip_prefix("--> "))?;
    let file = place.split(':').next().unwrap_or_default();
    Some((file.to_owned(), message.trim().to_owned()))
}

/// `WARNING: modpost: …`, `mm/Kconfig:3:warning: …`
fn tool(line: &str) -> Option<(String, String)> {
    if let Some(message) = line.strip_prefix("WARNING: ") {
        return Some((String::new(), message.trim().to_owned()));
    }
    let (place, message) = line.split_once(":warning: ")?;
    let file = place.split(':').next().unwrap_or_default();
    (file.contains("Kconfig") && !file.contains(' '))
        .then(|| (file.to_owned(), message.trim().to_owned()))
}

/// Objects that compiled with a warning, relative to the tree.
pub(crate) fn objects(log: &str) -> Vec<PathBuf> {
    let sources = all(log).into_iter().map(|warning| PathBuf::from(warning.file));
    let is_code = |path: &PathBuf| path.extension().is_some_and(|e| e == "c" || e == "rs");
    let sources = sources.filter(|path| !path.is_absolute() && is_code(path));
    sources.map(|path| path.with_extension("o")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GCC: &str = "  CC      mm/x.o\nmm/x.c: In function 'f':\nmm/x.c:12:6: warning: unused variable 'y' [-Wunused-variable]\n   12 |  int y;\n      |      ^\n  CC      mm/z.o\n";
    const CLIPPY: &str = "  CLIPPY  mm/p.o\nwarning: unneeded `return` statement\n  --> mm/p.rs:31:9\n   |\n31 |         return x;\n   = note: `-W clippy::needless-return` implied\n\nwarning: 1 warning emitted\n\n";

    #[test]
    fn warnings_are_found_with_file_and_text() {
        let found = all(&format!("{GCC}{CLIPPY}"));
        let said: Vec<_> =
            found.iter().map(|w| (w.file.as_str(), w.message.as_str(), w.of_rust())).collect();
        assert_eq!(
            said,
            [
                ("mm/x.c", "unused variable 'y' [-Wunused-variable]", false),
                ("mm/p.rs", "unneeded `return` statement", true)
            ]
        );
        assert!(found[0].block.contains("int y;") && !found[0].block.contains("mm/z.o"));
        assert!(found[1].block.contains("needless-return"), "{}", found[1].block);
    }

    #[test]
    fn a_warning_that_only_moved_is_not_new() {
        let moved = GCC.replace(":12:", ":99:");
        assert_eq!(new_in(&moved, GCC), []);
        let other = GCC.replace("'y'", "'z'");
        assert_eq!(new_in(&other, GCC).len(), 1);
        assert_eq!(new_in(&(moved.clone() + &moved), "").len(), 1, "told twice");
    }

    #[test]
    fn other_tools_warn_too_and_make_does_not_count() {
        let text = "WARNING: modpost: missing MODULE_LICENSE() in x.o\nmm/Kconfig:7:warning: defaults for choice\nvmlinux.o: warning: objtool: f+0x1: unreachable\nmake[2]: warning: jobserver unavailable\n";
        let files: Vec<_> = all(text).into_iter().map(|warning| warning.file).collect();
        assert_eq!(files, ["", "mm/Kconfig", "vmlinux.o"]);
    }

    #[test]
    fn objects_with_a_warning_are_found() {
        assert_eq!(objects(GCC), [PathBuf::from("mm/x.o")]);
    }
}
