// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program that is named on the command line, as a scenario.

use protocol::CgroupVersion;

use super::*;
use crate::config::Load;
use crate::plan::{Selection, plan};

/// Of the policies of `patched`, if any are named only these.
pub(crate) fn load(policies: &[&str]) -> Load {
    Load {
        name: "repro-12345678".to_owned(),
        title: "repro.c: a C file".to_owned(),
        request: protocol::Program {
            argv: vec!["/exec/repro".to_owned()],
            env: Vec::new(),
            files_sha256: "f".to_owned(),
        },
        limit_bytes: 32 << 20,
        hog: true,
        killable: true,
        cgroup: CgroupVersion::V2,
        policies: policies.iter().map(|name| (*name).to_owned()).collect(),
        time_out_ms: 5000,
    }
}

fn cells(policies: &[&str]) -> Result<Vec<crate::plan::Cell>, Fault> {
    let mut config = good();
    config.add_program(load(policies), "default")?;
    plan(&config, config.matrix("default")?, &Selection::default())
}

#[test]
fn it_is_the_only_scenario_and_nothing_is_stated_of_it() {
    let all = cells(&[]).unwrap();
    let ids: Vec<&str> = all.iter().map(|cell| cell.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "repro-12345678.v2.baseline.mainline",
            "repro-12345678.v2.patched.off",
            "repro-12345678.v2.patched.overcharge"
        ]
    );
    let cell = &all[2];
    assert!(cell.expect.any && cell.expect.breaks.is_empty());
    assert_eq!(cell.expect.exercised[0].fact, "parent.events.max");
    assert_eq!(cell.note.problem[0].fact, "program.failed");
    let request = &cell.request;
    assert_eq!((request.hog_bytes, request.load_ms_max), (32 << 20, 5000));
    assert_eq!(request.program.as_ref().unwrap().argv, ["/exec/repro"]);
}

#[test]
fn only_named_policies_run_beside_the_baseline() {
    let all = cells(&["overcharge"]).unwrap();
    let policies: Vec<&str> = all.iter().map(|cell| cell.key.policy.as_str()).collect();
    assert_eq!(policies, ["mainline", "overcharge"]);
    let fault = cells(&["overchrage"]).unwrap_err();
    assert!(fault.what.contains("--policy overchrage"), "{}", fault.what);
    assert!(fault.hint.contains("overcharge"), "{}", fault.hint);
}

#[test]
fn without_a_baseline_only_pass_is_good_enough() {
    let mut config = good();
    config.add_program(load(&[]), "default").unwrap();
    config.matrices.get_mut("default").unwrap().baseline = None;
    let matrix = config.matrix("default").unwrap();
    let all = plan(&config, matrix, &Selection::default()).unwrap();
    assert!(all.iter().all(|cell| !cell.expect.any));
}

#[test]
fn without_a_baseline_and_a_limit_the_program_itself_must_succeed() {
    let mut config = good();
    let limit_bytes = crate::config::limit_bytes("none").unwrap();
    config.add_program(Load { limit_bytes, hog: false, ..load(&[]) }, "default").unwrap();
    let planned = |config: &Config| {
        plan(config, config.matrix("default").unwrap(), &Selection::default()).unwrap()
    };
    assert!(planned(&config).iter().all(|cell| cell.expect.facts.is_empty()));
    config.matrices.get_mut("default").unwrap().baseline = None;
    for cell in planned(&config) {
        assert_eq!(cell.expect.facts[0].fact, "program.failed");
        assert_eq!(cell.expect.facts[0].number.to_bits(), 0);
    }
}

#[test]
fn a_limit_is_a_size() {
    assert_eq!(crate::config::limit_bytes("32M").unwrap(), 32 << 20);
    assert_eq!(crate::config::limit_bytes("5").unwrap_err().exit, Exit::Usage);
}

#[test]
fn a_program_without_a_limit_need_not_meet_one() {
    let planned = |hog: bool| {
        let mut config = good();
        let limit_bytes = crate::config::limit_bytes("none").unwrap();
        config.add_program(Load { limit_bytes, hog, ..load(&[]) }, "default")?;
        plan(&config, config.matrix("default")?, &Selection::default())
    };
    assert!(planned(false).unwrap().iter().all(|cell| cell.expect.exercised.is_empty()));
    assert_eq!(planned(true).unwrap_err().hint, "give --limit SIZE");
}
