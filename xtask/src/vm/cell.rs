// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs one cell in one VM: the room's main entry.
//!
//! Contract: [`run`] always returns evidence. A failure of the host is an ending, not an error, so
//! one cell never ends the matrix. The calling thread must live until it returns (see `process`).

use std::path::Path;
use std::time::Instant;

use protocol::{CellRequest, Order};

use super::accel::Accel;
use super::command::{self, Memory, Spec, Wiring};
use super::inputs;
use super::kvm;
use super::process::Vm;
use super::recording;
use super::rig::{Job, Rig};
use super::session::{End, Goal, Session, millis};
use super::snapshot::Snapshot;
use crate::evidence::store::Recorder;
use crate::evidence::{Ending, Evidence};
use crate::host::stop::Stop;

/// Where a cell begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Begin<'a> {
    /// With a boot of this kernel image.
    Boot(&'a Path),
    /// In a VM that has booted already.
    Snapshot(&'a Snapshot),
}

/// Runs `job` and writes its evidence to `dir`.
pub(crate) fn run(rig: &Rig, job: Job<'_>, begin: Begin<'_>, dir: &Path, stop: &Stop) -> Evidence {
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
    let (spec, state) = match begin {
        Begin::Boot(bzimage) if rig.accel == Accel::Recording => {
            (recording::begin(rig, &job, rig.job_spec(&job, bzimage)?, dir)?, None)
        }
        Begin::Boot(bzimage) => (rig.job_spec(&job, bzimage)?, None),
        Begin::Snapshot(snapshot) => (snapshot.spec().clone(), Some(snapshot.state()?)),
    };
    let mut recorder = Recorder::create(dir, job.request, &cmdline_file(&spec, rig, job.request)?)?;
    let begun = Instant::now();
    let goal = match (begin, &state) {
        (Begin::Snapshot(snapshot), Some(state)) => {
            snapshot.replay(&mut recorder)?;
            Goal::Restored(job.request, state)
        }
        _ if spec.accel == Accel::Recording => Goal::Packed,
        _ if spec.accel == Accel::Counting => Goal::CellAtOnce(job.request),
        _ => Goal::Cell(job.request),
    };
    if let Some(why) = rig.kvm.as_ref().and_then(|kvm| kvm.lost()) {
        return Ok(recorder.finish(job.request.clone(), Ending::HostFailed { why }, 0));
    }
    let unchanged = || inputs::unchanged(&spec, state.is_some());
    let vm = unchanged().map_err(std::io::Error::other).and_then(|()| match begin {
        Begin::Boot(_) if spec.recording.is_some() => {
            Vm::spawn_deaf(|wiring| command::words(&spec, wiring))
        }
        Begin::Boot(_) => Vm::spawn(|wiring| command::words(&spec, wiring)),
        Begin::Snapshot(snapshot) => snapshot.vm(),
    });
    let ending = match vm {
        Ok(vm) => match Session::new(vm, &mut recorder, goal, rig.limits(&job), stop)
            .with_dumps(&rig.dumps)
            .run()
        {
            End::Vm(ending) => ending,
            other @ (End::Hello | End::Saved) => {
                Ending::HostFailed { why: format!("the session ended with {other:?}") }
            }
        },
        Err(error) => Ending::HostFailed { why: format!("cannot start {}: {error}", spec.qemu) },
    };
    let ending = match (unchanged(), ending) {
        (Err(why), ending) if ending != Ending::Interrupted => Ending::HostFailed { why },
        (_, ending) => ending,
    };
    let wall_ms = millis(begun.elapsed());
    Ok(recorder.finish(job.request.clone(), kvm::ending(rig, ending, stop), wall_ms))
}

/// The text of `qemu.cmdline`: a script that runs the same cell without the harness, after a
/// comment that shows what ran.
fn cmdline_file(spec: &Spec, rig: &Rig, request: &CellRequest) -> anyhow::Result<String> {
    let booted = Spec { memory: Memory::Own, ..spec.clone() };
    let by_hand = match spec.recording {
        Some(_) => recording::script(spec),
        None => command::shell(&command::words(&booted, Wiring::ByHand)),
    };
    let ran = command::shell(&command::words(spec, Wiring::SHOWN));
    let ran: String = ran.lines().map(|line| format!("#   {line}\n")).collect();
    let head = format!(
        "# {}\n# This ran, with file descriptors of the harness in place of -1.",
        rig.qemu.version
    );
    if spec.recording.is_some() {
        return Ok(format!(
            "{head}\n#\n{ran}\n{BY_HAND}\n{by_hand}echo \"events: $PWD/port.out\"\n"
        ));
    }
    let order = Order { wall_clock_us: None, nonce: 0, request: request.clone() };
    let order = command::shell(&["printf".into(), "%s\\n".into(), serde_json::to_string(&order)?]);
    Ok(format!(
        "{head}\n#\n{ran}\n{BY_HAND}\n\
         cd \"$(mktemp -d)\" && mkfifo port.in && : > port.out && exec 3<> port.in\n\
         {} >&3\n{by_hand}echo \"events: $PWD/port.out\"\n",
        order.trim_end(),
    ))
}

/// Begins the script in `qemu.cmdline`.
const BY_HAND: &str = "# The same cell by hand: console on the terminal. Ctrl-C ends it.";

/// The script in the `qemu.cmdline` of an attempt.
#[must_use]
pub(crate) fn by_hand(cmdline: &str) -> Option<&str> {
    cmdline.split_once(BY_HAND).map(|(_, script)| script.trim_start())
}
