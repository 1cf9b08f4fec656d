// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs one cell in one VM: the room's main entry.
//!
//! Contract: [`run`] always gives evidence. Whatever fails on the host's side is an ending, not an
//! error, so that one cell never ends the matrix. It must be called on a thread that lives until it
//! returns (see `process`).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use protocol::CellRequest;

use super::command::{self, Accel, Memory, Spec, Wiring};
use super::kernel_cmdline::Watchdogs;
use super::process::Vm;
use super::qemu::Qemu;
use super::session::{End, Goal, Limits, Session, millis};
use super::snapshot::Snapshot;
use super::stop::Stop;
use crate::evidence::store::Recorder;
use crate::evidence::{Ending, Evidence};
use crate::plan::{Cell, Deadline, VmShape};

/// What all VMs of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Rig {
    /// The QEMU.
    pub(crate) qemu: Qemu,
    /// The accelerator.
    pub(crate) accel: Accel,
    /// The guest, packed (see [`super::guest_binary::pack`]).
    pub(crate) initramfs: PathBuf,
    /// The ext4 image (see [`super::disk::scratch`]).
    pub(crate) disk: Option<PathBuf>,
    /// Code of the kernel of which is recorded whether it runs ([`super::translated`]); under TCG only.
    pub(crate) watched: Vec<Range<u64>>,
}

impl<'a> Job<'a> {
    /// The job that this cell is.
    pub(crate) fn of(cell: &'a Cell) -> Self {
        let Cell { id, vm, request, deadline, .. } = cell;
        Job { id, vm, request, deadline: *deadline }
    }
}

/// What of a [`Cell`] matters to its VM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    /// Names the VM.
    pub(crate) id: &'a str,
    /// Its shape.
    pub(crate) vm: &'a VmShape,
    /// What the guest is asked.
    pub(crate) request: &'a CellRequest,
    /// Limits of the waits.
    pub(crate) deadline: Deadline,
}

