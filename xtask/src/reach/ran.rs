// SPDX-License-Identifier: MIT OR Apache-2.0
//! Addresses that ran -> which of the changed functions that is.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::outcome::{CODE_BEGIN, ChangedFunction, CodeRange, Reach, Reached};

/// Ranges that are watched, at most: QEMU looks at each of them for each block of code, and the
/// kernel limits the length of an argument.
const RANGES_MAX: usize = 500;

/// Code to watch, in any of the two kernels; in order and disjoint. It is more than the changed
/// functions where these are many.
pub(crate) fn watched(reach: &Reach) -> Vec<Range<u64>> {
    let functions = reach.functions.iter().flat_map(|one| one.baseline.iter().chain(&one.patched));
    let all = functions.chain(&reach.baseline_proof).chain(&reach.patched_proof);
    let mut ranges: Vec<Range<u64>> = all.map(whole).collect();
    ranges.sort_by_key(|range| range.start);
    let mut gap = 0;
    loop {
        let mut joined: Vec<Range<u64>> = Vec::new();
        for range in &ranges {
            match joined.last_mut().filter(|last| range.start <= last.end + gap) {
                Some(last) => last.end = last.end.max(range.end),
                None => joined.push(range.clone()),
            }
        }
        if joined.len() <= RANGES_MAX {
            return joined;
        }
        gap = gap.max(64) * 2;
    }
}

/// Which of the changed functions ran in a VM of `kernel`, where `cell` are the addresses that ran
/// in its cell and `boot` those of the boot that it began from. `None` if nothing was recorded.
pub(crate) fn reached(
    reach: &Reach,
    kernel: &str,
    cell: &BTreeSet<u64>,
    boot: &BTreeSet<u64>,
) -> Option<Reached> {
    let is_baseline = kernel == reach.baseline;
    let proof = match is_baseline {
        true => &reach.baseline_proof,
        false if kernel == reach.patched => &reach.patched_proof,
        false => return None,
    };
    if !ran(cell, proof) {
        return None;
    }
    let of = u32::try_from(reach.functions.len()).ok()?;
    let mut reached = Reached { of, ..Reached::default() };
    for function in &reach.functions {
        let ChangedFunction { name, baseline, patched, differing, at_boot } = function;
        let here = |code: &[CodeRange]| ran(cell, code) || *at_boot && ran(boot, code);
        let (whole, changed) = match is_baseline {
            true => (baseline, baseline),
            false => (patched, differing),
        };
        if here(changed) {
            reached.ran.push(name.clone());
        } else if here(whole) {
            reached.called.push(name.clone());
        }
    }
    Some(reached)
}

fn ran(addresses: &BTreeSet<u64>, code: &[CodeRange]) -> bool {
    code.iter().any(|range| addresses.range(whole(range)).next().is_some())
}

fn whole((begin, end): &CodeRange) -> Range<u64> {
    CODE_BEGIN + u64::from(*begin)..CODE_BEGIN + u64::from(*end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, patched: CodeRange, differing: CodeRange) -> ChangedFunction {
        ChangedFunction {
            name: name.to_owned(),
            baseline: vec![(0x10, 0x20)],
            patched: vec![patched],
            differing: vec![differing],
            at_boot: name == "init",
        }
    }

    fn reach() -> Reach {
        Reach {
            baseline: "baseline".to_owned(),
            patched: "series".to_owned(),
            functions: vec![
                function("a", (0x100, 0x180), (0x140, 0x150)),
                function("b", (0x200, 0x210), (0x200, 0x210)),
                function("init", (0x300, 0x310), (0x300, 0x310)),
            ],
            baseline_proof: vec![(0, 8)],
            patched_proof: vec![(8, 16)],
            remarks: Vec::new(),
        }
    }

    fn at(offsets: &[u64]) -> BTreeSet<u64> {
        offsets.iter().map(|offset| CODE_BEGIN + offset).collect()
    }

    #[test]
    fn a_function_ran_where_its_changed_code_did() {
        let of = |cell: &[u64], boot: &[u64]| {
            let found = reached(&reach(), "series", &at(cell), &at(boot)).unwrap();
            (found.ran.join(","), found.called.join(","))
        };
        assert_eq!(of(&[8], &[]), (String::new(), String::new()));
        assert_eq!(of(&[8, 0x100], &[]), (String::new(), "a".to_owned()));
        assert_eq!(of(&[8, 0x100, 0x14f], &[]), ("a".to_owned(), String::new()));
        assert_eq!(of(&[8, 0x150], &[]), (String::new(), "a".to_owned()));
        // What a shared boot ran counts only for what can run nowhere else.
        assert_eq!(of(&[8], &[0x300, 0x200]), ("init".to_owned(), String::new()));
        let base = reached(&reach(), "baseline", &at(&[1, 0x18]), &at(&[])).unwrap();
        assert_eq!((base.ran.len(), base.of), (3, 3));
    }

    #[test]
    fn without_a_record_nothing_is_known() {
        assert_eq!(reached(&reach(), "series", &at(&[]), &at(&[])), None);
        assert_eq!(reached(&reach(), "series", &at(&[0x200]), &at(&[])), None);
        assert_eq!(reached(&reach(), "other", &at(&[8]), &at(&[])), None);
    }

    #[test]
    fn many_functions_are_watched_in_few_ranges() {
        assert_eq!(watched(&reach()).len(), 4);
        let many = (0..10_000).map(|n| function("a", (n * 0x400, n * 0x400 + 0x10), (0, 0)));
        let reach = Reach { functions: many.collect(), ..reach() };
        let ranges = watched(&reach);
        assert!(ranges.len() <= RANGES_MAX, "{}", ranges.len());
        let inside = |n: u64| ranges.iter().any(|r| r.contains(&(CODE_BEGIN + n * 0x400)));
        assert!((0..10_000).all(inside));
    }
}
