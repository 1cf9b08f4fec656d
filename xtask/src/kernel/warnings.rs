// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiler warnings in a build log. Only [`forget`] touches files.
//!
//! Contract: two logs agree on a warning when file and text agree; line numbers move with every
//! patch above them and do not count. Counts ("3 warnings emitted") are no warnings.

use std::collections::BTreeSet;
use std::path::Path;

use super::errors;

/// Lines of one warning that are kept.
const BLOCK_LINES: usize = 12;
/// Warnings that are kept of one log.
const WARNINGS_MAX: usize = 200;

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// File it is about, relative to the tree; empty where it names none.
    pub(crate) file: String,
    /// What is wrong, on one line.
    pub(crate) message: String,
    /// The lines of it, for people.
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
        let belongs = |line: &&&str| {
            let begins = |c: char| c == ' ' || c == '\t' || c == '=' || c.is_ascii_digit();
            line.starts_with(begins) && !errors::is_progress(line)
        };
        let more = lines[at + 1..].iter().take_while(belongs).take(BLOCK_LINES - 1).count();
        let block = lines[at..=at + more].join("\n");
        let warning = Warning { file, message, block };
        if seen.insert(warning.key()) && found.len() < WARNINGS_MAX {
            found.push(warning);
        }
    }
    found
}

/// `mm/x.c:12:3: warning: unused variable 'y' [-Wunused-variable]`; also the linker's and objtool's.
fn gcc(line: &str) -> Option<(String, String)> {
    let (place, message) = line.split_once(": warning: ")?;
    // make's complaints are about clocks and job servers, not about the source.
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

/// Removes the objects that were compiled with a warning, so that the next build says it again: a
/// build that failed elsewhere leaves them up to date, and the warning would never be seen.
pub(crate) fn forget(tree: &Path, log: &str) {
    for warning in all(log) {
        let source = Path::new(&warning.file);
        if !source.is_absolute() && matches!(source.extension(), Some(e) if e == "c" || e == "rs") {
            // Not there: then it will be compiled anyway.
            let _ = std::fs::remove_file(tree.join(source.with_extension("o")));
        }
    }
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
    fn objects_with_a_warning_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("mm")).unwrap();
        for name in ["mm/x.o", "mm/z.o"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        forget(dir.path(), GCC);
        assert!(!dir.path().join("mm/x.o").exists() && dir.path().join("mm/z.o").exists());
    }
}
