// SPDX-License-Identifier: MIT OR Apache-2.0
//! `victim-later`: a memcg goes over its limit when nobody in it can be killed, and later somebody can.
//!
//! Task 1 holds files and sleeps. Task 0 opens files until usage is above the limit, or a call fails, and pauses there.
//! The outsider lets the OOM killer have task 1 (`allow`), lets so much time pass that nobody need spare the memcg
//! any more, lets task 0 go on, and waits for task 1 to die (`die`).

use std::fs::{self, File};
use std::os::fd::IntoRawFd;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::getpid;

use super::brink::Level;
use super::cue::{Cue, state, within};
use super::{Part, Plan, Run, Terms, Workload};
use crate::arena::ARENA;
use crate::lane::Lane;
use crate::memcg::Memcg;
use crate::tally::Failure;
use crate::{clock, process, shared};

pub(super) const VICTIM_LATER: Workload = Workload {
    name: "victim-later",
    params: &[("held", 8000), ("more", 400), ("pause_ms", 700), ("die_ms_max", 3_000)],
    on_scratch: false,
    plan,
};

const ALLOW: usize = 0;
const DIE: usize = 1;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    ensure!(terms.cell.tasks == 2, "one task opens, one holds: {} tasks", terms.cell.tasks);
    let cue: &'static Cue = shared::map_one()?;
    let path = format!("{ARENA}/file");
    File::create_new(&path).with_context(|| format!("create {path}"))?;
    let (held, more) = (terms.param("held"), terms.param("more"));
    let (files, limited) = (terms.cell.operations + more, terms.memcgs.limited.clone());
    let actor = Part {
        ops: &["open"],
        setup: Box::new(move |index| match index {
            0 => opener(cue, &path, &limited, files, more),
            _ => holder(cue, &path, held),
        }),
    };
    let (pause_ms, die_ms_max) = (terms.param("pause_ms"), terms.param("die_ms_max"));
    let outsider = Part {
        ops: &["allow", "die"],
        setup: Box::new(move |_| {
            Ok(Box::new(move |lane: &Lane| {
                if cue.await_brink().is_ok() && lane.call(ALLOW, || allow(cue)).is_some() {
                    clock::sleep_us(pause_ms * 1000);
                    cue.go.open();
                    lane.call(DIE, || {
                        within(die_ms_max, || matches!(state(cue.pid()), None | Some('Z')))
                    });
                }
                cue.go.open();
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: Some(outsider), failures_max: u64::MAX })
}

fn opener(cue: &'static Cue, path: &str, limited: &Memcg, files: u64, more: u64) -> Result<Run> {
    process::reserve_files(files)?;
    let (path, mut level) = (path.to_owned(), Level::of(limited)?);
    Ok(Box::new(move |lane: &Lane| {
        while !cue.is_ready() && !lane.stopped() {
            clock::sleep_us(1000);
        }
        while level.is_over() != Some(true) && lane.goes_on() {
            if open_one(lane, &path).is_none() {
                break;
            }
        }
        cue.at_brink.store(1, Ordering::SeqCst);
        cue.go.pass();
        for _ in 0..more {
            open_one(lane, &path);
        }
    }))
}

fn holder(cue: &'static Cue, path: &str, held: u64) -> Result<Run> {
    process::reserve_files(held)?;
    cue.pid.store(getpid().as_raw(), Ordering::SeqCst);
    let path = path.to_owned();
    Ok(Box::new(move |lane: &Lane| {
        for _ in 0..held {
            open_one(lane, &path);
        }
        cue.ready.store(1, Ordering::SeqCst);
        // Here it is killed, or has outlived the load.
        lane.await_release();
    }))
}

fn open_one(lane: &Lane, path: &str) -> Option<()> {
    lane.call(0, || {
        open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
            .map(|file| {
                let _kept_open = file.into_raw_fd();
            })
            .map_err(Failure::from)
    })
}

/// Lets the OOM killer have task 1.
fn allow(cue: &Cue) -> Result<(), Failure> {
    fs::write(format!("/proc/{}/oom_score_adj", cue.pid()), "0")
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()).into())
}
