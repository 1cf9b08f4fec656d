// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the VMs of a run share, and the VM that a job gets from it. Pure.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use protocol::CellRequest;

use super::accel::Accel;
use super::command::{Memory, Spec};
use super::kernel_cmdline::Watchdogs;
use super::proven::Proven;
use crate::plan::{Cell, Deadline, VmShape};

/// A QEMU that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Qemu {
    /// Path, or a name looked up in `PATH`.
    pub(crate) binary: String,
    /// First line of `--version`.
    pub(crate) version: String,
}

/// What all VMs of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Rig {
    /// The QEMU.
    pub(crate) qemu: Qemu,
    /// The accelerator.
    pub(crate) accel: Accel,
    /// How many times longer than under a fast KVM its VMs may take.
    pub(crate) slowdown: u32,
    /// The KVM that is used, if one is.
    pub(crate) kvm: Option<Arc<Proven>>,
    /// What the TSC of an emulated CPU counts, kHz: it is the host's. The kernel would measure it
    /// against an emulated timer, and on a busy host be wrong by a factor of five or more.
    pub(crate) tsc_khz: Option<u64>,
    /// The packed guest ([`super::guest_binary::pack`]).
    pub(crate) initramfs: PathBuf,
    /// The ext4 image ([`super::disk::scratch`]).
    pub(crate) disk: Option<PathBuf>,
    /// Kernel code whose execution is recorded ([`crate::evidence::store::code`]); TCG only.
    pub(crate) watched: Vec<Range<u64>>,
    /// Which cells have their memory dumped.
    pub(crate) dumps: Arc<Dumps>,
}

/// Dumps of memory that a run may have, of the first cells that reach their deadline. They are
/// removed with the run; one of a guest of 512 MiB has 12 to 14 MB.
pub(crate) const DUMPS_PER_RUN: u32 = 2;

/// A recording with more than this is ended, as a failure of the host. A cell has 1 to 10 MB.
pub(super) const LOG_BYTES_MAX: u64 = 256 << 20;
/// How many dumps a run may still have.
#[derive(Debug)]
pub(crate) struct Dumps {
    left: AtomicU32,
    /// Whether each cell is dumped when its load is over, instead of only one that hangs.
    pub(super) at_rest: bool,
}

impl Dumps {
    /// So many, of cells that hang; or of all, when the load is over.
    pub(crate) fn new(left: u32, at_rest: bool) -> Self {
        Self { left: AtomicU32::new(left), at_rest }
    }

    /// Takes one of them; `false` if none is left.
    pub(super) fn take(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    }
}

/// What a VM needs to know of a [`Cell`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    /// Names the VM.
    pub(crate) id: &'a str,
    /// Its shape.
    pub(crate) vm: &'a VmShape,
    /// What the guest must do.
    pub(crate) request: &'a CellRequest,
    /// Its time limits.
    pub(crate) deadline: Deadline,
}

/// Time limits of a VM under the accelerator in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From start to Hello, or to the restored state, milliseconds.
    pub(super) boot_ms: u64,
    /// From the request to the end, milliseconds.
    pub(super) cell_ms: u64,
}

impl<'a> Job<'a> {
    /// The job of this cell.
    pub(crate) fn of(cell: &'a Cell) -> Self {
        let Cell { id, vm, request, deadline, .. } = cell;
        Job { id, vm, request, deadline: *deadline }
    }
}

impl Rig {
    /// A VM of this shape that boots `bzimage` and is killed after `limit_ms`.
    ///
    /// # Errors
    /// A path that is not UTF-8: QEMU's options are text.
    pub(super) fn spec(
        &self,
        name: &str,
        shape: &VmShape,
        bzimage: &Path,
        limit_ms: u64,
    ) -> anyhow::Result<Spec> {
        let accel = self.accel_for(shape);
        // Not under KVM, where a guest has kvm-clock, and not where instructions are counted.
        let tsc_khz = self.tsc_khz.filter(|_| accel == Accel::Tcg);
        let tsc = tsc_khz.map(|khz| format!("tsc_early_khz={khz}"));
        Ok(Spec {
            qemu: self.qemu.binary.clone(),
            name: name.to_owned(),
            accel,
            cpus: shape.cpus,
            memory_mib: shape.memory_mib,
            kernel: text(bzimage)?,
            initramfs: text(&self.initramfs)?,
            disk: self.disk.as_deref().map(text).transpose()?,
            memory: Memory::Own,
            recording: None,
            watchdogs: Watchdogs::within(limit_ms),
            watched: self.watched.clone(),
            extra_cmdline: tsc.into_iter().chain(shape.cmdline.iter().cloned()).collect(),
        })
    }

    /// The VM that boots for this job.
    ///
    /// # Errors
    /// As [`Rig::spec`].
    pub(super) fn job_spec(&self, job: &Job<'_>, bzimage: &Path) -> anyhow::Result<Spec> {
        self.spec(job.id, job.vm, bzimage, self.limits(job).cell_ms)
    }

    /// The job's time limits under this accelerator.
    pub(super) fn limits(&self, job: &Job<'_>) -> Limits {
        let patience = match self.accel_for(job.vm) {
            own @ (Accel::Counting | Accel::Recording) => own.patience(),
            Accel::Kvm | Accel::Tcg => u64::from(self.slowdown),
        };
        Limits {
            boot_ms: job.deadline.boot_ms.saturating_mul(patience),
            cell_ms: job.deadline.cell_ms.saturating_mul(patience),
        }
    }

    /// A real CPU is best. An emulated one can keep time that the host's load does not stretch.
    fn accel_for(&self, shape: &VmShape) -> Accel {
        match self.accel {
            Accel::Tcg if shape.counted => Accel::Counting,
            other => other,
        }
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_so_many_dumps_and_no_more() {
        let dumps = Dumps::new(2, false);
        assert_eq!([(); 4].map(|()| dumps.take()), [true, true, false, false]);
    }
}
