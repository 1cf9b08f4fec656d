// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table that `check-series` ends with: patches down, checks across.

use serde::Serialize;

use super::numbers::plural;
use super::text::{Style, Table};

/// What is asked of the tree after each patch, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It applies, without fuzz.
    Apply,
    /// The kernel's own script finds nothing in it.
    Checkpatch,
    /// Its Rust is formatted.
    Rustfmt,
    /// It builds without a new warning.
    Build,
    /// Neither rustc nor clippy has a new warning.
    Clippy,
    /// It comes up.
    Boot,
    /// Its cells go as on the base.
    Smoke,
}

/// Names of [`Asked`], in its order.
const CHECKS: [&str; 7] = ["apply", "checkpatch", "rustfmt", "build", "clippy", "boot", "smoke"];

/// How one check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "said", rename_all = "UPPERCASE")]
pub(crate) enum Mark {
    /// Ran, and found nothing.
    Pass,
    /// Ran, and found this.
    Fail(String),
    /// Could not run: what is missing.
    Skip(String),
    /// Was not begun, because a check before it failed or there is nothing to look at.
    None,
}

/// One check of one patch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Checked {
    /// How it ended.
    #[serde(flatten)]
    pub(crate) mark: Mark,
    /// How long it took, seconds.
    pub(crate) seconds: f64,
}

impl Default for Checked {
    fn default() -> Self {
        Self { mark: Mark::None, seconds: 0.0 }
    }
}

/// One patch with its checks, in the order of [`Asked`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct PatchRow {
    /// Place in the series, from 1.
    pub(crate) number: usize,
    /// File name.
    pub(crate) name: String,
    /// The checks.
    checks: [Checked; CHECKS.len()],
    /// Whether the image was there already, by its content.
    pub(crate) hit: bool,
}

impl PatchRow {
    /// A patch that nothing was asked of yet.
    pub(crate) fn new(number: usize, name: &str) -> Self {
        Self { number, name: name.to_owned(), ..Self::default() }
    }

    /// Notes how a check ended.
    pub(crate) fn set(&mut self, asked: Asked, checked: Checked) {
        self.checks[asked as usize] = checked;
    }

    /// Whether no check failed.
    pub(crate) fn good(&self) -> bool {
        !self.checks.iter().any(|check| matches!(check.mark, Mark::Fail(_)))
    }
}

/// One line for a patch whose checks have just ended.
pub(crate) fn patch_line(row: &PatchRow, style: Style) -> String {
    let word = if row.good() { style.good("ok  ") } else { style.bad("FAIL") };
    let seconds: f64 = row.checks.iter().map(|check| check.seconds).sum();
    format!("{word} {:2} {} ({seconds:.0} s){}", row.number, row.name, failures(row))
}

/// The table, then every finding; `folder` is where the logs are.
pub(crate) fn series(rows: &[PatchRow], planned: usize, folder: &str, style: Style) -> String {
    let mut table = Table::default().right([""]).left(["patch"]).left(CHECKS);
    for row in rows {
        let checks = row.checks.iter().enumerate().map(|(at, check)| cell(row, at, check, style));
        table.row([row.number.to_string(), row.name.clone()].into_iter().chain(checks));
    }
    let mut text = table.text(style);
    for row in rows.iter().filter(|row| !row.good()) {
        text.push_str(&format!("\n{}{}\n", row.name, failures(row)));
    }
    for (at, check) in CHECKS.iter().enumerate() {
        let missing = rows.iter().find_map(|row| match &row.checks[at].mark {
            Mark::Skip(why) => Some(why),
            _ => None,
        });
        if let Some(why) = missing {
            text.push_str(&format!(
                "\n{}\n",
                style.odd(&format!("SKIP: {check} did not run: {why}"))
            ));
        }
    }
    let good = rows.iter().filter(|row| row.good()).count();
    let of = plural(rows.len(), "patch");
    let line = match planned - rows.len() {
        0 => format!("{good} of {of} pass every check that ran"),
        left => format!("{good} of {of} pass, {left} not checked"),
    };
    let line = style.good_if(good == planned, &line);
    text.push_str(&format!("\n{line}\nlogs: {folder}\n"));
    text
}

/// `pass    12 s`; the build of an image that was there is `cached`.
fn cell(row: &PatchRow, at: usize, check: &Checked, style: Style) -> String {
    let seconds = format!("{:>5.0} s", check.seconds);
    match check.mark {
        Mark::Pass if CHECKS[at] == "build" && row.hit => format!("{} cached", style.good("pass")),
        Mark::Pass => format!("{}{seconds}", style.good("pass")),
        Mark::Fail(_) => format!("{}{seconds}", style.bad("FAIL")),
        Mark::Skip(_) => style.odd("SKIP"),
        Mark::None => "-".to_owned(),
    }
}

fn failures(row: &PatchRow) -> String {
    let mut text = String::new();
    for (name, check) in CHECKS.iter().zip(&row.checks) {
        if let Mark::Fail(said) = &check.mark {
            text.push_str(&format!("\n  {name}: {}", said.trim_end().replace('\n', "\n    ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: usize, marks: [Mark; CHECKS.len()]) -> PatchRow {
        let checks = marks.map(|mark| Checked { mark, seconds: 2.4 });
        PatchRow { number, name: format!("000{number}-x.patch"), checks, hit: number == 1 }
    }

    fn pass() -> [Mark; CHECKS.len()] {
        std::array::from_fn(|_| Mark::Pass)
    }

    #[test]
    fn a_series_without_a_finding_is_said_to_be_one() {
        let text = series(&[row(1, pass()), row(2, pass())], 2, "results/x", Style::default());
        assert!(text.contains("2 of 2 patches pass every check that ran"), "{text}");
        assert!(text.contains("pass cached"), "{text}");
        assert!(!text.contains("FAIL") && !text.contains("SKIP"), "{text}");
    }

    #[test]
    fn a_finding_is_in_the_table_and_told_below_it() {
        let mut marks = pass();
        marks[Asked::Build as usize] = Mark::Fail("mm/x.c:1:1: error: broken\nmore".to_owned());
        (marks[4], marks[5], marks[6]) = (Mark::None, Mark::None, Mark::None);
        let bad = row(2, marks);
        assert!(!bad.good());
        let text = series(&[row(1, pass()), bad.clone()], 2, "results/x", Style::default());
        assert!(text.contains("build: mm/x.c:1:1: error: broken\n    more"), "{text}");
        assert!(text.contains("1 of 2 patches pass"), "{text}");
        assert!(patch_line(&bad, Style::default()).starts_with("FAIL  2"));
    }

    #[test]
    fn a_missing_tool_and_patches_that_were_not_reached_are_said() {
        let mut marks = pass();
        marks[Asked::Clippy as usize] = Mark::Skip("apt-get install rust-web-clippy".to_owned());
        let text = series(&[row(1, marks)], 3, "results/x", Style::default());
        assert!(
            text.contains("SKIP: clippy did not run: apt-get install rust-web-clippy"),
            "{text}"
        );
        assert!(text.contains("2 not checked"), "{text}");
    }
}
