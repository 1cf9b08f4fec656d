// SPDX-License-Identifier: MIT OR Apache-2.0
//! Matrices, as `configs/matrices/*.toml` has them: everything they name exists and fits together.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::place::{At, Inherit, Source, Text, did_you_mean};
use super::{Config, Kernel, Scenario, value};
use crate::exit::Fault;

/// Which cells exist (`configs/matrices/<name>.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matrix {
    /// For example `default`.
    pub(crate) name: String,
    /// Kernels, baseline first.
    pub(crate) kernels: Vec<String>,
    /// The kernel to compare with, one of `kernels`; `None` for no comparison.
    pub(crate) baseline: Option<String>,
    /// Scenarios, each run on each kernel.
    pub(crate) scenarios: Vec<String>,
    /// Repetitions of each cell, at least 1.
    pub(crate) repetitions: u32,
    /// The machine of its cells.
    pub(crate) vm: Vm,
}

/// `[vm]`: the machine that cells run in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vm {
    /// Virtual CPUs. More than 256 is a typing error.
    #[serde(deserialize_with = "value::within::<_, _, 1, 256>")]
    pub(crate) cpus: u32,
    /// Guest memory, MiB.
    #[serde(rename = "memory", deserialize_with = "value::memory_mib")]
    pub(crate) memory_mib: u32,
    /// Words added to the kernel command line.
    #[serde(default, deserialize_with = "value::cmdline")]
    pub(crate) cmdline: Vec<String>,
}

/// A file of `configs/matrices`, with what it inherits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(rename = "extends")]
    _extends: Option<String>,
    #[serde(default)]
    kernels: At<Vec<At<String>>>,
    baseline: Option<At<String>>,
    #[serde(default)]
    scenarios: At<Vec<At<String>>>,
    #[serde(default)]
    without: Vec<At<String>>,
    #[serde(default = "value::one", deserialize_with = "value::within::<_, _, 1, 1000>")]
    repetitions: u32,
    vm: Option<Vm>,
}

impl Inherit for Table {
    const KIND: &'static str = "matrix";
    const JOINED: &'static [&'static str] = &["without"];
}

/// Checks every matrix.
pub(super) fn check(texts: &[Text], refer: &Config) -> Result<BTreeMap<String, Matrix>, Fault> {
    texts.iter().try_for_each(super::name_fits)?;
    let mut matrices = BTreeMap::new();
    for (source, table) in Source::read_all::<Table>(texts)? {
        matrices.insert(source.name().to_owned(), matrix(&source, table, refer)?);
    }
    Ok(matrices)
}

fn matrix(source: &Source<'_>, table: Table, refer: &Config) -> Result<Matrix, Fault> {
    let Table { _extends, kernels: named, baseline, scenarios, without, repetitions, vm } = table;
    let kernels = names(source, "kernel", &named, &refer.kernels)?;
    let mut wanted = spelled_out(&scenarios, &refer.scenarios);
    // A matrix that inherits its scenarios inherits what to leave out.
    let applies = |name: &&At<String>| source.inherits(&scenarios) || !source.inherits(*name);
    for name in without.iter().filter(applies) {
        leave_out(source, name, &mut wanted)?;
    }
    let scenarios = names(source, "scenario", &wanted, &refer.scenarios)?;
    for kernel in &kernels {
        for scenario in &wanted {
            expects(source, &refer.kernels[kernel], scenario, &refer.scenarios[&**scenario])?;
        }
    }
    if kernels.is_empty() || scenarios.is_empty() {
        let fault = source.fault_all("the matrix has no cells");
        return Err(fault.hint("give `kernels` and `scenarios`"));
    }
    // A matrix that names its kernels has not chosen the baseline that it inherits.
    let chosen = |name: &At<String>| !source.inherits(name) || source.inherits(&named);
    let baseline = baseline.filter(|name| kernels.contains(name) || chosen(name));
    if let Some(name) = baseline.as_ref().filter(|name| !kernels.contains(name)) {
        let what = format!("baseline `{}` is not one of `kernels`", **name);
        let hint = did_you_mean(name, kernels.iter().map(String::as_str));
        return Err(source.fault(name, what).hint(hint));
    }
    Ok(Matrix {
        name: source.name().to_owned(),
        kernels,
        baseline: baseline.map(At::into_inner),
        scenarios,
        repetitions,
        vm: vm.ok_or_else(|| {
            source.fault_all("a matrix that does not extend another needs `[vm]`")
        })?,
    })
}

/// The scenarios that a list names. `*` stands for all that it does not name, in order of name.
fn spelled_out(list: &[At<String>], all: &BTreeMap<String, Scenario>) -> Vec<At<String>> {
    let is_other = |name: &&String| list.iter().all(|entry| **entry != **name);
    let names = list.iter().map(|entry| match entry.as_str() {
        "*" => all.keys().filter(is_other).map(|name| entry.replaced(name.clone())).collect(),
        _ => vec![entry.clone()],
    });
    names.flatten().collect()
}

/// Takes what `without` names out of the scenarios.
fn leave_out(
    source: &Source<'_>,
    name: &At<String>,
    scenarios: &mut Vec<At<String>>,
) -> Result<(), Fault> {
    let Some(at) = scenarios.iter().position(|scenario| scenario == name) else {
        let what = format!("`without`: `{}` is not one of the scenarios", **name);
        let hint = did_you_mean(name, scenarios.iter().map(|scenario| scenario.as_str()));
        return Err(source.fault(name, what).hint(hint));
    };
    scenarios.remove(at);
    Ok(())
}

fn names<T>(
    source: &Source<'_>,
    kind: &str,
    given: &[At<String>],
    all: &BTreeMap<String, T>,
) -> Result<Vec<String>, Fault> {
    let mut names: Vec<String> = Vec::new();
    for name in given {
        source.known(kind, name, all)?;
        if names.contains(name) {
            return Err(source.fault(name, format!("{kind} `{}` is named twice", **name)));
        }
        names.push((**name).clone());
    }
    Ok(names)
}

/// Every policy of the kernel has an expectation in the scenario.
fn expects(
    source: &Source<'_>,
    kernel: &Kernel,
    name: &At<String>,
    scenario: &Scenario,
) -> Result<(), Fault> {
    let mut required = kernel.policies.iter().filter(|policy| !policy.optional);
    let Some(policy) = required.find(|p| !scenario.expect.contains_key(&p.expects_as)) else {
        return Ok(());
    };
    let what = format!(
        "scenario `{}` does not state what it expects of policy `{}` of kernel `{}`",
        scenario.name, policy.name, kernel.name
    );
    let known: Vec<&str> = scenario.expect.keys().map(String::as_str).collect();
    Err(source.fault(name, what).hint(format!(
        "add [expect.{}] to configs/scenarios/{}.toml; it has: {}",
        policy.expects_as,
        scenario.name,
        known.join(", ")
    )))
}
