// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the changed code ran in the cells of a comparison: `SAME` is `NOT REACHED` otherwise.
//!
//! Repetitions count together. A function that is gone ran where the baseline runs it.

use std::collections::BTreeSet;

use crate::outcome::{CellResult, Comparison, Differential, Reach, Reached};
use crate::plan::CellKey;

/// Fills in what ran, and corrects the outcome.
pub(crate) fn reached(comparisons: &mut [Comparison], reach: &Reach, cells: &[CellResult]) {
    for comparison in comparisons.iter_mut().filter(|one| one.cell.kernel == reach.patched) {
        comparison.reached = together(&comparison.cell, reach, cells);
        let none = comparison.reached.as_ref().is_some_and(|reached| reached.ran.is_empty());
        if none && comparison.outcome == Differential::Same {
            comparison.outcome = Differential::NotReached;
        }
    }
}

fn together(key: &CellKey, reach: &Reach, cells: &[CellResult]) -> Option<Reached> {
    let is_baseline = |other: &CellKey| {
        let alike = other.scenario == key.scenario && other.cgroup == key.cgroup;
        alike && other.kernel == reach.baseline
    };
    let of = u32::try_from(reach.functions.len()).ok()?;
    let (mut ran, mut called) = (BTreeSet::new(), BTreeSet::new());
    for cell in cells.iter().filter(|cell| cell.cell.key == *key) {
        let reached = cell.counted().reached.as_ref()?;
        ran.extend(&reached.ran);
        called.extend(&reached.called);
    }
    let gone: BTreeSet<&String> =
        reach.functions.iter().filter(|one| one.patched.is_empty()).map(|one| &one.name).collect();
    for cell in cells.iter().filter(|cell| is_baseline(&cell.cell.key)) {
        let reached = cell.counted().reached.iter().flat_map(|reached| &reached.ran);
        ran.extend(reached.filter(|name| gone.contains(name)));
    }
    let called = called.difference(&ran).map(|name| (*name).clone()).collect();
    Some(Reached { ran: ran.into_iter().cloned().collect(), called, of })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::ChangedFunction;
    use crate::verdict::tests::run::{benches, cell, result};

    /// The outcome of `SAME` where this ran in the patched cell and this on the baseline.
    fn outcome(patched: Option<&[&str]>, baseline: &[&str]) -> (Differential, Option<usize>) {
        let [mut base, mut here] = benches().map(|bench| cell(&bench));
        let of = |ran: &[&str]| Reached {
            ran: ran.iter().map(|&name| name.to_owned()).collect(),
            called: Vec::new(),
            of: 2,
        };
        base.first.reached = Some(of(baseline));
        here.first.reached = patched.map(of);
        let function = |name: &str, patched| ChangedFunction {
            name: name.to_owned(),
            patched,
            ..ChangedFunction::default()
        };
        let reach = Reach {
            baseline: "baseline".to_owned(),
            patched: "patched".to_owned(),
            functions: vec![function("a", vec![(1, 2)]), function("gone", Vec::new())],
            ..Reach::default()
        };
        let mut run = result(vec![base, here]);
        run.comparisons[0].outcome = Differential::Same;
        reached(&mut run.comparisons, &reach, &run.cells);
        let one = run.comparisons.remove(0);
        (one.outcome, one.reached.map(|reached| reached.ran.len()))
    }

    #[test]
    fn same_needs_code_that_ran() {
        assert_eq!(outcome(Some(&["a"]), &[]), (Differential::Same, Some(1)));
        assert_eq!(outcome(Some(&[]), &[]), (Differential::NotReached, Some(0)));
        assert_eq!(outcome(Some(&[]), &["a"]), (Differential::NotReached, Some(0)));
        assert_eq!(outcome(Some(&[]), &["gone"]), (Differential::Same, Some(1)));
        assert_eq!(outcome(None, &["gone"]), (Differential::Same, None), "not known");
    }
}
