// SPDX-License-Identifier: MIT OR Apache-2.0
//! KTAP, the kernel's Test Anything Protocol, as kselftests print it. Pure.
//!
//! Contract: a result counts only where the test itself said it. A test that a plan promises and
//! that never reported, and one whose output ends in the middle, have [`Outcome::NoResult`]; so has
//! a whole program until its end is known. Format: `Documentation/dev-tools/ktap.rst`. Old programs
//! print neither version nor plan, which is no fault of theirs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a test said of itself, from the worst to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Nothing: it crashed, hung, or never began.
    NoResult,
    /// `not ok`
    Fail,
    /// `# SKIP`: something it needs is missing.
    Skip,
    /// `ok`, or `not ok … # TODO` and `# XFAIL`, which say that it is expected.
    Pass,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::NoResult => "no result",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Pass => "pass",
        })
    }
}

/// How a test program ended, as PID 1 saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProgramEnd {
    /// Exit status.
    Exited(i32),
    /// Killed by this signal.
    Signaled(i32),
    /// Stopped at its deadline.
    TimedOut,
}

/// Status by which a program says that it did not run (`KSFT_SKIP`).
const EXIT_SKIP: i32 = 4;
/// A test promises no more tests than this.
const PLAN_MAX: usize = 10_000;
/// Deeper nesting is no test.
const DEPTH_MAX: usize = 8;

/// The results of one program by name of test, each name once: `name`, or `outer/name` of a test
/// in a test. Of two results of one name the worse counts.
pub(crate) type Results = BTreeMap<String, Outcome>;

/// What the output says of each test, and under an empty name what is to be said of the program as
/// a whole: that it ended, and that it ended as its tests say.
pub(crate) fn results(output: &str, end: Option<ProgramEnd>) -> Results {
    let mut results = Results::new();
    let mut levels = vec![Level::default()];
    let mut bail = false;
    for line in output.lines() {
        let text = line.trim_start_matches(' ');
        let depth = ((line.len() - text.len()) / 4).min(DEPTH_MAX - 1);
        // What a test prints as a diagnostic is no result, whatever it looks like.
        bail |= text.starts_with("Bail out!");
        if let Some(count) = plan(text) {
            level(&mut levels, depth).planned = Some(count);
        } else if let Some((number, name, outcome)) = result(text) {
            levels.truncate(depth + 2);
            // The tests inside ended with the test that holds them.
            let inner = (levels.len() == depth + 2).then(|| levels.pop()).flatten();
            let level = level(&mut levels, depth);
            level.seen += 1;
            let name =
                name.map_or_else(|| format!("#{}", number.unwrap_or(level.seen)), str::to_owned);
            let inner = inner.unwrap_or_default();
            for (inside, outcome) in inner.finished() {
                note(&mut level.results, format!("{name}/{inside}"), outcome);
            }
            note(&mut level.results, name, outcome);
        }
    }
    // A nested list without the line of the test that holds it: that test never reported.
    while levels.len() > 1 {
        let inner = levels.pop().unwrap_or_default();
        let level = level(&mut levels, usize::MAX);
        for (inside, outcome) in inner.finished() {
            note(&mut level.results, format!("?/{inside}"), outcome);
        }
        note(&mut level.results, "?".to_owned(), Outcome::NoResult);
    }
    let top = levels.pop().unwrap_or_default();
    let skipped_all = top.planned == Some(0);
    for (name, outcome) in top.finished() {
        note(&mut results, name, outcome);
    }
    let whole = program(&results, end, bail, skipped_all);
    results.insert(String::new(), whole);
    results
}

/// What is known of one list of tests.
#[derive(Debug, Default)]
struct Level {
    planned: Option<usize>,
    seen: usize,
    results: Results,
}

impl Level {
    /// With every test that the plan promises and that never reported.
    fn finished(mut self) -> Results {
        for number in self.seen + 1..=self.planned.unwrap_or(0) {
            self.results.insert(format!("#{number}"), Outcome::NoResult);
        }
        self.results
    }
}

fn level(levels: &mut Vec<Level>, depth: usize) -> &mut Level {
    let last = if depth == usize::MAX { levels.len() - 1 } else { depth };
    while levels.len() <= last {
        levels.push(Level::default());
    }
    &mut levels[last]
}

fn note(results: &mut Results, name: String, outcome: Outcome) {
    let known = results.entry(name).or_insert(outcome);
    *known = (*known).min(outcome);
}

fn program(results: &Results, end: Option<ProgramEnd>, bail: bool, skipped_all: bool) -> Outcome {
    let worst = results.values().min().copied();
    match (end, worst) {
        (None | Some(ProgramEnd::Signaled(_) | ProgramEnd::TimedOut), _) => Outcome::NoResult,
        _ if bail => Outcome::NoResult,
        (Some(ProgramEnd::Exited(EXIT_SKIP)), None) => Outcome::Skip,
        (Some(ProgramEnd::Exited(_)), None) if skipped_all => Outcome::Skip,
        // It ended well and said nothing: no evidence that anything ran.
        (Some(ProgramEnd::Exited(_)), None) => Outcome::NoResult,
        (Some(ProgramEnd::Exited(status)), Some(worst)) => match worst {
            Outcome::NoResult | Outcome::Fail => worst,
            _ if status == 0 || status == EXIT_SKIP => Outcome::Pass,
            _ => Outcome::Fail,
        },
    }
}

