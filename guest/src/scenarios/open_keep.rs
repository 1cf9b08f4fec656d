// SPDX-License-Identifier: MIT OR Apache-2.0
//! `open-keep`: each task opens one tmpfs file of its own again and again and keeps every
//! descriptor.
//!
//! What it charges is `struct file` and nothing else: the file exists, its dentry is cached, and
//! the table of descriptors was grown outside the memcg. One file a task, so that tasks meet in the
//! charge and not on a lock of the file. With `rseq = 0` the tasks have no restartable sequences, for
//! which the kernel would have to do something on many a return to user mode.

use std::fs::File;
use std::os::fd::IntoRawFd;

use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::{Part, Plan, Terms, Workload};
use crate::arena::ARENA;
use crate::names::NumberedPath;
use crate::tally::Failure;
use crate::{process, restartable};

/// Those of every workload that is made of this one.
pub(super) const PARAMS: &[(&str, u64)] = &[("failures_max", 10), ("rseq", 1), ("hogs", 1)];

pub(super) const OPEN_KEEP: Workload =
    Workload { name: "open-keep", params: PARAMS, on_scratch: false, plan };

const OPEN: usize = 0;

fn path_of(index: u32) -> std::ffi::CString {
    NumberedPath::new(&format!("{ARENA}/file-"), "").with(index).to_owned()
}

pub(super) fn plan(terms: &Terms<'_>) -> Result<Plan> {
    for index in 0..terms.cell.tasks {
        let path = path_of(index);
        File::create_new(path.to_str()?).with_context(|| format!("create {path:?}"))?;
    }
    let (files, rseq) = (terms.cell.operations, terms.param("rseq") != 0);
    let actor = Part {
        ops: &["open"],
        setup: Box::new(move |index| {
            process::reserve_files(files)?;
            if !rseq {
                restartable::unregister()?;
            }
            let path = path_of(index);
            Ok(Box::new(move |lane| {
                while lane.goes_on() {
                    lane.call(OPEN, || {
                        open(path.as_c_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
                            .map(IntoRawFd::into_raw_fd)
                            .map_err(Failure::from)
                    });
                }
            }))
        }),
    };
    Ok(Plan { actor, outsider: None, failures_max: terms.param("failures_max") })
}
