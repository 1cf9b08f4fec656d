// SPDX-License-Identifier: MIT OR Apache-2.0
//! Watches what `try_charge_memcg()` returns to any caller: a charge that fails may surface as
//! another errno, as a short write, or not at all.
//!
//! A probe on the function's return, in a separate tracefs instance, keeps failed charges with
//! their stacks. It is set once, before the host may take a snapshot: setting it patches the
//! kernel's text, and no cell has to do that again. If a kernel cannot be probed, the fact says so.
//!
//! A second instance records the trace events of the patch, if the kernel has them.

mod failed;
mod overcharges;
mod text;
mod tracefs;
mod window;

use std::io::Write as _;

use anyhow::{Context, Result, bail};
use protocol::{Charges, Fact, MemcgRole, Overcharges};

use self::failed::{Bits, Failures};
use self::tracefs::{Instance, Probe};
use crate::memcg::Memcg;
use crate::memcgs::Limit;
use crate::process;

pub(crate) use self::window::Window;

/// Keeps charges that failed.
const FAILED: &str = "ret != 0";

/// Keeps charges of the canary, failed or not.
const OF_CANARY: &str = "comm == \"canary\"";

/// Mounts tracefs.
pub(crate) fn mount_tracefs() -> Result<()> {
    tracefs::mount().context("mount tracefs")
}

/// Removes what a watch of another process has set.
pub(crate) fn forget() -> Result<()> {
    [CHARGES, OVERCHARGES].iter().try_for_each(|name| Instance::remove(name))?;
    Probe::forget()
}

const CHARGES: &str = "charges";
const OVERCHARGES: &str = "overcharges";

/// The probe, or why there is none.
pub(crate) struct Watch(Result<Watching, String>);

struct Watching {
    probe: Probe,
    instance: Instance,
    bits: Bits,
    /// Records the patch's trace events.
    patch: Option<Instance>,
}

impl Watch {
    /// Sets the probe, and keeps the reason if the kernel cannot be probed.
    pub(crate) fn install() -> Self {
        Self(Watching::install().map_err(|error| format!("{error:#}")))
    }

    /// Removes the probe, for a cell that counts instructions.
    pub(crate) fn remove(&self) -> Result<()> {
        match &self.0 {
            Ok(Watching { probe, instance, patch, .. }) => {
                patch.iter().try_for_each(Instance::ignore_patch)?;
                probe.remove(instance)
            }
            Err(_) => Ok(()),
        }
    }

    /// For the charges of one task between two marks that it sets.
    pub(crate) fn window(&self) -> Result<Window<'_>> {
        match &self.0 {
            Ok(Watching { instance, bits, .. }) => Window::new(instance, bits),
            Err(why) => bail!("charges cannot be watched: {why}"),
        }
    }

    /// Has a task in `memcg` charge kernel memory and a user page, and keeps the stacks of what the
    /// probe saw of it.
    ///
    /// # Errors
    /// The guest itself fails.
    pub(crate) fn prove(&self, memcg: &Memcg) -> Result<Proven<'_>> {
        let mut proof = Vec::new();
        if let Ok(Watching { instance, .. }) = &self.0 {
            instance.filter(OF_CANARY)?;
            instance.start()?;
            charge_once(memcg)?;
            instance.stop()?;
            proof = failed::paths(&instance.text()?.0);
            instance.filter(FAILED)?;
            instance.clear()?;
        }
        Ok(Proven { watch: self, proof, cgroups: Vec::new() })
    }
}

/// A watch whose probe was verified with the canary.
pub(crate) struct Proven<'a> {
    watch: &'a Watch,
    proof: Vec<Vec<String>>,
    /// The numbers by which trace events name memcgs.
    cgroups: Vec<(MemcgRole, u64)>,
}

impl Proven<'_> {
    /// Starts watching; the patch's trace events only for these memcgs.
    ///
    /// # Errors
    /// The guest itself fails.
    pub(crate) fn begin(&mut self, limits: &[Limit<'_>]) -> Result<()> {
        let Ok(Watching { probe, instance, patch, .. }) = &self.watch.0 else { return Ok(()) };
        for limit in limits {
            self.cgroups.push((limit.role, limit.memcg.number()?));
        }
        probe.note_counts()?;
        patch.iter().try_for_each(Instance::start)?;
        instance.start()
    }

    /// Stops watching. Returns what was seen since the load began at `started_us`.
    ///
    /// # Errors
    /// The guest itself fails.
    pub(crate) fn finish(self, started_us: u64) -> Result<Vec<Fact>> {
        let proof = self.proof;
        let Watching { probe, instance, bits, patch } = match &self.watch.0 {
            Ok(watching) => watching,
            Err(why) => {
                let charges = Charges { blind: Some(why.clone()), proof, ..Charges::default() };
                return Ok(vec![Fact::Charges(charges), Fact::Overcharges(Overcharges::default())]);
            }
        };
        patch.iter().try_for_each(Instance::stop)?;
        instance.stop()?;
        let (text, cut) = instance.text()?;
        let Failures { failed, left_out, sigkills } = failed::failures(&text, bits, started_us);
        let (charges, missed) = probe.counted()?;
        let lost = missed + instance.lost()? + left_out + u64::from(cut);
        let charges = Charges { blind: None, proof, charges, lost, failed, sigkills };
        let mut overcharges = Overcharges::default();
        if let Some(patch) = patch {
            let (text, cut) = patch.text()?;
            let (memcgs, left_out) = overcharges::overcharges(&text, &self.cgroups, started_us);
            let lost = patch.lost()? + left_out + u64::from(cut);
            overcharges = Overcharges { traced: true, lost, memcgs };
        }
        Ok(vec![Fact::Charges(charges), Fact::Overcharges(overcharges)])
    }
}

impl Watching {
    fn install() -> Result<Self> {
        mount_tracefs()?;
        let bits = Bits::read(&tracefs::eval_map()?).context("the numbers of gfp bits")?;
        let probe = Probe::set().context("probe the return of try_charge_memcg()")?;
        let instance = Instance::create(CHARGES).context("create a tracefs instance")?;
        instance.watch(&probe).context("enable the probe")?;
        let patch = match tracefs::has_patch() {
            true => Some(Instance::create(OVERCHARGES).context("create a tracefs instance")?),
            false => None,
        };
        patch.iter().try_for_each(Instance::watch_patch).context("enable the patch's events")?;
        Ok(Self { probe, instance, bits, patch })
    }
}

/// Runs the canary: a task that charges one page of each kind to a memcg without a limit.
///
/// A compiler may inline the probed function into its callers. The probe is then set on a function
/// that is never called and sees nothing, which looks like a kernel that never fails.
fn charge_once(memcg: &Memcg) -> Result<()> {
    /// Touched page by page, bytes.
    const USER_BYTES: usize = 4 * 4096;
    /// Put into a pipe, whose buffers are kernel memory, bytes.
    const KERNEL_BYTES: usize = 4096;

    process::run_inside(memcg, "canary", process::OOM_NEVER, |inside| {
        inside.pass();
        let (_kept, mut kernel) = std::io::pipe().context("make a pipe to fill")?;
        kernel.write_all(&[1; KERNEL_BYTES]).context("fill the pipe")?;
        std::hint::black_box(&mut vec![1_u8; USER_BYTES]);
        Ok(())
    })
    .context("charge as the canary")
}
