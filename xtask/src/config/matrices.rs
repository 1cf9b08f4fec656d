// SPDX-License-Identifier: MIT OR Apache-2.0
//! Raw matrices -> checked matrices: everything they name exists and fits together.
//!
//! One step of `extends` only.

use std::collections::BTreeMap;

use toml::Spanned;

use super::extends::{Parent, Raw, own_or_inherited, parent_of};
use super::place::{Text, did_you_mean, known, words};
use super::{Kernel, Matrix, Scenario, number, raw, scenarios};
use crate::exit::Fault;
use crate::taxonomy::Rule;

/// More than this is a typing error, not a machine.
const CPUS_MAX: u32 = 256;

/// What there is to refer to.
pub(super) struct Known<'a> {
    pub(super) rules: &'a [Rule],
    pub(super) kernels: &'a BTreeMap<String, Kernel>,
    pub(super) scenarios: &'a BTreeMap<String, Scenario>,
}

/// Checks every matrix; an extending one with what it inherits.
pub(super) fn check(texts: &[Text], refer: &Known<'_>) -> Result<BTreeMap<String, Matrix>, Fault> {
    let mut all = Raw::new();
    for text in texts {
        super::name_fits(text)?;
        all.insert(text.name.clone(), (text, text.parse()?));
    }
    let mut matrices = BTreeMap::new();
    for (name, (text, raw)) in &all {
        let parent = parent_of(text, raw, &all)?;
        matrices.insert(name.clone(), matrix(text, raw, parent, refer)?);
    }
    Ok(matrices)
}

fn matrix(
    text: &Text,
    raw: &raw::Matrix,
    parent: Parent<'_, raw::Matrix>,
    refer: &Known<'_>,
) -> Result<Matrix, Fault> {
    macro_rules! own_or_inherited {
        ($key:ident) => {
            own_or_inherited((text, raw), parent, |raw| raw.$key.as_ref())
        };
    }
    let (kernels_text, raw_kernels) = own_or_inherited!(kernels).unzip();
    let (scenarios_text, raw_scenarios) = own_or_inherited!(scenarios).unzip();
    let mut wanted = spelled_out(raw_scenarios.map_or(&[][..], Vec::as_slice), refer.scenarios);
    let lists = [parent.filter(|_| raw.scenarios.is_none()), Some((text, raw))];
    for (text, raw) in lists.into_iter().flatten() {
        leave_out(text, &raw.without, &mut wanted)?;
    }
    let kernels = names(
        kernels_text.unwrap_or(text),
        "kernel",
        raw_kernels.map_or(&[][..], Vec::as_slice),
        refer.kernels,
    )?;
    let scenarios_text = scenarios_text.unwrap_or(text);
    let scenarios = names(scenarios_text, "scenario", &wanted, refer.scenarios)?;
    for kernel in &kernels {
        for scenario in &wanted {
            expects(scenarios_text, kernel, scenario, refer)?;
        }
    }
    if kernels.is_empty() || scenarios.is_empty() {
        let fault = text.fault_all("the matrix has no cells");
        return Err(fault.hint("give `kernels` and `scenarios`"));
    }
    // A matrix with kernels of its own has not chosen its parent's baseline.
    let chosen = |name: &Spanned<String>| {
        raw.baseline.is_some() || raw.kernels.is_none() || kernels.contains(name.get_ref())
    };
    let baseline = own_or_inherited!(baseline).filter(|(_, name)| chosen(name));
    if let Some((at, baseline)) = baseline
        && !kernels.contains(baseline.get_ref())
    {
        let what = format!("baseline `{}` is not one of `kernels`", baseline.get_ref());
        let hint = did_you_mean(baseline.get_ref(), kernels.iter().map(String::as_str));
        return Err(at.fault(baseline.span(), what).hint(hint));
    }
    let (vm_text, vm) = own_or_inherited!(vm)
        .ok_or_else(|| text.fault_all("a matrix that extends no other needs `[vm]`"))?;
    let (cpus, memory_mib, cmdline) = machine(vm_text, vm)?;
    Ok(Matrix {
        name: text.name.clone(),
        kernels,
        baseline: baseline.map(|(_, name)| name.get_ref().clone()),
        scenarios,
        repetitions: own_or_inherited!(repetitions)
            .map_or(Ok(1), |(at, n)| within(at, "repetitions", n, 1000))?,
        cpus,
        memory_mib,
        cmdline,
    })
}

