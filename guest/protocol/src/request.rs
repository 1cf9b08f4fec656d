// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the host asks of the guest: one cell, with its memcgs and its load.
//!
//! Sizes are bytes; a number of 0 means that there is no such thing (no hog, no sampler).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{CgroupVersion, NOTHING_WORKLOAD, VERSION};
#[cfg(doc)]
use crate::{PROGRAM_ID, PROGRAM_WORKLOAD};

/// A value to write into a file of the limited memcg, relative to its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MemcgWrite {
    /// File name, for example `memory.overcharge`.
    pub file: String,
    /// Text to write.
    pub value: String,
}

/// A memcg of a cell beside the limited one, with a limit of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MemcgShape {
    /// `memory.max`, bytes.
    pub limit_bytes: u64,
    /// Bytes of a killable hog that fills it; 0 for none.
    pub hog_bytes: u64,
    /// Acting tasks that begin in it instead of in the limited memcg: the last ones.
    pub tasks: u32,
    /// The scenario's own writes, after the limit.
    pub writes: Vec<MemcgWrite>,
    /// Cap and policy, after those.
    pub policy: Vec<MemcgWrite>,
}

/// A program of the user that is the load of a cell, in place of a workload of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Words of its command line; the first is its path in the guest.
    pub argv: Vec<String>,
    /// Its environment, `NAME=VALUE`.
    pub env: Vec<String>,
    /// SHA-256 over all files that were packed for it, hex: what [`PROGRAM_ID`] holds.
    pub files_sha256: String,
}

/// Everything the guest needs to run one cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CellRequest {
    /// [`VERSION`] of the sender.
    pub protocol: u32,
    /// Identifies the cell in the results.
    pub cell: String,
    /// Name of the guest function that runs (`open-keep`, `lookup`, …).
    pub workload: String,
    /// Interface the memory controller is mounted through.
    pub cgroup: CgroupVersion,
    /// `memory.max` of the limited memcg, bytes.
    pub limit_bytes: u64,
    /// Acting tasks.
    pub tasks: u32,
    /// Whether the acting tasks may be OOM-killed (else `oom_score_adj` -1000).
    pub killable: bool,
    /// Bytes of the killable hog that fills the memcg beside the actors; 0 for none.
    pub hog_bytes: u64,
    /// Operations one acting task attempts at most.
    pub operations: u64,
    /// The load ends after this time at the latest, milliseconds.
    pub load_ms_max: u64,
    /// Seed of everything random in the workload.
    pub seed: u64,
    /// Period of the usage sampler, microseconds.
    pub sample_period_us: u64,
    /// The scenario's own writes into the limited memcg, after its limit.
    #[serde(default)]
    pub writes: Vec<MemcgWrite>,
    /// The parent of the other memcgs, where it has a limit too; nobody is in it.
    #[serde(default)]
    pub parent: Option<MemcgShape>,
    /// A second limited memcg beside the first, where there is one.
    #[serde(default)]
    pub second: Option<MemcgShape>,
    /// The policy, as writes into the limited memcg made before the load.
    pub policy: Vec<MemcgWrite>,
    /// Flat-keyed file in the limited memcg that holds the patch's counters, where it has one.
    pub counters_file: Option<String>,
    /// File in the limited memcg with the cap in bytes, where the kernel has one.
    pub cap_file: Option<String>,
    /// Numbers only this workload knows (`depth`, `pipe_bytes`, …).
    #[serde(default)]
    pub params: BTreeMap<String, u64>,
    /// What the workload [`PROGRAM_WORKLOAD`] runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Program>,
}

impl CellRequest {
    /// A request to do nothing, in the current [`VERSION`]: what every other request starts from.
    #[must_use]
    pub fn idle() -> Self {
        Self {
            protocol: VERSION,
            cell: NOTHING_WORKLOAD.to_owned(),
            workload: NOTHING_WORKLOAD.to_owned(),
            cgroup: CgroupVersion::V2,
            limit_bytes: 0,
            tasks: 0,
            killable: true,
            hog_bytes: 0,
            operations: 0,
            load_ms_max: 0,
            seed: 0,
            sample_period_us: 0,
            writes: Vec::new(),
            parent: None,
            second: None,
            policy: Vec::new(),
            counters_file: None,
            cap_file: None,
            params: BTreeMap::new(),
            program: None,
        }
    }

    /// Hogs in the memcg under test, which share [`CellRequest::hog_bytes`]: the scenario's
    /// parameter `hogs`, 1 by default.
    #[must_use]
    pub fn hogs(&self) -> u64 {
        if self.hog_bytes == 0 { 0 } else { self.params.get("hogs").copied().unwrap_or(1).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_an_unknown_key_is_refused() {
        let line = r#"{"file":"memory.overcharge","value":"kmem","vlaue":"off"}"#;
        assert!(serde_json::from_str::<MemcgWrite>(line).is_err());
    }
}
