// SPDX-License-Identifier: MIT OR Apache-2.0
//! `land-on-max` and `toggle-limit`: usage that comes to rest exactly on the limit, and a limit
//! that moves below and above what is in use.

use std::fs::File;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{close, pipe2, write};

use super::{Part, Plan, Run, Terms, Workload};
use crate::arena::ARENA;
use crate::lane::Lane;
use crate::observer::Gauge;
use crate::tally::Failure;
use crate::{boot, clock, process, shared};

pub(super) const LAND_ON_MAX: Workload = Workload {
    name: "land-on-max",
    params: &[("pipes", 16), ("rest_ms", 500)],
    on_scratch: false,
    plan: plan_land,
};

pub(super) const TOGGLE_LIMIT: Workload = Workload {
    name: "toggle-limit",
    params: &[("low_bytes", 1 << 20), ("toggles", 5), ("hold_ms", 100), ("failures_max", u64::MAX)],
    on_scratch: false,
    plan: plan_toggle,
};

/// Files that a task opens before it pauses.
const ROUND: usize = 10;

/// Pages that a new pipe holds.
const PIPE_PAGES: u64 = 16;

fn plan_land(terms: &Terms<'_>) -> Result<Plan> {
    let limit_bytes = terms.cell.limit_bytes;
    let (pipes, rest_ms) = (terms.param("pipes"), terms.param("rest_ms"));
    let usage_file = terms.memcgs.limited.usage_file();
    let actor = Part {
        ops: &["write", "getppid"],
        setup: Box::new(move |_| {
            let mut usage = Gauge::open(&usage_file)?;
            let page = vec![0xa5_u8; boot::page_bytes() as usize];
            // Made outside the memcg: inside it only their pages are charged, one by one.
            let pipes: Vec<(OwnedFd, OwnedFd)> = (0..pipes)
                .map(|_| pipe2(OFlag::O_NONBLOCK).context("make a pipe"))
                .collect::<Result<_>>()?;
            Ok(Box::new(move |lane: &Lane| {
                for number in (0..).take_while(|_| lane.goes_on()) {
                    let Some((_, writer)) = pipes.get(number / PIPE_PAGES as usize) else {
                        break;
                    };
                    if usage.bytes().is_ok_and(|bytes| bytes >= limit_bytes) {
                        break;
                    }
                    lane.call(0, || match write(writer, &page)? {
                        bytes if bytes == page.len() => Ok(()),
                        _ => Err(Failure::Short),
                    });
                }
                // There it rests. Whoever would act on it does so on a return to user mode, or
                // from a work item a little later.
                for _ in 0..rest_ms {
                    lane.call(1, || {
                        nix::unistd::getppid();
                        Ok(())
                    });
                    clock::sleep_us(1000);
                }
                for (reader, writer) in pipes {
                    let _kept_open = (reader.into_raw_fd(), writer.into_raw_fd());
                }
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: None, failures_max: u64::MAX })
}

/// Each task keeps as many files open as it has operations and opens anew what it closes, until
/// the outsider has moved the limit often enough.
fn plan_toggle(terms: &Terms<'_>) -> Result<Plan> {
    let (kept, high_bytes) = (terms.cell.operations as usize, terms.cell.limit_bytes);
    let low_bytes = terms.param("low_bytes");
    ensure!(low_bytes < high_bytes, "low_bytes is {low_bytes}, the limit {high_bytes}");
    let (toggles, hold_ms) = (terms.param("toggles"), terms.param("hold_ms"));
    let limited = terms.memcgs.limited.clone();
    let over: &'static AtomicU32 = shared::map_one()?;
    // A line for each of 64 tasks in every report would take most of the time.
    std::fs::write("/proc/sys/vm/oom_dump_tasks", "0").context("shorten OOM reports")?;
    let path = PathBuf::from(format!("{ARENA}/file"));
    File::create_new(&path).with_context(|| format!("create {}", path.display()))?;
    let actor = Part {
        ops: &["open"],
        setup: Box::new(move |_| {
            process::reserve_files(kept as u64)?;
            let mut files = vec![None; kept];
            let path = path.clone();
            Ok(Box::new(move |lane: &Lane| {
                for place in (0..kept).cycle() {
                    if over.load(Ordering::Relaxed) != 0 || lane.stopped() {
                        break;
                    }
                    if place % ROUND == 0 {
                        // 64 tasks that never sleep would keep everybody else from running.
                        clock::sleep_us(2000);
                    }
                    if let Some(file) = files[place].take() {
                        let _closed = close(file);
                    }
                    files[place] = lane.call(0, || {
                        open(path.as_path(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
                            .map(IntoRawFd::into_raw_fd)
                            .map_err(Failure::from)
                    });
                }
            }) as Run)
        }),
    };
    let outsider = Part {
        ops: &["lower", "raise"],
        setup: Box::new(move |_| {
            let limited = limited.clone();
            let set = move |bytes| {
                limited.limit_to(bytes).map_err(|_| Failure::from(nix::errno::Errno::EBUSY))
            };
            Ok(Box::new(move |lane: &Lane| {
                for _ in 0..toggles {
                    clock::sleep_us(hold_ms * 1000);
                    lane.call(0, || set(low_bytes));
                    clock::sleep_us(hold_ms * 1000);
                    lane.call(1, || set(high_bytes));
                }
                over.store(1, Ordering::SeqCst);
            }) as Run)
        }),
    };
    let failures_max = terms.param("failures_max");
    Ok(Plan { actor, outsider: Some(outsider), failures_max })
}
