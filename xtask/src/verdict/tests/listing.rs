// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules that exist, and the pages that list them.

use super::*;

const VERDICTS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/verdicts.md"));
const SCENARIOS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenarios.md"));

#[test]
fn a_number_is_that_of_one_rule() {
    let mut rules = invariants();
    rules.sort_unstable();
    rules.dedup();
    assert_eq!(rules, invariants(), "sorted, without those that are there twice");
}

#[test]
fn the_table_of_rules_lists_those_that_exist() {
    let (_, section) = VERDICTS.split_once("\n## Rules: what is checked in every cell\n").unwrap();
    let table = section.lines().skip_while(|line| !line.starts_with('|'));
    let cells = table.take_while(|line| line.starts_with('|')).skip(2);
    let listed: Vec<&str> = cells.filter_map(|line| line[1..].split('|').next()).collect();
    let listed: Vec<&str> = listed.into_iter().map(str::trim).collect();
    let named = |rule| format!("{rule} {}", rule_words(rule).0);
    let exist = invariants().into_iter().map(named);
    let exist: Vec<String> = exist.chain(["X", "E"].map(str::to_owned)).collect();
    assert_eq!(listed, exist, "docs/verdicts.md");
}

#[test]
fn the_example_of_a_new_rule_takes_the_next_number() {
    let next = invariants().len() + 1;
    let example = format!("Invariant::new({next}, ");
    assert!(SCENARIOS.contains(&example), "docs/scenarios.md: no {example:?}");
}
