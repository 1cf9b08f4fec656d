// SPDX-License-Identifier: MIT OR Apache-2.0
//! What executes guest code, and what that changes: QEMU's options, the kernel's command line, and
//! how long to wait. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What executes guest code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Accel {
    /// The host's CPUs, through `/dev/kvm`.
    Kvm,
    /// QEMU's translator.
    Tcg,
    /// QEMU's translator counting instructions: each one takes a nanosecond of guest time and one
    /// tick of the TSC. An idle guest skips to its next timer. All vCPUs share one host thread.
    #[serde(rename = "tcg-icount")]
    Counting,
    /// The same, with everything that comes from outside recorded, to be replayed instruction for
    /// instruction. Four nanoseconds each: about what they take when they are not counted.
    #[serde(rename = "tcg-record")]
    Recording,
}

impl Accel {
    /// The factor by which time limits grow.
    ///
    /// Emulated code runs 5 to 20 times slower, but a cell mostly waits and the limits are
    /// generous: a boot takes 1.5 s under TCG on an idle machine, and took 8 s with six busy
    /// processes a core.
    pub(crate) fn patience(self) -> u64 {
        match self {
            Self::Kvm => 1,
            Self::Tcg => 3,
            // A boot takes 5 s on an idle machine, most of it on one host CPU.
            Self::Counting | Self::Recording => 12,
        }
    }

    /// QEMU's options, separated by blanks.
    pub(super) fn qemu_options(self) -> &'static str {
        match self {
            // migratable: no invariant TSC, with which QEMU cannot save a VM. So a guest's clock is
            // kvm-clock, which QEMU restores; it restores no TSC that the guest may trust.
            Self::Kvm => "-accel kvm -cpu host,migratable=on",
            // One host thread a vCPU: some scenarios are about races between CPUs.
            Self::Tcg => "-accel tcg,thread=multi -cpu max",
            // The date is the guest's own: the host's would differ between runs.
            Self::Counting => {
                "-accel tcg,thread=single -icount shift=0,sleep=off \
                 -rtc base=2000-01-01,clock=vm -cpu max"
            }
            Self::Recording => {
                "-accel tcg,thread=single -icount shift=2,sleep=off \
                 -rtc base=2000-01-01,clock=vm -cpu max"
            }
        }
    }

    /// Words of the kernel's command line.
    pub(super) fn kernel_words(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &[],
            Self::Tcg => &[
                // Otherwise the second CPU calibrates for 0.1 to 0.5 s, again and again on a busy
                // host. The value suits a TSC of 4 GHz at HZ=250; it only scales `udelay()`.
                "lpj=16000000",
                // An emulator does not speculate, but thunks and flushes cost it time: a boot to
                // power-off takes 1.46 s of CPU with them, 1.12 s without. Counting VMs keep them.
                "mitigations=off",
            ],
            // As above, for the TSC of 1 GHz that counting gives.
            Self::Counting => &["lpj=4000000"],
            // The second serial port is the guest's.
            Self::Recording => &["lpj=4000000", "mitigations=off", "8250.nr_uarts=2"],
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
            Self::Counting => "tcg-icount",
            Self::Recording => "tcg-record",
        })
    }
}
