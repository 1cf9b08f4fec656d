// SPDX-License-Identifier: MIT OR Apache-2.0
//! A comparison with the baseline in words, for every report.

use super::reach;
use crate::outcome::{Comparison, Difference, Differential, Repetition, Side, Wanted};
use crate::taxonomy::Rule;

/// What a verdict on the patch means; `stated`: the scenario expects it of this policy.
pub(super) fn meaning(outcome: Differential, stated: bool) -> &'static str {
    match outcome {
        Differential::Fixed => "the baseline shows the problem and this kernel does not",
        Differential::NotFixed if stated => {
            "both show the problem, as the scenario expects of this policy"
        }
        Differential::NotFixed => "both show the problem",
        Differential::NoDifference => {
            "neither shows the problem, so this says nothing about the patch"
        }
        Differential::Regressed => {
            "this kernel does worse than the baseline, or not what it should"
        }
        Differential::Inert => "does as the baseline does, as it should",
        Differential::Same => "does as the baseline does",
        Differential::NotReached => {
            "does as the baseline does, but none of the changed code ran: this says nothing about \
             the patch"
        }
        Differential::Changed => "differs from the baseline, and breaks no more rules",
        Differential::Unknown => "a side has no usable verdict, or its repetitions disagree",
    }
}

/// The whole comparison but for its cell and verdict, in one line.
pub(super) fn sentence(comparison: &Comparison, stated: bool) -> String {
    let Comparison { outcome, baseline, .. } = comparison;
    let asked = match problem(comparison) {
        none if none.is_empty() => none,
        problem => format!(" [{problem}]"),
    };
    let (meaning, baseline) = (meaning(*outcome, stated), side(comparison, baseline));
    let reached = comparison.reached.as_ref().map(|it| reach::sentence(it) + "; ");
    let reached = reached.unwrap_or_default();
    if let Some(worse) = worse(comparison) {
        return format!("{reached}{worse}");
    }
    format!("{reached}{meaning}{asked}: baseline {baseline}; here {}", here(comparison))
}

/// What got worse, and nothing else; `None` if that is not told by single differences.
fn worse(comparison: &Comparison) -> Option<String> {
    let worse = comparison.differences.iter().filter(|one| one.is_worse());
    let (rules, others): (Vec<_>, Vec<_>) = worse.partition(|one| broken(one).is_some());
    let rules: Vec<Rule> = rules.into_iter().filter_map(broken).collect();
    let rules = (!rules.is_empty())
        .then(|| format!("breaks {}, which the baseline keeps", Rule::list(&rules)));
    let told: Vec<String> = rules.into_iter().chain(others.into_iter().map(difference)).collect();
    let is_told = comparison.outcome == Differential::Regressed && !told.is_empty();
    is_told.then(|| format!("worse than the baseline: {}", told.join("; ")))
}

/// An invariant that only the patched kernel breaks.
fn broken(difference: &Difference) -> Option<Rule> {
    match difference {
        Difference::Broken { rule } if *rule != Rule::Expectation => Some(*rule),
        _ => None,
    }
}

/// The problem that both kernels were asked for; empty in a control.
pub(super) fn problem(comparison: &Comparison) -> String {
    let conditions: Vec<String> = comparison.problem.iter().map(ToString::to_string).collect();
    conditions.join(" and ")
}

/// What one kernel did: `shows it in 9 of 10 (flaky: r1)`, or its values and verdicts.
pub(super) fn side(comparison: &Comparison, side: &Side) -> String {
    let is_control = comparison.problem.is_empty();
    if let Some(shown) = side.shown.filter(|shown| shown.of > 1 && !is_control) {
        let flaky: Vec<String> = side.flaky().iter().map(|number| format!("r{number}")).collect();
        let flaky = match flaky.as_slice() {
            [] => String::new(),
            flaky => format!(" (flaky: {})", flaky.join(", ")),
        };
        return format!("shows it in {shown}{flaky}");
    }
    let one = |Repetition { verdict, values, .. }: &Repetition| {
        let facts = comparison.problem.iter().zip(values).map(|(condition, value)| {
            let value = value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
            format!("{} {value}", condition.fact)
        });
        let facts: Vec<String> = facts.collect();
        format!("{} ({verdict})", facts.join(", ")).trim_start().to_owned()
    };
    let mut all: Vec<(String, u32)> = Vec::new();
    for text in side.repetitions.iter().map(one) {
        match all.iter_mut().find(|(known, _)| *known == text) {
            Some((_, times)) => *times += 1,
            None => all.push((text, 1)),
        }
    }
    let times = |(text, times): (String, u32)| match times {
        1 => text,
        times => format!("{times} x {text}"),
    };
    all.into_iter().map(times).collect::<Vec<_>>().join(" | ")
}

