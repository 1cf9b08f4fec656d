// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages of hand-made runs. What browsers and validators say of a real one is asked in
//! `tests/html_readers`.

use protocol::{DebtEnd, Fact, Operations, ProcessEnd, ProcessEnded, ProcessRole, Sigkill};

use super::*;
use crate::evidence::Evidence;
use crate::evidence::oom::Origin;
use crate::outcome::Mark;
use crate::taxonomy::Verdict;
use crate::verdict::tests::Bench;
use crate::verdict::tests::run::{benches, cell as ran, result};

const SCRIPT: &str = "</li></code></style><script>alert(1)</script>\u{0}\u{1b}[31m\u{202e}\"'";

fn drawn(run: &RunResult, evidence: &[Result<&Evidence, &str>]) -> String {
    let symbols = || Err("the kernel is not in the cache");
    let parts: Vec<Part> = run
        .cells
        .iter()
        .zip(evidence)
        .map(|(cell, evidence)| {
            super::cell(
                &run.manifest,
                cell,
                &Stored { evidence: *evidence, symbols: symbols(), series: None },
            )
        })
        .collect();
    page(run, &parts)
}

#[track_caller]
fn has(html: &str, parts: &[&str]) {
    for part in parts {
        assert!(html.contains(part), "no {part:?} in:\n{html}");
    }
}

#[test]
fn a_page_has_verdicts_the_matrix_and_the_evidence_in_this_order() {
    let [baseline, patched] = benches();
    let run = result(vec![ran(&baseline), ran(&patched)]);
    let html = drawn(&run, &[Ok(&baseline.evidence), Ok(&patched.evidence)]);
    has(
        &html,
        &[
            "2 of 2 cells as expected",
            "<code>open.ENOMEM &gt;= 1</code>",
            ">open.ENOMEM 50 (FAIL)<",
            ">open.ENOMEM 0 (PASS)<",
            "href=\"#cell-open-v2-patched-overcharge\"",
            "id=\"cell-open-v2-patched-overcharge\"",
            "50 ENOMEM lost · 500 ms",
            "+160 KiB · 500 ms",
            "FAIL I1",
            "I2 bound",
            "peak 4358144 - max 4194304 = 163840",
            "max 4 MiB",
            "at 9 ms charged over the limit (3 charges, up to 160 KiB over), reconciled after 300 us",
            "the load ended at 500 ms",
            "cargo xtask run-matrix --matrix default --filter &apos;open.v2.patched.overcharge&apos; --seed 1"
                .replace("&apos;", "'")
                .as_str(),
        ],
    );
    let at = |part: &str| html.find(part).unwrap_or_else(|| panic!("no {part}"));
    assert!(at("id=\"verdicts\"") < at("id=\"matrix\""));
    assert!(at("id=\"matrix\"") < at("id=\"cells\""));
    assert!(!html.contains("http://") && !html.contains("https://"), "it stands alone");
    assert!(!html.contains("<script"), "it needs no script");
}

/// The page, one element a line, without its style sheet.
#[test]
fn a_page_of_a_good_run() {
    let [baseline, patched] = benches();
    let run = result(vec![ran(&baseline), ran(&patched)]);
    let html = drawn(&run, &[Ok(&baseline.evidence), Ok(&patched.evidence)]);
    let (before, rest) = html.split_once("<style>").unwrap();
    let (_, after) = rest.split_once("</style>").unwrap();
    insta::assert_snapshot!(format!("{before}{after}").replace("><", ">\n<"));
}

#[test]
fn every_differential_verdict_is_on_the_page() {
    let [baseline, patched] = benches();
    let mut run = result(vec![ran(&baseline), ran(&patched)]);
    let side = run.comparisons[0].clone();
    for outcome in overview::ORDER {
        run.comparisons = vec![crate::outcome::Comparison { outcome, ..side.clone() }];
        let html = drawn(&run, &[Ok(&baseline.evidence), Ok(&patched.evidence)]);
        let word = outcome.to_string();
        assert_eq!(html.matches(&format!("</span> {word}<")).count(), 2, "tile and row of {word}");
    }
    let all: std::collections::BTreeSet<_> =
        overview::ORDER.map(|outcome| outcome.to_string()).into();
    assert_eq!(all.len(), overview::ORDER.len(), "each once");
}

#[test]
fn a_problem_that_a_policy_is_stated_to_leave_is_no_alarm() {
    let [baseline, patched] = benches();
    let mut run = result(vec![ran(&baseline), ran(&patched)]);
    run.comparisons[0].outcome = crate::outcome::Differential::NotFixed;
    let page = |run: &RunResult| drawn(run, &[Ok(&baseline.evidence), Ok(&patched.evidence)]);
    has(&page(&run), &["1 time NOT FIXED: both show the problem, as the scenario expects"]);
    run.cells[1].first.judgement.as_expected = false;
    assert!(!page(&run).contains("as the scenario expects of"));
}

