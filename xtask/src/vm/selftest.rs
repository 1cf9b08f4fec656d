// SPDX-License-Identifier: MIT OR Apache-2.0
//! One of the kernel's own test programs in one VM: what it printed, and how it ended.
//!
//! Contract: the guest is [`super::guest_binary::Binaries::selftest`]. What the program prints comes
//! over the port, where no kernel message can tear it. Output, console and time are bounded. How the
//! program ended is known only if the guest said it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use protocol::SELFTEST_END;

use super::cell::{Rig, text};
use super::command::{self, Memory, Spec};
use super::kernel_cmdline::Watchdogs;
use super::process::{Vm, Wire};
use super::stop::Stop;
use crate::exit::{Exit, Fault};
use crate::plan::VmShape;

const TICK: Duration = Duration::from_millis(50);
/// A test prints some KiB; a loop must not fill the disk.
const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// What a VM is started for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    /// The program, as it is called in `/tests`.
    pub(crate) program: &'a str,
    /// Kernel.
    pub(crate) bzimage: &'a Path,
    /// The guest with the programs.
    pub(crate) initramfs: &'a Path,
    /// Shape of the VM.
    pub(crate) shape: &'a VmShape,
    /// For the program, on a machine that is not emulated.
    pub(crate) limit: Duration,
    /// For the boot, likewise.
    pub(crate) boot_limit: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// What the program printed.
    pub(crate) output: String,
    /// `exit N`, `signal N` or `timeout`, if the guest came to say it.
    pub(crate) end: Option<String>,
    /// The serial console.
    pub(crate) console: String,
    /// From QEMU's start to its end.
    pub(crate) wall: Duration,
}

/// Boots, runs and waits. Must be called on a thread that lives until it returns.
///
/// # Errors
/// QEMU does not start or the harness is asked to stop; what the guest does is no error.
pub(crate) fn run(rig: &Rig, order: Order<'_>, stop: &Stop) -> anyhow::Result<Said> {
    let patience = u32::try_from(rig.accel.patience())?;
    let (limit, boot_limit) = (order.limit * patience, order.boot_limit * patience);
    let mut extra_cmdline = order.shape.cmdline.clone();
    extra_cmdline.push(format!("selftest={}", order.program));
    extra_cmdline.push(format!("selftest_seconds={}", limit.as_secs()));
    let spec = Spec {
        qemu: rig.qemu.binary.clone(),
        name: order.program.to_owned(),
        accel: rig.accel,
        cpus: order.shape.cpus,
        memory_mib: order.shape.memory_mib,
        kernel: text(order.bzimage)?,
        initramfs: text(order.initramfs)?,
        disk: rig.disk.as_deref().map(text).transpose()?,
        memory: Memory::Own,
        watchdogs: Watchdogs::within(u64::try_from(limit.as_millis())?),
        watched: Vec::new(),
        extra_cmdline,
    };
    let begun = Instant::now();
    let mut vm = Vm::spawn(|wiring| command::words(&spec, wiring))
        .with_context(|| format!("cannot start {}", spec.qemu))?;
    let deadline = begun + boot_limit + limit;
    let (mut output, mut console) = (Vec::new(), Vec::new());
    loop {
        // Asked before reading: what was written before the end is then read for certain.
        let exited = vm.exited()?.is_some();
        let chunks = vm.read(if exited { Duration::ZERO } else { TICK })?;
        if exited && chunks.is_empty() || Instant::now() > deadline {
            break;
        }
        if stop.asked() {
            return Err(Fault::new(Exit::Interrupted, "stopped").into());
        }
        for (wire, bytes) in chunks {
            let kept = match wire {
                Wire::Port => &mut output,
                Wire::Console => &mut console,
                Wire::Qmp | Wire::Stderr | Wire::Code => continue,
            };
            let room = OUTPUT_BYTES_MAX - kept.len().min(OUTPUT_BYTES_MAX);
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }
    vm.kill();
    let output = String::from_utf8_lossy(&output).into_owned();
    let (output, end) = told(&output);
    let console = String::from_utf8_lossy(&console).into_owned();
    Ok(Said { output, end, console, wall: begun.elapsed() })
}

/// The program's own output, and the guest's last line.
fn told(all: &str) -> (String, Option<String>) {
    let last = all.trim_end_matches('\n').rsplit('\n').next().unwrap_or_default();
    match last.trim_end().strip_prefix(SELFTEST_END) {
        Some(end) => {
            let output = all.rsplit_once(SELFTEST_END).map_or("", |(output, _)| output);
            (output.to_owned(), Some(end.to_owned()))
        }
        None => (all.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_the_guests_last_line_and_no_other() {
        let (output, end) = told("ok 1 a\n\nselftest ended: exit 0\n");
        assert_eq!((output.trim_end(), end.as_deref()), ("ok 1 a", Some("exit 0")));
        for cut in ["ok 1 a\nselftest ended: exit 0\nok 2 b\n", "ok 1 a\nselftest en", ""] {
            assert_eq!(told(cut), (cut.to_owned(), None));
        }
    }
}
