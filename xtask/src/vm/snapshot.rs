// SPDX-License-Identifier: MIT OR Apache-2.0
//! A VM that has booted and waits for its request, kept so that many cells can begin there.
//!
//! Its memory is a memfd that each cell's QEMU maps privately: only pages that the cell writes to
//! are copied. Each QEMU reads the rest of the state, devices and CPUs. docs/measurements.md
//! compares this with `savevm` and `loadvm` in one QEMU.
//!
//! Contract: both files have no name and vanish with the harness. Console and events of the boot
//! are part of the evidence of each cell that begins here.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use nix::sys::memfd::{MFdFlags, memfd_create};
use protocol::CellRequest;

use super::command::{self, Memory, Spec, Wiring};
use super::inputs;
use super::kvm;
use super::process::Vm;
use super::rig::{Job, Rig};
use super::session::{End, Goal, Session, millis};
use crate::evidence::store::{self, Recorder};
use crate::evidence::{Ending, Evidence};
use crate::host::stop::Stop;

/// A booted VM. Dropping it frees its memory.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The VM that continues here.
    spec: Spec,
    /// A QEMU that was started ahead and waits for its state: starting one takes 40 ms, a third of
    /// an empty cell.
    spare: Mutex<Receiver<io::Result<Vm>>>,
    /// Keeps the file open that each QEMU opens through `/proc`.
    _memory: File,
    state: File,
    /// Bytes of console and port until the VM was stopped.
    console: Vec<u8>,
    said: Vec<u8>,
}

/// Equal for jobs that can share a boot.
///
/// # Errors
/// A path that is not UTF-8.
pub(crate) fn key(rig: &Rig, job: Job<'_>, bzimage: &Path) -> anyhow::Result<String> {
    let nameless = Spec { name: String::new(), ..rig.job_spec(&job, bzimage)? };
    Ok(command::shell(&command::words(&nameless, Wiring::ByHand)))
}

/// Boots the VM of `job` and saves it at its Hello; leaves the evidence of the boot in `dir`. The
/// calling thread must live until it returns.
///
/// # Errors
/// The host fails. A boot without Hello is no error but a [`Boot`] without snapshot.
pub(crate) fn take(
    rig: &Rig,
    job: Job<'_>,
    bzimage: &Path,
    dir: &Path,
    stop: &Stop,
) -> anyhow::Result<Boot> {
    let begun = Instant::now();
    let request = CellRequest::idle();
    let (memory, state) = (in_memory("memory")?, in_memory("state")?);
    let mut spec = rig.job_spec(&job, bzimage)?;
    spec.memory = Memory::Kept(name_of(&memory));
    let words = |wiring| command::words(&spec, wiring);
    let mut recorder = Recorder::create(dir, &request, &command::shell(&words(Wiring::SHOWN)))?;
    inputs::unchanged(&spec, false).map_err(anyhow::Error::msg)?;
    let vm = Vm::spawn(words).with_context(|| format!("cannot start {}", spec.qemu))?;
    let goal = Goal::Save(&state);
    let end = Session::new(vm, &mut recorder, goal, rig.limits(&job), stop).run();
    let ending = match end {
        End::Saved => match inputs::unchanged(&spec, false) {
            Ok(()) => Ending::Saved,
            Err(why) => Ending::HostFailed { why },
        },
        End::Vm(ending) => ending,
        End::Hello => Ending::HostFailed { why: "the session ended at Hello".to_owned() },
    };
    let wall_ms = millis(begun.elapsed());
    let evidence = recorder.finish(request, kvm::ending(rig, ending, stop), wall_ms);
    if evidence.ending != Ending::Saved {
        return Ok(Boot { evidence, snapshot: None });
    }
    let (console, said) = store::raw(dir)?;
    spec.memory = Memory::From(name_of(&memory));
    let spare = Mutex::new(keep_one(spec.clone())?);
    let snapshot = Snapshot { spec, spare, _memory: memory, state, console, said };
    Ok(Boot { evidence, snapshot: Some(snapshot) })
}

/// The result of a boot.
#[derive(Debug)]
pub(crate) struct Boot {
    /// Its evidence.
    pub(crate) evidence: Evidence,
    /// Present if it ended with [`Ending::Saved`].
    pub(crate) snapshot: Option<Snapshot>,
}

impl Snapshot {
    /// The VM that continues here. It has the name of the boot: it is started before its cell is
    /// known.
    pub(super) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// A QEMU that waits for the state. It must end before this snapshot is dropped.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn vm(&self) -> io::Result<Vm> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.recv().map_err(io::Error::other)?
    }

    /// The state, for one QEMU to read from its beginning.
    pub(super) fn state(&self) -> anyhow::Result<File> {
        // Not duplicated: a duplicate shares its position with those of other VMs.
        let own = File::options().read(true).open(name_of(&self.state));
        own.context("cannot open the state of a snapshot")
    }

    /// Gives the recorder what was printed and said before the snapshot.
    pub(super) fn replay(&self, recorder: &mut Recorder) -> anyhow::Result<()> {
        recorder.console(&self.console)?;
        recorder.port(&self.said)?;
        Ok(())
    }
}

/// Starts a QEMU, and another one whenever it was taken, on a thread that lives as long as the
/// receiver: a QEMU dies with the thread that started it.
fn keep_one(spec: Spec) -> anyhow::Result<Receiver<io::Result<Vm>>> {
    let (sender, spare) = sync_channel(0);
    let start = move || Vm::spawn(|wiring| command::words(&spec, wiring));
    std::thread::Builder::new()
        .spawn(move || while sender.send(start()).is_ok() {})
        .context("cannot start a thread")?;
    Ok(spare)
}

fn in_memory(name: &str) -> anyhow::Result<File> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC).context("cannot make a file in memory")?;
    Ok(fd.into())
}

/// A path by which other processes of this user can open the file, while it is open here.
fn name_of(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn a_state_is_read_from_its_beginning_by_each() {
        let mut state = in_memory("test").unwrap();
        state.write_all(b"all of it").unwrap();
        for _ in 0..2 {
            let mut text = String::new();
            File::open(name_of(&state)).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "all of it");
        }
    }
}
