// SPDX-License-Identifier: MIT OR Apache-2.0
//! The config files as they are written, before anything is checked.
//!
//! Unknown keys are refused by serde; values that a later check may refuse carry their place.

use std::collections::BTreeMap;

use protocol::CgroupVersion;
use serde::Deserialize;
use toml::Spanned;

/// Conditions on facts: `"open.ENOMEM" = ">= 1"`.
pub(super) type Conditions = BTreeMap<Spanned<String>, Spanned<String>>;

/// `configs/bases/*.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Base {
    pub(super) debian_package: Spanned<String>,
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
}

/// `[[policy]]` of a kernel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) name: Spanned<String>,
    pub(super) expects_as: Option<String>,
    #[serde(default)]
    pub(super) write: BTreeMap<Spanned<String>, String>,
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
    pub(super) params: BTreeMap<String, u64>,
    #[serde(default)]
    pub(super) problem: Conditions,
    pub(super) expect: BTreeMap<String, Spanned<Expectation>>,
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
    #[serde(default)]
    pub(super) kernels: Vec<Spanned<String>>,
    pub(super) baseline: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) scenarios: Vec<Spanned<String>>,
    pub(super) repetitions: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) must_fail: Vec<MustFail>,
    pub(super) vm: Vm,
}

/// `[[must_fail]]` of a matrix.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MustFail {
    pub(super) kernel: Spanned<String>,
    pub(super) scenario: Spanned<String>,
    pub(super) breaks: Spanned<Vec<Spanned<String>>>,
}

/// `[vm]` of a matrix.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vm {
    pub(super) cpus: Spanned<u32>,
    pub(super) memory: Spanned<String>,
    #[serde(default)]
    pub(super) cmdline: Vec<Spanned<String>>,
}
