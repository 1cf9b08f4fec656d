// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bare QEMU: the same kernel on the same machine with a PID 1 that only powers off.
//!
//! Contract: no port, no disk, no control channel, no evidence. What is left is what no harness can
//! be faster than, as long as it boots.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::cell::{Rig, text};
use super::command::{self, Memory, Spec, Wiring};
use super::kernel_cmdline::Watchdogs;
use super::process::Vm;
use super::stop::Stop;
use crate::exit::{Exit, Fault};
use crate::plan::VmShape;

/// How often the stop flag is looked at; the end of QEMU wakes the wait by itself.
const TICK: Duration = Duration::from_millis(50);

/// From QEMU's start to its end, with `initramfs` in place of the rig's. Must be called on a thread
/// that lives until it returns.
///
/// # Errors
/// QEMU does not start, fails, does not end within `limit`, or the harness is asked to stop.
pub(crate) fn boot(
    rig: &Rig,
    shape: &VmShape,
    bzimage: &Path,
    initramfs: &Path,
    limit: Duration,
    stop: &Stop,
) -> anyhow::Result<Duration> {
    let spec = Spec {
        qemu: rig.qemu.binary.clone(),
        name: "floor".to_owned(),
        accel: rig.accel,
        cpus: shape.cpus,
        memory_mib: shape.memory_mib,
        kernel: text(bzimage)?,
        initramfs: text(initramfs)?,
        disk: None,
        memory: Memory::Own,
        watchdogs: Watchdogs::within(u64::try_from(limit.as_millis())?),
        watched: Vec::new(),
        extra_cmdline: shape.cmdline.clone(),
    };
    let begun = Instant::now();
    let mut vm = Vm::spawn(|wiring| match wiring {
        Wiring::Inherited { console, .. } => command::words(&spec, Wiring::Bare { console }),
        other => command::words(&spec, other),
    })
    .with_context(|| format!("cannot start {}", spec.qemu))?;
    let mut console = Vec::new();
    loop {
        if let Some(status) = vm.exited()? {
            let took = begun.elapsed();
            let console = String::from_utf8_lossy(&console);
            // A panic resets the machine, which ends QEMU with 0 as well.
            if status.success() && console.contains("reboot: Power down") {
                return Ok(took);
            }
            let last = console.lines().last().unwrap_or("nothing").to_owned();
            let what = format!(
                "bare QEMU did not end by a power-off ({status}); its console ends with: {last}"
            );
            return Err(Fault::new(Exit::Host, what).into());
        }
        if stop.asked() {
            return Err(Fault::new(Exit::Interrupted, "stopped").into());
        }
        if begun.elapsed() > limit {
            let what = format!("bare QEMU did not end within {} s", limit.as_secs());
            return Err(Fault::new(Exit::Host, what).into());
        }
        for (_, bytes) in vm.read(TICK)? {
            console.extend(bytes);
        }
    }
}
