// SPDX-License-Identifier: MIT OR Apache-2.0
//! I2: `memory.peak` - `memory.max` <= cap + forced.
//!
//! Tolerance: `forced` is what the same load overruns with the feature off, as the scenario states
//! and the cells of the baseline show (charges that may not fail). With the feature on also 8 pages
//! a CPU, since each CPU may pass the cap check with one charge of at most 8 pages before another's
//! is counted, and 64 pages a CPU: the batch (`MEMCG_CHARGE_BATCH`) that another CPU has added to
//! the counter for a moment when an overcharge records the peak. Such a moment is only recorded
//! together with a charge over the limit, so with the feature off and nothing forced the overrun is
//! exactly 0. That holds for each memcg: one whose policy is off does not go over, whatever the
//! policy of the memcgs beside, above and below it.
//!
//! What goes over counts as well as how far: by the patch's trace events no charge that is exempt
//! ([`charges::may_go_over`]). No tolerance. Where an event was lost, or the kernel has no such
//! events and its policy lets charges over the limit, the rule is unknown.

use protocol::{Asked, MemcgRole, Overcharges};

use super::rule::need;
use super::{Answer, BATCH_PAGES, Case, Invariant, Missing, charges};
use crate::taxonomy::{FactName, MemcgFact};

/// The invariant.
pub(super) const RULE: Invariant = Invariant::new(
    2,
    "bound",
    "usage stays within limit plus cap; without the feature, within the limit",
    check,
);

/// Largest charge that is eligible, pages: `1 << PAGE_ALLOC_COSTLY_ORDER`.
const CHARGE_PAGES_MAX: u64 = 8;

/// Compares the recorded peak of each memcg under test with its bound.
fn check(case: &Case<'_>) -> Result<Answer, Missing> {
    let mut answer = of(case, MemcgRole::Limited)?;
    // A workload may remove the second one: its peak went with it.
    if case.seen.peak_bytes(MemcgRole::Second).is_some() {
        answer.add("second", of(case, MemcgRole::Second));
    }
    match case.seen.traced() {
        Some(overcharges) => answer.add("gfp", only_eligible(overcharges)),
        None if case.overcharges() => {
            answer.add("gfp", Err(Missing("the patch's trace events".to_owned())));
        }
        None => {}
    }
    Ok(answer)
}

/// No charge went over a limit that the patch should have left alone.
fn only_eligible(overcharges: &Overcharges) -> Result<Answer, Missing> {
    let asked = || overcharges.memcgs.iter().flat_map(|memcg| &memcg.asked);
    let exempt = || asked().filter(|asked| !charges::may_go_over(asked));
    let count = |asked: &mut dyn Iterator<Item = &Asked>| asked.map(|asked| asked.count).sum();
    let (all, wrong): (u64, u64) = (count(&mut asked()), count(&mut exempt()));
    let example = exempt().max_by_key(|asked| asked.count).map_or(String::new(), |asked| {
        format!(" ({} x {} pages with {})", asked.count, asked.pages, asked.gfp.join("|"))
    });
    let said = format!("{wrong} of {all} charges over the limit were exempt{example}");
    if wrong == 0 && overcharges.lost > 0 {
        return Err(Missing(format!("how {} charges were asked for", overcharges.lost)));
    }
    Ok(Answer::of(wrong == 0, said))
}

/// The bound of one memcg.
pub(super) fn of(case: &Case<'_>, role: MemcgRole) -> Result<Answer, Missing> {
    let name = |fact| FactName::Memcg(role, fact);
    let setup = case.seen.setups.get(&role);
    let peak_bytes = need(case.seen.peak_bytes(role), name(MemcgFact::PeakBytes))?;
    let setup = need(setup, name(MemcgFact::LimitBytes))?;
    let (limit_bytes, over_bytes) =
        (setup.limit_bytes, peak_bytes.saturating_sub(setup.limit_bytes));
    let forced_bytes = case.cell.forced_bytes;
    let (bound_bytes, from) = if case.overcharges_in(role) {
        let cap_bytes = need(setup.cap_bytes, name(MemcgFact::CapBytes))?;
        let (race_bytes, batch_bytes) = (case.pages(CHARGE_PAGES_MAX), case.pages(BATCH_PAGES));
        let from = format!(
            "cap {cap_bytes}, forced {forced_bytes}, race {race_bytes}, batches {batch_bytes}"
        );
        (cap_bytes + forced_bytes + race_bytes + batch_bytes, from)
    } else {
        let batch_bytes = if forced_bytes > 0 { case.pages(BATCH_PAGES) } else { 0 };
        (
            forced_bytes + batch_bytes,
            format!("no cap, forced {forced_bytes}, batches {batch_bytes}"),
        )
    };
    let sign = if over_bytes <= bound_bytes { "<=" } else { ">" };
    let said = format!(
        "peak {peak_bytes} - max {limit_bytes} = {over_bytes} {sign} bound {bound_bytes} ({from})"
    );
    Ok(Answer::of(over_bytes <= bound_bytes, said))
}
