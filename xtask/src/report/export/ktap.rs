// SPDX-License-Identifier: MIT OR Apache-2.0
//! KTAP version 1, nested: a test a scenario, a subtest a cell. `Documentation/dev-tools/ktap.rst`
//! is the format, `tools/testing/kunit/kunit_parser.py` the reader it is tested with.

use super::cases::{Case, Group, Standing, groups};
use super::{Excerpts, printable};
use crate::outcome::RunResult;

/// Texts at which `kunit_parser.py` takes a kernel for halted and reads no further, wherever in a
/// line they are, and what is written instead: a reason may well quote such a line.
const ENDS: [(&str, &str); 3] = [
    ("List of all partitions:", r"List of all partitions\:"),
    ("Kernel panic - not syncing: VFS:", r"Kernel panic - not syncing: VFS\:"),
    ("reboot: System halted", r"reboot\: System halted"),
];

/// The run as KTAP.
pub(crate) fn ktap(result: &RunResult, excerpts: &Excerpts) -> String {
    let groups = groups(result, excerpts);
    let manifest = &result.manifest;
    let mut text = format!(
        "KTAP version 1\n# run {}: matrix {}, {}, harness {}\n1..{}\n",
        plain(&result.run),
        plain(&manifest.matrix),
        plain(&manifest.accelerator),
        plain(&manifest.harness),
        groups.len()
    );
    for (at, group) in groups.iter().enumerate() {
        push_group(&mut text, at + 1, group);
    }
    text
}

fn push_group(text: &mut String, number: usize, group: &Group<'_>) {
    let name = plain(&group.name);
    text.push_str(&format!("  KTAP version 1\n  # Subtest: {name}\n  1..{}\n", group.cases.len()));
    for (at, case) in group.cases.iter().enumerate() {
        for line in &case.details {
            // Three blanks: one alone could make it a header (`# Subtest: `).
            text.push_str(&format!("  #   {}\n", plain(line)));
        }
        text.push_str(&format!("  {}\n", result_line(at + 1, case)));
    }
    let bad = group.cases.iter().filter(|case| case.standing.is_bad()).count();
    let ok = if bad == 0 { "ok" } else { "not ok" };
    text.push_str(&format!("{ok} {number} {name}\n"));
}

fn result_line(number: usize, case: &Case<'_>) -> String {
    let name = plain(&case.name);
    let said = plain(&format!("{}: {}", case.verdict, case.why));
    match case.standing {
        Standing::Good if case.cell.is_some() => format!("ok {number} {name}"),
        Standing::Good => format!("ok {number} {name} # {said}"),
        Standing::GoodFailure => format!("ok {number} {name} # XFAIL {said}"),
        Standing::Bad => format!("not ok {number} {name} # {said}"),
        Standing::TimedOut => format!("not ok {number} {name} # TIMEOUT {said}"),
        Standing::NoVerdict => format!("not ok {number} {name} # ERROR {said}"),
        Standing::Skipped => format!("ok {number} {name} # SKIP {said}"),
        Standing::NotSkippable => format!("not ok {number} {name} # SKIP {said}"),
    }
}

/// A text of one line that no parser takes for anything else. A backslash stands before the `#`
/// that would begin a directive (`CPU#0 # SKIP`), as in TAP 14, and before the colon of an end.
fn plain(text: &str) -> String {
    let text = printable(text).replace('#', r"\#");
    ENDS.iter().fold(text, |text, (end, instead)| text.replace(end, instead))
}
