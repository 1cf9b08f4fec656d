// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each format of a hand-made run; what real readers say of them is asked in `xtask/tests/readers`.

use super::*;
use crate::outcome::Differential;
use crate::outcome::{CellResult, RunResult, Totals};
use crate::taxonomy::Verdict;
use crate::verdict::tests::run::{benches, cell, result};

/// A run of two cells: a baseline that fails as expected, and a patched kernel.
fn good() -> RunResult {
    result(benches().iter().map(cell).collect())
}

/// The same with the patched cell bent.
fn with(bend: impl FnOnce(&mut CellResult)) -> RunResult {
    let mut cells: Vec<CellResult> = benches().iter().map(cell).collect();
    bend(&mut cells[1]);
    RunResult { totals: Totals::of(2, &cells, &[]), cells, ..good() }
}

fn verdict(verdict: Verdict, as_expected: bool) -> RunResult {
    with(|cell| {
        let judgement = &mut cell.first.judgement;
        (judgement.verdict, judgement.as_expected) = (verdict, as_expected);
        judgement.why = "the reason".to_owned();
    })
}

fn none() -> Excerpts {
    Excerpts::new()
}

#[test]
fn ktap_of_a_good_run() {
    insta::assert_snapshot!(ktap(&good(), &none()));
}

#[test]
fn junit_of_a_good_run() {
    insta::assert_snapshot!(junit(&good(), &none()).unwrap());
}

#[test]
fn markdown_of_a_good_run() {
    insta::assert_snapshot!(markdown(&good(), &none()));
}

#[test]
fn kcidb_of_a_good_run() {
    let message = kcidb(&good(), &none(), "lab");
    insta::assert_snapshot!(serde_json::to_string_pretty(&message).unwrap());
}

#[test]
fn ktap_of_every_verdict() {
    for (is, as_expected, line) in [
        (Verdict::Pass, true, "ok 2 ID\n"),
        (Verdict::Pass, false, "not ok 2 ID # PASS: the reason\n"),
        (Verdict::Crash, false, "not ok 2 ID # CRASH: the reason\n"),
        (Verdict::Crash, true, "ok 2 ID # XFAIL CRASH: the reason\n"),
        (Verdict::Hang, false, "not ok 2 ID # TIMEOUT HANG: the reason\n"),
        (Verdict::Error, false, "not ok 2 ID # ERROR ERROR: the reason\n"),
        (Verdict::Inconclusive, false, "not ok 2 ID # ERROR INCONCLUSIVE: the reason\n"),
        (Verdict::Skip, false, "not ok 2 ID # SKIP SKIP: the reason\n"),
        (Verdict::Skip, true, "ok 2 ID # SKIP SKIP: the reason\n"),
    ] {
        let text = ktap(&verdict(is, as_expected), &none());
        let line = format!("  {}", line.replace("ID", "open.v2.patched.overcharge"));
        assert!(text.contains(&line), "no {line:?} in\n{text}");
        let good = if line.starts_with("  not") && is != Verdict::Skip { "not ok" } else { "ok" };
        assert!(text.contains(&format!("\n{good} 3 open\n")), "{text}");
    }
}

#[test]
fn a_run_that_is_not_whole_has_a_bad_test() {
    let mut result = good();
    result.totals.planned = 3;
    result.manifest.interrupted = true;
    let line = "INCOMPLETE: 2 of 3 cells ran; the run was interrupted";
    let text = ktap(&result, &none());
    assert!(
        text.contains(&format!("  not ok 1 complete # ERROR {line}\nnot ok 1 run\n")),
        "{text}"
    );
    assert!(junit(&result, &none()).unwrap().contains(&format!("<error message=\"{line}\"")));
    let page = markdown(&result, &none());
    assert!(
        page.starts_with("## ❌ memcg: 2 cells: 2 as expected, 1 of 3 did not run\n\n**The run is"),
        "{page}"
    );
    let nothing =
        RunResult { cells: vec![], comparisons: vec![], totals: Totals::of(0, &[], &[]), ..good() };
    assert!(
        ktap(&nothing, &none()).contains("not ok 1 complete # ERROR INCOMPLETE: 0 of 0 cells ran")
    );
    assert!(
        ktap(&verdict(Verdict::Skip, false), &none())
            .contains("2 of 2 cells ran, 1 of them skipped")
    );
}

