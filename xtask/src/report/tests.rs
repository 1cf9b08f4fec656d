// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports of a hand-made run.

use serde_json::{Value, json};

use super::*;
use crate::outcome::{CellResult, RunResult, Totals};
use crate::taxonomy::Verdict;
use crate::verdict::Score;
use crate::verdict::tests::run::{benches, cell, result};
use crate::verdict::tests::{Bench, OPEN};

const SCHEMA: &str = include_str!("../../schema/result.schema.json");

#[test]
fn every_format_says_what_fuzz_accepted() {
    let hunk = "0001-a.patch: mm/a.c: hunk 1 applies only with fuzz 2, at line 3";
    let mut result = result(benches().iter().map(cell).collect());
    let kernels = &mut result.manifest.kernels;
    kernels.get_mut("baseline").unwrap().fuzz.push(hunk.to_owned());
    let excerpts = super::export::Excerpts::default();
    for (format, text) in [
        ("terminal", run(&result, "results/x", Style::default())),
        ("JUnit", export::junit(&result, &excerpts).unwrap()),
        ("KTAP", export::ktap(&result, &excerpts)),
        ("Markdown", export::markdown(&result, &excerpts)),
        ("KCIDB", export::kcidb(&result, &excerpts, "lab").to_string()),
        ("HTML", html_page(&result, &[])),
        ("JSON", serde_json::to_string(&result).unwrap()),
    ] {
        let text = text.replace('\\', "");
        assert!(text.contains("--fuzz") || format == "JSON" || format == "KCIDB", "{format}");
        assert!(text.contains(hunk), "{format} lacks the hunk: {text}");
    }
}

#[test]
fn the_table_of_a_good_run() {
    let good = result(benches().iter().map(cell).collect());
    insta::assert_snapshot!(run(&good, "results/latest", Style::default()));
}

#[test]
fn what_was_not_expected_is_told_with_the_reason() {
    let [baseline, patched] = benches();
    let bad = patched.set(OPEN, "/succeeded", 999).set(OPEN, "/errnos", json!({ "EFAULT": 1 }));
    let mut cells = vec![cell(&baseline), cell(&bad)];
    let text = run(&result(cells.clone()), "results/latest", Style::default());
    insta::assert_snapshot!(text);
    assert!(!result(cells.clone()).totals.good());
    cells[1].again = Some(cell(&Bench::overcharge()).first);
    let flaky = result(cells);
    let text = run(&flaky, "results/latest", Style::default());
    assert!(text.contains("\n2 cells: 1 as expected, 1 flaky ("), "{text}");
    assert!(text.contains("  rerun alone: PASS: "), "{text}");
    assert!(!flaky.totals.good(), "a flaky cell is no good cell");
    let [counts, compared] = [flaky.cells[1].judgement(), flaky.cells[1].as_baseline()];
    assert_eq!([counts, compared].map(|one| one.as_expected), [false, true]);
    // An ERROR is the host's: what counts is the second try, and the first is still told.
    let mut cells = flaky.cells;
    cells[1].first.judgement.verdict = Verdict::Error;
    cells[1].first.judgement.why = "QEMU ended by itself".to_owned();
    let retried = result(cells);
    let text = run(&retried, "results/latest", Style::default());
    assert!(text.contains("overcharge  PASS     2nd try   "), "{text}");
    assert!(text.contains("the first try was ERROR: QEMU ended by itself"), "{text}");
    assert!(retried.totals.good());
    let mut cells = retried.cells;
    cells[1].first.judgement.verdict = Verdict::Inconclusive;
    assert!(result(cells).totals.good(), "the path did not run, so nothing is known of it");
}

