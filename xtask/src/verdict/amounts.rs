// SPDX-License-Identifier: MIT OR Apache-2.0
//! Amounts in which a patched kernel is held against the baseline, where one direction is worse.
//!
//! What the objects of a kind charge (`census.*`): less is worse, since an allocation has escaped
//! its memcg; more is a difference; a kind that is missing here is worse too. Tolerance: 4 pages
//! and 2 %. The guest drains stocks before it reads usage, and what its own stack and heap may add
//! is a page or two: in 9 cells of equal kernels no kind moved by more than half of that. Where
//! page tables of whole processes are counted it is 30 %: their number follows from where the
//! kernel places mappings, at random (measured: 18 %). Sums of `memory.stat` have such parts, and
//! what the processes themselves need: 5 % (measured: 2 %).
//!
//! What the machine holds more than before a cell (`left.*`): more is worse. Tolerance: half of
//! what I5 allows. In 216 pairs of clean kernels the difference was at most 26 % of what I5 allows.
//!
//! With repetitions all of one side must be beyond all of the other.

use std::collections::BTreeSet;

use super::{Judged, Verdict, i5_no_leak};
use crate::outcome::Difference;
use crate::taxonomy::FactName;

/// Tolerance of what objects charge, bytes.
const CENSUS_BYTES: f64 = 4.0 * 4096.0;

/// The same, share of what they charge on the baseline.
const CENSUS_SHARE: f64 = 0.02;

/// The same of sums over all kinds.
const SUM_SHARE: f64 = 0.05;

/// The same where page tables of whole processes are counted.
const PLACED_SHARE: f64 = 0.3;

/// The kinds of which that is so.
const PLACED: [&str; 2] = ["process", "stat_pagetables"];

/// The differences; none where a repetition has no usable verdict.
pub(super) fn differences(base: &[Judged<'_>], patched: &[Judged<'_>]) -> Vec<Difference> {
    let usable =
        |judged: &Judged<'_>| matches!(judged.judgement.verdict, Verdict::Pass | Verdict::Fail);
    if base.is_empty() || !base.iter().chain(patched).all(usable) {
        return Vec::new();
    }
    let facts = base.iter().chain(patched).flat_map(|judged| judged.judgement.facts.keys());
    let names: BTreeSet<&FactName> =
        facts.filter(|name| matches!(name, FactName::Census(_) | FactName::Left(_))).collect();
    names.into_iter().filter_map(|name| of_one(name, base, patched)).collect()
}

fn of_one(fact: &FactName, base: &[Judged<'_>], patched: &[Judged<'_>]) -> Option<Difference> {
    let values = |cells: &[Judged<'_>]| -> Vec<f64> {
        cells.iter().filter_map(|cell| cell.judgement.facts.get(fact).copied()).collect()
    };
    let (baseline, patched) = (values(base), values(patched));
    let worse = match (range(&baseline), range(&patched)) {
        (Some((_, high)), Some((here_low, _))) if let FactName::Left(name) = fact => {
            let cpus = base.first().map_or(1, |judged| judged.cell.vm.cpus);
            let kept = i5_no_leak::kept(name, cpus).unwrap_or(0);
            if here_low <= high + kept as f64 / 2.0 {
                return None;
            }
            true
        }
        (Some((low, high)), Some((here_low, here_high))) => {
            let share = match fact {
                FactName::Census(kind) if PLACED.contains(&kind.as_str()) => PLACED_SHARE,
                FactName::Census(kind) if kind.starts_with("stat_") => SUM_SHARE,
                _ => CENSUS_SHARE,
            };
            let tolerance = |bytes: f64| CENSUS_BYTES + share * bytes;
            let less = here_high < low - tolerance(low);
            if !less && here_low <= high + tolerance(high) {
                return None;
            }
            less
        }
        (before, _) => before.is_some(),
    };
    Some(Difference::Amount { fact: fact.clone(), baseline, patched, worse })
}

/// The least and the greatest; `None` of nothing.
fn range(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().reduce(f64::min)?;
    Some((least, values.iter().copied().reduce(f64::max)?))
}
