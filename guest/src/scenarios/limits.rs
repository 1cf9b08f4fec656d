// SPDX-License-Identifier: MIT OR Apache-2.0
//! `land-on-max` and `toggle-limit`: usage that comes to rest exactly on the limit, and a limit
//! that moves below and above what is in use.

use std::os::fd::{IntoRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{close, pipe2};

use super::{Part, Plan, Terms, Workload};
use crate::arena;
use crate::calls::{open_kept, write_whole};
use crate::lane::Lane;
use crate::observer::Gauge;
use crate::shared::{self, Flag};
use crate::{clock, memcg, process};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new("land-on-max", &[("pipes", 16), ("rest_ms", 500)], plan_land),
    Workload::new(
        "toggle-limit",
        &[("low_bytes", 1 << 20), ("toggles", 5), ("hold_ms", 100), ("failures_max", u64::MAX)],
        plan_toggle,
    ),
];

/// Files that a task opens before it pauses.
const ROUND: usize = 10;

/// Pages that a new pipe holds.
const PIPE_PAGES: usize = 16;

fn plan_land(terms: &Terms<'_>) -> Result<Plan> {
    let limit_bytes = terms.cell.limit_bytes;
    let (pipes, rest_ms) = (terms.param("pipes"), terms.param("rest_ms"));
    let usage_file = terms.memcgs.limited.usage_file();
    let actor = Part::new(&["write", "getppid"], move |_| {
        let mut usage = Gauge::open(&usage_file)?;
        let page = vec![0xa5_u8; memcg::page_bytes() as usize];
        // Made outside the memcg: inside it only their pages are charged, one by one.
        let pipes: Vec<(OwnedFd, OwnedFd)> = (0..pipes)
            .map(|_| pipe2(OFlag::O_NONBLOCK).context("make a pipe"))
            .collect::<Result<_>>()?;
        Ok(move |lane: &Lane| {
            for number in (0..).take_while(|_| lane.goes_on()) {
                let Some((_, writer)) = pipes.get(number / PIPE_PAGES) else { break };
                if usage.bytes().is_ok_and(|bytes| bytes >= limit_bytes) {
                    break;
                }
                lane.call(0, || write_whole(writer, &page));
            }
            // There it rests. Whatever acts on it does so on a return to user mode, or from a work
            // item a little later.
            for _ in 0..rest_ms {
                lane.call(1, || nix::Result::Ok(nix::unistd::getppid()));
                clock::sleep_us(1000);
            }
            for (reader, writer) in pipes {
                let _kept_open = (reader.into_raw_fd(), writer.into_raw_fd());
            }
        })
    });
    Ok(terms.plan(actor))
}

/// Each task keeps as many files open as it has operations and reopens what it closes, until the
/// outsider has moved the limit often enough.
fn plan_toggle(terms: &Terms<'_>) -> Result<Plan> {
    let (kept, high_bytes) = (terms.cell.operations as usize, terms.cell.limit_bytes);
    let low_bytes = terms.param("low_bytes");
    ensure!(low_bytes < high_bytes, "low_bytes is {low_bytes}, the limit {high_bytes}");
    let (toggles, hold_us) = (terms.param("toggles"), terms.param("hold_ms") * 1000);
    let limited = terms.memcgs.limited.clone();
    let over: &'static Flag = shared::map_one()?;
    // A line for each of 64 tasks in every report would take most of the time.
    std::fs::write("/proc/sys/vm/oom_dump_tasks", "0").context("shorten OOM reports")?;
    let path = arena::create_file("file")?;
    let actor = Part::new(&["open"], move |_| {
        process::reserve_files(kept as u64)?;
        let mut files = vec![None; kept];
        let path = path.clone();
        Ok(move |lane: &Lane| {
            for place in (0..kept).cycle() {
                if over.is_up() || lane.stopped() {
                    break;
                }
                if place % ROUND == 0 {
                    // 64 tasks that never sleep would keep all others from running.
                    clock::sleep_us(2000);
                }
                if let Some(file) = files[place].take() {
                    let _closed = close(file);
                }
                files[place] = lane.call(0, || open_kept(&path));
            }
        })
    });
    let outsider = Part::new(&["lower", "raise"], move |_| {
        let limited = limited.clone();
        Ok(move |lane: &Lane| {
            let set = |bytes| limited.limit_to(bytes).map_err(|_| Errno::EBUSY);
            for _ in 0..toggles {
                clock::sleep_us(hold_us);
                lane.call(0, || set(low_bytes));
                clock::sleep_us(hold_us);
                lane.call(1, || set(high_bytes));
            }
            over.raise();
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}