/// `1..12`
fn plan(text: &str) -> Option<usize> {
    let count = text.strip_prefix("1..")?.split_whitespace().next()?;
    count.parse().ok().filter(|count| *count <= PLAN_MAX)
}

/// `ok 3 - name # SKIP why` -> number, name, outcome.
fn result(text: &str) -> Option<(Option<usize>, Option<&str>, Outcome)> {
    let (ok, rest) = match (text.strip_prefix("ok"), text.strip_prefix("not ok")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return None,
    };
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let (said, directive) = rest.split_once('#').unwrap_or((rest, ""));
    let said = said.trim();
    let (first, after) = said.split_once(' ').unwrap_or((said, ""));
    let number = first.parse::<usize>().ok();
    let name = if number.is_some() { after } else { said };
    let name = name.trim_start_matches("- ").trim();
    let word = directive.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    let outcome = match word.as_str() {
        "SKIP" => Outcome::Skip,
        "TODO" | "XFAIL" => Outcome::Pass,
        _ if ok => Outcome::Pass,
        _ => Outcome::Fail,
    };
    // Neither number nor name: half a line, cut off by a crash.
    (number.is_some() || !name.is_empty()).then_some((
        number,
        (!name.is_empty()).then_some(name),
        outcome,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: Option<ProgramEnd> = Some(ProgramEnd::Exited(0));

    fn said(output: &str, end: Option<ProgramEnd>) -> Vec<(String, Outcome)> {
        results(output, end).into_iter().collect()
    }

    fn expect(output: &str, end: Option<ProgramEnd>, expected: &[(&str, Outcome)]) {
        let expected: Vec<_> = expected.iter().map(|(n, o)| ((*n).to_owned(), *o)).collect();
        assert_eq!(said(output, end), expected, "{output}");
    }

    use Outcome::{Fail, NoResult, Pass, Skip};

    #[test]
    fn each_kind_of_line_is_understood() {
        let output = "TAP version 13\n1..6\n# noise ok 9 no\nok 1 a\nnot ok 2 - b\nok 3 c # SKIP no swap\nnot ok 4 d # TODO later\nok 5 e # XFAIL known\nok 6\nokay 7 x\n";
        let all = [
            ("", Fail),
            ("#6", Pass),
            ("a", Pass),
            ("b", Fail),
            ("c", Skip),
            ("d", Pass),
            ("e", Pass),
        ];
        expect(output, Some(ProgramEnd::Exited(1)), &all);
    }

    #[test]
    fn an_old_program_has_neither_version_nor_plan() {
        expect("ok 1 a\nok 2 b\n", DONE, &[("", Pass), ("a", Pass), ("b", Pass)]);
    }

    #[test]
    fn what_was_promised_and_never_reported_has_no_result() {
        let cut = "TAP version 13\n1..3\nok 1 a\nnot o";
        expect(
            cut,
            Some(ProgramEnd::Signaled(11)),
            &[("", NoResult), ("#2", NoResult), ("#3", NoResult), ("a", Pass)],
        );
        // Ended well by its status, and yet not all tests reported.
        expect("1..2\nok 1 a\n", DONE, &[("", NoResult), ("#2", NoResult), ("a", Pass)]);
        expect("ok 1 a\nnot ok", None, &[("", NoResult), ("a", Pass)]);
    }

    #[test]
    fn silence_and_hanging_are_no_success() {
        expect("", DONE, &[("", NoResult)]);
        expect("", None, &[("", NoResult)]);
        expect("ok 1 a\n", Some(ProgramEnd::TimedOut), &[("", NoResult), ("a", Pass)]);
        expect("ok 1 a\nBail out! no\n", DONE, &[("", NoResult), ("a", Pass)]);
    }

    #[test]
    fn a_program_that_does_not_apply_is_skipped_as_a_whole() {
        expect("1..0 # SKIP cgroup v2 isn't mounted\n", Some(ProgramEnd::Exited(4)), &[("", Skip)]);
        expect("1..0 # SKIP x\n", DONE, &[("", Skip)]);
    }

    #[test]
    fn a_status_that_contradicts_the_tests_is_a_failure() {
        expect("ok 1 a\n", Some(ProgramEnd::Exited(1)), &[("", Fail), ("a", Pass)]);
    }

    #[test]
    fn tests_in_tests_are_named_by_both() {
        let nested = "TAP version 13\n1..2\n    # Subtest: outer\n    1..2\n    ok 1 x\n    not ok 2 y\nnot ok 1 outer\nok 2 z\n";
        let all = [("", Fail), ("outer", Fail), ("outer/x", Pass), ("outer/y", Fail), ("z", Pass)];
        expect(nested, Some(ProgramEnd::Exited(1)), &all);
        let cut = "1..1\n    1..2\n    ok 1 x\n";
        let all =
            [("", NoResult), ("#1", NoResult), ("?", NoResult), ("?/#2", NoResult), ("?/x", Pass)];
        expect(cut, None, &all);
    }

    #[test]
    fn one_name_twice_is_as_good_as_the_worse() {
        expect("ok 1 a\nnot ok 2 a\n", Some(ProgramEnd::Exited(1)), &[("", Fail), ("a", Fail)]);
    }

    #[test]
    fn hostile_output_is_bounded() {
        assert_eq!(results("1..99999999999\n", DONE).len(), 1);
        assert_eq!(results("1..5000000\n", DONE).len(), 1);
        let deep = format!("{}ok 1 a\n", " ".repeat(1_000_000));
        assert!(results(&deep, DONE).len() < 20);
    }
}
