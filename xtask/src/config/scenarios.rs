// SPDX-License-Identifier: MIT OR Apache-2.0
//! Raw scenarios -> checked scenarios with their expectations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::MemcgWrite;
use toml::Spanned;

use super::kernels::memcg_file;
use super::place::{Text, did_you_mean};
use super::{Condition, Expectation, Scenario, Shape, number, raw};
use crate::exit::Fault;
use crate::taxonomy::{Rule, Verdict, names};

/// Longest load a scenario may ask for: a cell that needs more is a benchmark.
const LOAD_MAX: Duration = Duration::from_secs(600);

/// Shortest sampler period: reading `memory.current` takes tens of microseconds under emulation.
const SAMPLE_PERIOD_MIN: Duration = Duration::from_micros(100);

/// Verdicts a scenario may expect. ERROR is never expected: it says nothing of the kernel.
const EXPECTABLE: [(&str, Verdict); 6] = [
    ("PASS", Verdict::Pass),
    ("FAIL", Verdict::Fail),
    ("INCONCLUSIVE", Verdict::Inconclusive),
    ("SKIP", Verdict::Skip),
    ("HANG", Verdict::Hang),
    ("CRASH", Verdict::Crash),
];

/// Checks one scenario by itself; the matrices check what it is used with.
pub(super) fn check(text: &Text, rules: &[Rule]) -> Result<Scenario, Fault> {
    super::name_fits(text)?;
    let raw: raw::Scenario = text.parse()?;
    for (key, value) in [("title", &raw.title), ("about", &raw.about), ("workload", &raw.workload)]
    {
        if value.get_ref().trim().is_empty() {
            return Err(text.fault(value.span(), format!("`{key}` is empty")));
        }
    }
    if raw.cgroups.get_ref().is_empty() {
        let fault = text.fault(raw.cgroups.span(), "`cgroups` is empty");
        return Err(fault.hint("write [\"v2\"], [\"v1\"] or both"));
    }
    let expect =
        raw.expect.iter().map(|(policy, raw)| Ok((policy.clone(), expectation(text, raw, rules)?)));
    Ok(Scenario {
        name: text.name.clone(),
        title: raw.title.get_ref().trim().to_owned(),
        about: raw.about.get_ref().trim().to_owned(),
        workload: raw.workload.get_ref().clone(),
        cgroups: raw.cgroups.get_ref().clone(),
        limit_bytes: pages(text, "limit", &raw.limit, 1)?,
        tasks: at_least_one(text, "tasks", &raw.tasks)?,
        killable: raw.killable,
        hog_bytes: optional(text, "hog", raw.hog.as_ref())?.unwrap_or(0),
        cap_bytes: optional(text, "cap", raw.cap.as_ref())?,
        forced_bytes: optional(text, "forced", raw.forced.as_ref())?.unwrap_or(0),
        operations: at_least_one(text, "operations", &raw.operations)?,
        load_ms_max: time(text, "load_max", &raw.load_max, Duration::from_millis(1), LOAD_MAX)?
            .as_millis() as u64,
        sample_period_us: time(
            text,
            "sample_period",
            &raw.sample_period,
            SAMPLE_PERIOD_MIN,
            Duration::from_secs(1),
        )?
        .as_micros() as u64,
        alone: alone(text, &raw)?,
        counted: raw.counted,
        measures: measures(text, &raw.measures)?,
        params: raw.params.clone(),
        writes: writes(text, &raw.write)?,
        parent: raw.parent.as_ref().map(|parent| shape(text, parent, 0)).transpose()?,
        second: raw
            .second
            .as_ref()
            .map(|second| shape(text, second, *raw.tasks.get_ref()))
            .transpose()?,
        problem: conditions(text, &raw.problem)?,
        expect: expect.collect::<Result<_, Fault>>()?,
    })
}

/// Names of expectations.
fn alone(text: &Text, raw: &raw::Scenario) -> Result<Vec<String>, Fault> {
    let name = |name: &Spanned<String>| match raw.expect.contains_key(name.get_ref()) {
        true => Ok(name.get_ref().clone()),
        false => {
            let what = format!("`alone`: there is no [expect.{}]", name.get_ref());
            let known = raw.expect.keys().map(String::as_str);
            Err(text.fault(name.span(), what).hint(did_you_mean(name.get_ref(), known)))
        }
    };
    raw.alone.iter().map(name).collect()
}

/// A memcg beside the limited one, in which at most `tasks_max` of the actors begin.
fn shape(text: &Text, raw: &raw::Shape, tasks_max: u32) -> Result<Shape, Fault> {
    let tasks = raw.tasks.as_ref().map_or(0, |tasks| *tasks.get_ref());
    if let (Some(given), true) = (&raw.tasks, tasks > tasks_max) {
        let what = format!("`tasks`: {tasks} actors here, where there can be {tasks_max} at most");
        return Err(text.fault(given.span(), what));
    }
    if let (Some(hog), 0) = (&raw.hog, tasks_max) {
        return Err(text.fault(hog.span(), "nobody is in the parent itself: cgroup v2 forbids it"));
    }
    Ok(Shape {
        limit_bytes: pages(text, "limit", &raw.limit, 1)?,
        cap_bytes: optional(text, "cap", raw.cap.as_ref())?,
        hog_bytes: optional(text, "hog", raw.hog.as_ref())?.unwrap_or(0),
        tasks,
        writes: writes(text, &raw.write)?,
    })
}

fn writes(text: &Text, raw: &BTreeMap<Spanned<String>, String>) -> Result<Vec<MemcgWrite>, Fault> {
    let write = |(file, value): (&Spanned<String>, &String)| {
        Ok(MemcgWrite { file: memcg_file(text, file)?, value: value.clone() })
    };
    raw.iter().map(write).collect()
}

