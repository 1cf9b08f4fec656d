// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sockets`: tasks make pairs of UNIX sockets, and connect to and accept from a listening socket
//! of their own. Everything stays open.
//!
//! A socket is an inode, a `struct sock` and a `struct file`. If the inode or the file cannot be
//! charged, the call fails with `ENFILE`.

use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

use super::{Part, Plan, Terms, Workload};
use crate::arena::ARENA;
use crate::lane::Lane;
use crate::process;

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("sockets", &[("failures_max", 10)], plan)];

const SOCKETPAIR: usize = 0;
const SOCKET: usize = 1;
const CONNECT: usize = 2;
const ACCEPT: usize = 3;

/// Connections that may wait to be accepted: more than calls may fail.
const BACKLOG: i32 = 128;

const KIND: i32 = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let rounds = terms.cell.operations;
    let actor = Part::new(&["socketpair", "socket", "connect", "accept"], move |index| {
        process::reserve_files(4 * rounds + 1)?;
        let address = address(&format!("{ARENA}/socket-{index}"));
        let listener = socket().context("make the listening socket")?;
        named(&address, |name, bytes| {
            // SAFETY: the name is a live sockaddr_un of that size.
            unsafe { libc::bind(listener, name, bytes) }
        })
        .context("bind")?;
        // SAFETY: plain numbers.
        Errno::result(unsafe { libc::listen(listener, BACKLOG) }).context("listen")?;
        Ok(move |lane: &Lane| {
            while lane.goes_on() {
                lane.call(SOCKETPAIR, pair);
                let Some(client) = lane.call(SOCKET, socket) else { continue };
                let connected = lane.call(CONNECT, || {
                    named(&address, |name, bytes| {
                        // SAFETY: as above.
                        unsafe { libc::connect(client, name, bytes) }
                    })
                });
                if connected.is_some() {
                    lane.call(ACCEPT, || accept(listener));
                }
            }
        })
    });
    Ok(terms.plan(actor))
}

fn address(path: &str) -> libc::sockaddr_un {
    // SAFETY: all bytes zero are an address without a name.
    let mut address: libc::sockaddr_un = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in address.sun_path.iter_mut().zip(path.bytes()) {
        *to = from as libc::c_char;
    }
    address
}

/// Makes a call that takes an address.
fn named(
    address: &libc::sockaddr_un,
    call: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> libc::c_int,
) -> nix::Result<()> {
    let bytes = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    Errno::result(call(std::ptr::from_ref(address).cast(), bytes)).map(drop)
}

fn socket() -> nix::Result<RawFd> {
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::socket(libc::AF_UNIX, KIND, 0) })
}

fn pair() -> nix::Result<()> {
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: the kernel writes two numbers.
    Errno::result(unsafe { libc::socketpair(libc::AF_UNIX, KIND, 0, ends.as_mut_ptr()) }).map(drop)
}

fn accept(listener: RawFd) -> nix::Result<()> {
    let (name, bytes) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: no address is asked for.
    Errno::result(unsafe { libc::accept4(listener, name, bytes, libc::SOCK_CLOEXEC) }).map(drop)
}
