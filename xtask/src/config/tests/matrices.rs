// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which scenarios a matrix has: named, every other one, and all but some.

use super::super::Config;
use super::{PATCHED, SCENARIO, text, texts};

#[test]
fn a_matrix_can_do_without_some_scenarios_of_another() {
    let with = |without: &str| {
        let mut all = texts("default", "[\"open\"]", "[\"open\", \"close\"]");
        all.scenarios.push(text("scenarios", "close", SCENARIO));
        let child = format!("extends = \"default\"\nwithout = {without}\n");
        all.matrices.push(text("matrices", "fewer", &child));
        Config::read(&all)
    };
    assert_eq!(with("[\"open\"]").unwrap().matrix("fewer").unwrap().scenarios, ["close"]);
    let fault = with("[\"opne\"]").unwrap_err();
    let place = "configs/matrices/fewer.toml:2:12: `without`: `opne` is not one of the scenarios";
    assert_eq!(fault.what, place);
    assert!(fault.hint.contains("did you mean `open`"), "{}", fault.hint);
}

#[test]
fn a_star_is_every_other_scenario() {
    let with = |list: &str, child: &str| {
        let mut all = texts("default", "[\"open\"]", list);
        for name in ["close", "stat"] {
            all.scenarios.push(text("scenarios", name, SCENARIO));
        }
        let child = format!("extends = \"default\"\n{child}");
        all.matrices.push(text("matrices", "child", &child));
        let config = Config::read(&all).unwrap();
        ["default", "child"].map(|name| config.matrix(name).unwrap().scenarios.clone())
    };
    let [all, inherited] = with("[\"open\", \"*\"]", "");
    assert_eq!((all, inherited.len()), (vec!["open".into(), "close".into(), "stat".into()], 3));
    // What a matrix leaves out its children leave out too, unless they name scenarios.
    let [all, fewer] = with("[\"*\"]\nwithout = [\"open\"]", "without = [\"stat\"]\n");
    assert_eq!((all, fewer), (vec!["close".into(), "stat".into()], vec!["close".into()]));
    let [_, own] = with("[\"*\"]\nwithout = [\"open\"]", "scenarios = [\"open\"]\n");
    assert_eq!(own, ["open"]);
}

#[test]
fn a_matrix_may_extend_another_by_one_step() {
    let mut all = texts("", "", "");
    let second = "extends = \"baseline\"\nbase = \"7.3\"\n";
    all.kernels.push(text("kernels", "baseline-7.3", second));
    let other =
        "extends = \"default\"\nkernels = [\"baseline-7.3\"]\nbaseline = \"baseline-7.3\"\n";
    all.matrices.push(text("matrices", "other", other));
    let config = Config::read(&all).unwrap();
    let (matrix, default) = (config.matrix("other").unwrap(), config.matrix("default").unwrap());
    assert_eq!(matrix.kernels, ["baseline-7.3"]);
    assert_eq!(matrix.baseline.as_deref(), Some("baseline-7.3"));
    assert_eq!((&matrix.scenarios, &matrix.vm), (&default.scenarios, &default.vm));

    all.matrices.push(text("matrices", "third", "extends = \"other\"\n"));
    let fault = Config::read(&all).unwrap_err();
    assert!(fault.what.ends_with("`other` extends another matrix itself"), "{}", fault.what);
    all.matrices.pop();
    all.matrices.pop();
    // Kernels of its own have no baseline unless it says so.
    let other = other.replace("baseline = \"baseline-7.3\"\n", "");
    all.matrices.push(text("matrices", "other", &other));
    assert_eq!(Config::read(&all).unwrap().matrix("other").unwrap().baseline, None);
    all.matrices.pop();
    // A value that is wrong here is shown where it stands.
    let policies = "extends = \"default\"\nkernels = [\"odd\"]\n";
    all.kernels.push(text("kernels", "odd", &PATCHED.replace("\"mainline\"", "\"strange\"")));
    all.matrices.push(text("matrices", "other", policies));
    let fault = Config::read(&all).unwrap_err();
    assert!(
        fault
            .what
            .starts_with("configs/matrices/default.toml:4:14: scenario `open` does not state"),
        "{}",
        fault.what
    );
}
