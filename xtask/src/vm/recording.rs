// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cell that QEMU records, and its recording run again, instruction for instruction.
//!
//! Contract: the folder of an attempt has all that a replay needs, but kernel and disk, which are
//! compared with their hashes. The guest finds its order in its initramfs and only sends, so the
//! log has what comes from the devices alone. It is bounded ([`super::rig::LOG_BYTES_MAX`]).

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use protocol::{CellRequest, ORDER, Order};
use serde::{Deserialize, Serialize};

use super::command::{self, Recording, Spec, Wiring};
use super::initramfs::{self, Node, Tree};
use super::process::Vm;
use super::rig::{Job, Limits, Rig};
use super::session::{End, Goal, Session, millis};
use crate::evidence::store::{LOG, RECORDED_INITRAMFS, RECORDING, Recorder};
use crate::evidence::{Ending, Evidence};
use crate::exit::{Exit, Fault};
use crate::host::file::{self, Links, sha256_of, write_whole};
use crate::host::stop::Stop;

/// Content of `recording.json` has less.
const KEPT_BYTES_MAX: u64 = 1 << 20;
/// How many times longer a replay may take: nothing is judged by it.
const PATIENCE: u64 = 3;

/// What is kept of a recorded VM, in `recording.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Version of the QEMU that recorded it.
    qemu: String,
    /// The VM.
    spec: Spec,
    /// Its command line, with descriptors of the harness.
    words: Vec<String>,
    /// SHA-256 of the kernel, hex.
    kernel_sha256: String,
    /// SHA-256 of the disk, hex.
    disk_sha256: Option<String>,
    /// From start to Hello, milliseconds.
    boot_ms: u64,
    /// From Hello to the end, milliseconds.
    cell_ms: u64,
}

/// The VM that records this job in `dir`, and writes there what its replay needs.
pub(super) fn begin(rig: &Rig, job: &Job<'_>, spec: Spec, dir: &Path) -> anyhow::Result<Spec> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let order = Order { wall_clock_us: None, nonce: 0, request: job.request.clone() };
    let mut archive = file::bytes(&rig.initramfs).context("reading the packed guest")?;
    let tree = Tree::from([(ORDER.to_owned(), Node::File(serde_json::to_vec(&order)?))]);
    initramfs::write_more(&mut archive, &tree)?;
    write_whole(&dir.join(RECORDED_INITRAMFS), &archive)?;
    let spec = placed(spec, dir, Recording::To)?;
    let Limits { boot_ms, cell_ms } = rig.limits(job);
    let kept = Kept {
        qemu: rig.qemu.version.clone(),
        words: command::words(&spec, Wiring::SHOWN),
        kernel_sha256: sha256_of(Path::new(&spec.kernel))?,
        disk_sha256: spec.disk.as_ref().map(|disk| sha256_of(Path::new(disk))).transpose()?,
        spec: spec.clone(),
        boot_ms,
        cell_ms,
    };
    write_whole(&dir.join(RECORDING), &serde_json::to_vec_pretty(&kept)?)?;
    Ok(spec)
}

/// The VM with its files in this folder.
fn placed(spec: Spec, dir: &Path, log: fn(String) -> Recording) -> anyhow::Result<Spec> {
    let text = |name: &str| -> anyhow::Result<String> {
        let path = dir.join(name);
        Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
    };
    Ok(Spec { initramfs: text(RECORDED_INITRAMFS)?, recording: Some(log(text(LOG)?)), ..spec })
}

impl Kept {
    /// The recording in the folder of an attempt, if this QEMU, kernel and disk can run it again.
    ///
    /// # Errors
    /// [`Exit::Usage`] with what is missing or is not what was recorded.
    pub(crate) fn read(dir: &Path, qemu: &str) -> anyhow::Result<Self> {
        let bytes = file::read(&dir.join(RECORDING), Links::Refused, KEPT_BYTES_MAX)?;
        let kept: Self = serde_json::from_slice(&bytes).context(RECORDING)?;
        let refused = |what: String| -> anyhow::Error {
            Fault::new(Exit::Usage, what).hint("record it again: repro CELL --record").into()
        };
        if kept.qemu != qemu {
            return Err(refused(format!("it was recorded by {}, this is {qemu}", kept.qemu)));
        }
        if command::words(&kept.spec, Wiring::SHOWN) != kept.words {
            return Err(refused("another version of this harness recorded it".to_owned()));
        }
        let disk = kept.spec.disk.iter().zip(&kept.disk_sha256);
        for (path, hash) in disk.chain([(&kept.spec.kernel, &kept.kernel_sha256)]) {
            if sha256_of(Path::new(path)).ok().as_ref() != Some(hash) {
                return Err(refused(format!("{path} is not the file that was recorded, or gone")));
            }
        }
        Ok(Self { spec: placed(kept.spec, dir, Recording::From)?, ..kept })
    }

    /// The kernel image.
    pub(crate) fn bzimage(&self) -> &Path {
        Path::new(&self.spec.kernel)
    }

    /// The command line for a terminal. It waits until gdb has connected to the Unix socket `gdb`.
    pub(crate) fn for_gdb(&self, gdb: &str) -> Vec<String> {
        super::terminal::waiting_for_gdb(command::words(&self.spec, Wiring::ByHand), gdb)
    }

    /// Runs it again. What it leaves is in `scratch`. The calling thread must live until it
    /// returns.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub(crate) fn replay(
        &self,
        request: &CellRequest,
        scratch: &Path,
        stop: &Stop,
    ) -> anyhow::Result<Evidence> {
        let mut recorder = Recorder::create(scratch, request, "")?;
        let begun = Instant::now();
        let limits = Limits { boot_ms: self.boot_ms * PATIENCE, cell_ms: self.cell_ms * PATIENCE };
        let ending = match Vm::spawn_deaf(|wiring| command::words(&self.spec, wiring)) {
            Ok(vm) => match Session::new(vm, &mut recorder, Goal::Packed, limits, stop).run() {
                End::Vm(ending) => ending,
                other @ (End::Hello | End::Saved) => {
                    Ending::HostFailed { why: format!("the session ended with {other:?}") }
                }
            },
            Err(error) => {
                Ending::HostFailed { why: format!("cannot start {}: {error}", self.spec.qemu) }
            }
        };
        Ok(recorder.finish(request.clone(), ending, millis(begun.elapsed())))
    }
}

/// The script that replays a recorded VM.
pub(super) fn script(spec: &Spec) -> String {
    let log = match &spec.recording {
        Some(Recording::To(log) | Recording::From(log)) => log.clone(),
        None => String::new(),
    };
    let spec = Spec { recording: Some(Recording::From(log)), ..spec.clone() };
    let qemu = command::shell(&command::words(&spec, Wiring::ByHand));
    format!("cd \"$(mktemp -d)\"\n{qemu}")
}
