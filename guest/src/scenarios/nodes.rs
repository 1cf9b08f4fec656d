// SPDX-License-Identifier: MIT OR Apache-2.0
//! `nodes`: tasks make folders and device nodes in tmpfs, one after the other, each in a folder of
//! its own.
//!
//! Each costs an inode and a dentry that outlive their maker and that cannot be reclaimed. The last
//! `newcomers` tasks begin when all others have been killed or are done: they find a memcg full of
//! memory that belongs to no task.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::kill;
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{Pid, getpid, mkdir};

use super::{Part, Plan, Terms, Workload};
use crate::arena::{ARENA, NumberedPath};
use crate::lane::Lane;
use crate::shared;

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("nodes", &[("newcomers", 0), ("failures_max", 20)], plan)];

const MKDIR: usize = 0;
const MKNOD: usize = 1;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let newcomers = u32::try_from(terms.param("newcomers")).context("newcomers")?;
    ensure!(newcomers < terms.cell.tasks, "{newcomers} newcomers of {} tasks", terms.cell.tasks);
    let first = terms.cell.tasks - newcomers;
    for index in 0..terms.cell.tasks {
        let folder = folder(index);
        fs::create_dir(&folder).with_context(|| format!("create {folder}"))?;
    }
    // PIDs of the first ones; 0 for one that is done.
    let pids: &'static [AtomicU32] = shared::map(first as usize)?;
    let actor = Part::new(&["mkdir", "mknod"], move |index| {
        let mut path = NumberedPath::new(&format!("{}/", folder(index)), "");
        let own = pids.get(index as usize);
        if let Some(own) = own {
            own.store(getpid().as_raw() as u32, Ordering::SeqCst);
        }
        Ok(move |lane: &Lane| {
            if own.is_none() {
                lane.wait_until(|| !pids.iter().any(is_there));
            }
            for number in (0..=u32::MAX).take_while(|_| lane.goes_on()) {
                let path = path.with(number);
                match number % 2 {
                    0 => lane.call(MKDIR, || mkdir(path, Mode::S_IRWXU)),
                    _ => lane.call(MKNOD, || mknod(path, SFlag::S_IFCHR, Mode::S_IRUSR, 0)),
                };
            }
            if let Some(own) = own {
                own.store(0, Ordering::SeqCst);
            }
        })
    });
    Ok(terms.plan(actor))
}

fn folder(index: u32) -> String {
    format!("{ARENA}/nodes-{index}")
}

/// Whether a task is neither done nor reaped.
fn is_there(pid: &AtomicU32) -> bool {
    match pid.load(Ordering::SeqCst) {
        0 => false,
        pid => kill(Pid::from_raw(pid as i32), None).is_ok(),
    }
}
