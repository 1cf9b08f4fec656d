// SPDX-License-Identifier: MIT OR Apache-2.0
//! Matrices, and the cells they must give.
mod variants;

use super::*;
use crate::config::tests::good;
use crate::config::{Comparison, Condition, UserSeries};
use crate::taxonomy::Verdict;

fn ids(selection: &Selection) -> Result<Vec<String>, Fault> {
    let config = good();
    let cells = plan(&config, config.matrix("default").unwrap(), selection)?;
    Ok(cells.into_iter().map(|cell| cell.id).collect())
}

fn filter(filters: &[&str]) -> Selection {
    Selection { filters: filters.iter().map(|f| (*f).to_owned()).collect(), ..Selection::default() }
}

#[test]
fn the_baseline_comes_first_and_ids_are_folder_names() {
    let all = ids(&Selection::default()).unwrap();
    assert_eq!(
        all,
        ["open.v2.baseline.mainline", "open.v2.patched.off", "open.v2.patched.overcharge"]
    );
    let thrice = ids(&Selection { repetitions: Some(3), ..Selection::default() }).unwrap();
    assert_eq!(thrice.len(), 9);
    assert_eq!(thrice[0], "open.v2.baseline.mainline.r1");
    let unique: std::collections::BTreeSet<_> = thrice.iter().collect();
    assert_eq!(unique.len(), 9);
    assert!(
        thrice.iter().all(|id| id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)))
    );
}

#[test]
fn filters_are_parts_or_globs_and_any_of_them_selects() {
    assert_eq!(ids(&filter(&["patched"])).unwrap().len(), 2);
    assert_eq!(ids(&filter(&["open*.off"])).unwrap(), ["open.v2.patched.off"]);
    assert_eq!(ids(&filter(&["*.off", "baseline"])).unwrap().len(), 2);
    assert_eq!(ids(&filter(&["*.v?.*.{off,mainline}"])).unwrap().len(), 2);
    let ten = |word| ids(&Selection { repetitions: Some(10), ..filter(&[word]) }).unwrap().len();
    assert_eq!(ten("open.v2.patched.off.r1"), 1, "an id is no part of another one");
    assert_eq!(ten("patched.off.r1"), 2);
}

#[test]
fn selecting_nothing_is_a_fault_with_the_nearest_ids() {
    let fault = ids(&filter(&["overchage"])).unwrap_err();
    assert_eq!(fault.exit, Exit::Usage);
    assert_eq!(fault.what, "matrix `default`: no cell matches --filter overchage");
    assert!(
        fault.hint.starts_with("the nearest of 3 cells: open.v2.patched.overcharge, "),
        "{}",
        fault.hint
    );
    assert!(ids(&filter(&["a[b"])).unwrap_err().what.starts_with("--filter: "));
}

#[test]
fn a_filter_that_another_matrix_has_cells_for_names_it() {
    let mut config = good();
    let matrix = config.matrix("default").unwrap().clone();
    let smaller = Matrix { kernels: vec!["baseline".into()], ..matrix.clone() };
    for name in ["all", "full"] {
        config.matrices.insert(name.into(), Matrix { name: name.into(), ..matrix.clone() });
    }
    let hint = |word| plan(&config, &smaller, &filter(&[word])).unwrap_err().hint;
    assert_eq!(hint("patched.off"), "matrix `full` has such cells: --matrix full");
    assert!(hint("patched.of-").starts_with("the nearest of 1 cells"));
}

#[test]
fn each_of_several_filters_must_select_something() {
    for filters in [&["patched", "baselnie"][..], &["baselnie", "patched"]] {
        let fault = ids(&filter(filters)).unwrap_err();
        assert_eq!(fault.exit, Exit::Usage);
        assert_eq!(fault.what, "matrix `default`: no cell matches --filter baselnie");
        assert!(fault.hint.contains("open.v2.baseline.mainline"), "{}", fault.hint);
    }
}

#[test]
fn a_part_of_a_plan_need_not_have_a_cell_for_every_filter() {
    let selection = filter(&["*.off", "*.mainline"]);
    let config = good();
    let cells = plan(&config, config.matrix("default").unwrap(), &selection).unwrap();
    let origin = Origin {
        harness: String::new(),
        commit: None,
        sources_sha256: String::new(),
        configs_sha256: String::new(),
    };
    let whole = Plan {
        schema_version: PLAN_VERSION,
        nonce: String::new(),
        origin,
        matrix: "default".to_owned(),
        filters: selection.filters,
        repetitions: None,
        seed: 1,
        night: false,
        series: None,
        kernels: std::collections::BTreeMap::new(),
        parts: divide(&cells, |_| 1, 2).unwrap(),
    };
    for part in [1, 2] {
        let again = plan(&config, config.matrix("default").unwrap(), &whole.selection()).unwrap();
        assert_eq!(whole.share(again, Share { part, of: 2 }).unwrap().len(), 1);
    }
}

