// SPDX-License-Identifier: MIT OR Apache-2.0
//! Exit codes: the interface for scripts and CI.
//!
//! An error carries its code ([`Fault`]): the code is chosen where the cause is known, and never
//! guessed from a text. The README and `--help` list the same table.

use std::fmt;

/// Why the process ends, as the shell sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything asked for was done, and every cell was as expected.
    Ok = 0,
    /// Cells or tests ran and at least one was not as expected, or a pair is REGRESSED.
    Unexpected = 1,
    /// A wrong argument, a configuration that does not parse, a filter that selects nothing.
    Usage = 2,
    /// A tool or package is missing; the message has the command that installs it.
    MissingTool = 3,
    /// The kernel source could not be had, or is not what it should be.
    Source = 4,
    /// A patch of the series does not apply.
    Series = 5,
    /// A config symbol did not land, or the build failed.
    Build = 6,
    /// The host failed: disk full, no permission, QEMU does not start.
    Host = 7,
    /// Nothing is wrong, but none of the code that the series changes ran.
    NotReached = 8,
    /// Nothing that ran is wrong, but parts of the run are missing.
    Incomplete = 9,
    /// Stopped by SIGINT or SIGTERM; what was finished is kept.
    Interrupted = 130,
}

impl Exit {
    /// Every code with its meaning, in order: the table of `--help` and the README.
    pub(crate) const TABLE: &[(Exit, &str)] = &[
        (Exit::Ok, "done; every cell that ran was as expected, and at least one ran"),
        (
            Exit::Unexpected,
            "cells or tests ran and at least one was not as expected, or a pair is `REGRESSED`, or \
             compare found something worse",
        ),
        (Exit::Usage, "wrong argument or configuration, or a filter that selects nothing"),
        (Exit::MissingTool, "a tool or package is missing; the message says how to get it"),
        (Exit::Source, "the kernel source could not be had or is not what it should be"),
        (Exit::Series, "a patch does not apply"),
        (Exit::Build, "a config symbol did not land or a build failed"),
        (Exit::Host, "the host failed: disk full, no permission, QEMU does not start"),
        (Exit::NotReached, "nothing is wrong, but none of the code that the series changes ran"),
        (Exit::Incomplete, "nothing that ran is wrong, but parts of the run are missing"),
        (Exit::Interrupted, "stopped by SIGINT or SIGTERM; what was finished is kept"),
    ];
}

/// An error with its exit code: what happened, to what, and what to do.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Code the process ends with.
    pub(crate) exit: Exit,
    /// What happened, to which file or command.
    pub(crate) what: String,
    /// What to do about it; may be empty.
    pub(crate) hint: String,
}

impl Fault {
    /// A fault without advice.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), hint: String::new() }
    }

    /// The same fault with advice, printed as `help:`.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

/// The advice for a full disk.
pub(crate) const FULL_DISK: &str =
    "free some space there, or use another disk: --results DIR, --cache DIR, or TMPDIR";

/// The text for stderr, and the code to exit with.
pub(crate) fn explain(error: &anyhow::Error) -> (String, Exit) {
    let (hint, exit) = match fault_of(error) {
        Some(fault) => (fault.hint.as_str(), fault.exit),
        None if disk_is_full(error) => (FULL_DISK, Exit::Host),
        None => ("", Exit::Host),
    };
    let help = if hint.is_empty() { String::new() } else { format!("\nhelp: {hint}") };
    (format!("error: {error:#}{help}"), exit)
}

/// The first [`Fault`] in the chain.
pub(crate) fn fault_of(error: &anyhow::Error) -> Option<&Fault> {
    error.chain().find_map(|cause| cause.downcast_ref::<Fault>())
}

fn disk_is_full(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|io| {
        matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_fault_is_found_under_context() {
        let error = Err::<(), _>(Fault::new(Exit::Series, "0001-x.patch: hunk 2 does not apply"))
            .context("kernel overcharge")
            .unwrap_err();
        assert_eq!(fault_of(&error).unwrap().exit, Exit::Series);
    }

    #[test]
    fn an_error_is_explained_with_its_hint() {
        let error = anyhow::Error::from(Fault::new(Exit::Usage, "no such cell").hint("list them"))
            .context("show");
        let (text, exit) = explain(&error);
        assert_eq!(
            (text.as_str(), exit),
            ("error: show: no such cell\nhelp: list them", Exit::Usage)
        );
        let full = anyhow::Error::from(std::io::Error::from(std::io::ErrorKind::StorageFull));
        let (text, exit) = explain(&full);
        assert!(text.contains("--cache DIR"), "{text}");
        assert_eq!(exit, Exit::Host);
    }

    #[test]
    fn the_table_has_every_code_once_in_order() {
        let codes: Vec<u8> = Exit::TABLE.iter().map(|(exit, _)| *exit as u8).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130]);
    }

    #[test]
    fn the_readme_has_the_table_of_help() {
        let readme = include_str!("../../README.md");
        for (exit, meaning) in Exit::TABLE {
            let row = format!("| {} | {meaning} |", *exit as u8);
            assert!(readme.contains(&row), "README.md has no row `{row}`");
        }
    }
}
