// SPDX-License-Identifier: MIT OR Apache-2.0
//! What names a cell apart from its repetition.
//!
//! Contract: repetitions of a cell have equal keys, in every run. A key is compared, never parsed.

use protocol::CgroupVersion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A scenario on one cgroup version, kernel and policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CellKey {
    /// Name of the scenario.
    pub(crate) scenario: String,
    /// Interface of the memory controller.
    pub(crate) cgroup: CgroupVersion,
    /// Name of the kernel.
    pub(crate) kernel: String,
    /// Name of the policy: `mainline` where the kernel has none.
    pub(crate) policy: String,
}

/// `<scenario>.<v1|v2>.<kernel>.<policy>`: begins the id of each repetition.
impl std::fmt::Display for CellKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.scenario_id(), self.kernel, self.policy)
    }
}

impl CellKey {
    /// What its cells on other kernels and policies share: see [`scenario_id`].
    pub(crate) fn scenario_id(&self) -> String {
        scenario_id(&self.scenario, self.cgroup)
    }
}

/// `<scenario>.<v1|v2>`: a scenario on one cgroup version, on any kernel.
pub(super) fn scenario_id(scenario: &str, cgroup: CgroupVersion) -> String {
    format!("{scenario}.{cgroup}")
}

#[cfg(test)]
impl CellKey {
    /// A cell on cgroup v2.
    pub(crate) fn v2(scenario: &str, kernel: &str, policy: &str) -> Self {
        let [scenario, kernel, policy] = [scenario, kernel, policy].map(str::to_owned);
        Self { scenario, cgroup: CgroupVersion::V2, kernel, policy }
    }
}
