// SPDX-License-Identifier: MIT OR Apache-2.0
//! VMs: kernel image + guest + cell -> evidence.
//!
//! `command` decides what the VM is and touches nothing; everything else here touches processes
//! and files and decides nothing. In the order of a run: [`Qemu::find`], [`guest_binary::build`] and
//! [`guest_binary::pack`], [`disk::scratch`], [`accel::choose`], [`snapshot::take`] for each boot that
//! cells share, then [`pool::run`] with [`cell::run`] for each cell. [`store::load`] reads a cell's evidence back without QEMU.
//!
//! Contract: no wait without a limit, no file without a bound, no VM that outlives the harness, and
//! no cell that ends another.

pub(crate) mod accel;
pub(crate) mod cell;
mod command;
pub(crate) mod disk;
pub(crate) mod floor;
pub(crate) mod guest_binary;
mod initramfs;
mod kernel_cmdline;
pub(crate) mod pool;
mod process;
mod qemu;
mod qmp;
pub(crate) mod selftest;
mod session;
pub(crate) mod snapshot;
mod stop;
#[cfg(test)]
mod tests;

pub(crate) use command::Accel;
pub(crate) use initramfs::Program;
pub(crate) use qemu::{QEMU_BINARY, Qemu};
pub(crate) use stop::Stop;
