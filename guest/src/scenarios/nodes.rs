// SPDX-License-Identifier: MIT OR Apache-2.0
//! `nodes`: tasks make folders and device nodes in tmpfs, one after the other, each in a folder of
//! its own.
//!
//! Each costs an inode and a dentry that outlive their maker and that nobody can reclaim. The last
//! `newcomers` tasks begin when all others have been killed or are done: they meet a memcg that is
//! full of what belongs to no task.

use std::ffi::CStr;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::kill;
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{Pid, getpid, mkdir};

use super::{Part, Plan, Run, Terms, Workload};
use crate::arena::ARENA;
use crate::lane::Lane;
use crate::names::NumberedPath;
use crate::tally::Failure;
use crate::{clock, shared};

pub(super) const NODES: Workload = Workload {
    name: "nodes",
    params: &[("newcomers", 0), ("failures_max", 20)],
    on_scratch: false,
    plan,
};

const MKDIR: usize = 0;
const MKNOD: usize = 1;

/// How often newcomers look whether the others have gone, microseconds.
const LOOK_US: u64 = 1_000;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let newcomers = u32::try_from(terms.param("newcomers")).context("newcomers")?;
    ensure!(newcomers < terms.cell.tasks, "{newcomers} newcomers of {} tasks", terms.cell.tasks);
    let first = terms.cell.tasks - newcomers;
    for index in 0..terms.cell.tasks {
        let folder = folder(index);
        fs::create_dir(&folder).with_context(|| format!("create {folder}"))?;
    }
    // Process ids of the first, 0 for one that is done.
    let pids: &'static [AtomicU32] = shared::map(first as usize)?;
    let actor = Part {
        ops: &["mkdir", "mknod"],
        setup: Box::new(move |index| {
            let mut path = NumberedPath::new(&format!("{}/", folder(index)), "");
            let own = pids.get(index as usize);
            if let Some(own) = own {
                own.store(getpid().as_raw() as u32, Ordering::SeqCst);
            }
            Ok(Box::new(move |lane: &Lane| {
                while own.is_none() && !lane.stopped() && pids.iter().any(is_there) {
                    clock::sleep_us(LOOK_US);
                }
                for number in (0..=u32::MAX).take_while(|_| lane.goes_on()) {
                    let path = path.with(number);
                    match number % 2 {
                        0 => lane.call(MKDIR, || mkdir(path, Mode::S_IRWXU).map_err(Failure::from)),
                        _ => lane.call(MKNOD, || make_node(path)),
                    };
                }
                if let Some(own) = own {
                    own.store(0, Ordering::SeqCst);
                }
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: None, failures_max: terms.param("failures_max") })
}

fn folder(index: u32) -> String {
    format!("{ARENA}/nodes-{index}")
}

/// Whether a task is neither done nor dead and buried.
fn is_there(pid: &AtomicU32) -> bool {
    match pid.load(Ordering::SeqCst) {
        0 => false,
        pid => kill(Pid::from_raw(pid as i32), None).is_ok(),
    }
}

fn make_node(path: &CStr) -> Result<(), Failure> {
    mknod(path, SFlag::S_IFCHR, Mode::S_IRUSR, 0).map_err(Failure::from)
}
