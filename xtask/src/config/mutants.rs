// SPDX-License-Identifier: MIT OR Apache-2.0
//! Raw mutants -> checked mutants, and the kernels they are built as.
//!
//! `configs/mutants/<kernel>.toml` lists the mutants of that kernel. One mutant is one patch,
//! `<name>.patch` in the folder that the file names, and one entry: what is broken, the cell that
//! must see it, and the rule by which. Everything an entry refers to exists, and the rule can be
//! asked of that cell.

use std::collections::BTreeMap;
use std::path::PathBuf;

use protocol::CgroupVersion;
use toml::Spanned;

use super::place::{Text, did_you_mean, known};
use super::{Kernel, Matrix, Needed, Scenario, matrices, raw, scenarios};
use crate::exit::Fault;
use crate::taxonomy::{Rule, Verdict};

/// The mutants of one kernel (`configs/mutants/<kernel>.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mutants {
    /// What their cells run in; its one kernel is the one without any of the bugs.
    pub(crate) matrix: Matrix,
    /// In the order of the file.
    pub(crate) all: Vec<Mutant>,
}

/// A variant of a kernel with one deliberate bug: a patch on top of its series.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    /// In this cell, by this rule.
    Set(Caught),
    /// Nowhere: it does what the series does, for this reason.
    Equivalent(String),
}

/// The cell and the rule that must catch a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caught {
    /// The scenario.
    pub(crate) scenario: String,
    /// Interface of the memory controller.
    pub(crate) cgroup: CgroupVersion,
    /// The policy.
    pub(crate) policy: String,
    /// The rule that must be broken.
    pub(crate) rule: Rule,
    /// Of `E`: the fact that is not as expected. No other one is asked.
    pub(crate) fact: Option<String>,
    /// How the cell must end: FAIL, or CRASH where the kernel itself sees what the rule is about.
    pub(crate) verdict: Verdict,
}

/// Files by the kernel whose mutants they list.
pub(super) type Files<'a> = Vec<(&'a Text, raw::Mutants)>;

/// Reads the files and adds a kernel for each mutant: it builds in the tree of the kernel it breaks.
pub(super) fn kernels<'a>(
    texts: &'a [Text],
    kernels: &mut BTreeMap<String, Kernel>,
    needed: &mut BTreeMap<String, Vec<Needed>>,
) -> Result<Files<'a>, Fault> {
    let mut files = Files::new();
    for text in texts {
        let raw: raw::Mutants = text.parse()?;
        let Some(broken) = kernels.get(&text.name).cloned() else {
            let fault = text.fault_all(format!("unknown kernel `{}`", text.name));
            let names = kernels.keys().map(String::as_str);
            return Err(fault.hint(did_you_mean(&text.name, names)));
        };
        for mutant in &raw.mutant {
            let name = kernel_name(mutant);
            super::fits_folder(&name).map_err(|why| text.fault(mutant.name.span(), why))?;
            let patch = PathBuf::from(raw.patches.get_ref())
                .join(format!("{}.patch", mutant.name.get_ref()));
            let fault =
                text.fault(mutant.name.span(), format!("{} does not exist", patch.display()));
            let mut files = needed.get(&text.name).cloned().unwrap_or_default();
            files.push(Needed { path: patch.clone(), fault: fault.what });
            let mut extra_patches = broken.extra_patches.clone();
            extra_patches.push(patch);
            let kernel = Kernel { name: name.clone(), extra_patches, ..broken.clone() };
            if kernels.insert(name.clone(), kernel).is_some() {
                let what = format!("there is a kernel `{name}` already");
                return Err(text.fault(mutant.name.span(), what));
            }
            needed.insert(name, files);
        }
        files.push((text, raw));
    }
    Ok(files)
}

/// What a mutant's kernel is called.
fn kernel_name(mutant: &raw::Mutant) -> String {
    format!("mutant-{}", mutant.name.get_ref())
}

/// Checks every file; by the kernel whose mutants it lists.
pub(super) fn check(
    files: &Files<'_>,
    refer: &matrices::Known<'_>,
) -> Result<BTreeMap<String, Mutants>, Fault> {
    let mut all = BTreeMap::new();
    for (text, raw) in files {
        let kernel = &refer.kernels[&text.name];
        let mutants = raw.mutant.iter().map(|raw| mutant(text, raw, kernel, refer));
        let mutants = mutants.collect::<Result<Vec<_>, Fault>>()?;
        let (cpus, memory_mib, cmdline) = matrices::machine(text, &raw.vm)?;
        let matrix = Matrix {
            name: "mutants".to_owned(),
            kernels: vec![kernel.name.clone()],
            baseline: None,
            scenarios: Vec::new(),
            repetitions: 1,
            cpus,
            memory_mib,
            cmdline,
        };
        all.insert(text.name.clone(), Mutants { matrix, all: mutants });
    }
    Ok(all)
}