#[test]
fn differential_verdicts_are_tests_and_only_three_are_good() {
    for (outcome, ktap_begin, kcidb_status) in [
        (Differential::Fixed, "ok 1 ID # FIXED", "PASS"),
        (Differential::Inert, "ok 1 ID # INERT", "PASS"),
        (Differential::Same, "ok 1 ID # SAME", "PASS"),
        (Differential::Changed, "ok 1 ID # SKIP CHANGED", "DONE"),
        (Differential::NotFixed, "ok 1 ID # SKIP NOT FIXED: both show the problem, as", "FAIL"),
        (Differential::NoDifference, "ok 1 ID # SKIP NO DIFFERENCE", "DONE"),
        (Differential::Regressed, "not ok 1 ID # REGRESSED", "FAIL"),
        (Differential::Unknown, "ok 1 ID # SKIP UNKNOWN", "SKIP"),
    ] {
        let mut result = good();
        result.comparisons[0].outcome = outcome;
        result
            .manifest
            .kernels
            .insert("patched".to_owned(), result.manifest.kernels["baseline"].clone());
        let line = format!("  {}", ktap_begin.replace("ID", "open.v2.patched.overcharge"));
        let text = ktap(&result, &none());
        assert!(text.contains(&line), "no {line:?} in\n{text}");
        let message = kcidb(&result, &none(), "lab");
        let test = message["tests"].as_array().unwrap().last().unwrap();
        assert_eq!(test["status"], kcidb_status);
        assert_eq!(test["path"], "memcg_harness.vs-baseline.open.v2.overcharge");
    }
    let mut result = verdict(Verdict::Fail, false);
    result.comparisons[0].outcome = Differential::NotFixed;
    assert!(ktap(&result, &none()).contains("  not ok 1 open.v2.patched.overcharge # NOT FIXED: "));
}

#[test]
fn junit_of_every_verdict() {
    let text = junit(&good(), &none()).unwrap();
    assert!(text.contains("tests=\"4\" skipped=\"0\" failures=\"0\" errors=\"0\""), "{text}");
    for (is, element) in [
        (Verdict::Pass, "failure"),
        (Verdict::Fail, "failure"),
        (Verdict::Crash, "failure"),
        (Verdict::Hang, "failure"),
        (Verdict::Error, "error"),
        (Verdict::Inconclusive, "error"),
        (Verdict::Skip, "skipped"),
    ] {
        let text = junit(&verdict(is, false), &none()).unwrap();
        let begin = format!("<{element} message=\"{is}");
        assert!(text.contains(&begin), "no {begin} in\n{text}");
    }
    let good = cell(&benches()[1]).first;
    let flaky = with(|cell| {
        (cell.first.judgement.verdict, cell.first.judgement.as_expected) = (Verdict::Hang, false);
        cell.again = Some(good.clone());
    });
    let text = junit(&flaky, &none()).unwrap();
    assert!(text.contains("<failure message=\"HANG: flaky: "), "flaky is no success: {text}");
    let retried = with(|cell| {
        (cell.first.judgement.verdict, cell.first.judgement.as_expected) = (Verdict::Error, false);
        cell.again = Some(good);
    });
    let text = junit(&retried, &none()).unwrap();
    assert!(
        text.contains("<flakyError ") && text.contains("failures=\"0\" errors=\"0\""),
        "{text}"
    );
}

#[test]
fn a_load_that_timed_out_is_no_length_to_kcidb() {
    let timed_out = |complete: f64| {
        let mut result = good();
        for ran in &mut result.cells {
            ran.cell.note.measures = vec!["load.ms".into()];
            ran.first.judgement.facts.insert("load.complete".into(), complete);
        }
        let message = kcidb(&result, &none(), "lab");
        let tests = message["tests"].as_array().unwrap().clone();
        let lengths = tests.into_iter().filter(|test| test["number"].is_object());
        lengths.map(|test| test["misc"]["timed_out"].is_string()).collect::<Vec<bool>>()
    };
    // Of the kernel that the manifest of this run has.
    assert_eq!([timed_out(1.0), timed_out(0.0)], [[false], [true]]);
}

