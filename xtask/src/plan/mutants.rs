// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mutants -> cells: each mutant in the cell that must catch it. Its control is the same cell on
//! the kernel without the bug.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::key::scenario_id;
use super::{Cell, Pattern, Place};
use crate::config::{Caught, Config, Expectation, Mutant, Mutants, Trap, did_you_mean};
use crate::exit::{Exit, Fault};
use crate::taxonomy::FactName;

/// A mutant and the cells that decide about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trial {
    /// The mutant.
    pub(crate) mutant: Mutant,
    /// Ids of its cell and of its control; `None` for an equivalent mutant.
    pub(crate) cells: Option<(String, String)>,
}

impl Trial {
    /// Its cell as `scenario.cgroup.policy`, and the rule that must break (with the fact, for `E`).
    pub(crate) fn wanted(&self) -> Option<(String, String)> {
        let Trap::Set(caught) = &self.mutant.trap else { return None };
        let Caught { scenario, cgroup, policy, rule, fact, verdict: _ } = caught;
        let rule = fact.as_ref().map_or_else(|| rule.to_string(), |fact| format!("{rule} {fact}"));
        Some((format!("{}.{policy}", scenario_id(scenario, *cgroup)), rule))
    }

    /// Why nothing can catch it.
    pub(crate) fn equivalent(&self) -> Option<&str> {
        match &self.mutant.trap {
            Trap::Equivalent(why) => Some(why),
            Trap::Set(_) => None,
        }
    }
}

/// The mutants that match one of `patterns` (all, if there are none) and the cells to run: each
/// control once, then the mutants in the order of their file.
///
/// # Errors
/// [`Exit::Usage`] for a wrong pattern, one that matches no mutant, or if no match can be caught.
pub(crate) fn mutants(
    config: &Config,
    mutants: &Mutants,
    patterns: &[String],
    run_seed: u64,
) -> Result<(Vec<Cell>, Vec<Trial>), Fault> {
    let globs = Pattern::all(patterns)?;
    let fits_none = |pattern: &Pattern| !mutants.all.iter().any(|m| pattern.matches(&m.name));
    if let Some((text, _)) = patterns.iter().zip(&globs).find(|(_, glob)| fits_none(glob)) {
        return Err(none_to_catch("no mutant matches", text, mutants));
    }
    let picked = |mutant: &&Mutant| {
        globs.is_empty() || globs.iter().any(|pattern| pattern.matches(&mutant.name))
    };
    let (mut controls, mut cells, mut trials) = (BTreeMap::new(), Vec::new(), Vec::new());
    for mutant in mutants.all.iter().filter(picked) {
        let Trap::Set(caught) = &mutant.trap else {
            trials.push(Trial { mutant: mutant.clone(), cells: None });
            continue;
        };
        let of = |kernel: &str, must_break: bool| -> Result<Cell, Fault> {
            let (scenario, kernel) = (config.scenario(&caught.scenario)?, config.kernel(kernel)?);
            let policy = kernel.policies.iter().find(|policy| policy.name == caught.policy);
            let policy = policy.ok_or_else(|| {
                let what = format!("kernel `{}` has no policy `{}`", kernel.name, caught.policy);
                Fault::new(Exit::Usage, what)
            })?;
            let (matrix, cgroup) = (&mutants.matrix, caught.cgroup);
            let place = Place { matrix, scenario, kernel, policy, cgroup, repetition: 1 };
            let expect = place.expected()?;
            Ok(place.cell("", if must_break { must(expect, caught) } else { expect }, run_seed))
        };
        let control = of(&mutants.matrix.kernels[0], false)?;
        let cell = of(&mutant.kernel, true)?;
        trials.push(Trial {
            mutant: mutant.clone(),
            cells: Some((cell.id.clone(), control.id.clone())),
        });
        controls.insert(control.id.clone(), control);
        cells.push(cell);
    }
    if cells.is_empty() {
        let wanted = patterns.join(" or ");
        return Err(none_to_catch("no mutant that can be caught matches", &wanted, mutants));
    }
    Ok((controls.into_values().chain(cells).collect(), trials))
}

fn none_to_catch(what: &str, wanted: &str, mutants: &Mutants) -> Fault {
    let names = mutants.all.iter().map(|mutant| mutant.name.as_str());
    Fault::new(Exit::Usage, format!("{what} {wanted}")).hint(did_you_mean(wanted, names))
}

/// A mutant must run the path and break at least that rule. Of the facts that the scenario expects
/// only the named one is evaluated, so that a broken `E` means that fact.
fn must(expect: Expectation, caught: &Caught) -> Expectation {
    let named = |fact: &FactName| caught.fact.as_ref() == Some(fact);
    Expectation {
        verdict: caught.verdict,
        breaks: vec![caught.rule],
        or_more: true,
        or_better: false,
        any: false,
        may_break: Vec::new(),
        exercised: expect.exercised,
        facts: expect.facts.into_iter().filter(|condition| named(&condition.fact)).collect(),
    }
}
