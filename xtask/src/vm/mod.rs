// SPDX-License-Identifier: MIT OR Apache-2.0
//! VMs: kernel image + guest + cell -> evidence.
//!
//! `rig`, `command`, `accel`, `kernel_cmdline` and `qmp` decide what a VM is; the rest runs it. In
//! the order of a run: [`Qemu::find`], [`guest_binary::build`] and [`guest_binary::pack`],
//! [`disk::scratch`], [`kvm::choose`], [`snapshot::take`] for each boot that cells share, then
//! [`pool::run`] with [`cell::run`] for each cell.
//!
//! Contract: every wait has a limit, every file a bound; no VM outlives the harness, and no cell
//! ends another.

mod accel;
pub(crate) mod cell;
mod command;
pub(crate) mod disk;
mod dump;
pub(crate) mod exec;
pub(crate) mod guest_binary;
pub(crate) mod initramfs;
mod inputs;
mod kernel_cmdline;
pub(crate) mod kvm;
pub(crate) mod kvm_access;
pub(crate) mod pool;
mod process;
pub(crate) mod program;
pub(crate) mod proven;
mod qemu;
mod qmp;
pub(crate) mod recording;
pub(crate) mod rig;
mod session;
pub(crate) mod snapshot;
pub(crate) mod terminal;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use accel::Accel;
pub(crate) use qemu::QEMU_BINARY;
pub(crate) use rig::Qemu;