#[test]
fn one_fault_in_two_cells_is_told_once() {
    let text = run(&faults::tests::crashed(false), "results/x", Style::default());
    let (_, text) = text.split_once("\n\n").unwrap();
    let (text, _) = text.split_once("\n\n").unwrap();
    insta::assert_snapshot!(text, @r"
    open.v2.baseline.mainline is CRASH, expected FAIL I1
      one fault in 2 cells: CRASH WARN: WARNING: CPU: N PID: N at mm/x.c:N f
      also in open.v2.patched.overcharge
      WARN: WARNING: CPU: 0 PID: 7 at mm/x.c:61 f+0x4e/0x60
      cargo xtask show open.v2.baseline.mainline --run 2026-01-31T04-00-00Z
    ");
}

#[test]
fn nothing_run_and_cells_left_out_are_no_success() {
    assert!(!Totals::of(0, &[], &[]).good());
    let cells: Vec<CellResult> = benches().iter().map(cell).collect();
    assert!(Totals::of(2, &cells, &[]).good());
    assert!(!Totals::of(3, &cells, &[]).good());
}

#[test]
fn a_regression_is_no_success_though_every_cell_is_as_expected() {
    let mut good = result(benches().iter().map(cell).collect());
    let mut side = good.comparisons[0].clone();
    side.outcome = crate::outcome::Differential::Regressed;
    let sides = [side];
    let totals = Totals::of(2, &good.cells, &sides);
    assert_eq!((totals.regressed, totals.good()), (1, false));
    good.totals = totals;
    let text = run(&good, "results/latest", Style::default());
    assert!(text.contains("\n2 cells: 2 as expected, 1 REGRESSED ("), "{text}");
}

#[test]
fn colours_come_only_when_asked_for() {
    let result = result(benches().iter().map(cell).collect());
    assert!(!run(&result, "f", Style::default()).contains('\u{1b}'));
    let coloured = run(&result, "f", Style { colour: true, columns: None });
    assert!(coloured.contains("\u{1b}[32mPASS"), "{coloured}");
    assert_eq!(
        cell_line(&result.cells[1], Style::default()),
        "PASS         open.v2.patched.overcharge (2.4 s)"
    );
}

#[test]
fn a_cell_is_shown_with_all_its_evidence() {
    let mut bench = Bench::overcharge();
    bench.logs(
        "[    0.7] actor-0 invoked oom-killer: gfp_mask=0x400cc0(GFP_KERNEL_ACCOUNT), order=0\n\
         [    0.7]  out_of_memory+0x1/0x2\n[    0.7]  memcg_overcharge_reconcile+0x1/0x2\n\
         [    0.7]  syscall_exit_to_user_mode+0x1/0x2\n\
         [    0.7] Memory cgroup out of memory: Killed process 71 (hog) total-vm:1kB\n\
         [    0.8] BUG: Bad page state in process actor-0\n[    0.8]  </TASK>\n",
    );
    let cells = vec![cell(&bench)];
    let result = result(cells);
    let text = show(
        &result.manifest,
        &result.cells[0],
        &bench.evidence,
        Err("the kernel is not in the cache"),
        ("results/r/cells/c", None),
        Style::default(),
    );
    insta::assert_snapshot!(text);
}

#[test]
fn the_chart_marks_the_limit_and_looks_closer_at_a_small_overrun() {
    let mib = 1 << 20;
    let chart = chart::usage(&[(0, 0), (500_000, 8 * mib), (1_000_000, 2 * mib)], 4 * mib);
    let lines: Vec<&str> = chart.lines().collect();
    assert_eq!(lines.len(), 9);
    assert!(lines[0].starts_with("         8 MiB |"), "{chart}");
    assert!(lines[4].starts_with("     max 4 MiB |-----"), "{chart}");
    assert!(lines[7].starts_with("           0 B |"), "{chart}");
    assert_eq!(lines[8], "               0 .. 1.0 s");
    let close = chart::usage(&[(0, 0), (9, 4 * mib + 65536)], 4 * mib);
    assert!(close.lines().nth(7).unwrap().starts_with("       3.8 MiB |"), "{close}");
    assert_eq!(chart::usage(&[], mib), "");
}

#[test]
fn the_result_file_can_be_read_again_and_an_other_version_is_refused() {
    let written = result(benches().iter().map(cell).collect());
    let text = serde_json::to_string(&written).unwrap();
    assert_eq!(serde_json::from_str::<RunResult>(&text).unwrap(), written);
    let other = text.replacen("\"schema_version\":4", "\"schema_version\":5,\"new\":0", 1);
    let error = serde_json::from_str::<RunResult>(&other).unwrap_err().to_string();
    assert!(error.starts_with("it has schema version 5 and this harness reads 4"), "{error}");
}

#[test]
fn the_schema_is_that_of_the_types() {
    let text = serde_json::to_string_pretty(&crate::outcome::schema()).unwrap();
    let how = "cargo xtask export --format json-schema --output xtask/schema/result.schema.json";
    assert!(SCHEMA == format!("{text}\n"), "the stored schema is another one; write it:\n{how}");
}

#[test]
fn the_result_file_keeps_its_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut cells: Vec<CellResult> = benches().iter().map(cell).collect();
    cells[0].again = Some(cells[1].first.clone());
    let good = serde_json::to_value(result(cells)).unwrap();
    if let Some(error) = validator.iter_errors(&good).next() {
        panic!("{error} at {}", error.instance_path);
    }
    let judgement = "/cells/1/first/judgement";
    for (pointer, wrong) in [
        ("/schema_version", json!(5)),
        ("/manifest/accelerator", json!("xen")),
        ("/cells/0/cell/id", json!("a/b")),
        ("/cells/0/cell/request/policy", json!("off")),
        ("/cells/0/again/wall_ms", json!(-1)),
        ("/cells/1/first/marks/0/kind", json!("forgiven")),
        ("/cells/1/first/marks/0/end", json!("forgotten")),
        (&format!("{judgement}/verdict"), json!("OK")),
        (&format!("{judgement}/verdict"), json!("FAIL")),
        (&format!("{judgement}/breaks"), json!(["I1"])),
        (&format!("{judgement}/facts/kills"), json!("0")),
        (&format!("{judgement}/checks/0/outcome"), json!("good")),
        ("/comparisons/0/outcome", json!("better")),
        ("/totals/verdicts", json!({ "OK": 1 })),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = wrong;
        assert!(!validator.is_valid(&bad), "{pointer} may be anything");
    }
    for (pointer, key) in
        [("", "cells"), ("/manifest", "seed"), ("/cells/0", "again"), (judgement, "facts")]
    {
        let mut bad = good.clone();
        bad.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
        assert!(!validator.is_valid(&bad), "{pointer}/{key} may be missing");
        let mut more = good.clone();
        more.pointer_mut(pointer).unwrap()["unheard_of"] = json!(1);
        assert!(!validator.is_valid(&more), "{pointer} may hold anything");
    }
}

