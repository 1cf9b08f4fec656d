// SPDX-License-Identifier: MIT OR Apache-2.0
//! What VMs of a run need besides their kernels: QEMU, the packed guest, the scratch disk, the
//! accelerator.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::{Folders, kvm_proof};
use crate::cli::AccelChoice;
use crate::exit::{Exit, Fault};
use crate::host::cpu;
use crate::host::file;
use crate::host::limits;
use crate::host::stop::Stop;
use crate::outcome::KvmProof;
use crate::progress::note;
use crate::verdict::Pace;
use crate::vm::guest_binary::Binaries;
use crate::vm::kvm::{self, Wish};
use crate::vm::pool::Room;
use crate::vm::rig::{DUMPS_PER_RUN, Dumps, Rig};
use crate::vm::{Accel, QEMU_BINARY, Qemu, disk, guest_binary};

/// How slow its guests are, for tolerances that do not come from kernel timers.
pub(super) fn pace(rig: &Rig) -> Pace {
    Pace { slowdown: rig.slowdown, emulated: rig.accel != Accel::Kvm }
}

/// Everything that the VMs of a run share.
#[derive(Clone)]
pub(crate) struct Ready {
    /// For `vm`.
    pub(crate) rig: Rig,
    /// Keeps `prune --cache` from the packed guest.
    _in_use: Arc<File>,
    /// What its KVM has shown, if it uses KVM.
    pub(crate) kvm: Option<KvmProof>,
    /// The guest's binaries.
    pub(crate) binaries: Binaries,
}

/// Prepares it. `bzimage` is booted to test whether KVM works.
///
/// # Errors
/// A missing QEMU or `mkfs.ext4`, a guest that does not build, KVM that was required but fails.
pub(crate) fn prepare(
    folders: &Folders,
    bzimage: &Path,
    wish: AccelChoice,
    stop: &Stop,
) -> anyhow::Result<Ready> {
    let qemu = Qemu::find(QEMU_BINARY)?;
    let binaries = guest_binary::build(&folders.workspace)?;
    let initramfs = guest_binary::pack(&binaries.guest, &folders.cache)?;
    let _in_use = Arc::new(file::hold_used(&initramfs).context("using the packed guest")?);
    let disk = disk::scratch(&folders.cache)?;
    let wish = match wish {
        AccelChoice::Auto => Wish::Auto,
        AccelChoice::Kvm => Wish::Kvm,
        AccelChoice::Tcg => Wish::Tcg,
    };
    let choice = kvm::choose(wish, &qemu, bzimage, &initramfs, &folders.cache, stop)?;
    note(&format!("accelerator: {}", choice.said));
    let kvm::Choice { accel, slowdown, kvm, said: _ } = choice;
    let (disk, watched, tsc_khz) = (Some(disk), Vec::new(), cpu::tsc_khz());
    let dumps = Arc::new(Dumps::new(DUMPS_PER_RUN, false));
    let rig = Rig { qemu, accel, slowdown, kvm, tsc_khz, initramfs, disk, watched, dumps };
    let kvm = kvm_proof::read(&rig, &folders.cache);
    Ok(Ready { rig, _in_use, kvm, binaries })
}

/// How many VMs of the largest shape run in parallel.
///
/// # Errors
/// [`Exit::Host`] if there is no memory for one.
pub(crate) fn jobs<'a>(
    asked: Option<u32>,
    cells: impl IntoIterator<Item = &'a crate::plan::Cell>,
) -> anyhow::Result<usize> {
    let (mut cpus, mut memory_mib, mut busy) = (1, 1, false);
    for cell in cells {
        busy |= cell.slowdown > 1;
        cpus = cpus.max(cell.vm.cpus);
        memory_mib = memory_mib.max(cell.vm.memory_mib);
    }
    let room = Room::of_host();
    if !room.holds(memory_mib) {
        let of = limits::of_cgroups().join("; ");
        let by = if of.is_empty() { String::new() } else { format!(" ({of})") };
        let what = format!(
            "a VM of {memory_mib} MiB does not fit: {} MiB of memory are available{by}",
            room.memory_mib
        );
        let hint = "the guest would run in swap, or be killed: free some memory or raise the limit";
        return Err(Fault::new(Exit::Host, what).hint(hint).into());
    }
    Ok(room.jobs(asked.map(u64::from), cpus, memory_mib, busy))
}
