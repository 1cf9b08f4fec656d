// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `kselftest` prints: each program on the base and on a patched kernel, then what differs.

use serde::Serialize;

use super::numbers::plural;
use super::text::{Style, Table};
use crate::verdict::ktap::Outcome;
use crate::verdict::selftests::{Beside, TestBeside};

/// One program on the base and on one patched kernel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ProgramBeside {
    /// For example `test_kmem`.
    pub(crate) program: String,
    /// The base.
    pub(crate) base: String,
    /// The other kernel.
    pub(crate) patched: String,
    /// Whether only the series has it.
    pub(crate) is_new: bool,
    /// Its tests; an empty name is the program as a whole.
    pub(crate) tests: Vec<TestBeside>,
    /// What no good run prints on the console, as `kernel: title`.
    pub(crate) faults: Vec<String>,
    /// Longest run, seconds.
    pub(crate) seconds: f64,
}

impl ProgramBeside {
    /// Whether nothing speaks against the series.
    pub(crate) fn good(&self) -> bool {
        self.faults.is_empty() && self.tests.iter().all(|test| test.beside.good())
    }

    /// Whether another run may say more: something differs, or is open.
    pub(crate) fn unsettled(&self) -> bool {
        self.tests.iter().any(|test| !matches!(test.beside, Beside::Same | Beside::Better))
    }
}

/// The table, what differs, and the sum; `folder` is where the logs are.
pub(crate) fn kselftest(programs: &[ProgramBeside], folder: &str, style: Style) -> String {
    let mut table = Table::default()
        .left(["program", "kernel"])
        .right(["tests", "base pass/fail/skip/none", "with the series"])
        .left([""]);
    programs.iter().for_each(|program| table.row(row(program, style)));
    let mut text = table.text(style);
    text.push_str(&details(programs, style));
    let good = programs.iter().filter(|program| program.good()).count();
    let tests: usize = programs.iter().map(|program| named(program).count()).sum();
    let of = plural(programs.len(), "program");
    let sum = format!("{good} of {of} as on the base or better, {}", plural(tests, "test"));
    let sum = style.good_if(good == programs.len() && tests > 0, &sum);
    text.push_str(&format!("\n{sum}\nlogs: {folder}\n"));
    text
}

fn row(program: &ProgramBeside, style: Style) -> [String; 6] {
    let count = |of: fn(&TestBeside) -> &Vec<Outcome>| {
        let worst = |test: &TestBeside| of(test).iter().min().copied().unwrap_or(Outcome::NoResult);
        let with = |outcome| named(program).filter(|test| worst(test) == outcome).count();
        let [pass, fail, skip, none] =
            [Outcome::Pass, Outcome::Fail, Outcome::Skip, Outcome::NoResult].map(with);
        format!("{pass}/{fail}/{skip}/{none}")
    };
    let word = match program.tests.iter().map(|test| test.beside).min() {
        _ if !program.faults.is_empty() => style.bad("console fault"),
        None => style.bad("NO RESULT"),
        Some(worst) => said(worst, style),
    };
    let new = if program.is_new { " (new)" } else { "" };
    [
        program.program.clone(),
        program.patched.clone(),
        named(program).count().to_string(),
        count(|test| &test.base),
        count(|test| &test.patched),
        format!("{word}{new}"),
    ]
}

/// Tests, without the program as a whole.
fn named(program: &ProgramBeside) -> impl Iterator<Item = &TestBeside> {
    program.tests.iter().filter(|test| !test.test.is_empty())
}

fn said(beside: Beside, style: Style) -> String {
    match beside {
        Beside::Worse => style.bad("WORSE"),
        Beside::Unproven => style.bad("DOES NOT PASS"),
        Beside::Untold => style.bad("NO RESULT"),
        Beside::Flaky => style.odd("flaky"),
        Beside::Better => style.good("better"),
        Beside::Same => style.good("same"),
    }
}

fn details(programs: &[ProgramBeside], style: Style) -> String {
    let mut text = String::new();
    let runs = |outcomes: &[Outcome]| {
        outcomes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    for program in programs {
        for fault in &program.faults {
            text.push_str(&format!("\n{}: console of {fault}", style.bad(&program.program)));
        }
        let differ = |test: &&TestBeside| {
            test.beside != Beside::Same || test.patched.iter().any(|o| *o != Outcome::Pass)
        };
        for test in program.tests.iter().filter(differ) {
            let name = if test.test.is_empty() { "as a whole" } else { &test.test };
            text.push_str(&format!(
                "\n{} {name}: {}: {} {} | {} {}",
                program.program,
                said(test.beside, style),
                program.base,
                runs(&test.base),
                program.patched,
                runs(&test.patched)
            ));
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(beside: Beside, base: Outcome, patched: Outcome) -> ProgramBeside {
        let test =
            TestBeside { test: "test_a".into(), base: vec![base], patched: vec![patched], beside };
        ProgramBeside {
            program: "test_kmem".into(),
            base: "baseline".into(),
            patched: "overcharge".into(),
            is_new: false,
            tests: vec![test],
            faults: vec![],
            seconds: 1.0,
        }
    }

    #[test]
    fn what_differs_is_named_with_both_sides() {
        let worse = program(Beside::Worse, Outcome::Pass, Outcome::Fail);
        let text = kselftest(std::slice::from_ref(&worse), "results/x", Style::default());
        assert!(
            text.contains("test_kmem test_a: WORSE: baseline pass | overcharge fail"),
            "{text}"
        );
        assert!(text.contains("0 of 1 program "), "{text}");
        assert!(!worse.good() && worse.unsettled());
    }

    #[test]
    fn a_fault_on_the_console_is_no_success() {
        let mut same = program(Beside::Same, Outcome::Pass, Outcome::Pass);
        assert!(same.good() && !same.unsettled());
        same.faults.push("overcharge: BUG: KASAN: x".into());
        assert!(!same.good());
        let text = kselftest(&[same], "results/x", Style::default());
        assert!(text.contains("console of overcharge: BUG: KASAN: x"), "{text}");
    }

    #[test]
    fn nothing_that_ran_is_no_success() {
        let text = kselftest(&[], "results/x", Style { colour: true, columns: None });
        assert!(text.contains("\u{1b}[1m\u{1b}[31m0 of 0") || text.contains("0 of 0"), "{text}");
    }
}