/// The scenarios that a list names. `*` stands for all that it does not name, in order of name.
fn spelled_out(list: &[Spanned<String>], all: &BTreeMap<String, Scenario>) -> Vec<Spanned<String>> {
    let is_other = |name: &&String| list.iter().all(|entry| entry.get_ref() != *name);
    let others = |star: &Spanned<String>| -> Vec<Spanned<String>> {
        let others = all.keys().filter(is_other);
        others.map(|name| Spanned::new(star.span(), name.clone())).collect()
    };
    let names = list.iter().map(|entry| match entry.get_ref().as_str() {
        "*" => others(entry),
        _ => vec![entry.clone()],
    });
    names.flatten().collect()
}

/// Takes what `without` names out of the scenarios.
fn leave_out(
    text: &Text,
    without: &[Spanned<String>],
    scenarios: &mut Vec<Spanned<String>>,
) -> Result<(), Fault> {
    for name in without {
        let Some(at) = scenarios.iter().position(|scenario| scenario.get_ref() == name.get_ref())
        else {
            let what = format!("`without`: `{}` is not one of the scenarios", name.get_ref());
            let known = scenarios.iter().map(|scenario| scenario.get_ref().as_str());
            let hint = did_you_mean(name.get_ref(), known);
            return Err(text.fault(name.span(), what).hint(hint));
        };
        scenarios.remove(at);
    }
    Ok(())
}

fn names<T>(
    text: &Text,
    kind: &str,
    given: &[Spanned<String>],
    all: &BTreeMap<String, T>,
) -> Result<Vec<String>, Fault> {
    let mut names: Vec<String> = Vec::new();
    for name in given {
        known(text, kind, name, all)?;
        if names.contains(name.get_ref()) {
            return Err(
                text.fault(name.span(), format!("{kind} `{}` is named twice", name.get_ref()))
            );
        }
        names.push(name.get_ref().clone());
    }
    Ok(names)
}

/// Every policy of the kernel has an expectation in the scenario.
fn expects(
    text: &Text,
    kernel: &str,
    scenario: &Spanned<String>,
    refer: &Known<'_>,
) -> Result<(), Fault> {
    let (Some(kernel), Some(asked)) =
        (refer.kernels.get(kernel), refer.scenarios.get(scenario.get_ref()))
    else {
        return Ok(());
    };
    for policy in kernel.policies.iter().filter(|policy| !policy.optional) {
        if !asked.expect.contains_key(&policy.expects_as) {
            let what = format!(
                "scenario `{}` does not say what it expects of policy `{}` of kernel `{}`",
                asked.name, policy.name, kernel.name
            );
            return Err(text.fault(scenario.span(), what).hint(format!(
                "add [expect.{}] to configs/scenarios/{}.toml; it has: {}",
                policy.expects_as,
                asked.name,
                scenarios::expected_policies(asked).join(", ")
            )));
        }
    }
    Ok(())
}

/// CPUs, memory in MiB, and words of the command line of its VMs.
pub(super) fn machine(text: &Text, vm: &raw::Vm) -> Result<(u32, u32, Vec<String>), Fault> {
    let cpus = within(text, "cpus", &vm.cpus, CPUS_MAX)?;
    Ok((cpus, memory_mib(text, &vm.memory)?, words(text, &vm.cmdline)?))
}

fn within(text: &Text, key: &str, value: &Spanned<u32>, max: u32) -> Result<u32, Fault> {
    match *value.get_ref() {
        number if (1..=max).contains(&number) => Ok(number),
        _ => Err(text.fault(value.span(), format!("`{key}` must be from 1 to {max}"))),
    }
}

fn memory_mib(text: &Text, value: &Spanned<String>) -> Result<u32, Fault> {
    let bytes = number::size_bytes(value.get_ref())
        .map_err(|why| text.fault(value.span(), format!("`memory`: {why}")))?;
    u32::try_from(bytes >> 20)
        .ok()
        .filter(|mib| *mib >= 64 && bytes % (1 << 20) == 0)
        .ok_or_else(|| text.fault(value.span(), "`memory` must be whole MiB, at least \"64M\""))
}
