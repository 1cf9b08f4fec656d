// SPDX-License-Identifier: MIT OR Apache-2.0
//! A matrix in parts, each a process of its own, beside the same matrix run whole.

use serde_json::Value;

use super::verdicts::assert_valid;
use super::{Bench, counted};

const MATRIX: &str = r#"
kernels = ["baseline", "overcharge"]
baseline = "baseline"
scenarios = ["open-unkillable"]

[vm]
cpus = 2
memory = "512M"
"#;
/// Without `boot-kmem`: on each interface a baseline and two policies of the other kernel.
const CELLS: [&str; 4] = ["--filter", "*.mainline", "--filter", "*.o*.o*"];

#[test]
fn a_part_of_no_plan_is_refused() {
    let bench = Bench::new();
    let part = |words: &[&str]| bench.run(&[&["run-matrix", "--dry-run"], words].concat());
    part(&["--partition", "3/2"]).expect_exit(2).expect_error("write K/N");
    part(&["--partition", "1/1000"])
        .expect_exit(2)
        .expect_error("cannot be divided into 1000 parts");
    part(&["--plan", "x.json"]).expect_exit(2).expect_error("--partition");
    part(&["--plan", "x.json", "--partition", "1/2"])
        .expect_exit(2)
        .expect_error("x.json: No such file");
    part(&["--plan", "x.json", "--partition", "1/2", "--seed", "2"]).expect_exit(2);
    // A night of another source would be compared with those of the base.
    let other = ["--night", "--source", "7.3=/src/linux"];
    part(&other).expect_exit(2).expect_error("cannot be used with");
    bench.run(&[&["plan", "--parts", "2"], &other[..]].concat()).expect_exit(2);
    let [one, two] = ["1/2", "2/2"].map(|share| part(&["--partition", share]).stdout);
    let mut both: Vec<&str> = one.lines().chain(two.lines()).collect();
    let whole = part(&[]).stdout;
    let mut all: Vec<&str> = whole.lines().collect();
    both.sort_unstable();
    all.sort_unstable();
    assert_eq!(both, all);
    let nothing = bench.folder.path().to_str().expect("a UTF-8 path");
    bench.run(&["merge", nothing]).expect_exit(2).expect_error("no part of a run in this folder");
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn parts_of_a_plan_merged_are_the_run_that_one_machine_makes() {
    let bench = Bench::new();
    bench.write("matrices/parts.toml", MATRIX);
    let matrix = [&["--matrix", "parts"][..], &CELLS].concat();
    bench.run(&[&["run-matrix"], &matrix[..]].concat()).expect_exit(0);
    let whole = bench.result();

    // Planned from what the cells took in that run.
    let plan = bench.folder.path().join("plan.json");
    let plan = plan.to_str().expect("a UTF-8 path");
    let words = [&["plan", "--parts", "3", "--output", plan, "--variables"], &matrix[..]].concat();
    bench
        .run(&words)
        .expect_exit(0)
        .expect_output("parts=[1,2,3]\nkernels=baseline overcharge\nkey=");
    let part = |share: &str| {
        bench.run(&["run-matrix", "--plan", plan, "--partition", share]).expect_exit(0);
    };
    let parts = bench.results().join("parts");
    let parts = parts.to_str().expect("a UTF-8 path");
    part("3/3");
    part("1/3");
    bench.run(&["merge", parts]).expect_exit(2).expect_error("of 3 parts there is no part 2");
    partial(&bench, parts);
    // A part whose machine was taken away.
    let torn = bench.results().join("parts/2026-01-01T00-00-00Z");
    std::fs::create_dir(&torn).unwrap();
    part("2/3");
    let record = bench.results().join("parts/latest/part.json");
    std::fs::copy(record, torn.join("part.json")).unwrap();
    // Of pairs whose halves ran in different parts only the whole can tell.
    bench
        .run(&["merge", parts])
        .expect_exit(0)
        .expect_output("FIXED")
        .expect_error("the part has not ended: left out, because part 2 ran again");
    let merged = bench.result();
    assert_valid(&merged);
    assert_eq!(told(&merged), told(&whole));
    assert_eq!(on_patch(&merged), on_patch(&whole));
    assert!(!on_patch(&merged).is_empty());

    // Read as any other run.
    bench.run(&["show", "open-unkillable.v2.baseline"]).expect_exit(0).expect_output("FAIL I1");
    let listed = bench.run(&["list", "runs"]).stdout;
    assert_eq!(listed.lines().count(), 4, "{listed}");
    let name = |run: &Value| run["run"].as_str().expect("a name").to_owned();
    bench
        .run(&["compare", &name(&whole), &name(&merged)])
        .expect_output("6 cells on both sides: 0 worse, 0 flaky");
    // A filtered run stands for no matrix.
    bench.run(&["compare", &name(&whole)]).expect_exit(2).expect_error("every run is filtered");
    bench.run(&["history"]).expect_exit(0).expect_output("parts\n");
    assert!(bench.results().join("history.html").exists());

    part("2/3");
    bench.run(&["merge", parts]).expect_exit(2).expect_error("part 2 of 3 is there twice");
    bench.write("matrices/parts.toml", &format!("{MATRIX}# edited\n"));
    bench
        .run(&["run-matrix", "--plan", plan, "--partition", "1/3"])
        .expect_exit(2)
        .expect_error("other configs");
}

/// What is there, without part 2: it says so everywhere, and is no success.
fn partial(bench: &Bench, parts: &str) {
    let missing = "part 2 of 3 missing";
    bench
        .run(&["merge", "--partial", parts])
        .expect_exit(9)
        .expect_output(&format!("INCOMPLETE: {missing}"));
    let result = bench.result();
    assert_valid(&result);
    assert_eq!(result["manifest"]["missing_parts"], serde_json::json!([2]));
    let of = |part: usize| result["manifest"]["parts"][part]["part"].as_u64();
    assert_eq!((of(0), of(1)), (Some(1), Some(3)));
    bench
        .run(&["export", "latest", "--format", "junit"])
        .expect_exit(0)
        .expect_output("INCOMPLETE")
        .expect_output(missing);
    let page = bench.results().join("latest/report.html");
    let page = std::fs::read_to_string(page).expect("a report");
    assert!(page.contains(&format!("incomplete: {missing}")));
    bench.run(&["list", "runs"]).expect_output(missing);
    bench.run(&["report"]).expect_exit(9).expect_output(missing);
}

/// Each cell with what was judged of it, in order.
fn told(result: &Value) -> Vec<[Value; 4]> {
    let cells = result["cells"].as_array().expect("cells is a list");
    let told = cells.iter().map(|ran| {
        let judgement = counted(ran);
        [&ran["cell"], &judgement["verdict"], &judgement["breaks"], &judgement["as_expected"]]
            .map(Value::clone)
    });
    told.collect()
}

/// The verdicts on the patch. Their numbers differ from run to run.
fn on_patch(result: &Value) -> Vec<[Value; 2]> {
    let comparisons = result["comparisons"].as_array().expect("comparisons is a list");
    comparisons.iter().map(|one| ["cell", "outcome"].map(|name| one[name].clone())).collect()
}
