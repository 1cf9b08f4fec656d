// SPDX-License-Identifier: MIT OR Apache-2.0
//! The config files as they are written, before anything is checked.
//!
//! Unknown keys are refused by serde; values that a later check may refuse carry their place.

use std::collections::BTreeMap;

use protocol::CgroupVersion;
use serde::Deserialize;
use toml::Spanned;

use super::Compiler;

/// Conditions on facts: `"open.ENOMEM" = ">= 1"`.
pub(super) type Conditions = BTreeMap<Spanned<String>, Spanned<String>>;

/// `configs/bases/*.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Base {
    pub(super) debian_package: Option<Spanned<String>>,
    pub(super) suite: Option<Spanned<String>>,
    pub(super) tarball: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) gone: BTreeMap<Spanned<String>, Gone>,
}

/// `[gone.CONFIG_X]` of a base.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gone {
    pub(super) why: Spanned<String>,
    pub(super) instead: Option<Spanned<String>>,
}

/// `configs/kernels/*.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kernel {
    pub(super) extends: Option<Spanned<String>>,
    pub(super) base: Option<Spanned<String>>,
    pub(super) series: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) extra_patches: Vec<Spanned<String>>,
    pub(super) fragments: Option<Vec<Spanned<String>>>,
    pub(super) policies: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) policy: Option<Spanned<Vec<Policy>>>,
    pub(super) counters_file: Option<Spanned<String>>,
    pub(super) cap_file: Option<Spanned<String>>,
    pub(super) cmdline: Option<Vec<Spanned<String>>>,
    pub(super) compiler: Option<Spanned<Compiler>>,
    pub(super) slowdown: Option<Spanned<u32>>,
}

/// `[[policy]]` of a kernel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) name: Spanned<String>,
    pub(super) expects_as: Option<String>,
    #[serde(default)]
    pub(super) optional: bool,
    #[serde(default)]
    pub(super) write: BTreeMap<Spanned<String>, String>,
    #[serde(default)]
    pub(super) cmdline: Vec<Spanned<String>>,
}

/// `configs/scenarios/*.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    pub(super) title: Spanned<String>,
    pub(super) about: Spanned<String>,
    pub(super) workload: Spanned<String>,
    pub(super) cgroups: Spanned<Vec<CgroupVersion>>,
    pub(super) limit: Spanned<String>,
    pub(super) tasks: Spanned<u32>,
    pub(super) killable: bool,
    pub(super) hog: Option<Spanned<String>>,
    pub(super) cap: Option<Spanned<String>>,
    pub(super) forced: Option<Spanned<String>>,
    pub(super) operations: Spanned<u64>,
    pub(super) load_max: Spanned<String>,
    pub(super) sample_period: Spanned<String>,
    #[serde(default)]
    pub(super) alone: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) counted: bool,
    #[serde(default)]
    pub(super) measures: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) params: BTreeMap<String, u64>,
    #[serde(default)]
    pub(super) write: BTreeMap<Spanned<String>, String>,
    pub(super) parent: Option<Shape>,
    pub(super) second: Option<Shape>,
    #[serde(default)]
    pub(super) problem: Conditions,
    pub(super) expect: BTreeMap<String, Spanned<Expectation>>,
}

/// `[parent]` and `[second]` of a scenario: a memcg with a limit beside the limited one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    pub(super) limit: Spanned<String>,
    pub(super) cap: Option<Spanned<String>>,
    pub(super) hog: Option<Spanned<String>>,
    pub(super) tasks: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) write: BTreeMap<Spanned<String>, String>,
}

/// `[expect.<policy>]` of a scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    pub(super) verdict: Spanned<String>,
    #[serde(default)]
    pub(super) breaks: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) may_break: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) exercised: Conditions,
    #[serde(default)]
    pub(super) facts: Conditions,
}

/// `configs/matrices/*.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Matrix {
    pub(super) extends: Option<Spanned<String>>,
    pub(super) kernels: Option<Vec<Spanned<String>>>,
    pub(super) baseline: Option<Spanned<String>>,
    pub(super) scenarios: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) without: Vec<Spanned<String>>,
    pub(super) repetitions: Option<Spanned<u32>>,
    pub(super) vm: Option<Vm>,
}

/// `configs/mutants/*.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mutants {
    pub(super) patches: Spanned<String>,
    pub(super) vm: Vm,
    pub(super) mutant: Vec<Mutant>,
}

/// `[[mutant]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mutant {
    pub(super) name: Spanned<String>,
    pub(super) bug: Spanned<String>,
    pub(super) scenario: Option<Spanned<String>>,
    pub(super) cgroup: Option<Spanned<CgroupVersion>>,
    pub(super) policy: Option<Spanned<String>>,
    pub(super) breaks: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) crash: bool,
    pub(super) equivalent: Option<Spanned<String>>,
}

/// `[vm]` of a matrix, and of mutants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vm {
    pub(super) cpus: Spanned<u32>,
    pub(super) memory: Spanned<String>,
    #[serde(default)]
    pub(super) cmdline: Vec<Spanned<String>>,
}
