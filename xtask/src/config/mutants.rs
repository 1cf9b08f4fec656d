// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mutants, as `configs/mutants/*.toml` has them, and the kernels they are built as.
//!
//! `configs/mutants/<kernel>.toml` lists the mutants of that kernel. One mutant is one patch,
//! `<name>.patch` in the folder that the file names, and one entry: what is broken, the cell that
//! must catch it, and the rule that must break. The cell exists, and the rule applies to it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use protocol::CgroupVersion;
use serde::{Deserialize, Serialize};

use super::place::{At, Source, Text, did_you_mean};
use super::{Config, Kernel, Matrix, Needed, Scenario, Vm, value};
use crate::exit::Fault;
use crate::taxonomy::{FactName, Rule, Verdict};

/// The mutants of one kernel (`configs/mutants/<kernel>.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mutants {
    /// The machine of their cells; its one kernel has none of the bugs.
    pub(crate) matrix: Matrix,
    /// In the order of the file.
    pub(crate) all: Vec<Mutant>,
}

/// A variant of a kernel with one deliberate bug: a patch on top of its series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// For example `no-cap`.
    pub(crate) name: String,
    /// Name of the kernel that it is built as.
    pub(crate) kernel: String,
    /// What is broken, one line.
    pub(crate) bug: String,
    /// Where the harness must catch it, or why nothing can.
    pub(crate) trap: Trap,
}

/// Where a mutant must be caught.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trap {
    /// In this cell, by this rule.
    Set(Caught),
    /// Nowhere: it behaves as the series does, for this reason.
    Equivalent(String),
}

/// The cell and the rule that must catch a mutant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Caught {
    /// The scenario.
    pub(crate) scenario: String,
    /// Interface of the memory controller.
    pub(crate) cgroup: CgroupVersion,
    /// The policy.
    pub(crate) policy: String,
    /// The rule that must be broken.
    pub(crate) rule: Rule,
    /// Of `E`: the fact that is not as expected. No other fact is evaluated.
    pub(crate) fact: Option<FactName>,
    /// How the cell must end: FAIL, or CRASH or HANG where the kernel itself detects the bug.
    pub(crate) verdict: Verdict,
}

/// A file of `configs/mutants`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    patches: PathBuf,
    vm: Vm,
    mutant: Vec<MutantTable>,
}

/// `[[mutant]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MutantTable {
    name: At<String>,
    #[serde(deserialize_with = "value::words")]
    bug: String,
    scenario: Option<At<String>>,
    cgroup: Option<At<CgroupVersion>>,
    policy: Option<At<String>>,
    breaks: Option<At<String>>,
    #[serde(default)]
    crash: bool,
    #[serde(default)]
    hang: bool,
    #[serde(default, deserialize_with = "value::some_words")]
    equivalent: Option<String>,
}

impl MutantTable {
    /// Name of the kernel that it is built as.
    fn kernel(&self) -> String {
        format!("mutant-{}", *self.name)
    }
}

/// The files as they were read.
pub(super) struct Files<'a>(Vec<(Source<'a>, Table)>);

/// Reads the files and adds a kernel for each mutant: it builds in the tree of the kernel it
/// breaks.
pub(super) fn add_kernels<'a>(texts: &'a [Text], config: &mut Config) -> Result<Files<'a>, Fault> {
    let mut files = Vec::new();
    for text in texts {
        let (source, table): (_, Table) = Source::read(text)?;
        let Some(broken) = config.kernels.get(&text.name).cloned() else {
            let fault = text.fault_all(format!("unknown kernel `{}`", text.name));
            let names = config.kernels.keys().map(String::as_str);
            return Err(fault.hint(did_you_mean(&text.name, names)));
        };
        for mutant in &table.mutant {
            let name = mutant.kernel();
            super::fits_folder(&name).map_err(|why| source.fault(&mutant.name, why))?;
            let patch = table.patches.join(format!("{}.patch", *mutant.name));
            let what = format!("{} does not exist", patch.display());
            let mut files = config.needed.get(&text.name).cloned().unwrap_or_default();
            let fault = source.fault(&mutant.name, what).what;
            files.push(Needed { path: patch.clone(), fault });
            config.needed.insert(name.clone(), files);
            let mut kernel = Kernel { name: name.clone(), ..broken.clone() };
            kernel.extra_patches.push(patch);
            if config.kernels.insert(name.clone(), kernel).is_some() {
                let what = format!("there is a kernel `{name}` already");
                return Err(source.fault(&mutant.name, what));
            }
        }
        files.push((source, table));
    }
    Ok(Files(files))
}