/// Where a cell begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Begin<'a> {
    /// With a boot of this kernel image.
    Boot(&'a Path),
    /// From a VM that has booted already.
    Snapshot(&'a Snapshot),
}

/// Runs `cell` and writes its evidence into `dir`.
pub(crate) fn run(rig: &Rig, cell: &Cell, begin: Begin<'_>, dir: &Path, stop: &Stop) -> Evidence {
    run_job(rig, Job::of(cell), begin, dir, stop)
}

/// [`run`] for what is no cell of a matrix.
pub(crate) fn run_job(
    rig: &Rig,
    job: Job<'_>,
    begin: Begin<'_>,
    dir: &Path,
    stop: &Stop,
) -> Evidence {
    let begun = Instant::now();
    try_run(rig, job, begin, dir, stop).unwrap_or_else(|error| {
        Evidence::of_failed_host(job.request, format!("{error:#}"), millis(begun.elapsed()))
    })
}

fn try_run(
    rig: &Rig,
    job: Job<'_>,
    begin: Begin<'_>,
    dir: &Path,
    stop: &Stop,
) -> anyhow::Result<Evidence> {
    let limits = limits(rig, &job);
    let (spec, state) = match begin {
        Begin::Boot(bzimage) => (spec(rig, &job, bzimage)?, None),
        Begin::Snapshot(snapshot) => (snapshot.spec().clone(), Some(snapshot.state()?)),
    };
    let mut recorder = Recorder::create(dir, job.request, &cmdline_file(&spec, rig))?;
    let begun = Instant::now();
    let goal = match (begin, &state) {
        (Begin::Snapshot(snapshot), Some(state)) => {
            snapshot.tell(&mut recorder)?;
            Goal::Restored(job.request, state)
        }
        _ if spec.accel == Accel::Counting => Goal::CellAtOnce(job.request),
        _ => Goal::Cell(job.request),
    };
    let vm = match begin {
        Begin::Boot(_) => Vm::spawn(|wiring| command::words(&spec, wiring)),
        Begin::Snapshot(snapshot) => snapshot.vm(),
    };
    let ending = match vm {
        Ok(vm) => match Session::new(vm, &mut recorder, goal, limits, stop).run() {
            End::Vm(ending) => ending,
            other @ (End::Hello | End::Saved) => {
                Ending::HostFailed { why: format!("the session ended with {other:?}") }
            }
        },
        Err(error) => Ending::HostFailed { why: format!("cannot start {}: {error}", spec.qemu) },
    };
    Ok(recorder.finish(job.request.clone(), ending, millis(begun.elapsed())))
}

/// Nothing beats a real CPU; an emulated one can be made to keep a time that the host's load does
/// not stretch.
fn accel(rig: &Rig, vm: &VmShape) -> Accel {
    match rig.accel {
        Accel::Tcg if vm.counted => Accel::Counting,
        other => other,
    }
}

pub(super) fn limits(rig: &Rig, job: &Job<'_>) -> Limits {
    let patience = accel(rig, job.vm).patience();
    Limits {
        boot_ms: job.deadline.boot_ms.saturating_mul(patience),
        cell_ms: job.deadline.cell_ms.saturating_mul(patience),
    }
}

/// The VM that boots for this job.
pub(super) fn spec(rig: &Rig, job: &Job<'_>, bzimage: &Path) -> anyhow::Result<Spec> {
    let Job { id, vm, request: _, deadline: _ } = job;
    Ok(Spec {
        qemu: rig.qemu.binary.clone(),
        name: (*id).to_owned(),
        accel: accel(rig, vm),
        cpus: vm.cpus,
        memory_mib: vm.memory_mib,
        kernel: text(bzimage)?,
        initramfs: text(&rig.initramfs)?,
        disk: rig.disk.as_deref().map(text).transpose()?,
        memory: Memory::Own,
        watchdogs: Watchdogs::within(limits(rig, job).cell_ms),
        watched: rig.watched.clone(),
        extra_cmdline: vm.cmdline.clone(),
    })
}

/// Boots a guest only to see whether it says Hello within the limit; gives why it did not.
pub(super) fn probe(rig: &Rig, bzimage: &Path, limit_ms: u64, stop: &Stop) -> Option<String> {
    try_probe(rig, bzimage, limit_ms, stop).unwrap_or_else(|error| Some(format!("{error:#}")))
}

fn try_probe(
    rig: &Rig,
    bzimage: &Path,
    limit_ms: u64,
    stop: &Stop,
) -> anyhow::Result<Option<String>> {
    let spec = Spec {
        qemu: rig.qemu.binary.clone(),
        name: "probe".to_owned(),
        accel: rig.accel,
        cpus: 1,
        memory_mib: 256,
        kernel: text(bzimage)?,
        initramfs: text(&rig.initramfs)?,
        disk: None,
        memory: Memory::Own,
        watchdogs: Watchdogs::within(limit_ms),
        watched: Vec::new(),
        extra_cmdline: Vec::new(),
    };
    let dir = tempfile::tempdir().context("no temporary folder")?;
    let request = CellRequest::idle();
    let mut recorder = Recorder::create(dir.path(), &request, "")?;
    let vm = Vm::spawn(|wiring| command::words(&spec, wiring))
        .with_context(|| format!("cannot start {}", spec.qemu))?;
    let limits = Limits { boot_ms: limit_ms, cell_ms: limit_ms };
    let end = Session::new(vm, &mut recorder, Goal::Hello, limits, stop).run();
    let evidence = match end {
        End::Hello | End::Saved => return Ok(None),
        End::Vm(ending) => recorder.finish(request, ending, limit_ms),
    };
    let lines = evidence.console.lines().count();
    let printed = format!("its console has {lines} lines");
    Ok(Some(match evidence.ending {
        Ending::Deadline { deadline_ms, .. } => {
            format!("a guest said nothing for {deadline_ms} ms and {printed}")
        }
        Ending::QemuFailed { status, stderr } => {
            format!("QEMU ended ({status}): {}", stderr.lines().next().unwrap_or_default())
        }
        ending => format!("a guest ended before it said anything ({ending:?}) and {printed}"),
    }))
}

/// The text of `qemu.cmdline`: a shell can run it, once the guest has its request.
fn cmdline_file(spec: &Spec, rig: &Rig) -> String {
    let booted = Spec { memory: Memory::Own, ..spec.clone() };
    let by_hand = command::shell(&command::words(&booted, Wiring::ByHand));
    let ran = command::words(spec, Wiring::Inherited { console: -1, port: -1, qmp: -1, code: -1 });
    format!(
        "# {}\n# What ran; in place of -1, QEMU had the number of a socket of the harness.\n#\n{}\n\
         # The same VM by hand, console on the terminal (Ctrl-A is not special, Ctrl-C ends it).\n\
         # It waits for its request; from a second terminal in this folder:\n\
         #   (cat order.line; sleep 600) | socat - UNIX-CONNECT:port.sock\n\
         # with order.line from\n\
         #   jq -c '{{wall_clock_us: null, request: .}}' request.json > order.line\n{by_hand}",
        rig.qemu.version,
        command::shell(&ran).lines().map(|line| format!("#   {line}\n")).collect::<String>(),
    )
}

/// QEMU's options are text: a path that is not is refused rather than mangled.
pub(super) fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}
