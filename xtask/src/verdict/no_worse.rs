// SPDX-License-Identifier: MIT OR Apache-2.0
//! A patched kernel of which nobody has stated anything, beside the baseline: in what it differs.
//!
//! Asked are rules that the baseline always breaks and this kernel keeps, what the scenario states of the
//! unpatched kernel and is true of it alone, and kinds of errnos, kills and events as
//! [`i11_off_is_mainline::beside`] compares them, with its tolerance. Whether a difference is wanted only
//! the author of the patch can tell; a rule that is newly broken is not asked here, but REGRESSED.

use super::{Judged, Rule, Verdict, facts, i11_off_is_mainline};
use crate::config::Condition;

/// The differences, for people.
pub(super) fn beside(base: &[Judged<'_>], patched: &[Judged<'_>]) -> Vec<String> {
    let Some(first) = base.first() else { return Vec::new() };
    let usable =
        |judged: &Judged<'_>| matches!(judged.judgement.verdict, Verdict::Pass | Verdict::Fail);
    if !base.iter().chain(patched).all(usable) {
        return Vec::new();
    }
    let breaks = |judged: &Judged<'_>, rule: &Rule| judged.judgement.breaks.contains(rule);
    let mended = first.cell.expect.breaks.iter().filter(|rule| {
        base.iter().all(|base| breaks(base, rule)) && !patched.iter().any(|here| breaks(here, rule))
    });
    let mut differences: Vec<String> =
        mended.map(|rule| format!("{rule} is broken on the baseline and kept here")).collect();
    let stated = first.cell.expect.facts.iter();
    differences.extend(stated.filter_map(|condition| true_of_one(condition, base, patched)));
    differences.extend(i11_off_is_mainline::beside(base, patched));
    differences
}

/// What the scenario states of the unpatched kernel, where all of its cells keep it and not all here do.
fn true_of_one(
    condition: &Condition,
    base: &[Judged<'_>],
    patched: &[Judged<'_>],
) -> Option<String> {
    let values = |cells: &[Judged<'_>]| -> Option<Vec<f64>> {
        cells.iter().map(|cell| facts::get(&cell.judgement.facts, &condition.fact)).collect()
    };
    let (before, now) = (values(base)?, values(patched)?);
    let holds = |values: &[f64]| values.iter().all(|value| condition.holds(*value));
    let said = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" | ");
    (holds(&before) && !holds(&now)).then(|| {
        format!("{} {} on the baseline, {} here", condition.fact, said(&before), said(&now))
    })
}
