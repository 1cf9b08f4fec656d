// SPDX-License-Identifier: MIT OR Apache-2.0
//! The main job on real kernels: what the series changes, and that broken patches are caught.

use serde_json::Value;

use super::{Bench, counted, workspace};

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn the_default_matrix_is_as_expected_and_the_series_fixes_what_it_should() {
    let bench = Bench::new();
    bench.run(&["run-matrix"]).expect_exit(0).expect_output("FIXED");
    let result = bench.result();
    assert_valid(&result);

    let fact = |cell: &str, fact: &str| {
        judgement_of(&result, cell)["facts"][fact]
            .as_f64()
            .unwrap_or_else(|| panic!("{cell}: no fact {fact}"))
    };
    // The unpatched kernel loses opens when nothing is killable, and kills inside open() otherwise.
    assert!(fact("open-unkillable.v2.baseline.mainline", "open.ENOMEM") >= 1.0);
    assert!(fact("open-killable.v2.baseline.mainline", "kills.in_charge") >= 1.0);
    // Policy off does the same.
    assert!(fact("open-unkillable.v2.overcharge.off", "open.ENOMEM") >= 1.0);
    assert!(fact("open-killable.v2.overcharge.off", "kills.in_charge") >= 1.0);
    // The series loses none up to the cap, and kills only on the way back to user space.
    assert_eq!(fact("open-unkillable.v2.overcharge.overcharge", "open.errors"), 0.0);
    assert_eq!(fact("open-killable.v2.overcharge.overcharge", "kills.in_charge"), 0.0);
    assert!(fact("open-killable.v2.overcharge.overcharge", "kills.on_return") >= 1.0);
    // The headline: the load on one directory ends.
    assert_eq!(fact("create-contended.v2.baseline.mainline", "load.complete"), 0.0);
    assert!(fact("create-contended.v2.overcharge.overcharge", "load.ms") < 4000.0);

    // Where a cell begins makes no difference to what is said of it.
    bench.run(&["run-matrix", "--no-snapshot"]).expect_exit(0);
    assert!(!bench.results().join("latest/boots").exists());
    let booted = bench.result();
    for ran in result["cells"].as_array().expect("cells is a list") {
        let id = ran["cell"]["id"].as_str().expect("an id");
        let (one, other) = (judgement_of(&result, id), judgement_of(&booted, id));
        if ran["cell"]["expect"]["may_break"] != serde_json::json!([]) {
            // What the unpatched kernel does now and then it need not do both times.
            continue;
        }
        assert_eq!(one["verdict"], other["verdict"], "{id}: {one:#}\n{other:#}");
        let rules = |judgement: &Value| -> Vec<Value> {
            let checks = judgement["checks"].as_array().expect("checks is a list");
            checks
                .iter()
                .map(|check| [&check["rule"], &check["outcome"]].map(Value::clone).into())
                .collect()
        };
        assert_eq!(rules(one), rules(other), "{id}: {one:#}\n{other:#}");
    }
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn mutants_fail_by_the_invariant_that_must_catch_them() {
    let bench = Bench::new();
    bench
        .run(&["mutants", "never-reconciles", "no-cap", "leaks-charge"])
        .expect_exit(0)
        .expect_output("3 of 3 mutants caught; without a bug 3 of 3 cells as expected");
    let result = bench.result();
    for (cell, rule) in [
        ("open-killable.v2.mutant-never-reconciles.overcharge", "I3"),
        ("open-cap.v2.mutant-no-cap.overcharge", "I2"),
        ("open-unkillable.v2.mutant-leaks-charge.overcharge", "I5"),
    ] {
        let judgement = judgement_of(&result, cell);
        assert_eq!(judgement["verdict"], "FAIL", "{cell}: {judgement:#}");
        let breaks = judgement["breaks"].as_array().expect("breaks is a list");
        assert!(breaks.contains(&Value::from(rule)), "{cell}: {judgement:#}");
    }
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn show_makes_the_verdict_again_from_the_stored_evidence() {
    let bench = Bench::new();
    let cell = "open-unkillable.v2.baseline.mainline";
    bench.run(&["run-matrix", "--filter", cell]).expect_exit(0);
    bench.run(&["show", cell]).expect_exit(0).expect_output("FAIL").expect_output("ENOMEM");

    // Evidence that was changed afterwards proves nothing.
    let attempt = bench.results().join("latest/cells").join(cell).join("attempt-1");
    let events = std::fs::read_to_string(attempt.join("events.jsonl")).unwrap();
    let cut = events.trim_end().rsplit_once('\n').expect("more than one event").0;
    std::fs::write(attempt.join("events.jsonl"), format!("{cut}\n")).unwrap();
    let said = "events.jsonl: it is not the file that was sealed";
    bench.run(&["show", cell]).expect_exit(2).expect_error(said);
}

fn judgement_of<'a>(result: &'a Value, id: &str) -> &'a Value {
    let mut cells = result["cells"].as_array().expect("cells is a list").iter();
    let ran = cells.find(|ran| ran["cell"]["id"] == id);
    counted(ran.unwrap_or_else(|| panic!("no cell {id} in the result")))
}

pub(super) fn assert_valid(result: &Value) {
    let path = workspace().join("xtask/schema/result.schema.json");
    let schema = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    let broken: Vec<String> = validator.iter_errors(result).map(|e| e.to_string()).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}
