// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `doctor --kvm` found, kept in the cache for as long as host, QEMU and `/dev/kvm` are the
//! same. It goes into the manifest of every run that uses KVM meanwhile.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::host::file::{self, Links, publish};
use crate::outcome::{KvmProof, Smoke};
use crate::vm::kvm;
use crate::vm::rig::Rig;

const PROOF: &str = "kvm.json";
const PROOF_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// Of which host, QEMU and device.
    identity: String,
    smoke: Smoke,
}

/// What KVM has shown here; `None` if the rig does not use it.
pub(super) fn read(rig: &Rig, cache: &Path) -> Option<KvmProof> {
    let kvm = rig.kvm.as_ref()?;
    let kept = file::read(&cache.join(PROOF), Links::Followed, PROOF_BYTES_MAX).ok();
    let kept = kept.and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
    let kept = kept.filter(|kept| kept.identity == kvm.identity);
    Some(KvmProof { boot_ms: kvm.boot_ms, smoke: kept.map(|kept| kept.smoke) })
}

/// Keeps it.
///
/// # Errors
/// A cache that cannot be written to.
pub(super) fn keep(cache: &Path, identity: &str, smoke: &Smoke) -> anyhow::Result<()> {
    let kept = Kept { identity: identity.to_owned(), smoke: smoke.clone() };
    publish(&cache.join(PROOF), |file| Ok(serde_json::to_writer_pretty(file, &kept)?))
}

/// Forgets it, and whether KVM works.
pub(super) fn forget(cache: &Path) {
    kvm::forget(cache);
    let _ = std::fs::remove_file(cache.join(PROOF));
}
