// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scenarios with their expectations, as `configs/scenarios/*.toml` has them.

use std::collections::BTreeMap;

use protocol::{CgroupVersion, MemcgRole, MemcgWrite};
use schemars::JsonSchema;
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};

use super::condition::{self, Condition};
use super::place::{At, Source, Text, did_you_mean, refuse};
use super::value::{self, from_text};
use super::{MAINLINE, Policy};
use crate::exit::Fault;
use crate::taxonomy::{CellFact, FactName, Rule, Verdict};

/// One workload in one memcg set-up (`configs/scenarios/<name>.toml`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// For example `open-unkillable`.
    #[serde(skip)]
    pub(crate) name: String,
    /// One line.
    #[serde(deserialize_with = "value::words")]
    pub(crate) title: String,
    /// A paragraph that a kernel developer can check against the source.
    #[serde(deserialize_with = "value::words")]
    pub(crate) about: String,
    /// Guest function.
    #[serde(deserialize_with = "value::words")]
    pub(crate) workload: String,
    /// Interfaces it makes sense on.
    #[serde(deserialize_with = "cgroups")]
    pub(crate) cgroups: Vec<CgroupVersion>,
    /// `memory.max`, bytes.
    #[serde(rename = "limit", deserialize_with = "value::limit")]
    pub(crate) limit_bytes: u64,
    /// Acting tasks.
    #[serde(deserialize_with = "value::at_least_one")]
    pub(crate) tasks: u32,
    /// Whether they may be killed.
    pub(crate) killable: bool,
    /// Bytes of the hog, 0 for none.
    #[serde(rename = "hog", default, deserialize_with = "value::bytes")]
    pub(crate) hog_bytes: u64,
    /// Cap to set where the kernel has one, bytes; the kernel's own default if unset.
    #[serde(rename = "cap", default, deserialize_with = "value::some_bytes")]
    pub(crate) cap_bytes: Option<u64>,
    /// Overrun of the same load with the feature off (charges that may not fail), bytes. The cells
    /// of the baseline and of policy `off` show whether it is still true.
    #[serde(rename = "forced", default, deserialize_with = "value::bytes")]
    pub(crate) forced_bytes: u64,
    /// Operations per task at most.
    #[serde(deserialize_with = "value::at_least_one")]
    pub(crate) operations: u64,
    /// Longest load, milliseconds. A cell that needs more than 10 minutes is a benchmark.
    #[serde(rename = "load_max", deserialize_with = "value::ms::<_, 1, 600_000>")]
    pub(crate) load_ms_max: u64,
    /// Sampler period, microseconds. Reading `memory.current` takes tens of them under emulation.
    #[serde(rename = "sample_period", deserialize_with = "value::us::<_, 100, 1_000_000>")]
    pub(crate) sample_period_us: u64,
    /// Expectations whose cells run alone: a busy host would stretch the times they are judged by.
    #[serde(default)]
    pub(crate) alone: Vec<At<String>>,
    /// Under emulation its time is counted in instructions: a busy host does not stretch it.
    #[serde(default)]
    pub(crate) counted: bool,
    /// Facts whose spread over the repetitions is reported.
    #[serde(default, deserialize_with = "condition::facts")]
    pub(crate) measures: Vec<FactName>,
    /// Numbers that only the workload knows.
    #[serde(default)]
    pub(crate) params: BTreeMap<String, u64>,
    /// Writes into the limited memcg, after the limit and before cap and policy.
    #[serde(rename = "write", default, deserialize_with = "value::writes")]
    pub(crate) writes: Vec<MemcgWrite>,
    /// Memcgs in which the policy is off, whatever that of the cell is.
    #[serde(default)]
    pub(crate) off: Vec<MemcgRole>,
    /// The parent of the other memcgs, where it has a limit too.
    pub(crate) parent: Option<Shape>,
    /// A second limited memcg beside the first.
    pub(crate) second: Option<Shape>,
    /// The problem that the patch solves: evaluated on every kernel.
    #[serde(default, deserialize_with = "condition::conditions")]
    pub(crate) problem: Vec<Condition>,
    /// The user's program that is its load, if it was made from the command line: nothing is stated
    /// of that.
    #[serde(skip)]
    pub(crate) program: Option<Program>,
    /// What each policy is expected to do, by [`super::Policy::expects_as`].
    pub(crate) expect: BTreeMap<String, At<Expect>>,
}

