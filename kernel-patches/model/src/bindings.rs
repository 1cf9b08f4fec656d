// SPDX-License-Identifier: GPL-2.0-only
//! What the policy calls: what bindgen would make of the headers, and C functions of the series.
#![allow(non_camel_case_types, non_upper_case_globals, missing_docs, clippy::missing_safety_doc)]

use core::ffi::{c_int, c_long, c_uint, c_ulong};
use std::ptr::{addr_of_mut, null_mut};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub use crate::headers::*;
use crate::pause;
pub use crate::world::mem_cgroup;
use crate::world::{current, Memcg};

#[repr(C)]
#[derive(Clone, Copy)]
pub struct memcg_over_look {
    pub parent: *mut mem_cgroup,
    pub max: c_ulong,
    pub over: c_long,
    pub cap: c_ulong,
    pub stuck_for: c_long,
    pub policy: c_int,
    pub method: c_int,
    pub online: bool,
    pub mine: bool,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct memcg_over_task {
    pub pages: c_uint,
    pub returns: bool,
    pub dying: bool,
}

/// Only ever read and written as an atomic.
pub static mut jiffies: c_ulong = 1 << 20;

/// The time, in jiffies.
pub fn clock() -> &'static AtomicU64 {
    // SAFETY: It is a static of the same size and alignment, and all others access it atomically.
    unsafe { AtomicU64::from_ptr(addr_of_mut!(jiffies)) }
}

pub unsafe fn schedule_timeout_killable(timeout: c_long) -> c_long {
    clock().fetch_add(timeout.max(1) as u64, SeqCst);
    pause();
    0
}

pub unsafe fn memcg_over_look(memcg: *mut mem_cgroup) -> memcg_over_look {
    let memcg = Memcg::of(memcg);
    pause();
    let (policy, method, cap) = memcg.settings();
    memcg_over_look {
        parent: memcg.parent().map_or(null_mut(), Memcg::as_ptr),
        max: memcg.max() as c_ulong,
        over: memcg.usage() - memcg.max(),
        cap,
        stuck_for: memcg.stuck_until().wrapping_sub(clock().load(SeqCst)) as c_long,
        policy,
        method,
        online: memcg.is_online(),
        mine: current().is_below(memcg),
    }
}

pub unsafe fn memcg_over_current() -> memcg_over_task {
    let task = current();
    memcg_over_task { pages: task.pages(), returns: task.returns(), dying: task.is_dying() }
}

extern "C" {
    fn memcg_overcharge_permits(
        memcg: *mut mem_cgroup,
        nr_pages: c_uint,
        kind: memcg_charge_kind,
        excess: c_ulong,
    ) -> bool;
}

pub unsafe fn memcg_over_try_charge(
    memcg: *mut mem_cgroup,
    nr_pages: c_uint,
    kind: memcg_charge_kind,
) -> bool {
    Memcg::of(memcg).try_charge_or(i64::from(nr_pages), |level, over| {
        // SAFETY: It is the policy's, and no memcg is ever freed.
        unsafe { memcg_overcharge_permits(level.as_ptr(), nr_pages, kind, over as c_ulong) }
    })
}

pub unsafe fn memcg_over_charged(
    memcg: *mut mem_cgroup,
    _kind: memcg_charge_kind,
    _gfp: gfp_t,
    nr_pages: c_uint,
    excess: c_ulong,
    outcome: memcg_over_charged,
) {
    Memcg::of(memcg).note_charge(outcome, u64::from(nr_pages), excess);
}

pub unsafe fn memcg_over_owe(nr_pages: c_uint) {
    current().owe(nr_pages);
}

pub unsafe fn memcg_over_defer(memcg: *mut mem_cgroup, delay: c_ulong) {
    Memcg::of(memcg).defer(delay);
}

pub unsafe fn memcg_over_stall() -> c_ulong {
    current().stall()
}

pub unsafe fn memcg_over_unstall(pflags: c_ulong) {
    current().unstall(pflags);
}

pub unsafe fn memcg_over_lock(memcg: *mut mem_cgroup) -> bool {
    pause();
    Memcg::of(memcg).try_lock()
}

pub unsafe fn memcg_over_unlock(memcg: *mut mem_cgroup) {
    Memcg::of(memcg).unlock();
    pause();
}

pub unsafe fn memcg_over_drain(_memcg: *mut mem_cgroup) {
    pause();
}

pub unsafe fn memcg_over_reclaim(memcg: *mut mem_cgroup, nr_pages: c_ulong) -> c_ulong {
    pause();
    Memcg::of(memcg).reclaim(nr_pages)
}

pub unsafe fn memcg_over_settle() -> c_ulong {
    0
}

pub unsafe fn memcg_over_settled(_snapshot: c_ulong) -> bool {
    true
}

pub unsafe fn memcg_over_victim_exiting(_memcg: *mut mem_cgroup, _limit: c_ulong) -> bool {
    pause();
    false
}

pub unsafe fn memcg_over_out_of_memory(memcg: *mut mem_cgroup) -> memcg_over_oom {
    pause();
    Memcg::of(memcg).out_of_memory()
}

pub unsafe fn memcg_over_reconciled(
    memcg: *mut mem_cgroup,
    _excess: c_ulong,
    _left: c_ulong,
    _kills: c_ulong,
    outcome: memcg_over_outcome,
    spare: c_ulong,
) {
    let until = clock().load(SeqCst) + spare;
    Memcg::of(memcg).note_reconcile(outcome, if spare > 0 { Some(until) } else { None });
}

pub unsafe fn memcg_over_wait_for_user(memcg: *mut mem_cgroup) {
    pause();
    assert!(!current().is_stalled(), "user space may take hours");
    Memcg::of(memcg).wait_for_user();
}