#[test]
fn both_sides_of_a_difference_get_the_same_load() {
    let config = good();
    let of = |seed| {
        let selection = Selection { run_seed: seed, repetitions: Some(2), ..Selection::default() };
        plan(&config, config.matrix("default").unwrap(), &selection).unwrap()
    };
    let cells = of(7);
    let seed = |id: &str| cells.iter().find(|cell| cell.id == id).unwrap().request.seed;
    let first = seed("open.v2.baseline.mainline.r1");
    assert_eq!(first, seed("open.v2.patched.overcharge.r1"));
    assert_ne!(first, seed("open.v2.baseline.mainline.r2"));
    assert_ne!(first, of(8)[0].request.seed);
    assert_eq!(first, 8871177530322621, "stable across versions: old runs can be repeated");
    assert!(first < 1 << 53);
}

#[test]
fn the_request_says_what_the_scenario_asks() {
    let config = good();
    let cells = plan(&config, config.matrix("default").unwrap(), &Selection::default()).unwrap();
    let request = &cells[2].request;
    assert_eq!(request.cell, cells[2].id);
    assert_eq!((request.limit_bytes, request.tasks, request.operations), (4 << 20, 1, 10));
    let write = |file: &str, value: &str| MemcgWrite { file: file.into(), value: value.into() };
    let writes = [write("memory.overcharge.max", "1048576"), write("memory.overcharge", "kmem")];
    assert_eq!(request.policy, writes, "the cap is in place before the policy is switched on");
    assert_eq!(cells[2].deadline.cell_ms, 5_000 + BEFORE_LOAD_MS + AFTER_LOAD_MS);
    assert_eq!(cells[1].expects_as, "mainline", "off behaves as the unpatched kernel");
    assert_eq!(cells[1].expect, config.scenario("open").unwrap().expect["mainline"].of_cell());
}

#[test]
fn a_memcg_can_have_its_policy_off() {
    let mut config = good();
    let scenario = config.scenarios.get_mut("open").unwrap();
    scenario.off = vec![MemcgRole::Limited];
    let cells = plan(&config, config.matrix("default").unwrap(), &Selection::default()).unwrap();
    let policy = |cell: &Cell| cell.request.policy.last().map(|write| write.value.clone());
    assert_eq!(policy(&cells[2]).as_deref(), Some("off"), "{:?}", cells[2].request);
    assert_eq!(cells[2].off, [MemcgRole::Limited]);
    assert_eq!(policy(&cells[0]), None, "the unpatched kernel has nothing to switch off");
}

/// The mutants of the hand-made configuration: one that can be caught and one that cannot.
pub(crate) fn mutants_of(names: &[&str]) -> Result<(Vec<Cell>, Vec<Trial>), Fault> {
    let config = good();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    mutants(&config, config.mutants("patched").unwrap(), &names, 7)
}

#[test]
fn a_mutant_must_fail_on_the_path_under_test_beside_its_control() {
    let (cells, trials) = mutants_of(&[]).unwrap();
    let ids: Vec<&str> = cells.iter().map(|cell| cell.id.as_str()).collect();
    assert_eq!(ids, ["open.v2.patched.overcharge", "open.v2.mutant-no-cap.overcharge"]);
    assert_eq!(cells[0].request.seed, cells[1].request.seed);
    let mut stated = good().scenario("open").unwrap().expect["overcharge"].of_cell();
    stated.complete();
    assert_eq!(cells[0].expect, stated, "and the load comes to its end");
    let expect = &cells[1].expect;
    assert_eq!((expect.verdict, expect.breaks.as_slice()), (Verdict::Fail, &["E".into()][..]));
    assert!(expect.or_more && !expect.exercised.is_empty());
    let asked: Vec<_> = expect.facts.iter().map(|fact| fact.fact.clone()).collect();
    assert_eq!(asked, ["peak_bytes"], "no other expectation is asked");
    assert_eq!(trials[0].cells, Some((ids[1].to_owned(), ids[0].to_owned())));
    assert_eq!(trials[0].wanted().unwrap().0, "open.v2.overcharge");
    assert_eq!((trials[1].cells.clone(), trials[1].equivalent()), (None, Some("because")));
}

