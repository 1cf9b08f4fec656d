// SPDX-License-Identifier: MIT OR Apache-2.0
//! TOML text -> validated values. Pure: the caller reads the files and gives name and text.
//!
//! Raw structures refuse unknown keys; checked values hold what the rest of the program relies on.
//! An error names file, line and column, and what would be right.

mod bases;
mod condition;
mod coverage;
mod extends;
mod kernels;
mod matrices;
mod mutants;
mod number;
mod place;
mod raw;
mod scenarios;
#[cfg(test)]
pub(crate) mod tests;
mod user_series;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use protocol::{CgroupVersion, MemcgWrite};
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Fault};
use crate::taxonomy::{Rule, Verdict};

pub(crate) use bases::{Base, Gone, Origin};
pub(crate) use condition::{Comparison, Condition};
pub(crate) use coverage::Reason;
pub(crate) use mutants::{Caught, Mutant, Mutants, Trap};
pub(crate) use place::{Text, did_you_mean};
pub(crate) use user_series::UserSeries;

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
    /// Names of `configs/fragments/*.config`, without the ending.
    pub(crate) fragments: Vec<String>,
    /// Rules that there are, in order.
    pub(crate) rules: Vec<Rule>,
}

/// Everything the config files say, by name.
#[derive(Clone, Debug)]
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
    /// Files each kernel is built from, with the fault to raise when one is not there.
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
        let mut bases = BTreeMap::new();
        for text in &texts.bases {
            bases.insert(text.name.clone(), bases::check(text)?);
        }
        let refer = kernels::Known { bases: &bases, fragments: &texts.fragments };
        let (mut kernels, mut needed) = kernels::check(&texts.kernels, &refer)?;
        let mutants = mutants::kernels(&texts.mutants, &mut kernels, &mut needed)?;
        let mut scenarios = BTreeMap::new();
        for text in &texts.scenarios {
            scenarios.insert(text.name.clone(), scenarios::check(text, &texts.rules)?);
        }
        let refer =
            matrices::Known { rules: &texts.rules, kernels: &kernels, scenarios: &scenarios };
        let matrices = matrices::check(&texts.matrices, &refer)?;
        let mut reasons = BTreeMap::new();
        for text in &texts.coverage {
            reasons.insert(text.name.clone(), coverage::check(text, &bases)?);
        }
        let mutants = mutants::check(&mutants, &refer)?;
        Ok(Self { bases, kernels, scenarios, matrices, reasons, mutants, needed })
    }

    /// Whether everything that this kernel is built from is there, as `exists` says. Asked only of
    /// kernels in use: a series that is still being written must not stop the others.
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

/// What one build makes (`configs/kernels/<name>.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// For example `overcharge`.
    pub(crate) name: String,
    /// Name of its [`Base`].
    pub(crate) base: String,
    /// Folder with a `series` file, relative to the workspace; `None` for an unpatched kernel.
    pub(crate) series: Option<PathBuf>,
    /// Patches on top of the series (a mutant's one bug), relative to the workspace.
    pub(crate) extra_patches: Vec<PathBuf>,
    /// Kernel whose work tree it builds in, so that only what differs is compiled; itself if unset.
    pub(crate) tree: String,
    /// Fragments in `configs/fragments`, without `.config`, in order.
    pub(crate) fragments: Vec<String>,
    /// The user's fragments, absolute. An unpatched kernel leaves out symbols it does not have.
    pub(crate) user_fragments: Vec<PathBuf>,
    /// What these ask for and its base no longer has.
    pub(crate) gone: Vec<Gone>,
    /// Policies it can run under; exactly one, `mainline`, where it has none.
    pub(crate) policies: Vec<Policy>,
    /// Flat-keyed counters file of the patch in a memcg.
    pub(crate) counters_file: Option<String>,
    /// File with the cap in bytes in a memcg.
    pub(crate) cap_file: Option<String>,
    /// Words of its command line, after the matrix's.
    pub(crate) cmdline: Vec<String>,
    /// What its C is compiled by.
    pub(crate) compiler: Compiler,
    /// Times by which its checks make it slower than a kernel without them, at least 1.
    pub(crate) slowdown: u32,
}

/// A C compiler. KASAN beside Rust needs clang (`depends on !KASAN || CC_IS_CLANG` in init/Kconfig).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compiler {
    /// GNU.
    #[default]
    Gcc,
    /// LLVM.
    Clang,
}

/// Run-time behaviour of a kernel: what is written into the limited memcg, or said at boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// `mainline`, `off`, `overcharge`, …
    pub(crate) name: String,
    /// Which of a scenario's expectations holds: `off` expects what `mainline` does.
    pub(crate) expects_as: String,
    /// Runs only scenarios that say what they expect of it; the others have no cell with it.
    pub(crate) optional: bool,
    /// Nobody has said what its kernel does: it may do better than that, never worse.
    pub(crate) or_better: bool,
    /// Writes that switch it on.
    pub(crate) writes: Vec<MemcgWrite>,
    /// Words of the kernel's command line that do.
    pub(crate) cmdline: Vec<String>,
}

