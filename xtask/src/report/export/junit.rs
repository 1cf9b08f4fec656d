// SPDX-License-Identifier: MIT OR Apache-2.0
//! JUnit XML: a suite a scenario, a test case a cell. The crate of nextest writes it: names of
//! elements, escapes, and characters that XML does not have are its matter.

use std::time::Duration;

use quick_junit::{
    NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite,
};

use super::cases::{Case, Standing, groups};
use super::{Excerpts, printable};
use crate::outcome::{CellResult, RunResult};

/// The run as JUnit XML.
///
/// # Errors
/// None are known: it is written to memory.
pub(crate) fn junit(result: &RunResult, excerpts: &Excerpts) -> anyhow::Result<String> {
    let manifest = &result.manifest;
    let mut report = Report::new(format!("memcg harness, matrix {}", manifest.matrix));
    report.set_time(Duration::from_millis(manifest.duration_ms));
    for group in groups(result, excerpts) {
        let mut suite = TestSuite::new(group.name.as_str());
        let about = [
            ("run", result.run.as_str()),
            ("matrix", &manifest.matrix),
            ("accelerator", &manifest.accelerator),
            ("harness", &manifest.harness),
        ];
        suite.add_properties(about.map(|(name, value)| Property::new(name, value)));
        let mut time = Duration::ZERO;
        for case in &group.cases {
            let mut written = test_case(case);
            written.set_classname(group.name.as_str());
            time += written.time.unwrap_or_default();
            suite.add_test_case(written);
        }
        suite.set_time(time);
        report.add_test_suite(suite);
    }
    Ok(report.to_string()?)
}

fn test_case(case: &Case<'_>) -> TestCase {
    let mut written = TestCase::new(case.name.as_str(), status(case));
    let details: Vec<String> = case.details.iter().map(|line| printable(line)).collect();
    let mut out = vec![format!("{}: {}", case.verdict, printable(&case.why))];
    if let Some(ran) = case.cell {
        let cell = &ran.cell;
        let again = ran.again.as_ref().map_or(0, |again| again.wall_ms);
        written.set_time(Duration::from_millis(ran.first.wall_ms + again));
        let about = [
            ("kernel", cell.key.kernel.clone()),
            ("policy", cell.key.policy.clone()),
            ("cgroup", cell.key.cgroup.to_string()),
            ("verdict", case.verdict.clone()),
            ("flaky", ran.flaky().to_string()),
        ];
        written.add_properties(about.map(|(name, value)| Property::new(name, value)));
        let fault = ran.fault().map(|fault| ("fault", fault));
        let known = cell_known(ran).map(|fault| ("known-fault", fault));
        let faults = fault.into_iter().chain(known);
        written.add_properties(faults.map(|(name, value)| Property::new(name, printable(&value))));
    }
    // What failed has its details in the failure.
    if !case.standing.is_bad() {
        out.extend(details);
    }
    written.set_system_out(out.join("\n"));
    written
}

fn status(case: &Case<'_>) -> TestCaseStatus {
    let said = format!("{}: {}", case.verdict, printable(&case.why));
    let non_success = |kind| {
        let mut status = TestCaseStatus::non_success(kind);
        let details: Vec<String> = case.details.iter().map(|line| printable(line)).collect();
        status.set_type(case.verdict.as_str()).set_message(said.as_str());
        status.set_description(details.join("\n"));
        status
    };
    match case.standing {
        Standing::Good | Standing::GoodFailure => {
            let mut status = TestCaseStatus::success();
            status.add_reruns(case.cell.and_then(host_error));
            status
        }
        Standing::Bad | Standing::TimedOut => non_success(NonSuccessKind::Failure),
        Standing::NoVerdict => non_success(NonSuccessKind::Error),
        Standing::Skipped | Standing::NotSkippable => {
            let mut status = TestCaseStatus::skipped();
            status.set_type(case.verdict.as_str()).set_message(said);
            status
        }
    }
}

/// The known faults that do not count in a cell.
fn cell_known(ran: &CellResult) -> impl Iterator<Item = String> {
    ran.judgement().known.iter().cloned()
}

/// A first try that failed on the host's side and does not count (`flakyError`). A cell whose
/// kernel does one thing once and another thing the next time is a failure instead: readers count a
/// flaky test as passed.
fn host_error(cell: &CellResult) -> Option<TestRerun> {
    if !cell.first_says_nothing() {
        return None;
    }
    cell.again.as_ref()?;
    let mut rerun = TestRerun::new(NonSuccessKind::Error);
    rerun.set_type("ERROR").set_message(printable(&cell.first.judgement.why));
    rerun.set_time(Duration::from_millis(cell.first.wall_ms));
    Some(rerun)
}
