// SPDX-License-Identifier: MIT OR Apache-2.0
//! The workloads: what each prepares and what its tasks do.
//!
//! Each file here is a family and lists its workloads in `WORKLOADS`; `build.rs` finds the files. A
//! workload is one function that prepares files in the root memcg and returns a [`Plan`]: for each
//! [`Part`] the names of the calls it tallies, and a set-up that runs in the fresh process, still
//! in the root memcg, and returns what runs at the limit.
//!
//! What runs at the limit must not allocate, touch fresh memory or panic: every buffer and path is
//! made in the set-up.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use protocol::{CellRequest, Fact};

use crate::board::OPS_MAX;
use crate::lane::Lane;
use crate::memcgs::Memcgs;

// One `mod` line per file. `cargo fmt` does not see these files: see the test below.
automod::dir!("src/scenarios");

static FAMILIES: &[&[Workload]] = include!(concat!(env!("OUT_DIR"), "/families.rs"));

/// What runs in a task at its limit. Whatever it opened stays open until the process ends.
pub(crate) type Run = Box<dyn FnOnce(&Lane)>;

/// What one kind of process does.
pub(crate) struct Part {
    /// The kinds of call it makes, by the numbers it tallies them under.
    pub(crate) ops: &'static [&'static str],
    /// Sets up one process of this kind, given its number from 0.
    pub(crate) setup: Box<dyn Fn(u32) -> Result<Run>>,
}

impl Part {
    /// A part that tallies `ops`. `setup` gets the number of the process, from 0, and returns what
    /// the process runs at its limit.
    fn new<const OPS: usize, R: FnOnce(&Lane) + 'static>(
        ops: &'static [&'static str; OPS],
        setup: impl Fn(u32) -> Result<R> + 'static,
    ) -> Self {
        const { assert!(OPS <= OPS_MAX, "a slot has no room for so many tallies") };
        Self { ops, setup: Box::new(move |index| Ok(Box::new(setup(index)?))) }
    }
}

/// A prepared workload.
pub(crate) struct Plan {
    /// Runs in each task inside the limited memcg.
    pub(crate) actor: Part,
    /// Runs in one process of the root memcg, for as long as the load.
    pub(crate) outsider: Option<Part>,
    /// Failed calls after which an actor ends: with no task to kill, each failure makes the kernel
    /// print a report of some kilobytes.
    pub(crate) failures_max: u64,
    /// What it found out itself, read when all its processes have ended.
    pub(crate) findings: Option<Findings>,
}

/// See [`Plan::findings`].
pub(crate) type Findings = Box<dyn Fn() -> Vec<Fact>>;

impl Plan {
    /// With an outsider.
    fn with_outsider(self, outsider: Part) -> Self {
        Self { outsider: Some(outsider), ..self }
    }
}

/// A workload that a request can name.
pub(crate) struct Workload {
    /// Its name in requests.
    pub(crate) name: &'static str,
    /// Its parameters, each with its default.
    params: &'static [(&'static str, u64)],
    /// Whether it needs the ext4 scratch disk.
    pub(crate) on_scratch: bool,
    /// Prepares it.
    pub(crate) plan: fn(&Terms<'_>) -> Result<Plan>,
}

impl Workload {
    const fn new(
        name: &'static str,
        params: &'static [(&'static str, u64)],
        plan: fn(&Terms<'_>) -> Result<Plan>,
    ) -> Self {
        Self { name, params, on_scratch: false, plan }
    }

    /// The same, on the ext4 scratch disk.
    const fn on_scratch(self) -> Self {
        Self { on_scratch: true, ..self }
    }

    /// The values of all its parameters.
    ///
    /// # Errors
    /// `given` has a parameter that the workload does not know.
    fn params(&self, given: &BTreeMap<String, u64>) -> Result<BTreeMap<&'static str, u64>> {
        let mut params: BTreeMap<_, _> = self.params.iter().copied().collect();
        for (name, value) in given {
            match params.get_mut(name.as_str()) {
                Some(param) => *param = *value,
                None => {
                    let known = params.keys();
                    bail!("workload {} has no parameter {name:?}; it has {known:?}", self.name)
                }
            }
        }
        Ok(params)
    }
}

fn all() -> impl Iterator<Item = &'static Workload> {
    FAMILIES.iter().copied().flatten()
}

/// Names of all workloads.
pub(crate) fn names() -> Vec<String> {
    all().map(|workload| workload.name.to_owned()).collect()
}

/// The workload of this name.
pub(crate) fn find(name: &str) -> Option<&'static Workload> {
    all().find(|workload| workload.name == name)
}

/// What a workload is asked for.
pub(crate) struct Terms<'a> {
    /// The request.
    pub(crate) cell: &'a CellRequest,
    /// The memcgs, limited already.
    pub(crate) memcgs: &'a Memcgs,
    params: BTreeMap<&'static str, u64>,
}

impl<'a> Terms<'a> {
    /// # Errors
    /// The request has a parameter that the workload does not know.
    pub(crate) fn new(
        workload: &Workload,
        cell: &'a CellRequest,
        memcgs: &'a Memcgs,
    ) -> Result<Self> {
        Ok(Self { cell, memcgs, params: workload.params(&cell.params)? })
    }

    /// A parameter's value.
    ///
    /// # Panics
    /// The workload does not list this parameter.
    fn param(&self, name: &str) -> u64 {
        self.params[name]
    }

    /// A plan of these actors alone. Each ends after as many failed calls as the parameter
    /// `failures_max` says, if the workload has it.
    fn plan(&self, actor: Part) -> Plan {
        let failures_max = self.params.get("failures_max").copied().unwrap_or(u64::MAX);
        Plan { actor, outsider: None, failures_max, findings: None }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::{env, fs};

    use super::*;

    fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let found: Vec<_> =
            paths.filter(|path| path.extension() == Some(ending.as_ref())).collect();
        assert!(found.len() > 10, "{found:?}");
        found
    }

    #[test]
    fn names_are_unique_and_found() {
        let unique: BTreeSet<String> = names().into_iter().collect();
        assert_eq!(unique.len(), names().len());
        assert!(unique.iter().all(|name| find(name).unwrap().name == name));
        assert!(find("no-such").is_none());
    }

    #[test]
    fn every_scenario_names_a_workload() {
        for path in files("../configs/scenarios", "toml") {
            let text = fs::read_to_string(&path).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("workload = \"")).unwrap();
            let name = line.trim_end_matches('"');
            assert!(find(name).is_some(), "{}: no workload {name:?}", path.display());
        }
    }

    #[test]
    fn parameters_have_defaults_and_can_be_set() {
        let (workload, given) = (find("lookup").unwrap(), |value| [("depth".to_owned(), value)]);
        assert_eq!(workload.params(&BTreeMap::new()).unwrap()["depth"], 8);
        assert_eq!(workload.params(&given(9).into()).unwrap()["depth"], 9);
    }

    #[test]
    fn an_unknown_parameter_is_refused() {
        let wrong = BTreeMap::from([("detph".to_owned(), 3)]);
        let error = find("lookup").unwrap().params(&wrong).unwrap_err();
        assert!(error.to_string().contains("detph"), "{error}");
    }

    #[test]
    fn every_file_is_formatted() {
        let mut rustfmt = Command::new(env::var_os("RUSTFMT").unwrap_or_else(|| "rustfmt".into()));
        let check = rustfmt.args(["--check"]).args(files("src/scenarios", "rs"));
        let output = check.output().unwrap();
        let diff = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "run `rustfmt guest/src/scenarios/*.rs`:\n{diff}");
    }
}