#[test]
fn repetitions_are_told_by_their_spread() {
    let repeated = |ms: u64| {
        let mut cell = cell(&Bench::overcharge());
        cell.first.judgement.facts.insert("load.ms".into(), ms as f64);
        cell
    };
    let once = run(&result(vec![repeated(100)]), "results/latest", Style::default());
    assert!(!once.contains("over the repetitions"), "{once}");
    let mut cells = vec![repeated(300), repeated(100), repeated(200)];
    cells[1].first.judgement.facts.remove(&"open.max_us".into());
    let text = run(&result(cells), "results/latest", Style::default());
    insta::assert_snapshot!(text);
}

#[test]
fn mutants_end_with_a_score_that_equivalent_ones_have_no_part_in() {
    let (_, trials) = crate::plan::tests::mutants_of(&[]).unwrap();
    let result = result(vec![cell(&Bench::overcharge())]);
    let ran = result.cells.first();
    let rows = |score: Score| -> Vec<MutantRow<'_>> {
        let row = |(trial, score)| MutantRow { trial, ran, control: ran, score };
        trials.iter().zip([score, Score::Equivalent]).map(row).collect()
    };
    let text = |score| mutants(&result, &rows(score), "results/x", Style::default());
    let caught = text(Score::Caught);
    assert!(caught.contains("1 of 1 mutant caught; without a bug 1 of 1 cell"), "{caught}");
    assert!(caught.contains("no-change is equivalent: because"), "{caught}");
    assert!(!caught.contains("was not caught"), "{caught}");
    let line = caught.lines().find(|line| line.starts_with("no-cap")).unwrap();
    assert!(line.contains("open.v2.overcharge  E peak_bytes"), "{line}");
    let survived = text(Score::Survived);
    assert!(survived.contains("no-cap was not caught: no rule was broken"), "{survived}");
    assert!(survived.contains("0 of 1 mutant caught"), "{survived}");
    assert!(all_caught(&rows(Score::Caught)));
    for score in [Score::Survived, Score::Otherwise, Score::OnlyTime, Score::Flaky]
        .into_iter()
        .chain([Score::Control, Score::NoVerdict, Score::Equivalent])
    {
        assert!(!all_caught(&rows(score)), "{score:?}");
    }
}

#[test]
fn a_soak_finds_a_wrong_verdict_even_where_the_second_was_right() {
    let good = cell(&Bench::overcharge());
    let then_good = |first: &Bench| {
        let again = Some(good.first.clone());
        result(vec![CellResult { again, ..cell(first) }])
    };
    let failed = Bench::overcharge().set(OPEN, "/succeeded", 999).set(
        OPEN,
        "/errnos",
        json!({ "ENOMEM": 1 }),
    );
    let mut torn = Bench::overcharge();
    torn.evidence.torn_lines.push("x".to_owned());
    assert_eq!(cell(&torn).judgement().verdict, Verdict::Error);
    assert!(soaked(&result(vec![good.clone()]), &[]));
    assert!(soaked(&then_good(&torn), &[]), "the harness said itself that it had no verdict");
    assert!(!soaked(&then_good(&failed), &[]));
    assert!(!soaked(&result(vec![cell(&torn)]), &[]));
    assert!(!soaked(&result(Vec::new()), &[]));
    let fault = ConsoleFault { cell: "a".to_owned(), title: "BUG".to_owned() };
    assert!(!soaked(&result(vec![good.clone()]), &[fault]));
    let text = soak(&then_good(&failed), &[], "results/latest", Style::default());
    assert!(text.contains("at first 1 with another verdict"), "{text}");
}