#[test]
fn mutants_are_selected_by_name_and_there_must_be_one_to_catch() {
    assert_eq!(mutants_of(&["no-*"]).unwrap().1.len(), 2);
    assert_eq!(mutants_of(&["cap"]).unwrap().1.len(), 1);
    for (names, what) in [
        (&["no-cap", "nocap"][..], "no mutant matches nocap"),
        (&["nocap", "no-*"], "no mutant matches nocap"),
        (&["nocap"], "no mutant matches nocap"),
        (&["no-change"], "no mutant that can be caught matches no-change"),
    ] {
        let fault = mutants_of(names).unwrap_err();
        assert_eq!((fault.exit, fault.what.as_str()), (Exit::Usage, what));
        assert!(fault.hint.contains("no-cap"), "{}", fault.hint);
    }
    assert_eq!(mutants_of(&["no-cap", "no-change"]).unwrap().1.len(), 2);
}

#[test]
fn an_optional_policy_runs_where_something_is_expected_of_it() {
    let mut config = good();
    assert_eq!(config.kernel("patched").unwrap().policies.len(), 3);
    let ids = |config: &Config| -> Vec<String> {
        let cells = plan(config, config.matrix("default").unwrap(), &Selection::default()).unwrap();
        cells.into_iter().filter(|cell| cell.key.policy == "all").map(|cell| cell.id).collect()
    };
    assert_eq!(ids(&config), [""; 0]);
    let scenario = config.scenarios.get_mut("open").unwrap();
    scenario.expect.insert("all".to_owned(), scenario.expect["overcharge"].clone());
    assert_eq!(ids(&config), ["open.v2.patched.all"]);
}

#[test]
fn a_slow_kernel_gets_more_time_and_the_same_sizes() {
    let mut config = good();
    let condition =
        |fact: &str, comparison| Condition { fact: fact.into(), comparison, number: 6.0 };
    let facts = vec![
        condition("load.ms", Comparison::Below),
        condition("open.max_us", Comparison::AtMost),
        condition("load.ms", Comparison::AtLeast),
        condition("open.errors", Comparison::AtMost),
    ];
    let expect = &mut config.scenarios.get_mut("open").unwrap().expect;
    expect.get_mut("overcharge").unwrap().facts = facts;
    let cell = |config: &Config| {
        let all = plan(config, config.matrix("default").unwrap(), &Selection::default()).unwrap();
        all.into_iter().find(|cell| cell.key.policy == "overcharge").unwrap()
    };
    let usual = cell(&config);
    config.kernels.get_mut("patched").unwrap().slowdown = 3;
    let slow = cell(&config);
    let numbers =
        |cell: &Cell| -> Vec<f64> { cell.expect.facts.iter().map(|f| f.number).collect() };
    // The last one: the load comes to its end.
    assert_eq!(numbers(&usual), [6.0, 6.0, 6.0, 6.0, 1.0]);
    assert_eq!(numbers(&slow), [18.0, 18.0, 6.0, 6.0, 1.0]);
    assert_eq!(slow.request.load_ms_max, 3 * usual.request.load_ms_max);
    assert_eq!(slow.deadline.cell_ms, 3 * usual.deadline.cell_ms);
    assert_eq!(slow.request.operations, usual.request.operations);
}

#[test]
fn cells_run_alone_where_the_scenario_judges_their_time() {
    let mut config = good();
    config.scenarios.get_mut("open").unwrap().alone = vec!["overcharge".to_owned().into()];
    let cells = |config: &Config| {
        plan(config, config.matrix("default").unwrap(), &Selection::default()).unwrap()
    };
    assert!(cells(&config).iter().all(|cell| cell.alone == (cell.expects_as == "overcharge")));
    assert!(cells(&config).iter().any(|cell| cell.alone));
    assert!(cells(&good()).iter().all(|cell| !cell.alone));
}

#[test]
fn a_series_of_the_command_line_may_break_what_the_unpatched_kernel_breaks_and_need_not() {
    let (mut config, series) =
        (good(), UserSeries { patches: vec!["1.patch".into()], ..UserSeries::default() });
    config.add_user_series(series, "default").unwrap();
    let cells = plan(&config, config.matrix("default").unwrap(), &Selection::default()).unwrap();
    let ids: Vec<&str> = cells.iter().map(|cell| cell.id.as_str()).collect();
    assert_eq!(ids, ["open.v2.baseline.mainline", "open.v2.series.mainline"]);
    let (base, here) = (&cells[0].expect, &cells[1].expect);
    assert_eq!((base.verdict, base.or_better), (Verdict::Fail, false));
    assert_eq!((here.verdict, here.or_better), (Verdict::Pass, true));
    assert_eq!((&here.breaks, &here.may_break), (&Vec::new(), &base.breaks));
    assert_eq!((&here.facts, &here.exercised), (&Vec::new(), &base.exercised));
}