/// One workload in one memcg set-up (`configs/scenarios/<name>.toml`).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scenario {
    /// For example `open-unkillable`.
    pub(crate) name: String,
    /// One line.
    pub(crate) title: String,
    /// A paragraph that a kernel developer can check against the source.
    pub(crate) about: String,
    /// Guest function.
    pub(crate) workload: String,
    /// Interfaces it makes sense on.
    pub(crate) cgroups: Vec<CgroupVersion>,
    /// `memory.max`, bytes.
    pub(crate) limit_bytes: u64,
    /// Acting tasks.
    pub(crate) tasks: u32,
    /// Whether they may be killed.
    pub(crate) killable: bool,
    /// Bytes of the hog, 0 for none.
    pub(crate) hog_bytes: u64,
    /// Cap to set where the kernel has one, bytes; the kernel's own default if unset.
    pub(crate) cap_bytes: Option<u64>,
    /// What the same load overruns with the feature off (charges that may not fail), bytes.
    /// The cells of the baseline and of policy `off` show whether it is still true.
    pub(crate) forced_bytes: u64,
    /// Operations per task at most.
    pub(crate) operations: u64,
    /// Longest load, milliseconds.
    pub(crate) load_ms_max: u64,
    /// Sampler period, microseconds.
    pub(crate) sample_period_us: u64,
    /// Expectations whose cells run with no other beside them: they are judged by times that a busy
    /// host would stretch.
    pub(crate) alone: Vec<String>,
    /// Where it is emulated, its time is counted in instructions: a busy host does not stretch it.
    pub(crate) counted: bool,
    /// Facts whose spread over the repetitions is reported.
    pub(crate) measures: Vec<String>,
    /// Numbers only the workload knows.
    pub(crate) params: BTreeMap<String, u64>,
    /// Its own writes into the limited memcg, after the limit and before cap and policy.
    pub(crate) writes: Vec<MemcgWrite>,
    /// The parent of the other memcgs, where it has a limit too.
    pub(crate) parent: Option<Shape>,
    /// A second limited memcg beside the first.
    pub(crate) second: Option<Shape>,
    /// The problem the patch exists to solve, asked of every kernel alike.
    pub(crate) problem: Vec<Condition>,
    /// What each policy is expected to do, by [`Policy::expects_as`].
    pub(crate) expect: BTreeMap<String, Expectation>,
}

/// A memcg with a limit beside the limited one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// `memory.max`, bytes.
    pub(crate) limit_bytes: u64,
    /// Cap to set where the kernel has one, bytes.
    pub(crate) cap_bytes: Option<u64>,
    /// Bytes of a hog in it, 0 for none.
    pub(crate) hog_bytes: u64,
    /// How many of the acting tasks begin in it: the last ones.
    pub(crate) tasks: u32,
    /// The scenario's own writes into it.
    pub(crate) writes: Vec<MemcgWrite>,
}

/// What a scenario expects of one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Expectation {
    /// Verdict.
    pub(crate) verdict: Verdict,
    /// Rules that are broken when the verdict is FAIL, in order.
    pub(crate) breaks: Vec<Rule>,
    /// Whether more rules than `breaks` may be broken too (a mutant: one bug shows in many places).
    pub(crate) or_more: bool,
    /// Rules that may be broken now and then, where the unpatched kernel itself is not consistent.
    pub(crate) may_break: Vec<Rule>,
    /// Whether this is the most that may be broken ([`Policy::or_better`]): what else the cell does is held
    /// beside the baseline.
    #[serde(default)]
    pub(crate) or_better: bool,
    /// Unless all hold, the path under test never ran: INCONCLUSIVE.
    pub(crate) exercised: Vec<Condition>,
    /// Must hold too: rule `E`.
    pub(crate) facts: Vec<Condition>,
}

/// Which cells exist (`configs/matrices/<name>.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matrix {
    /// For example `default`.
    pub(crate) name: String,
    /// Kernels, baseline first.
    pub(crate) kernels: Vec<String>,
    /// The kernel that differential verdicts compare with; one of `kernels`. None: no comparison.
    pub(crate) baseline: Option<String>,
    /// Scenarios, each run on each kernel.
    pub(crate) scenarios: Vec<String>,
    /// Repetitions of each cell, at least 1.
    pub(crate) repetitions: u32,
    /// Virtual CPUs.
    pub(crate) cpus: u32,
    /// Guest memory, MiB.
    pub(crate) memory_mib: u32,
    /// Words added to the kernel command line.
    pub(crate) cmdline: Vec<String>,
}
