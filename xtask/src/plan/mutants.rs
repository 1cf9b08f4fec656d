// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mutants -> cells: each mutant in the cell that must catch it, and the same cell of the kernel
//! without any bug as its control.

use std::collections::BTreeMap;

use super::{Cell, Pattern, Place};
use crate::config::{Caught, Config, Expectation, Mutant, Mutants, Trap, did_you_mean};
use crate::exit::{Exit, Fault};
use crate::taxonomy::FactName;

/// A mutant and the cells that decide about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trial {
    /// The mutant.
    pub(crate) mutant: Mutant,
    /// Ids of its cell and of its control; none for an equivalent one.
    pub(crate) cells: Option<(String, String)>,
}

impl Trial {
    /// Scenario, cgroup version and policy of its cell; rule and, of `E`, fact that must catch it.
    pub(crate) fn wanted(&self) -> Option<(String, String)> {
        let Trap::Set(caught) = &self.mutant.trap else { return None };
        let Caught { scenario, cgroup, policy, rule, fact, verdict: _ } = caught;
        let rule = fact.as_ref().map_or_else(|| rule.to_string(), |fact| format!("{rule} {fact}"));
        Some((format!("{scenario}.{cgroup}.{policy}"), rule))
    }

    /// Why nothing can catch it.
    pub(crate) fn equivalent(&self) -> Option<&str> {
        match &self.mutant.trap {
            Trap::Equivalent(why) => Some(why),
            Trap::Set(_) => None,
        }
    }
}

/// The mutants whose names fit one of `patterns`, all where there are none, and the cells to run:
/// the controls, each once, then the mutants in the order of their file.
///
/// # Errors
/// [`Exit::Usage`] when a pattern is wrong, one fits no mutant, or none that they fit can be caught.
pub(crate) fn mutants(
    config: &Config,
    mutants: &Mutants,
    patterns: &[String],
    run_seed: u64,
) -> Result<(Vec<Cell>, Vec<Trial>), Fault> {
    let globs = Pattern::all(patterns)?;
    let fits_none = |pattern: &Pattern| !mutants.all.iter().any(|m| pattern.matches(&m.name));
    if let Some((text, _)) = patterns.iter().zip(&globs).find(|(_, glob)| fits_none(glob)) {
        return Err(none_to_catch("no mutant fits", text, mutants));
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
        return Err(none_to_catch("no mutant that can be caught fits", &wanted, mutants));
    }
    Ok((controls.into_values().chain(cells).collect(), trials))
}

fn none_to_catch(what: &str, wanted: &str, mutants: &Mutants) -> Fault {
    let names = mutants.all.iter().map(|mutant| mutant.name.as_str());
    Fault::new(Exit::Usage, format!("{what} {wanted}")).hint(did_you_mean(wanted, names))
}

/// What is expected of a mutant: it runs the path, and at least that rule breaks. Of the scenario's
/// own expectations only those of the fact that is named are asked, so that `E` means that one.
fn must(expect: Expectation, caught: &Caught) -> Expectation {
    let named = |fact: &FactName| caught.fact.as_ref() == Some(fact);
    Expectation {
        verdict: caught.verdict,
        breaks: vec![caught.rule],
        or_more: true,
        or_better: false,
        may_break: Vec::new(),
        exercised: expect.exercised,
        facts: expect.facts.into_iter().filter(|condition| named(&condition.fact)).collect(),
    }
}