#[test]
fn markdown_tells_the_verdict_on_the_patch_first() {
    let text = markdown(&verdict(Verdict::Crash, false), &none());
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part:?} in\n{text}"));
    assert!(text.starts_with("## ❌ memcg: 2 cells: 1 as expected, 1 not\n"), "{text}");
    let beside = at("| ✅ FIXED | `open.v2.patched.overcharge` |");
    let surprise = at(
        "<details><summary>open.v2.patched.overcharge is CRASH, expected PASS: the reason</summary>",
    );
    let row = at("| `open.v2.patched.overcharge` | CRASH | **NO** | 0 | 0 | 160 KiB | 500 ms |\n");
    assert!(beside < surprise && surprise < row, "{text}");
    assert!(markdown(&good(), &none()).starts_with("## ✅ memcg: 2 cells: 2 as expected\n"));
    let mut worse = good();
    worse.totals.regressed = 1;
    let begin = "## ❌ memcg: 2 cells: 2 as expected, 1 REGRESSED\n";
    assert!(markdown(&worse, &none()).starts_with(begin));
}

#[test]
fn markdown_is_bounded_and_counts_what_it_leaves_out() {
    let bad = verdict(Verdict::Crash, false);
    let mut result = good();
    let pair = result.comparisons[0].clone();
    result.cells = (0..400).map(|_| bad.cells[1].clone()).collect();
    result.comparisons = vec![pair; 2500];
    let excerpt = "x <&> \n".repeat(1000);
    let excerpts = [(bad.cells[1].cell.id.clone(), excerpt)].into();
    let text = markdown(&result, &excerpts);
    assert!(text.len() < 1 << 20 && text.len() > 700_000, "{}", text.len());
    for part in
        [" more verdicts are left out here.\n", " more cells are left out here.\n", "### Cells"]
    {
        assert!(text.contains(part), "no {part:?}");
    }
}

#[test]
fn texts_of_a_kernel_mean_nothing_to_a_reader() {
    let why = "a # SKIP\nb <i>`|*@x Kernel panic - not syncing: VFS: \u{1b}[31m\u{2028}";
    let result = with(|cell| {
        (cell.first.judgement.verdict, cell.first.judgement.as_expected) = (Verdict::Crash, false);
        cell.first.judgement.why = why.to_owned();
    });
    let text = ktap(&result, &none());
    assert!(
        text.contains(
            "a \\# SKIP\u{fffd}b <i>`|*@x Kernel panic - not syncing: VFS\\: \u{fffd}[31m\u{fffd}\n"
        ),
        "{text}"
    );
    let text = markdown(&result, &none());
    assert!(text.contains("CRASH, expected PASS: a # SKIP\u{fffd}b &lt;i&gt;`|*@x"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn an_excerpt_is_the_report_that_names_the_verdict_and_is_bounded() {
    let flood = "y".repeat(100_000);
    let console = format!("quiet\n[    1.0] BUG: unable to handle page fault\u{0}\n{flood}\n");
    let text = excerpt(&console, Verdict::Crash);
    assert!(text.starts_with("[    1.0] BUG: unable to handle page fault\u{fffd}\nyyy"), "{text}");
    assert!(text.chars().count() < 1000, "{}", text.len());
    let many: String = (0..100_000).map(|n| format!("line {n}\n")).collect();
    let text = excerpt(&many, Verdict::Hang);
    assert_eq!(text.lines().count(), 30);
    assert!(text.ends_with("line 99999\n"), "{text}");
    assert!(wants_excerpt(&verdict(Verdict::Hang, false).cells[1]));
    assert!(!wants_excerpt(&verdict(Verdict::Fail, false).cells[1]));
}
