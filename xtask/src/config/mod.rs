// SPDX-License-Identifier: MIT OR Apache-2.0
//! TOML text -> checked values. Pure: the caller reads the files and gives name and text.
//!
//! Inheritance comes first, then one parse into types that check their values, then the checks of
//! one file against others. An error names file, line and column, and what would fit.

mod bases;
mod condition;
mod coverage;
mod kernels;
mod known_faults;
mod matrices;
mod mutants;
mod place;
mod program;
mod scenarios;
#[cfg(test)]
pub(crate) mod tests;
mod user_series;
mod value;
mod week;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Fault};
use crate::taxonomy::Rule;

pub(crate) use bases::{Base, Gone, Origin};
#[cfg(test)]
pub(crate) use condition::Comparison;
pub(crate) use condition::Condition;
pub(crate) use coverage::Reason;
pub(crate) use kernels::{Compiler, Kernel, Policy};
#[cfg(test)]
pub(crate) use known_faults::Until;
pub(crate) use known_faults::{KnownFault, SeenIn};
pub(crate) use matrices::{Matrix, Vm};
pub(crate) use mutants::{Caught, Mutant, Mutants, Trap};
pub(crate) use place::{Text, close_to, did_you_mean};
pub(crate) use program::{Load, limit_bytes};
pub(crate) use scenarios::{Expectation, Scenario, Shape};
pub(crate) use user_series::UserSeries;
#[cfg(test)]
pub(crate) use week::tests::read as week_of;
pub(crate) use week::{Day, Job, Week, Work};

/// Name of the one policy of a kernel that has none, and of what it expects.
pub(crate) const MAINLINE: &str = "mainline";

/// The config files as text, each kind in any order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    /// `configs/bases/*.toml`
    pub(crate) bases: Vec<Text>,
    /// `configs/kernels/*.toml`
    pub(crate) kernels: Vec<Text>,
    /// `configs/scenarios/*.toml`
    pub(crate) scenarios: Vec<Text>,
    /// `configs/matrices/*.toml`
    pub(crate) matrices: Vec<Text>,
    /// `configs/coverage/*.toml`
    pub(crate) coverage: Vec<Text>,
    /// `configs/mutants/*.toml`
    pub(crate) mutants: Vec<Text>,
    /// `configs/known-faults.toml`, if it is there.
    pub(crate) known_faults: Option<Text>,
    /// Names of `configs/fragments/*.config`, without the ending.
    pub(crate) fragments: Vec<String>,
    /// Rules that there are, in order.
    pub(crate) rules: Vec<Rule>,
}

/// Everything the config files say, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    /// Unpatched sources.
    pub(crate) bases: BTreeMap<String, Base>,
    /// What can be built.
    pub(crate) kernels: BTreeMap<String, Kernel>,
    /// What can be run.
    pub(crate) scenarios: BTreeMap<String, Scenario>,
    /// What is run together.
    pub(crate) matrices: BTreeMap<String, Matrix>,
    /// Why lines of a series need not run, by base.
    pub(crate) reasons: BTreeMap<String, Vec<Reason>>,
    /// Kernels with one deliberate bug each, by the kernel that they are variants of.
    pub(crate) mutants: BTreeMap<String, Mutants>,
    /// Faults of unpatched kernels that are known.
    pub(crate) known_faults: Vec<KnownFault>,
    /// Files each kernel is built from, with the fault for a missing one.
    needed: BTreeMap<String, Vec<Needed>>,
}

/// A file that a kernel names.
#[derive(Clone, Debug)]
struct Needed {
    path: PathBuf,
    fault: String,
}

impl Config {
    /// Checks every file by itself and against the others.
    pub(crate) fn read(texts: &Texts) -> Result<Self, Fault> {
        let mut config = Self::default();
        for text in &texts.bases {
            config.bases.insert(text.name.clone(), bases::check(text)?);
        }
        kernels::add(&texts.kernels, &texts.fragments, &mut config)?;
        let mutants = mutants::add_kernels(&texts.mutants, &mut config)?;
        for text in &texts.scenarios {
            config.scenarios.insert(text.name.clone(), scenarios::check(text, &texts.rules)?);
        }
        for text in &texts.coverage {
            config.reasons.insert(text.name.clone(), coverage::check(text, &config.bases)?);
        }
        config.matrices = matrices::check(&texts.matrices, &config)?;
        if let Some(text) = &texts.known_faults {
            config.known_faults =
                known_faults::check(text, &config.bases, config.scenarios.keys())?;
        }
        config.mutants = mutants::check(mutants, &config, &texts.rules)?;
        Ok(config)
    }

    /// Checks that the files exist that this kernel is built from. Only for kernels in use: a
    /// series that is still being written must not stop the others.
    ///
    /// # Errors
    /// [`Exit::Usage`] for the first file for which `exists` is false.
    pub(crate) fn sources_present(
        &self,
        kernel: &str,
        exists: &dyn Fn(&Path) -> bool,
    ) -> Result<(), Fault> {
        match self.needed.get(kernel).into_iter().flatten().find(|needed| !exists(&needed.path)) {
            None => Ok(()),
            Some(needed) => Err(Fault::new(Exit::Usage, needed.fault.clone()).hint(
                "paths are relative to the workspace; a series is a folder with a `series` file",
            )),
        }
    }

    /// The kernel of that name, or a fault that lists what there is.
    pub(crate) fn kernel(&self, name: &str) -> Result<&Kernel, Fault> {
        named("kernel", name, &self.kernels)
    }

    /// The scenario of that name, or a fault that lists what there is.
    pub(crate) fn scenario(&self, name: &str) -> Result<&Scenario, Fault> {
        named("scenario", name, &self.scenarios)
    }

    /// The matrix of that name, or a fault that lists what there is.
    pub(crate) fn matrix(&self, name: &str) -> Result<&Matrix, Fault> {
        named("matrix", name, &self.matrices)
    }

    /// The mutants of the kernel of that name, or a fault that lists what there is.
    pub(crate) fn mutants(&self, kernel: &str) -> Result<&Mutants, Fault> {
        named("list of mutants of", kernel, &self.mutants)
    }

    /// The base of that name, or a fault that lists what there is.
    pub(crate) fn base(&self, name: &str) -> Result<&Base, Fault> {
        named("base", name, &self.bases)
    }
}

fn named<'a, T>(kind: &str, name: &str, all: &'a BTreeMap<String, T>) -> Result<&'a T, Fault> {
    all.get(name).ok_or_else(|| {
        Fault::new(Exit::Usage, format!("there is no {kind} `{name}`"))
            .hint(did_you_mean(name, all.keys().map(String::as_str)))
    })
}

fn name_fits(text: &Text) -> Result<(), Fault> {
    fits_folder(&text.name).map_err(|why| text.fault_all(why))
}

/// Names become parts of cell ids, which are folder names with `.` between the parts. A version
/// may stand in a name: `baseline-7.3`.
fn fits_folder(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut parts = name.split('.');
    let first = parts.next().unwrap_or_default();
    let version = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty();
    let is_name = !first.is_empty() && !first.starts_with('-') && first.chars().all(fits);
    if !is_name
        || (name != first
            && (!first.ends_with(|c: char| c.is_ascii_digit()) || !parts.all(version)))
    {
        return Err(format!(
            "`{name}`: a name has letters, digits, `-` and `_` only, and dots only in a version at its end"
        ));
    }
    Ok(())
}