/// A program of the user that is the load of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Program {
    /// What the guest is asked to run.
    pub(crate) request: protocol::Program,
    /// Policies to run it under, by name; if empty, all that are not optional.
    pub(super) policies: Vec<String>,
    /// Whether it has to meet the limit of its memcg.
    pub(super) limited: bool,
}

/// Another memcg with a limit.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    /// `memory.max`, bytes.
    #[serde(rename = "limit", deserialize_with = "value::limit")]
    pub(crate) limit_bytes: u64,
    /// Cap to set where the kernel has one, bytes.
    #[serde(rename = "cap", default, deserialize_with = "value::some_bytes")]
    pub(crate) cap_bytes: Option<u64>,
    hog: Option<At<value::Bytes>>,
    /// How many of the acting tasks begin in it: the last ones.
    #[serde(default)]
    pub(crate) tasks: At<u32>,
    /// Writes into it.
    #[serde(rename = "write", default, deserialize_with = "value::writes")]
    pub(crate) writes: Vec<MemcgWrite>,
}

/// What a scenario says that it expects of one policy (`[expect.<policy>]`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    verdict: At<Expectable>,
    #[serde(default)]
    breaks: Vec<At<Breakable>>,
    #[serde(default)]
    may_break: Vec<At<Breakable>>,
    /// See [`Expectation::exercised`].
    #[serde(default, deserialize_with = "condition::conditions")]
    pub(crate) exercised: Vec<Condition>,
    /// See [`Expectation::facts`].
    #[serde(default, deserialize_with = "condition::conditions")]
    pub(crate) facts: Vec<Condition>,
}

/// What a cell is expected to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Expectation {
    /// Verdict.
    pub(crate) verdict: Verdict,
    /// Rules that are broken when the verdict is FAIL, in order.
    pub(crate) breaks: Vec<Rule>,
    /// Whether more rules than `breaks` may be broken (a mutant: one bug shows in many places).
    pub(crate) or_more: bool,
    /// Rules that the unpatched kernel itself breaks now and then.
    pub(crate) may_break: Vec<Rule>,
    /// Whether `may_break` is the most that may be broken ([`super::Policy::or_better`]). All else
    /// is compared with the baseline.
    #[serde(default)]
    pub(crate) or_better: bool,
    /// Whether nothing is known of the load ([`Scenario::program`]): whatever the kernel does at
    /// the limit is as expected, and the comparison with the baseline tells whether it is worse.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) any: bool,
    /// Unless all hold, the path under test never ran: INCONCLUSIVE.
    pub(crate) exercised: Vec<Condition>,
    /// Must hold too: rule `E`.
    pub(crate) facts: Vec<Condition>,
}

/// A verdict that can be expected. ERROR says nothing about the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Expectable(Verdict);

from_text!(Expectable, |word| {
    use Verdict::{Crash, Fail, Hang, Inconclusive, Pass, Skip};
    let known = [Pass, Fail, Inconclusive, Skip, Hang, Crash].map(|v| (v.to_string(), v));
    let found = known.iter().find(|(name, _)| name == word);
    found.map(|(_, verdict)| Self(*verdict)).ok_or_else(|| {
        let what = format!("`{word}` is not a verdict that can be expected");
        (what, did_you_mean(word, known.iter().map(|(name, _)| name.as_str())))
    })
});

/// A rule that a scenario may say is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Breakable(Rule);

from_text!(Breakable, |text| match text.parse() {
    Ok(rule) => Ok(Self(rule)),
    Err(why) => Err((format!("unknown rule `{text}`"), why)),
});

fn cgroups<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<CgroupVersion>, D::Error> {
    let all = Vec::deserialize(from)?;
    if all.is_empty() {
        return Err(refuse("the list is empty", "write [\"v2\"], [\"v1\"] or both"));
    }
    Ok(all)
}

