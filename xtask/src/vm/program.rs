// SPDX-License-Identifier: MIT OR Apache-2.0
//! VMs whose PID 1 runs one program and takes no orders: a bare boot, and a kernel selftest.
//!
//! Contract: output, console and time are bounded. How the guest ended is known only if it said so.

use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use protocol::{SELFTEST_END, SELFTEST_TAINT};

use super::command::{self, Spec, Wiring};
use super::process::{Vm, Wire};
use super::rig::Rig;
use super::session::{TICK, millis};
use crate::evidence::console::printable;
use crate::evidence::record::powered_off;
use crate::exit::{Exit, Fault};
use crate::host::stop::Stop;
use crate::plan::VmShape;

/// Kept of the console and of the port. A test prints a few KiB; a loop must not fill the disk.
const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// A selftest to run in a VM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selftest<'a> {
    /// Name of the program in `/tests`.
    pub(crate) program: &'a str,
    /// Kernel.
    pub(crate) bzimage: &'a Path,
    /// [`super::guest_binary::Binaries::selftest`] packed with the programs.
    pub(crate) initramfs: &'a Path,
    /// Shape of the VM.
    pub(crate) shape: &'a VmShape,
    /// Time limit of the program on a machine that is not emulated.
    pub(crate) limit: Duration,
    /// Time limit of the boot, likewise.
    pub(crate) boot_limit: Duration,
}

/// What a selftest printed, and how it ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// Output of the program. It comes over the port, where no kernel message can tear it.
    pub(crate) output: String,
    /// `exit N`, `signal N` or `timeout`, if the guest got to say it and then powered off.
    pub(crate) end: Option<String>,
    /// `/proc/sys/kernel/tainted` at the end.
    pub(crate) tainted: u64,
    /// The serial console.
    pub(crate) console: String,
    /// From QEMU's start to its end.
    pub(crate) wall: Duration,
}

/// Boots a kernel, runs one selftest and waits for its end. The calling thread must live until it
/// returns.
///
/// # Errors
/// QEMU does not start, or the harness is asked to stop. Whatever the guest does is no error.
pub(crate) fn selftest(rig: &Rig, test: Selftest<'_>, stop: &Stop) -> anyhow::Result<Said> {
    let patience = rig.slowdown;
    let (limit, boot_limit) = (test.limit * patience, test.boot_limit * patience);
    let rig = Rig { initramfs: test.initramfs.to_owned(), watched: Vec::new(), ..rig.clone() };
    let mut spec = rig.spec(test.program, test.shape, test.bzimage, millis(limit))?;
    spec.extra_cmdline.push(format!("selftest={}", test.program));
    spec.extra_cmdline.push(format!("selftest_seconds={}", limit.as_secs()));
    let ran = run(&spec, |wiring| wiring, boot_limit + limit, stop)?;
    let console = printable(&String::from_utf8_lossy(&ran.console));
    let (output, said) = split_end(&String::from_utf8_lossy(&ran.port));
    // A program can print such a line too, but only the guest then switches the machine off.
    let said = said.filter(|_| powered_off(&console));
    let (end, tainted) = said.as_deref().and_then(taint).unzip();
    Ok(Said { output, end, tainted: tainted.unwrap_or(0), console, wall: ran.wall })
}

/// The time from QEMU's start to its end with a PID 1 that only powers off: no port, no disk, no
/// control channel, no evidence. No harness can be faster. The calling thread must live until it
/// returns.
///
/// # Errors
/// QEMU does not start, fails, does not end within `limit`, or the harness is asked to stop.
pub(crate) fn floor(
    rig: &Rig,
    shape: &VmShape,
    bzimage: &Path,
    initramfs: &Path,
    limit: Duration,
    stop: &Stop,
) -> anyhow::Result<Duration> {
    let bare = Rig { initramfs: initramfs.to_owned(), disk: None, watched: vec![], ..rig.clone() };
    let spec = Spec { accel: rig.accel, ..bare.spec("floor", shape, bzimage, millis(limit))? };
    let ran = run(&spec, Wiring::bare, limit, stop)?;
    let console = String::from_utf8_lossy(&ran.console);
    let what = match ran.status {
        // A panic resets the machine, which ends QEMU with 0 as well.
        Some(status) if status.success() && powered_off(&console) => {
            return Ok(ran.wall);
        }
        Some(status) => {
            let last = console.lines().last().unwrap_or("nothing");
            format!("bare QEMU ended without a power-off ({status}); last console line: {last}")
        }
        None => format!("bare QEMU did not end within {} s", limit.as_secs()),
    };
    Err(Fault::new(Exit::Host, what).into())
}

/// A VM that ended, or was killed at its limit.
struct Ran {
    /// `None` at the limit.
    status: Option<ExitStatus>,
    console: Vec<u8>,
    port: Vec<u8>,
    wall: Duration,
}

fn run(
    spec: &Spec,
    wiring: impl FnOnce(Wiring) -> Wiring,
    limit: Duration,
    stop: &Stop,
) -> anyhow::Result<Ran> {
    let begun = Instant::now();
    let mut vm = Vm::spawn(|wires| command::words(spec, wiring(wires)))
        .with_context(|| format!("cannot start {}", spec.qemu))?;
    let (mut console, mut port) = (Vec::new(), Vec::new());
    loop {
        let (status, chunks) = vm.turn(TICK)?;
        let wall = begun.elapsed();
        if status.is_some() && chunks.is_empty() || wall > limit {
            return Ok(Ran { status, console, port, wall });
        }
        stop.unless_asked()?;
        for (wire, bytes) in chunks {
            let kept = match wire {
                Wire::Port => &mut port,
                Wire::Console => &mut console,
                Wire::Qmp | Wire::Stderr | Wire::Code => continue,
            };
            let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }
}

/// The program's output, and how it ended: the guest's last line.
fn split_end(all: &str) -> (String, Option<String>) {
    let (output, end) = all.trim_end_matches('\n').rsplit_once(SELFTEST_END).unwrap_or((all, ""));
    let is_last_line = !end.is_empty() && !end.contains('\n');
    match is_last_line && (output.is_empty() || output.ends_with('\n')) {
        true => (output.to_owned(), Some(end.trim_end().to_owned())),
        false => (all.to_owned(), None),
    }
}

/// `exit 0, tainted 512` in its parts.
fn taint(said: &str) -> Option<(String, u64)> {
    let (end, tainted) = said.split_once(SELFTEST_TAINT)?;
    Some((end.to_owned(), tainted.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_says_what_the_kernel_is_tainted_with() {
        assert_eq!(taint("exit 0, tainted 512"), Some(("exit 0".to_owned(), 512)));
        assert_eq!(taint("exit 0"), None);
    }

    #[test]
    fn only_the_guests_last_line_says_how_it_ended() {
        let (output, end) = split_end("ok 1 a\n\nselftest ended: exit 0\n");
        assert_eq!((output.trim_end(), end.as_deref()), ("ok 1 a", Some("exit 0")));
        for cut in ["ok 1 a\nselftest ended: exit 0\nok 2 b\n", "ok 1 a\nselftest en", ""] {
            assert_eq!(split_end(cut), (cut.to_owned(), None));
        }
    }
}
