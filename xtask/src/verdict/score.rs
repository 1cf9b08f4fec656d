// SPDX-License-Identifier: MIT OR Apache-2.0
//! What came of a mutant: whether the harness caught it, and by what it should.
//!
//! A mutant counts as caught when its cell ended as its entry says, the rule named is among the
//! broken ones, and the kernel without the bug keeps that rule in the same cell of the same run. A
//! cell that only ran out of time counts for nothing, because any bug can do that; unless the entry
//! says that the bug is a dead loop.

use super::{Judgement, Verdict};
use crate::config::Caught;

/// A cell that ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran<'a> {
    /// The judgement that counts.
    pub(crate) judgement: &'a Judgement,
    /// Whether it was not as expected at first, and then, alone, it was.
    pub(crate) flaky: bool,
}

/// What came of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Score {
    /// Caught, by what should catch it.
    Caught,
    /// No rule was broken.
    Survived,
    /// Rules were broken, or the kernel crashed, but not as the entry says.
    Otherwise,
    /// Only the time was up.
    OnlyTime,
    /// Caught the second time only.
    Flaky,
    /// The kernel without the bug does not pass where the mutant must not.
    Control,
    /// There is no verdict on it, or none on the kernel without the bug.
    NoVerdict,
    /// There is nothing to catch; it does not count.
    Equivalent,
}

/// Holds the cell of a mutant, and that of the kernel without the bug, against what should catch
/// it.
pub(crate) fn score(wanted: &Caught, mutant: Option<Ran<'_>>, control: Option<Ran<'_>>) -> Score {
    let (Some(mutant), Some(control)) = (mutant, control) else { return Score::NoVerdict };
    let unusable = |ran: &Ran<'_>| matches!(ran.judgement.verdict, Verdict::Error | Verdict::Skip);
    if unusable(&mutant) || unusable(&control) {
        return Score::NoVerdict;
    }
    if !control.judgement.as_expected || control.judgement.breaks.contains(&wanted.rule) {
        return Score::Control;
    }
    let broken = mutant.judgement.breaks.contains(&wanted.rule);
    match mutant.judgement.verdict {
        Verdict::Hang if broken && wanted.verdict == Verdict::Hang => Score::Caught,
        Verdict::Hang => Score::OnlyTime,
        Verdict::Pass | Verdict::Inconclusive if mutant.flaky => Score::Flaky,
        Verdict::Pass | Verdict::Inconclusive => Score::Survived,
        // After an oops there may be nothing left of which a rule could be asked.
        Verdict::Crash
            if wanted.verdict == Verdict::Crash && mutant.judgement.breaks.is_empty() =>
        {
            Score::Caught
        }
        verdict if verdict == wanted.verdict && broken => Score::Caught,
        _ if mutant.flaky => Score::Flaky,
        _ => Score::Otherwise,
    }
}
