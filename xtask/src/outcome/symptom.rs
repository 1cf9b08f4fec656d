// SPDX-License-Identifier: MIT OR Apache-2.0
//! One thing that a cell can show: a broken rule, a crash or a hang. It is what is counted when a
//! cell is repeated.
//!
//! Contract: an attempt shows it, does not show it, or does not say. A crash does not say whether
//! a rule is broken, and another crash does not say whether this one is there.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Judgement, Outcome, fault};
use crate::taxonomy::{Rule, Verdict};

/// A broken rule, or a fault with an identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Symptom {
    /// This rule is broken.
    Breaks(Rule),
    /// The kernel crashes or hangs with this fault identity.
    Fault(String),
}

impl Symptom {
    /// Everything that these judgements of one scenario show, each once, rules first.
    pub(crate) fn all<'a>(
        judgements: impl IntoIterator<Item = &'a Judgement>,
        scenario: &str,
    ) -> Vec<Self> {
        let (mut rules, mut faults) = (Vec::new(), Vec::new());
        for judgement in judgements {
            match judgement.verdict {
                Verdict::Fail => rules.extend(judgement.breaks.iter().copied()),
                Verdict::Crash | Verdict::Hang => faults.push(fault::of_cell(judgement, scenario)),
                _ => {}
            }
        }
        rules.sort_unstable();
        rules.dedup();
        faults.sort_unstable();
        faults.dedup();
        rules.into_iter().map(Self::Breaks).chain(faults.into_iter().map(Self::Fault)).collect()
    }

    /// Whether an attempt shows it; `None` if it does not say.
    pub(crate) fn shown(&self, judgement: &Judgement, scenario: &str) -> Option<bool> {
        match (self, judgement.verdict) {
            (Self::Breaks(rule), Verdict::Pass | Verdict::Fail) => of_rule(*rule, judgement),
            (Self::Fault(_), Verdict::Pass | Verdict::Fail) => Some(false),
            (Self::Fault(identity), Verdict::Crash | Verdict::Hang) => {
                (fault::of_cell(judgement, scenario) == *identity).then_some(true)
            }
            _ => None,
        }
    }
}

fn of_rule(rule: Rule, judgement: &Judgement) -> Option<bool> {
    let mut checks = judgement.checks.iter().filter(|check| check.rule == rule).peekable();
    if judgement.breaks.contains(&rule) {
        return Some(true);
    }
    checks.peek()?;
    checks.all(|check| check.outcome != Outcome::Unknown).then_some(false)
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Breaks(rule) => rule.fmt(f),
            Self::Fault(identity) => f.pad(identity),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::run::{benches, cell};

    #[test]
    fn an_attempt_shows_it_does_not_or_does_not_say() {
        let [baseline, _] = benches();
        let fails = cell(&baseline).first.judgement;
        let shows = |what: &Symptom, judgement: &Judgement| what.shown(judgement, "open");
        let [i1] = &Symptom::all([&fails], "open")[..] else { panic!("it breaks I1 only") };
        assert_eq!(i1.to_string(), "I1");
        assert_eq!(shows(i1, &fails), Some(true));
        assert_eq!(shows(&Symptom::Breaks("I5".into()), &fails), Some(false));
        assert_eq!(shows(&Symptom::Breaks("I99".into()), &fails), None, "nobody asked");
        let crash =
            |why: &str| Judgement { verdict: Verdict::Crash, why: why.to_owned(), ..fails.clone() };
        let one = crash("WARN: here");
        let [warn] = &Symptom::all([&one], "open")[..] else { panic!("one crash") };
        assert_eq!(shows(warn, &one), Some(true));
        assert_eq!(shows(warn, &fails), Some(false));
        assert_eq!(shows(warn, &crash("WARN: there")), None, "another crash came first");
        assert_eq!(shows(i1, &one), None, "a crash does not say what else is broken");
        let error = Judgement { verdict: Verdict::Error, ..fails.clone() };
        assert_eq!((shows(i1, &error), shows(warn, &error)), (None, None));
        let mut unknown = Judgement { breaks: Vec::new(), ..fails };
        unknown.checks.iter_mut().for_each(|check| check.outcome = Outcome::Unknown);
        assert_eq!(shows(i1, &unknown), None);
    }
}