/// Checks one scenario by itself; the matrices check what it is used with.
pub(super) fn check(text: &Text, rules: &[Rule]) -> Result<Scenario, Fault> {
    super::name_fits(text)?;
    let (source, mut scenario): (_, Scenario) = Source::read(text)?;
    scenario.name.clone_from(&text.name);
    for name in &scenario.alone {
        if !scenario.expect.contains_key(&**name) {
            let what = format!("`alone`: there is no [expect.{}]", **name);
            let known = scenario.expect.keys().map(String::as_str);
            return Err(source.fault(name, what).hint(did_you_mean(name, known)));
        }
    }
    if let Some(parent) = &scenario.parent {
        parent.check(&source, 0)?;
    }
    if let Some(second) = &scenario.second {
        second.check(&source, scenario.tasks)?;
    }
    for expect in scenario.expect.values() {
        expect.check(&source, rules)?;
    }
    Ok(scenario)
}

impl Scenario {
    /// Whether it runs under a policy of its kernel.
    pub(crate) fn runs_under(&self, policy: &Policy) -> bool {
        match &self.program {
            None => !policy.optional || self.expect.contains_key(&policy.expects_as),
            Some(program) if program.policies.is_empty() => !policy.optional,
            // A kernel with no choice runs it in any case: there must be something to compare with.
            Some(program) => policy.name == MAINLINE || program.policies.contains(&policy.name),
        }
    }
}

impl Shape {
    /// Bytes of a hog in it, 0 for none.
    pub(crate) fn hog_bytes(&self) -> u64 {
        self.hog.as_ref().map_or(0, |hog| hog.0)
    }

    /// At most `tasks_max` of the actors begin in it; 0 for the parent.
    fn check(&self, source: &Source<'_>, tasks_max: u32) -> Result<(), Fault> {
        if *self.tasks > tasks_max {
            let what = format!("`tasks`: {} here, where at most {tasks_max} can be", *self.tasks);
            return Err(source.fault(&self.tasks, what));
        }
        match (&self.hog, tasks_max) {
            (Some(hog), 0) => {
                Err(source.fault(hog, "`hog`: cgroup v2 allows no task in the parent itself"))
            }
            _ => Ok(()),
        }
    }
}

impl At<Expect> {
    fn check(&self, source: &Source<'_>, rules: &[Rule]) -> Result<(), Fault> {
        if let Some(rule) =
            self.breaks.iter().chain(&self.may_break).find(|r| !rules.contains(&r.0))
        {
            let names: Vec<String> = rules.iter().map(Rule::to_string).collect();
            let hint = did_you_mean(&rule.0.to_string(), names.iter().map(String::as_str));
            return Err(source.fault(rule, format!("unknown rule `{}`", rule.0)).hint(hint));
        }
        match (self.verdict.0, self.breaks.first()) {
            (Verdict::Fail, None) => Err(source
                .fault(&self.verdict, "FAIL needs `breaks`")
                .hint(format!("name the rules that are broken: {}", Rule::list(rules)))),
            (Verdict::Fail, Some(_)) => Ok(()),
            (_, Some(first)) => Err(source.fault(first, "only FAIL breaks rules")),
            (Verdict::Pass, None) if self.exercised.is_empty() => {
                let what = "PASS needs `exercised`: what shows that the path under test ran?";
                let hint = "for example exercised = { \"events.max\" = \">= 1\" }";
                Err(source.fault(self, what).hint(hint))
            }
            _ => Ok(()),
        }
    }
}

impl Expectation {
    /// A load comes to its end within its time, unless the scenario says how it ends.
    pub(crate) fn complete(&mut self) {
        let fact = FactName::from(CellFact::LoadComplete);
        if !self.facts.iter().any(|condition| condition.fact == fact) {
            self.facts.push(Condition::is(fact, 1.0));
        }
    }
}

impl Expect {
    /// What a cell with the policy is expected to do.
    pub(crate) fn of_cell(&self) -> Expectation {
        let in_order = |rules: &[At<Breakable>]| {
            let mut rules: Vec<Rule> = rules.iter().map(|rule| rule.0).collect();
            rules.sort_unstable();
            rules.dedup();
            rules
        };
        Expectation {
            verdict: self.verdict.0,
            breaks: in_order(&self.breaks),
            or_more: false,
            may_break: in_order(&self.may_break),
            or_better: false,
            any: false,
            exercised: self.exercised.clone(),
            facts: self.facts.clone(),
        }
    }
}
