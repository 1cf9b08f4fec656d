// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one cell left behind: the only thing a verdict is made of.
//!
//! `vm` fills it, [`store`] writes it to the run folder and reads it back, `verdict` judges it.

pub(crate) mod console;
pub(crate) mod lines;
pub(crate) mod oom;
pub(crate) mod record;
mod seen;
pub(crate) mod store;
mod translated;

use protocol::{CellRequest, Event};
use serde::{Deserialize, Serialize};

pub(crate) use seen::{Seen, Stopped};

/// The facts of one cell.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// What the guest was asked to do.
    pub(crate) request: CellRequest,
    /// What the guest said, in the order received.
    pub(crate) events: Vec<Event>,
    /// Lines on the port that were no event of this protocol.
    pub(crate) torn_lines: Vec<String>,
    /// Console text, lossy UTF-8, bounded, as far as the kernel printed it by itself: not what the
    /// harness asked for, at the deadline, to see where the kernel hangs.
    pub(crate) console: String,
    /// Console bytes dropped because the bound was reached.
    pub(crate) console_dropped_bytes: u64,
    /// How the VM ended.
    pub(crate) ending: Ending,
    /// From QEMU's start to its end, milliseconds.
    pub(crate) wall_ms: u64,
    /// Of these the worst off of QEMU's threads had waited for a CPU of the host when the guest
    /// shut down; 0 where the host's kernel does not tell, or the guest did not come so far.
    pub(crate) starved_ms: u64,
}

impl Evidence {
    /// Of [`Evidence::stretch`]: from here on what hit its time limit might have ended in time on a
    /// host that is not busy.
    pub(crate) const STRETCHED: f64 = 1.5;

    /// How many times longer than by itself the cell took because a virtual CPU waited for one of
    /// the host: on the average that is what became of each time in it.
    pub(crate) fn stretch(&self) -> f64 {
        /// Below a tenth of the time a vCPU ran too little to calculate with.
        const MOST: f64 = 10.0;
        let (wall_ms, ran_ms) = (self.wall_ms, self.wall_ms.saturating_sub(self.starved_ms));
        if ran_ms == wall_ms { 1.0 } else { (wall_ms as f64 / ran_ms.max(1) as f64).min(MOST) }
    }

    /// What is left of a cell that the host's side failed before or while it ran.
    pub(crate) fn of_failed_host(request: &CellRequest, why: String, wall_ms: u64) -> Self {
        Self {
            request: request.clone(),
            events: Vec::new(),
            torn_lines: Vec::new(),
            console: String::new(),
            console_dropped_bytes: 0,
            ending: Ending::HostFailed { why },
            wall_ms,
            starved_ms: 0,
        }
    }
}

/// How a VM ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Ending {
    /// The guest powered off.
    PoweredOff,
    /// The guest reset itself: with `panic=-1` and `-no-reboot`, a panic.
    Reset,
    /// The harness killed it: the deadline had passed.
    Deadline {
        /// The deadline, milliseconds.
        deadline_ms: u64,
        /// Since the last console byte or event, milliseconds.
        silent_ms: u64,
        /// Whether the guest had said Hello.
        booted: bool,
        /// How long the worst off of QEMU's threads had waited for a CPU of the host, milliseconds;
        /// 0 where the host's kernel does not tell.
        #[serde(default)]
        starved_ms: u64,
    },
    /// QEMU ended by itself with an error or a signal.
    QemuFailed {
        /// Exit status, as people read it.
        status: String,
        /// Last lines of its stderr.
        stderr: String,
    },
    /// QEMU could not be started, or the host failed while it ran.
    HostFailed {
        /// Why.
        why: String,
    },
    /// The harness ended it when its state was saved, for cells to begin from.
    Saved,
    /// The harness was asked to stop.
    Interrupted,
}