fn mutant(
    text: &Text,
    raw: &raw::Mutant,
    kernel: &Kernel,
    refer: &matrices::Known<'_>,
) -> Result<Mutant, Fault> {
    if raw.bug.get_ref().trim().is_empty() {
        return Err(text.fault(raw.bug.span(), "`bug` is empty"));
    }
    let trap = match (&raw.equivalent, &raw.scenario, &raw.policy, &raw.breaks) {
        (Some(why), None, None, None) if why.get_ref().trim().is_empty() => {
            return Err(text.fault(why.span(), "`equivalent` is empty: say why"));
        }
        (Some(why), None, None, None) => Trap::Equivalent(why.get_ref().trim().to_owned()),
        (None, Some(scenario), Some(policy), Some(breaks)) => {
            let scenario = known(text, "scenario", scenario, refer.scenarios)?;
            Trap::Set(caught(text, raw, (kernel, scenario, refer.rules), (policy, breaks))?)
        }
        _ => {
            let fault = text.fault(raw.name.span(), "what catches it?");
            return Err(fault.hint("give `scenario`, `policy` and `breaks`, or `equivalent` alone"));
        }
    };
    Ok(Mutant {
        name: raw.name.get_ref().clone(),
        kernel: kernel_name(raw),
        bug: raw.bug.get_ref().trim().to_owned(),
        trap,
    })
}

fn caught(
    text: &Text,
    raw: &raw::Mutant,
    (kernel, scenario, rules): (&Kernel, &Scenario, &[Rule]),
    (policy, breaks): (&Spanned<String>, &Spanned<String>),
) -> Result<Caught, Fault> {
    let policies: BTreeMap<String, &str> = kernel
        .policies
        .iter()
        .map(|policy| (policy.name.clone(), policy.expects_as.as_str()))
        .collect();
    let expects_as = known(text, "policy", policy, &policies)?;
    let Some(expect) = scenario.expect.get(*expects_as) else {
        let what = format!("scenario `{}` expects nothing of `{expects_as}`", scenario.name);
        let hint = did_you_mean(expects_as, scenarios::expected_policies(scenario));
        return Err(text.fault(policy.span(), what).hint(hint));
    };
    let invariants = rules.iter().map(|rule| (rule.to_string(), *rule, None));
    let stated = expect.facts.iter().map(|condition| {
        let (rule, fact) = (Rule::Expectation, condition.fact.clone());
        (format!("{rule} {fact}"), rule, Some(fact))
    });
    let known: Vec<(String, Rule, Option<String>)> = invariants.chain(stated).collect();
    let Some((_, rule, fact)) = known.iter().find(|(name, ..)| name == breaks.get_ref()) else {
        let what = format!("this cell has no rule `{}`", breaks.get_ref());
        let names = known.iter().map(|(name, ..)| name.as_str());
        return Err(text.fault(breaks.span(), what).hint(did_you_mean(breaks.get_ref(), names)));
    };
    Ok(Caught {
        scenario: scenario.name.clone(),
        cgroup: cgroup(text, raw.cgroup.as_ref(), scenario)?,
        policy: policy.get_ref().clone(),
        rule: *rule,
        fact: fact.clone(),
        verdict: if raw.crash { Verdict::Crash } else { Verdict::Fail },
    })
}

/// v2 where the scenario has it and nobody says otherwise.
fn cgroup(
    text: &Text,
    asked: Option<&Spanned<CgroupVersion>>,
    scenario: &Scenario,
) -> Result<CgroupVersion, Fault> {
    match asked {
        Some(asked) if !scenario.cgroups.contains(asked.get_ref()) => {
            let what = format!("scenario `{}` does not run on it", scenario.name);
            Err(text.fault(asked.span(), what))
        }
        Some(asked) => Ok(*asked.get_ref()),
        None if scenario.cgroups.contains(&CgroupVersion::V2) => Ok(CgroupVersion::V2),
        None => Ok(CgroupVersion::V1),
    }
}
