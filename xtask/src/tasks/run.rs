// SPDX-License-Identifier: MIT OR Apache-2.0
//! One run, whatever the command: tools, VMs, run folder, manifest, exit code.
//!
//! Contract: the run folder is made when kernels, QEMU and guest are ready, so a command that fails
//! before leaves nothing in the results folder. [`Run::finish`] completes the manifest.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use super::bootable::Bootable;
use super::boots::Boots;
use super::past::Past;
use super::rig::{self, Ready};
use super::{Folders, conclude, style, user_series};
use crate::cli::{AccelChoice, Vms};
use crate::config::{Config, KnownFault, Matrix};
use crate::host::cpu::{self, CpuTime};
use crate::host::stop::Stop;
use crate::host::{self, file::sha256_of};
use crate::outcome::{CellResult, Host, Manifest, Reach, RunResult};
use crate::plan::Cell;
use crate::progress::note;
use crate::reach;
use crate::report::Style;
use crate::results::RunFolder;
use crate::verdict::Pace;
use crate::vm::Accel;

/// A command that is going to boot VMs: tools are there and signals are caught.
#[derive(Clone)]
pub(super) struct Start {
    /// Set by the first SIGINT or SIGTERM.
    pub(super) stop: Stop,
    /// Where its duration is counted from.
    pub(super) begun: Instant,
}

impl Start {
    /// Catches signals; installs the tools that VMs need, or names those that are missing.
    ///
    /// # Errors
    /// [`Exit::MissingTool`] with the command that installs it.
    pub(super) fn new(install: bool) -> anyhow::Result<Self> {
        let (begun, stop) = (Instant::now(), Stop::on_signals()?);
        host::provide(&host::missing(host::RUN), install)?;
        Ok(Self { stop, begun })
    }
}

/// What a run is asked for, besides its kernels.
#[derive(Clone, Copy)]
pub(super) struct Spec<'a> {
    /// Folder that the run folder is made in.
    pub(super) results: &'a Path,
    /// Name of the matrix.
    pub(super) matrix: &'a str,
    /// Kernel that the others are compared with, if there is one.
    pub(super) baseline: Option<&'a str>,
    /// Seed of the run.
    pub(super) seed: u64,
    /// Accelerator of its VMs.
    pub(super) accel: AccelChoice,
    /// Kernel that is booted to see whether KVM works.
    pub(super) probe: &'a str,
    /// Cells that run in parallel.
    pub(super) jobs: usize,
    /// Whether cells start from boots that they share.
    pub(super) snapshots: bool,
}

impl<'a> Spec<'a> {
    /// A run of these cells, of which there is one.
    ///
    /// # Errors
    /// As [`rig::jobs`].
    pub(super) fn of(
        vms: &Vms,
        cells: &'a [Cell],
        results: &'a Path,
        matrix: &'a Matrix,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let Vms { guests, jobs, no_snapshot } = vms;
        let (probe, jobs) = (cells[0].key.kernel.as_str(), rig::jobs(*jobs, cells)?);
        let (matrix, baseline) = (matrix.name.as_str(), matrix.baseline.as_deref());
        Ok(Self {
            results,
            matrix,
            baseline,
            seed,
            accel: guests.accel,
            probe,
            jobs,
            snapshots: !no_snapshot,
        })
    }
}

/// A run that has begun.
pub(super) struct Run<'a> {
    pub(super) config: &'a Config,
    pub(super) kernels: BTreeMap<String, Bootable>,
    pub(super) ready: Ready,
    pub(super) folder: RunFolder,
    pub(super) manifest: Manifest,
    pub(super) stop: Stop,
    pub(super) boots: Boots,
    pub(super) past: Past,
    pub(super) style: Style,
    /// No cell begins once so many were not as expected.
    pub(super) unexpected_max: Option<u32>,
    /// How often a cell that was not as expected runs again.
    pub(super) retries: u32,
    begun: Instant,
    cpu_time: Option<CpuTime>,
}

impl<'a> Run<'a> {
    /// Prepares the VMs and makes the run folder, with the manifest and the patches of `--series`.
    ///
    /// # Errors
    /// As [`rig::prepare`]; a run folder that cannot be written to.
    pub(super) fn begin(
        start: Start,
        folders: &Folders,
        config: &'a Config,
        kernels: BTreeMap<String, Bootable>,
        spec: Spec<'_>,
    ) -> anyhow::Result<Self> {
        let probe = &kernels[spec.probe].bzimage;
        let ready = rig::prepare(folders, probe, spec.accel, &start.stop)?;
        let folder = RunFolder::begin(spec.results, jiff::Timestamp::now())?;
        user_series::keep(config, &folder)?;
        Self::in_folder(start, folder, ready, config, kernels, spec)
    }

    /// Notes what the run is to later ones: a night, or less than its matrix, and the words that
    /// the kernel tree it was called in stands for.
    ///
    /// # Errors
    /// A run folder that cannot be written to.
    pub(super) fn asked(
        &mut self,
        night: bool,
        narrowed: Vec<String>,
        of_tree: Vec<String>,
    ) -> anyhow::Result<()> {
        if night && !narrowed.is_empty() {
            note(&format!("note: this run will be no night: {}", narrowed.join(", ")));
        }
        (self.manifest.night, self.manifest.narrowed) = (night, narrowed);
        // What follows "--" is of a program.
        let command = &mut self.manifest.command;
        let end = command.iter().position(|word| word == "--").unwrap_or(command.len());
        command.splice(end..end, of_tree);
        self.folder.write_manifest(&self.manifest)
    }