/// What the patched kernel did, how likely that is by chance, and in what it differs.
pub(super) fn here(comparison: &Comparison) -> String {
    let mut parts = vec![side(comparison, &comparison.patched)];
    let told = matches!(comparison.outcome, Differential::Fixed | Differential::Regressed);
    let chance = comparison.chance.filter(|chance| told && *chance < 1.0);
    parts.extend(chance.map(|chance| format!("by chance in 1 of {:.0} runs", 1.0 / chance)));
    let rule = match comparison.wanted {
        Wanted::Nothing => format!("{}: ", Rule::Invariant(11)),
        Wanted::Fix | Wanted::NoWorse => String::new(),
    };
    for one in &comparison.differences {
        let said = format!("{rule}{}", difference(one));
        if !parts.contains(&said) {
            parts.push(said);
        }
    }
    parts.join("; ")
}

fn difference(difference: &Difference) -> String {
    let list = |values: &[f64]| match values {
        [] => "missing".to_owned(),
        values => values.iter().map(f64::to_string).collect::<Vec<_>>().join(" | "),
    };
    let (fact, baseline, patched) = match difference {
        Difference::Kept { rule } => {
            return format!("{rule} is broken on the baseline and kept here");
        }
        Difference::Broken { rule: Rule::Expectation } => {
            return "not what the scenario expects here (E)".to_owned();
        }
        Difference::Broken { rule } => {
            return format!("breaks {rule}, which the baseline keeps");
        }
        Difference::Down { verdict } => return format!("{verdict} here, not on the baseline"),
        Difference::Stated { fact, baseline, patched, worse: _ }
        | Difference::Amount { fact, baseline, patched, worse: _ } => {
            (fact, list(baseline), list(patched))
        }
        Difference::Count { fact, baseline, patched } => {
            (fact, baseline.to_string(), patched.to_string())
        }
    };
    format!("{fact} {baseline} on the baseline, {patched} here")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Shown;
    use crate::taxonomy::FactName;
    use crate::verdict::tests::run::{benches, cell, result};

    /// `shows` of ten repetitions show it; the first ones do.
    fn ten(side: &Side, shows: u32) -> Side {
        let one = |repetition| Repetition {
            repetition,
            shows: Some(repetition <= shows),
            ..side.repetitions[0].clone()
        };
        Side { shown: Some(Shown { shows, of: 10 }), repetitions: (1..=10).map(one).collect() }
    }

    #[test]
    fn sentences() {
        let one = result(benches().iter().map(cell).collect()).comparisons.remove(0);
        let repeated = Comparison {
            baseline: ten(&one.baseline, 9),
            patched: ten(&one.patched, 0),
            chance: Some(1.0 / 16_796.0),
            ..one.clone()
        };
        let (outcome, kills) = (Differential::Regressed, FactName::from("kills"));
        let count = Difference::Count { fact: kills.clone(), baseline: 0.0, patched: 12.0 };
        let off = Comparison {
            outcome,
            wanted: Wanted::Nothing,
            differences: vec![count],
            ..one.clone()
        };
        let (baseline, patched) = (vec![0.0, 0.0], vec![0.0, 1.0]);
        let stated = Difference::Stated { fact: kills, baseline, patched, worse: false };
        let kept = Difference::Kept { rule: "I1".into() };
        let mut control = Comparison {
            outcome: Differential::Changed,
            wanted: Wanted::NoWorse,
            problem: Vec::new(),
            differences: vec![kept, stated],
            ..repeated.clone()
        };
        for one in control.baseline.repetitions.iter_mut().chain(&mut control.patched.repetitions) {
            one.values.clear();
        }
        let broken = |rule: &str| Difference::Broken { rule: rule.into() };
        let down = Difference::Down { verdict: crate::taxonomy::Verdict::Hang };
        let worse = Comparison {
            outcome,
            differences: vec![broken("I2"), broken("I10"), broken("E"), down],
            ..one.clone()
        };
        let mut unknown = Comparison { outcome: Differential::Unknown, ..one.clone() };
        unknown.patched.shown = None;
        unknown.patched.repetitions[0].values = vec![None];
        let all =
            [&one, &repeated, &off, &control, &worse, &unknown].map(|one| sentence(one, false));
        insta::assert_snapshot!(all.join("\n"));
    }
}
