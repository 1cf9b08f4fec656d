// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a run trusted KVM: what it did on this host, compared with emulation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What KVM has shown on this host since it booted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KvmProof {
    /// From QEMU's start to the Hello of the guest that proved KVM, milliseconds.
    pub(crate) boot_ms: u64,
    /// What `cargo xtask doctor --kvm` found; `None` if it did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) smoke: Option<Smoke>,
}

/// The cells of the smoke matrix under KVM and under emulation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Smoke {
    /// Under KVM.
    pub(crate) kvm: SmokeSide,
    /// Under emulation, on the same host.
    pub(crate) tcg: SmokeSide,
    /// Cells with another verdict under KVM than under emulation, each with both.
    pub(crate) differ: Vec<String>,
}

/// How fast one accelerator ran the smoke matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmokeSide {
    /// From QEMU's start to a guest's Hello, milliseconds.
    pub(crate) boot_ms: u64,
    /// Cells that ran.
    pub(crate) cells: u64,
    /// How long they took together, with the boots they share, milliseconds.
    pub(crate) ms: u64,
}
