// SPDX-License-Identifier: MIT OR Apache-2.0
//! Watches what `try_charge_memcg()` returns, to everybody: a charge that fails may surface as
//! another errno, as a short write, or not at all.
//!
//! A probe on the function's return, in a tracefs instance of its own, that keeps failed charges
//! with their stacks. It is set once, before the host may take a snapshot: setting it patches the
//! kernel's text, and no cell has to do that again. A kernel that cannot be probed is said to be,
//! in the fact; nothing is silently not looked at.

mod canary;
mod failed;
mod text;
mod tracefs;

use anyhow::{Context, Result};
use protocol::{Charges, Fact};

use self::failed::{Bits, Failures};
use self::tracefs::{Instance, Probe};
use crate::memcg::Memcg;

/// Keeps charges that failed.
const FAILED: &str = "ret != 0";

/// Keeps charges of the canary, failed or not.
const OF_CANARY: &str = "comm == \"canary\"";

/// The probe, or why there is none.
pub(crate) struct Watch(Result<Watching, String>);

struct Watching {
    probe: Probe,
    instance: Instance,
    bits: Bits,
}

impl Watch {
    /// Sets the probe, and keeps the reason if the kernel cannot be probed.
    pub(crate) fn install() -> Self {
        Self(Watching::install().map_err(|error| format!("{error:#}")))
    }

    /// Takes the probe back, for a cell that counts instructions.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(crate) fn remove(&self) -> Result<()> {
        match &self.0 {
            Ok(Watching { probe, instance, .. }) => {
                instance.stop().and_then(|()| probe.remove(instance))
            }
            Err(_) => Ok(()),
        }
    }

    /// Has a task in `memcg` charge kernel memory and a user page, and keeps the stacks of what the
    /// probe saw of it.
    ///
    /// # Errors
    ///
    /// When the guest itself fails.
    pub(crate) fn prove(&self, memcg: &Memcg) -> Result<Proven<'_>> {
        let mut proof = Vec::new();
        if let Ok(Watching { instance, .. }) = &self.0 {
            instance.filter(OF_CANARY)?;
            instance.start()?;
            canary::charge(memcg)?;
            instance.stop()?;
            proof = failed::paths(&instance.text()?.0);
            instance.filter(FAILED)?;
            instance.clear()?;
        }
        Ok(Proven { watch: self, proof })
    }
}

/// A watch whose probe was put to the proof.
pub(crate) struct Proven<'a> {
    watch: &'a Watch,
    proof: Vec<Vec<String>>,
}

impl Proven<'_> {
    /// Watches from now on.
    ///
    /// # Errors
    ///
    /// When the guest itself fails.
    pub(crate) fn begin(&self) -> Result<()> {
        match &self.watch.0 {
            Ok(Watching { probe, instance, .. }) => {
                probe.note_counts()?;
                instance.start()
            }
            Err(_) => Ok(()),
        }
    }

    /// Stops watching and says what failed.
    ///
    /// # Errors
    ///
    /// When the guest itself fails.
    pub(crate) fn finish(self) -> Result<Fact> {
        let proof = self.proof;
        let Watching { probe, instance, bits } = match &self.watch.0 {
            Ok(watching) => watching,
            Err(why) => {
                let blind = Some(why.clone());
                let (charges, lost, failed) = (0, 0, Vec::new());
                return Ok(Fact::Charges(Charges { blind, proof, charges, lost, failed }));
            }
        };
        instance.stop()?;
        let (text, cut) = instance.text()?;
        let Failures { failed, left_out } = failed::failures(&text, bits);
        let (charges, missed) = probe.counted()?;
        let lost = missed + instance.lost()? + left_out + u64::from(cut);
        Ok(Fact::Charges(Charges { blind: None, proof, charges, lost, failed }))
    }
}

impl Watching {
    fn install() -> Result<Self> {
        tracefs::mount().context("mount tracefs")?;
        let bits = Bits::read(&tracefs::eval_map()?).context("the numbers of gfp bits")?;
        let probe = Probe::set().context("probe the return of try_charge_memcg()")?;
        let instance = Instance::create("charges").context("create a tracefs instance")?;
        instance.watch(&probe).context("enable the probe")?;
        Ok(Self { probe, instance, bits })
    }
}