fn expectation(
    text: &Text,
    raw: &Spanned<raw::Expectation>,
    rules: &[Rule],
) -> Result<Expectation, Fault> {
    let (span, raw) = (raw.span(), raw.get_ref());
    let word = raw.verdict.get_ref();
    let Some((_, verdict)) = EXPECTABLE.iter().find(|(name, _)| name == word) else {
        let what = format!("`{word}` is no verdict that can be expected");
        let hint = did_you_mean(word, EXPECTABLE.iter().map(|(name, _)| *name));
        return Err(text.fault(raw.verdict.span(), what).hint(hint));
    };
    let breaks = broken_rules(text, &raw.breaks, rules)?;
    if (*verdict == Verdict::Fail) == breaks.is_empty() {
        return Err(match raw.breaks.first() {
            None => text.fault(raw.verdict.span(), "FAIL needs `breaks`").hint(format!(
                "name the rules that are broken: {}",
                Rule::list(rules).replace(",", ", ")
            )),
            Some(first) => text.fault(first.span(), "only FAIL breaks rules"),
        });
    }
    if *verdict == Verdict::Pass && raw.exercised.is_empty() {
        return Err(text
            .fault(span, "PASS needs `exercised`: what shows that the path under test ran?")
            .hint("for example exercised = { \"events.max\" = \">= 1\" }"));
    }
    Ok(Expectation {
        or_better: false,
        verdict: *verdict,
        breaks,
        or_more: false,
        may_break: broken_rules(text, &raw.may_break, rules)?,
        exercised: conditions(text, &raw.exercised)?,
        facts: conditions(text, &raw.facts)?,
    })
}

/// Known rules, each once, in the order in which verdicts name them.
fn broken_rules(
    text: &Text,
    given: &[Spanned<String>],
    known: &[Rule],
) -> Result<Vec<Rule>, Fault> {
    let rule = |given: &Spanned<String>| {
        let rule = given.get_ref().parse().ok().filter(|rule| known.contains(rule));
        rule.ok_or_else(|| {
            let names: Vec<String> = known.iter().map(Rule::to_string).collect();
            let hint = did_you_mean(given.get_ref(), names.iter().map(String::as_str));
            text.fault(given.span(), format!("unknown rule `{}`", given.get_ref())).hint(hint)
        })
    };
    let rules: BTreeSet<Rule> = given.iter().map(rule).collect::<Result<_, Fault>>()?;
    Ok(rules.into_iter().collect())
}

fn conditions(text: &Text, raw: &raw::Conditions) -> Result<Vec<Condition>, Fault> {
    let mut all = Vec::new();
    for (fact, comparison) in raw {
        is_fact(text, fact)?;
        all.extend(number::conditions(fact.get_ref(), comparison.get_ref()).map_err(|why| {
            text.fault(comparison.span(), format!("`{}`: {why}", fact.get_ref()))
        })?);
    }
    Ok(all)
}

/// Facts by name, in the order given.
fn measures(text: &Text, given: &[Spanned<String>]) -> Result<Vec<String>, Fault> {
    let mut all = Vec::new();
    for fact in given {
        is_fact(text, fact)?;
        all.push(fact.get_ref().clone());
    }
    Ok(all)
}

fn is_fact(text: &Text, fact: &Spanned<String>) -> Result<(), Fault> {
    if names::is_name(fact.get_ref()) {
        return Ok(());
    }
    let hint = did_you_mean(fact.get_ref(), names::NAMES.iter().map(|(name, _)| *name));
    Err(text.fault(fact.span(), format!("`{}` is no fact", fact.get_ref())).hint(hint))
}

fn at_least_one<T: Copy + Default + PartialEq>(
    text: &Text,
    key: &str,
    value: &Spanned<T>,
) -> Result<T, Fault> {
    if *value.get_ref() == T::default() {
        return Err(text.fault(value.span(), format!("`{key}` must be at least 1")));
    }
    Ok(*value.get_ref())
}

/// A size that the kernel will not round: memory.max counts pages.
fn pages(text: &Text, key: &str, value: &Spanned<String>, min: u64) -> Result<u64, Fault> {
    const PAGE_BYTES: u64 = 4096;
    let bytes = number::size_bytes(value.get_ref())
        .map_err(|why| text.fault(value.span(), format!("`{key}`: {why}")))?;
    if bytes % PAGE_BYTES != 0 || bytes < min * PAGE_BYTES {
        let what = format!("`{key}`: {bytes} bytes is no multiple of {PAGE_BYTES}, at least {min}");
        return Err(text.fault(value.span(), what));
    }
    Ok(bytes)
}

fn optional(text: &Text, key: &str, value: Option<&Spanned<String>>) -> Result<Option<u64>, Fault> {
    value.map(|value| pages(text, key, value, 0)).transpose()
}

fn time(
    text: &Text,
    key: &str,
    value: &Spanned<String>,
    min: Duration,
    max: Duration,
) -> Result<Duration, Fault> {
    let time = number::duration(value.get_ref())
        .map_err(|why| text.fault(value.span(), format!("`{key}`: {why}")))?;
    if time < min || time > max {
        let what = format!("`{key}` must be from {min:?} to {max:?}");
        return Err(text.fault(value.span(), what));
    }
    Ok(time)
}

/// The expectation of every policy name, for the cross check of the matrices.
pub(super) fn expected_policies(scenario: &Scenario) -> Vec<&str> {
    scenario.expect.keys().map(String::as_str).collect()
}