    /// The same, with a run folder and VMs that are there already.
    ///
    /// # Errors
    /// A run folder that cannot be written to.
    pub(super) fn in_folder(
        start: Start,
        folder: RunFolder,
        ready: Ready,
        config: &'a Config,
        kernels: BTreeMap<String, Bootable>,
        spec: Spec<'_>,
    ) -> anyhow::Result<Self> {
        let mut manifest = manifest(&ready, &kernels, spec)?;
        manifest.known_faults = known_faults(config, spec);
        folder.write_manifest(&manifest)?;
        let (boots, past) = (Boots::new(spec.snapshots), Past::read(folder.results()));
        let (Start { stop, begun }, style) = (start, style(std::io::stderr()));
        let cpu_time = CpuTime::now();
        Ok(Self {
            config,
            kernels,
            ready,
            folder,
            manifest,
            stop,
            boots,
            past,
            style,
            unexpected_max: None,
            retries: 1,
            begun,
            cpu_time,
        })
    }

    /// How slow its guests are.
    pub(super) fn pace(&self) -> Pace {
        rig::pace(&self.ready.rig)
    }

    /// Has the VMs record whether code that the series changes runs.
    ///
    /// # Errors
    /// A run folder that cannot be written to.
    pub(super) fn watch(&mut self, reach: Option<Reach>) -> anyhow::Result<()> {
        if self.ready.rig.accel == Accel::Tcg {
            self.ready.rig.watched = reach.as_ref().map(reach::watched).unwrap_or_default();
        } else if reach.is_some() {
            note("note: whether the changed code runs is recorded under TCG only: --accel tcg");
        }
        self.manifest.reach = reach;
        self.folder.write_manifest(&self.manifest)
    }

    /// Completes the manifest: how long the run took, and whether it was stopped.
    ///
    /// # Errors
    /// A run folder that cannot be written to.
    pub(super) fn finish(mut self) -> anyhow::Result<(RunFolder, Manifest)> {
        self.manifest.duration_ms = u64::try_from(self.begun.elapsed().as_millis())?;
        self.manifest.interrupted = self.stop.asked();
        let steal = |begin| CpuTime::now()?.steal_percent(begin);
        self.manifest.steal_percent = self.cpu_time.and_then(steal);
        self.folder.write_manifest(&self.manifest)?;
        Ok((self.folder, self.manifest))
    }

    /// [`Run::finish`], and what the cells of a matrix that ran make together. Seals the run.
    ///
    /// # Errors
    /// A run folder that cannot be written to.
    pub(super) fn result(
        self,
        cells: Vec<CellResult>,
        planned: usize,
    ) -> anyhow::Result<(RunFolder, RunResult)> {
        let (folder, manifest) = self.finish()?;
        folder.seal_run()?;
        let result = conclude::result(&folder.id, manifest, cells, planned);
        Ok((folder, result))
    }
}

/// Those of the base of the unpatched kernel; without one none counts.
fn known_faults(config: &Config, spec: Spec<'_>) -> Vec<KnownFault> {
    let baseline = spec.baseline.and_then(|name| config.kernels.get(name));
    let of_base = |known: &&KnownFault| baseline.is_some_and(|it| it.base == known.base);
    config.known_faults.iter().filter(of_base).cloned().collect()
}

fn manifest(
    ready: &Ready,
    kernels: &BTreeMap<String, Bootable>,
    spec: Spec<'_>,
) -> anyhow::Result<Manifest> {
    let system = nix::sys::utsname::uname()?;
    let word = |word: &std::ffi::OsStr| word.to_string_lossy().into_owned();
    let (cpu_model, microcode) = cpu::model();
    Ok(Manifest {
        harness: env!("CARGO_PKG_VERSION").to_owned(),
        nonce: host::nonce()?,
        command: std::env::args().collect(),
        started_at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        duration_ms: 0,
        matrix: spec.matrix.to_owned(),
        baseline: spec.baseline.map(str::to_owned),
        seed: spec.seed,
        jobs: u32::try_from(spec.jobs)?,
        interrupted: false,
        night: false,
        narrowed: Vec::new(),
        parts: Vec::new(),
        missing_parts: Vec::new(),
        accelerator: ready.rig.accel.to_string(),
        slowdown: ready.rig.slowdown,
        kvm: ready.kvm.clone(),
        qemu: ready.rig.qemu.version.clone(),
        host: Host {
            system: format!("{} {}", word(system.sysname()), word(system.release())),
            cpu_model,
            microcode,
            cpus: u32::try_from(host::limits::cores())?,
            memory_mib: host::limits::memory_available_mib().unwrap_or(0),
            limits: host::limits::of_cgroups(),
        },
        steal_percent: None,
        guest_sha256: sha256_of(&ready.binaries.guest)?,
        kernels: kernels.iter().map(|(name, kernel)| (name.clone(), kernel.note.clone())).collect(),
        reach: None,
        known_faults: Vec::new(),
    })
}
