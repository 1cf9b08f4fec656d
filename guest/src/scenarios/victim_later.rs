// SPDX-License-Identifier: MIT OR Apache-2.0
//! `victim-later`: a memcg goes over its limit when no task in it can be killed, and later one can.
//!
//! Task 1 holds files and sleeps. Task 0 opens files until usage is above the limit, or a call
//! fails, and pauses there. The outsider makes task 1 killable (`allow`), waits until the kernel no
//! longer spares the memcg, lets task 0 go on, and waits for task 1 to die (`die`).

use std::ffi::{CStr, CString};
use std::fs;
use std::sync::atomic::Ordering;

use anyhow::{Result, ensure};
use nix::unistd::getpid;

use super::{Part, Plan, Run, Terms, Workload};
use crate::brink::Level;
use crate::calls::open_kept;
use crate::cue::{Cue, state, within};
use crate::lane::Lane;
use crate::memcg::Memcg;
use crate::{arena, clock, process, shared};

pub(super) const WORKLOADS: &[Workload] = &[Workload::new(
    "victim-later",
    &[("held", 8000), ("more", 400), ("pause_ms", 700), ("die_ms_max", 3_000)],
    plan,
)];

const ALLOW: usize = 0;
const DIE: usize = 1;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    ensure!(terms.cell.tasks == 2, "one task opens, one holds: {} tasks", terms.cell.tasks);
    let cue: &'static Cue = shared::map_one()?;
    let path = arena::create_file("file")?;
    let (held, more) = (terms.param("held"), terms.param("more"));
    let (files, limited) = (terms.cell.operations + more, terms.memcgs.limited.clone());
    let actor = Part::new(&["open"], move |index| match index {
        0 => opener(cue, path.clone(), &limited, files, more),
        _ => holder(cue, path.clone(), held),
    });
    let (pause_ms, die_ms_max) = (terms.param("pause_ms"), terms.param("die_ms_max"));
    let outsider = Part::new(&["allow", "die"], move |_| {
        Ok(move |lane: &Lane| {
            // The OOM killer may choose task 1 from then on.
            let allow = || fs::write(format!("/proc/{}/oom_score_adj", cue.pid()), "0");
            if cue.await_brink().is_ok() && lane.call(ALLOW, allow).is_some() {
                clock::sleep_us(pause_ms * 1000);
                cue.go.open();
                lane.call(DIE, || {
                    within(die_ms_max, || matches!(state(cue.pid()), None | Some('Z')))
                });
            }
            cue.go.open();
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}

fn opener(cue: &'static Cue, path: CString, limited: &Memcg, files: u64, more: u64) -> Result<Run> {
    process::reserve_files(files)?;
    let mut level = Level::of(limited)?;
    Ok(Box::new(move |lane: &Lane| {
        lane.wait_until(|| cue.ready.is_up());
        while level.is_over() != Some(true) && lane.goes_on() {
            if open_one(lane, &path).is_none() {
                break;
            }
        }
        cue.at_brink.raise();
        cue.go.pass();
        for _ in 0..more {
            open_one(lane, &path);
        }
    }))
}

fn holder(cue: &'static Cue, path: CString, held: u64) -> Result<Run> {
    process::reserve_files(held)?;
    cue.pid.store(getpid().as_raw(), Ordering::SeqCst);
    Ok(Box::new(move |lane: &Lane| {
        for _ in 0..held {
            open_one(lane, &path);
        }
        cue.ready.raise();
        // It is killed here, or outlives the load.
        lane.await_release();
    }))
}

fn open_one(lane: &Lane, path: &CStr) -> Option<i32> {
    lane.call(0, || open_kept(path))
}
