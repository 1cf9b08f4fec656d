// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a series changes in the compiled kernel, and what of that ran.
//!
//! Contract: only data. Code is named by [`CodeRange`], so that it can be judged again later.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where x86 kernels are linked to: [`CodeRange`] counts from here.
pub(crate) const CODE_BEGIN: u64 = 0xffff_ffff_8000_0000;

/// Begin and end of some code, bytes from 0xffffffff80000000.
pub(crate) type CodeRange = (u32, u32);

/// What a series changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reach {
    /// Name of the unpatched kernel.
    pub(crate) baseline: String,
    /// Name of the patched one.
    pub(crate) patched: String,
    /// Functions that the two do not have alike, by name.
    pub(crate) functions: Vec<ChangedFunction>,
    /// Code that every cell runs, in the unpatched kernel: whether reach was recorded at all.
    pub(crate) baseline_proof: Vec<CodeRange>,
    /// The same in the patched kernel.
    pub(crate) patched_proof: Vec<CodeRange>,
    /// Files of the series from whose changes no code comes, with the reason, for people.
    pub(crate) remarks: Vec<String>,
}

/// A function that the two kernels do not have alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedFunction {
    /// As the source calls it.
    pub(crate) name: String,
    /// Its code in the unpatched kernel, with what the compiler made of it; empty if it is new.
    pub(crate) baseline: Vec<CodeRange>,
    /// Its code in the patched kernel; empty if it is gone.
    pub(crate) patched: Vec<CodeRange>,
    /// The instructions of that which the unpatched kernel does not have, and those before which
    /// something is gone.
    pub(crate) differing: Vec<CodeRange>,
    /// Whether it runs at boot only.
    pub(crate) at_boot: bool,
}

/// Which of the changed functions ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reached {
    /// Functions whose changed code ran.
    pub(crate) ran: Vec<String>,
    /// Functions that were called, but whose changed code did not run.
    pub(crate) called: Vec<String>,
    /// Changed functions.
    pub(crate) of: u32,
}