#[test]
fn nothing_that_was_said_becomes_markup() {
    let [baseline, mut patched] = benches();
    patched.evidence.console =
        format!("[ 1.0] BUG: {SCRIPT}\n[ 1.0]  f+0x1/0x2 {SCRIPT}\n{}", "x".repeat(100_000));
    for event in &mut patched.evidence.events {
        if let Fact::Operations(Operations { op, .. }) = &mut event.fact {
            *op = SCRIPT.to_owned();
        }
    }
    let mut run = result(vec![ran(&baseline), ran(&patched)]);
    run.run = SCRIPT.to_owned();
    run.manifest.matrix = SCRIPT.to_owned();
    run.manifest.qemu = SCRIPT.to_owned();
    run.manifest.command = vec![SCRIPT.to_owned()];
    run.comparisons[0].problem[0].fact = crate::taxonomy::FactName::Instructions(SCRIPT.to_owned());
    for ran in &mut run.cells {
        let note = &mut ran.cell.note;
        (note.title, note.about) = (SCRIPT.to_owned(), SCRIPT.to_owned());
    }
    let cell = &mut run.cells[1];
    cell.cell.id = format!("a b {SCRIPT}");
    cell.cell.key.kernel = SCRIPT.to_owned();
    cell.first.folder = SCRIPT.to_owned();
    cell.first.judgement.why = SCRIPT.to_owned();
    cell.first.judgement.checks[0].said = SCRIPT.to_owned();
    cell.first
        .judgement
        .facts
        .insert(crate::taxonomy::FactName::Instructions(SCRIPT.to_owned()), 1.0);
    let html = drawn(&run, &[Err(SCRIPT), Ok(&patched.evidence)]);
    assert!(!html.contains("<script"), "{html}");
    assert_eq!(html.matches("</style>").count(), 1, "{html}");
    assert!(!html.contains(['\0', '\u{1b}', '\u{202e}']), "bytes that no page may have");
    assert!(html.matches("&lt;script&gt;alert(1)").count() > 12, "{html}");
    assert!(html.len() < 200_000, "{} bytes: a long line is cut", html.len());
}

#[test]
fn what_was_not_expected_comes_first_and_says_so_in_words() {
    let [baseline, patched] = benches();
    let mut run = result(vec![ran(&baseline), ran(&patched)]);
    run.cells[1].first.judgement.as_expected = false;
    run.cells[1].first.judgement.verdict = Verdict::Crash;
    run.cells[1].again = Some(run.cells[1].first.clone());
    run.totals = crate::outcome::Totals::of(3, &run.cells, &run.comparisons);
    let html = drawn(&run, &[Ok(&baseline.evidence), Err("no events.jsonl")]);
    has(
        &html,
        &[
            "1 of 3 cells as expected",
            "1 not as expected",
            "1 did not run",
            "NOT as expected",
            "Expected was <strong>PASS</strong>",
            "rerun alone it was",
            "console cannot be shown: no events.jsonl",
        ],
    );
    assert!(html.find("surprises\">").unwrap() < html.find("id=\"verdicts\"").unwrap());
}

#[test]
fn a_kill_is_marked_when_the_signal_was_sent_and_with_its_origin() {
    let mut bench = Bench::overcharge();
    bench.logs(
        "[ 0.7] actor-0 invoked oom-killer: gfp_mask=0x400cc0(GFP_KERNEL_ACCOUNT), order=0\n\
         [ 0.7]  try_charge_memcg+0x1/0x2\n[ 0.7]  obj_cgroup_charge_pages+0x1/0x2\n\
         [ 0.7] Memory cgroup out of memory: Killed process 70 (actor-0) total-vm:1kB\n",
    );
    for event in &mut bench.evidence.events {
        match &mut event.fact {
            Fact::ProcessEnded(ProcessEnded { pid: 70, end, .. }) => *end = ProcessEnd::Signaled(9),
            Fact::Charges(charges) => charges.sigkills = vec![Sigkill { pid: 70, at_us: 250_000 }],
            _ => {}
        }
    }
    let run = result(vec![ran(&bench)]);
    let role = ProcessRole::Actor;
    let kill = Mark::Killed {
        at_us: Some(250_000),
        gone_us: 600_000,
        pid: 70,
        role,
        from: Some(Origin::Charge),
    };
    let marks = &run.cells[0].first.marks;
    assert_eq!(marks[1], kill);
    assert!(matches!(marks[0], Mark::Overcharged { end: DebtEnd::Paid, .. }));
    let html = drawn(&run, &[Ok(&bench.evidence)]);
    has(
        &html,
        &[
            "actor 70 was killed at 250 ms, inside the charge of kernel memory; seen gone at 600 ms",
            "<line class=\"kill\" x1=\"49.91%\"",
            "OOM report: killed 70, inside the charge of kernel memory",
            "<mark>[ 0.7]  try_charge_memcg+0x1/0x2</mark>",
            "Functions without file and line: the kernel is not in the cache.",
        ],
    );
}

#[test]
fn a_run_with_nothing_in_it_is_a_page_too() {
    let run = result(Vec::new());
    let html = drawn(&run, &[]);
    has(&html, &["0 of 0 cells as expected", "badge bad", "Unknown: this run has"]);
}
