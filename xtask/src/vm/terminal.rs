// SPDX-License-Identifier: MIT OR Apache-2.0
//! VMs on the user's terminal, without limits and without evidence: for gdb, and for a shell.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::command::{self, Wiring};
use super::rig::{Job, Rig};
use crate::exit::{Exit, Fault};
use crate::host::process::die_with_harness;
use crate::host::stop::Stop;
use crate::plan::VmShape;

/// How often it is looked whether the VM has ended.
const LOOK: Duration = Duration::from_millis(50);

/// For QEMU to end when asked: only so does it restore the terminal.
const PATIENCE: Duration = Duration::from_secs(3);

/// For the thresholds of hang detectors: those of a long cell, milliseconds.
const LONG_MS: u64 = 600_000;

/// The command line of a cell's VM, which waits until gdb has connected to the Unix socket `gdb`.
/// In the current folder it reads its request from the FIFO `port.in` and writes events to the file
/// `port.out`.
///
/// # Errors
/// A path that is not UTF-8.
pub(crate) fn for_gdb(
    rig: &Rig,
    job: &Job<'_>,
    bzimage: &Path,
    gdb: &str,
) -> anyhow::Result<Vec<String>> {
    let words = command::words(&rig.job_spec(job, bzimage)?, Wiring::ByHand);
    Ok(waiting_for_gdb(on_one_thread(words), gdb))
}

/// Emulates all virtual CPUs on one thread. Nobody starts such a VM again, and on a thread each,
/// QEMU 7.2 breaks about one boot in fifty: the kernel meets a breakpoint that it has removed.
fn on_one_thread(mut words: Vec<String>) -> Vec<String> {
    for word in &mut words {
        if word == "tcg,thread=multi" {
            *word = "tcg,thread=single".to_owned();
        }
    }
    words
}

/// The same VM, which waits until gdb has connected to this Unix socket.
pub(super) fn waiting_for_gdb(mut words: Vec<String>, gdb: &str) -> Vec<String> {
    let socket = format!("unix:{gdb},server=on,wait=off");
    words.extend(["-gdb", &socket, "-S"].map(str::to_owned));
    words
}

/// The command line of a VM whose initramfs gives a shell. `environment` is that of its PID 1.
///
/// # Errors
/// A path that is not UTF-8.
pub(crate) fn for_shell(
    rig: &Rig,
    name: &str,
    shape: &VmShape,
    bzimage: &Path,
    environment: &[String],
) -> anyhow::Result<Vec<String>> {
    let mut spec = rig.spec(name, shape, bzimage, LONG_MS)?;
    // For eyes: warnings and worse, without the prefixes that the harness reads.
    spec.extra_cmdline.extend(["console_msg_format=default", "loglevel=5"].map(str::to_owned));
    spec.extra_cmdline.extend_from_slice(environment);
    Ok(on_one_thread(command::words(&spec, Wiring::Terminal)))
}

/// Runs QEMU in this folder, on this terminal, until it ends or the harness is asked to stop.
///
/// # Errors
/// QEMU does not start, or fails.
pub(crate) fn run(words: &[String], folder: &Path, stop: &Stop) -> anyhow::Result<Exit> {
    // In the terminal's process group, so that it can read the terminal and gets Ctrl-C.
    let mut qemu = Command::new(&words[0]);
    qemu.args(&words[1..]).current_dir(folder);
    die_with_harness(&mut qemu, Signal::SIGTERM);
    let mut vm = qemu.spawn().with_context(|| format!("starting {}", words[0]))?;
    let mut asked_at = None;
    loop {
        if let Some(status) = vm.try_wait()? {
            let stopped = asked_at.is_some() || stop.asked() || status.signal().is_some();
            return match (stopped, status.success()) {
                (true, _) => Ok(Exit::Interrupted),
                (false, true) => Ok(Exit::Ok),
                (false, false) => {
                    Err(Fault::new(Exit::Host, format!("QEMU ended with {status}")).into())
                }
            };
        }
        match asked_at {
            None if stop.asked() => {
                asked_at = Some(Instant::now());
                kill(Pid::from_raw(i32::try_from(vm.id())?), Signal::SIGTERM)?;
            }
            Some(at) if at.elapsed() > PATIENCE => vm.kill()?,
            _ => {}
        }
        std::thread::sleep(LOOK);
    }
}
