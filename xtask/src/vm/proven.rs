// SPDX-License-Identifier: MIT OR Apache-2.0
//! A KVM that booted a guest: with what, how fast, and whether it still works. Pure.
//!
//! Contract: once lost it stays lost, so that a run on it ends soon and always says the same.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

/// A boot up to this long fits the limits of boots and cells as they are: they leave fourfold room.
pub(super) const FAST_BOOT_MS: u64 = 2_500;
/// A slower KVM than this is no better than emulation, which gets the same patience.
const SLOWDOWN_MAX: u64 = 3;
/// When a guest that is silent is given up, and when one that prints.
pub(super) const PROBE_LIMIT_MS: u64 = FAST_BOOT_MS * SLOWDOWN_MAX;
pub(super) const TALKING_LIMIT_MS: u64 = 30_000;

/// The KVM that the VMs of a run use.
#[derive(Debug)]
pub(crate) struct Proven {
    /// Kernel that booted.
    pub(super) kernel: PathBuf,
    /// With this initramfs.
    pub(super) initramfs: PathBuf,
    /// Where the answer is cached.
    pub(super) memory: PathBuf,
    /// Of which host, QEMU and device.
    pub(crate) identity: String,
    /// From QEMU's start to the guest's Hello, milliseconds; the faster one of two.
    pub(crate) boot_ms: u64,
    lost: OnceLock<String>,
    asking: Mutex<()>,
}

impl Proven {
    /// It just worked.
    pub(super) fn new(
        kernel: PathBuf,
        initramfs: PathBuf,
        memory: PathBuf,
        identity: String,
        boot_ms: u64,
    ) -> Self {
        let (lost, asking) = (OnceLock::new(), Mutex::new(()));
        Self { kernel, initramfs, memory, identity, boot_ms, lost, asking }
    }

    /// Why it does not work any more, if that was found.
    pub(super) fn lost(&self) -> Option<String> {
        let why = self.lost.get()?;
        Some(format!("KVM stopped working during the run: {why}"))
    }

    /// The same, after `ask` has said whether it works now. Only one asks at a time.
    pub(super) fn lost_now(&self, ask: impl FnOnce() -> Option<String>) -> Option<String> {
        let _alone = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lost.get().is_none()
            && let Some(why) = ask()
        {
            let _ = self.lost.set(why);
        }
        self.lost()
    }
}

/// How many times longer the VMs of a KVM may take that booted a guest in `boot_ms`.
pub(super) fn slowdown(boot_ms: u64) -> u32 {
    let times = boot_ms.div_ceil(FAST_BOOT_MS).clamp(1, SLOWDOWN_MAX);
    u32::try_from(times).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_boot_stretches_limits_in_whole_steps() {
        let of = [0, 300, 2_500, 2_501, 5_000, 5_001, 7_500, 60_000].map(slowdown);
        assert_eq!(of, [1, 1, 1, 2, 2, 3, 3, 3]);
    }

    #[test]
    fn what_is_lost_is_asked_once_and_stays_lost() {
        let proven = Proven::new("/k".into(), "/i".into(), "/m".into(), String::new(), 300);
        assert_eq!(proven.lost_now(|| None), None);
        assert_eq!(proven.lost(), None);
        let said = "KVM stopped working during the run: silent";
        assert_eq!(proven.lost_now(|| Some("silent".to_owned())).as_deref(), Some(said));
        assert_eq!(proven.lost_now(|| panic!("asked again")).as_deref(), Some(said));
        assert_eq!(proven.lost().as_deref(), Some(said));
    }
}