/// Checks every file; by the kernel whose mutants it lists.
pub(super) fn check(
    files: Files<'_>,
    config: &Config,
    rules: &[Rule],
) -> Result<BTreeMap<String, Mutants>, Fault> {
    let mut all = BTreeMap::new();
    for (source, table) in files.0 {
        let kernel = &config.kernels[source.name()];
        let mutants = table
            .mutant
            .into_iter()
            .map(|table| mutant(&source, table, (kernel, &config.scenarios, rules)));
        let mutants = mutants.collect::<Result<_, Fault>>()?;
        let matrix = Matrix {
            name: "mutants".to_owned(),
            kernels: vec![kernel.name.clone()],
            baseline: None,
            scenarios: Vec::new(),
            repetitions: 1,
            vm: table.vm,
        };
        all.insert(source.name().to_owned(), Mutants { matrix, all: mutants });
    }
    Ok(all)
}

fn mutant(
    source: &Source<'_>,
    table: MutantTable,
    (kernel, scenarios, rules): (&Kernel, &BTreeMap<String, Scenario>, &[Rule]),
) -> Result<Mutant, Fault> {
    let built_as = table.kernel();
    let MutantTable { name, bug, scenario, cgroup, policy, breaks, crash, hang, equivalent } =
        table;
    let trap = match (equivalent, scenario, policy, breaks) {
        (Some(why), None, None, None) => Trap::Equivalent(why),
        (None, Some(scenario), Some(policy), Some(breaks)) => {
            let scenario = source.known("scenario", &scenario, scenarios)?;
            let (rule, fact) = rule(source, (kernel, scenario, rules), &policy, &breaks)?;
            Trap::Set(Caught {
                scenario: scenario.name.clone(),
                cgroup: on(source, cgroup, scenario)?,
                policy: policy.into_inner(),
                rule,
                fact,
                verdict: match (crash, hang) {
                    (true, _) => Verdict::Crash,
                    (_, true) => Verdict::Hang,
                    _ => Verdict::Fail,
                },
            })
        }
        _ => {
            let fault = source.fault(&name, "what catches it?");
            return Err(fault.hint("give `scenario`, `policy` and `breaks`, or `equivalent` alone"));
        }
    };
    Ok(Mutant { name: name.into_inner(), kernel: built_as, bug, trap })
}

/// The rule that `breaks` names, and of `E` the fact.
fn rule(
    source: &Source<'_>,
    (kernel, scenario, rules): (&Kernel, &Scenario, &[Rule]),
    policy: &At<String>,
    breaks: &At<String>,
) -> Result<(Rule, Option<FactName>), Fault> {
    let policies = kernel.policies.iter().map(|policy| (policy.name.clone(), &policy.expects_as));
    let expects_as = *source.known("policy", policy, &policies.collect())?;
    let Some(expect) = scenario.expect.get(expects_as) else {
        let what = format!("scenario `{}` expects nothing of `{expects_as}`", scenario.name);
        let hint = did_you_mean(expects_as, scenario.expect.keys().map(String::as_str));
        return Err(source.fault(policy, what).hint(hint));
    };
    let invariants = rules.iter().map(|rule| (rule.to_string(), (*rule, None)));
    let stated = expect.facts.iter().map(|condition| {
        let (rule, fact) = (Rule::Expectation, condition.fact.clone());
        (format!("{rule} {fact}"), (rule, Some(fact)))
    });
    let known: Vec<_> = invariants.chain(stated).collect();
    let found = known.iter().find(|(name, _)| *name == **breaks);
    found.map(|(_, rule)| rule.clone()).ok_or_else(|| {
        let names = known.iter().map(|(name, _)| name.as_str());
        source
            .fault(breaks, format!("this cell has no rule `{}`", **breaks))
            .hint(did_you_mean(breaks, names))
    })
}

/// cgroup v2 where the scenario has it and the entry says nothing else.
fn on(
    source: &Source<'_>,
    asked: Option<At<CgroupVersion>>,
    scenario: &Scenario,
) -> Result<CgroupVersion, Fault> {
    match asked {
        Some(asked) if !scenario.cgroups.contains(&asked) => {
            let what = format!("scenario `{}` does not run on cgroup {}", scenario.name, *asked);
            Err(source.fault(&asked, what))
        }
        Some(asked) => Ok(*asked),
        None if scenario.cgroups.contains(&CgroupVersion::V2) => Ok(CgroupVersion::V2),
        None => Ok(CgroupVersion::V1),
    }
}
