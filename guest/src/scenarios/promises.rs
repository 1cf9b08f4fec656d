// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the files of a memcg promise: `promises`, `high-over`, `max-raised`, `max-lowered`,
//! `cpu-offline`.
//!
//! In `promises` the actor holds clean page cache and writes to the files of its own memcg and of
//! the parent. Each promise that is not kept is a failed call `holds`, told apart by its errno.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::libc;
use nix::sys::sendfile::sendfile;
use nix::sys::stat::stat;

use super::{Part, Plan, Terms, Workload};
use crate::arena::{NumberedPath, SCRATCH};
use crate::brink::stay_on_cpu;
use crate::calls::open_kept;
use crate::lane::Lane;
use crate::memcg::{self, Memcg};
use crate::observer::Gauge;
use crate::pages::{Pages, touch_and_look, touch_for_a_while};
use crate::shared::{self, Flag};
use crate::{arena, clock, process};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new("promises", &[("cached_bytes", 6 << 20)], plan_promises).on_scratch(),
    Workload::new("high-over", &[("below", 1200), ("above", 130), ("of_parent", 0)], plan_high),
    Workload::new("max-raised", &[("low_bytes", 1 << 20), ("hogs", 1)], plan_raised),
    Workload::new("max-lowered", &[], plan_lowered),
    Workload::new("cpu-offline", &[], plan_offline),
];

/// More than the memcg ever uses.
const PLENTY: &str = "1G";

/// Names that are looked up in vain.
const ABSENT: u32 = 2000;

/// For what was taken to be freed.
const FREED_MS: u64 = 2_000;

/// What a write that asks for reclaim may leave or take beyond what it was asked for, bytes.
const SLACK_BYTES: u64 = 1 << 20;

fn plan_promises(terms: &Terms<'_>) -> Result<Plan> {
    let (cached_bytes, rounds) = (terms.param("cached_bytes"), terms.cell.operations);
    let limit_bytes = terms.cell.limit_bytes;
    let path = format!("{SCRATCH}/cached");
    fs::write(&path, vec![0xa5; cached_bytes as usize]).context("write a file")?;
    let file = File::open(&path)?;
    file.sync_all()?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    let memcgs = (terms.memcgs.parent.clone(), terms.memcgs.limited.clone());
    let actor = Part::new(&["holds"], move |_| {
        let (parent, own) = memcgs.clone();
        let held = Held { parent, own, path: path.clone(), cached_bytes, limit_bytes };
        Ok(move |lane: &Lane| {
            for _ in (0..rounds).take_while(|_| lane.goes_on()) {
                for promise in PROMISES {
                    lane.call(0, || promise(&held));
                }
            }
        })
    });
    Ok(terms.plan(actor))
}

/// What the promises are about.
struct Held {
    parent: Memcg,
    own: Memcg,
    path: String,
    cached_bytes: u64,
    limit_bytes: u64,
}

const PROMISES: &[fn(&Held) -> nix::Result<()>] = &[
    Held::min_protects_from_the_parent,
    Held::nothing_protects_from_its_own_reclaim,
    Held::low_gives_way,
    Held::nothing_protects_from_the_parent,
    Held::reclaim_says_what_is_missing,
    Held::a_peak_begins_anew,
    Held::dentries_are_taken,
    Held::high_is_enforced,
    Held::high_holds_within_a_call,
    Held::max_is_enforced_without_a_kill,
];

impl Held {
    /// Charges the whole file, and says how much of it is charged.
    fn read_in(&self) -> nix::Result<u64> {
        let mut buffer = vec![0; 1 << 16];
        let mut file = File::open(&self.path).map_err(|_| Errno::EIO)?;
        while file.read(&mut buffer).map_err(|_| Errno::EIO)? > 0 {}
        self.cached()
    }

    fn cached(&self) -> nix::Result<u64> {
        self.stat("file")
    }

    fn stat(&self, key: &str) -> nix::Result<u64> {
        self.number("memory.stat", key)
    }

    fn event(&self, key: &str) -> nix::Result<u64> {
        self.number("memory.events", key)
    }

    fn number(&self, file: &str, key: &str) -> nix::Result<u64> {
        let text = self.own.read(file).map_err(|_| Errno::EIO)?;
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        value.and_then(|number| number.parse().ok()).ok_or(Errno::EIO)
    }

    /// Of both: the parent's protection is shared out among its children.
    fn protect(&self, file: &str, value: &str) -> nix::Result<()> {
        let write = |memcg: &Memcg| memcg.write(file, value).map_err(|_| Errno::EIO);
        write(&self.parent).and_then(|()| write(&self.own))
    }

    fn min_protects_from_the_parent(&self) -> nix::Result<()> {
        let before = self.read_in()?;
        self.protect("memory.min", PLENTY)?;
        // It says EAGAIN: there is nothing else.
        let _ = self.parent.write("memory.reclaim", &(4 * SLACK_BYTES).to_string());
        let kept = self.cached()? + SLACK_BYTES >= before;
        let cached = before + SLACK_BYTES >= self.cached_bytes;
        if kept && cached { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Comes after the parent's reclaim, which has left effective values in the memcg.
    fn nothing_protects_from_its_own_reclaim(&self) -> nix::Result<()> {
        let before = self.cached()?;
        let _ = self.own.write("memory.reclaim", &(2 * SLACK_BYTES).to_string());
        let after = self.cached()?;
        self.protect("memory.min", "0")?;
        if after + SLACK_BYTES <= before { Ok(()) } else { Err(Errno::EBUSY) }
    }

    fn low_gives_way(&self) -> nix::Result<()> {
        let before = (self.read_in()?, self.event("low")?);
        self.protect("memory.low", PLENTY)?;
        let _ = self.parent.write("memory.reclaim", &(2 * SLACK_BYTES).to_string());
        self.protect("memory.low", "0")?;
        let gave_way = self.cached()? + SLACK_BYTES <= before.0;
        if gave_way && self.event("low")? > before.1 { Ok(()) } else { Err(Errno::EDOM) }
    }

    /// Reclaim may end its walk here, as soon as it has enough.
    fn nothing_protects_from_the_parent(&self) -> nix::Result<()> {
        let before = self.read_in()?;
        let written = self.parent.write("memory.reclaim", &(2 * SLACK_BYTES).to_string());
        let taken = before.saturating_sub(self.cached()?);
        let enough = (SLACK_BYTES..=4 * SLACK_BYTES).contains(&taken);
        if written.is_ok() && enough { Ok(()) } else { Err(Errno::ENODATA) }
    }

    /// Some is taken, and not all that was asked for: no success.
    fn reclaim_says_what_is_missing(&self) -> nix::Result<()> {
        let before = self.read_in()?;
        let written = fs::write(self.own.path("memory.reclaim"), PLENTY);
        let refused = written.is_err_and(|error| error.raw_os_error() == Some(libc::EAGAIN));
        let taken = before.saturating_sub(self.cached()?);
        if refused && taken >= SLACK_BYTES { Ok(()) } else { Err(Errno::EXFULL) }
    }

    /// Who writes to memory.peak sees the peak since then.
    fn a_peak_begins_anew(&self) -> nix::Result<()> {
        let file = File::options().read(true).write(true).open(self.own.path("memory.peak"));
        // Older kernels have no peak for each open file.
        let Ok(file) = file else { return Ok(()) };
        let peak = || -> nix::Result<u64> {
            let mut text = [0; 32];
            let length = file.read_at(&mut text, 0).map_err(|_| Errno::EIO)?;
            let text = std::str::from_utf8(&text[..length]).map_err(|_| Errno::EIO)?;
            text.trim().parse().map_err(|_| Errno::EIO)
        };
        touch_for_a_while(PEAK_PAGES)?;
        (&file).write_all(b"reset").map_err(|_| Errno::EIO)?;
        let reset = peak()?;
        let usage = touch_and_look(PEAK_PAGES / 2, || self.own.current_bytes().ok())?;
        let fell = self.event_free_peak()? > reset;
        if fell && peak()? >= usage { Ok(()) } else { Err(Errno::ECHRNG) }
    }

    /// The peak since the memcg was made.
    fn event_free_peak(&self) -> nix::Result<u64> {
        self.own.bytes_in("memory.peak").map_err(|_| Errno::EIO)
    }

    /// Names that are not there: objects that only a shrinker can take (`shrink_slab_memcg()`).
    fn dentries_are_taken(&self) -> nix::Result<()> {
        let mut name = NumberedPath::new(&format!("{SCRATCH}/absent-"), &"n".repeat(200));
        for number in 0..ABSENT {
            if stat(name.with(number)).is_ok() {
                return Err(Errno::EEXIST);
            }
        }
        let (before, used) = (self.stat("slab_reclaimable")?, self.stat("kernel")?);
        let _ = self.own.write("memory.reclaim", PLENTY);
        // They are freed after a grace period.
        let fell = || self.stat("slab_reclaimable").is_ok_and(|now| now <= before / 2);
        clock::within(FREED_MS, 10_000, fell).map_err(|_| Errno::ENOTEMPTY)?;
        // What CPUs have in stock is no more than some pages (obj_cgroup_uncharge()).
        let fell = before - self.stat("slab_reclaimable")?;
        let given_back = || self.stat("kernel").is_ok_and(|now| now + fell / 2 <= used);
        clock::within(FREED_MS, 10_000, given_back).map_err(|_| Errno::ESTALE)
    }

    /// One call that charges three times memory.high: what is over is reclaimed before it ends, so
    /// that a limit not far above is never met.
    fn high_holds_within_a_call(&self) -> nix::Result<()> {
        let (high_bytes, max_bytes) =
            (self.cached_bytes / 3, self.cached_bytes / 3 + 2 * SLACK_BYTES);
        let set = |file: &str, value: &str| self.own.write(file, value).map_err(|_| Errno::EIO);
        set("memory.high", &high_bytes.to_string())?;
        self.own.limit_to(max_bytes).map_err(|_| Errno::EIO)?;
        let before = self.event("max")?;
        let file = File::open(&self.path).map_err(|_| Errno::EIO);
        let null = File::options().write(true).open("/dev/null").map_err(|_| Errno::EIO);
        let read = file.and_then(|file| sendfile(null?, file, None, self.cached_bytes as usize));
        let met = self.event("max").map(|events| events > before);
        self.own.limit_to(self.limit_bytes).map_err(|_| Errno::EIO)?;
        set("memory.high", "max")?;
        let whole = read? as u64 == self.cached_bytes;
        if whole && !met? { Ok(()) } else { Err(Errno::ENOBUFS) }
    }

    fn high_is_enforced(&self) -> nix::Result<()> {
        let high_bytes = self.read_in()? / 2;
        let written = self.own.write("memory.high", &high_bytes.to_string());
        let usage = self.own.current_bytes().map_err(|_| Errno::EIO)?;
        self.own.write("memory.high", "max").map_err(|_| Errno::EIO)?;
        let kept = written.is_ok() && usage <= high_bytes + SLACK_BYTES;
        if kept { Ok(()) } else { Err(Errno::ERANGE) }
    }

    fn max_is_enforced_without_a_kill(&self) -> nix::Result<()> {
        let max_bytes = self.read_in()? / 2;
        let before = self.event("oom_kill")?;
        let written = self.own.limit_to(max_bytes);
        let usage = self.own.current_bytes().map_err(|_| Errno::EIO)?;
        self.own.limit_to(self.limit_bytes).map_err(|_| Errno::EIO)?;
        let kept = written.is_ok() && usage <= max_bytes && self.event("oom_kill")? == before;
        if kept { Ok(()) } else { Err(Errno::EOVERFLOW) }
    }
}

/// Pages up to `memory.high`, the own or the parent's, and a few beyond it, with nothing to
/// reclaim: what lies above is little, so the penalty is too.
fn plan_high(terms: &Terms<'_>) -> Result<Plan> {
    let (below, above) = (terms.param("below"), terms.param("above"));
    let memcgs = &terms.memcgs;
    let slow = if terms.param("of_parent") == 0 { &memcgs.limited } else { &memcgs.parent }.clone();
    let actor = Part::new(&["touch_below", "touch_above"], move |_| {
        let slow = slow.clone();
        Ok(move |lane: &Lane| {
            let Ok(pages) = Pages::map(below + 2 * above) else { return };
            for page in (0..below).take_while(|_| lane.goes_on()) {
                lane.call(0, || pages.touch(page));
            }
            // From here on: the limit is where usage is now.
            let usage = slow.current_bytes().unwrap_or(0);
            let _ = slow.write("memory.high", &(usage + 65 * memcg::page_bytes()).to_string());
            for page in (below..below + above).take_while(|_| lane.goes_on()) {
                lane.call(1, || pages.touch(page));
            }
        })
    });
    Ok(terms.plan(actor))
}

/// Pages that are touched for a peak: more than stocks can hide.
const PEAK_PAGES: u64 = 512;

/// Pages that a CPU precharges at once (`MEMCG_CHARGE_BATCH`).
const BATCH_PAGES: u64 = 64;

/// After a page that made the CPU precharge a batch, the limit is lowered into that batch, or the
/// memcg is emptied: only the stock can give way, and it has to.
fn plan_lowered(terms: &Terms<'_>) -> Result<Plan> {
    let (limited, limit_bytes) = (terms.memcgs.limited.clone(), terms.cell.limit_bytes);
    let half_bytes = BATCH_PAGES / 2 * memcg::page_bytes();
    let pages_max = 4 * BATCH_PAGES * terms.cell.operations;
    let actor = Part::new(&["lower", "empty", "peak"], move |_| {
        stay_on_cpu(0)?;
        let limited = limited.clone();
        // Kept open: opening it charges, and the CPU precharges again.
        let usage = RefCell::new(Gauge::open(&limited.usage_file())?);
        Ok(move |lane: &Lane| {
            let Ok(pages) = Pages::map(pages_max) else { return };
            let usage_bytes = || usage.borrow_mut().bytes().unwrap_or(0);
            let mut left = 0..pages_max;
            let mut precharge = || {
                let before_bytes = usage_bytes();
                let precharged = || usage_bytes() > before_bytes + half_bytes;
                while !precharged() && left.next().is_some_and(|page| pages.touch(page).is_ok()) {}
                usage_bytes() - half_bytes
            };
            while lane.goes_on() {
                let lower_bytes = precharge();
                lane.call(0, || limited.limit_to(lower_bytes).map_err(|_| Errno::EBUSY));
                let _ = limited.limit_to(limit_bytes);
                let lower_bytes = precharge();
                lane.call(1, || {
                    limited.write("memory.force_empty", "0").map_err(|_| Errno::EIO)?;
                    if usage_bytes() <= lower_bytes { Ok(()) } else { Err(Errno::EBUSY) }
                });
                lane.call(2, || {
                    touch_for_a_while(PEAK_PAGES)?;
                    let peak_file = limited.peak_file();
                    fs::write(&peak_file, "0").map_err(|_| Errno::EIO)?;
                    let usage = touch_and_look(PEAK_PAGES / 2, || Some(usage_bytes()))?;
                    let peak = fs::read_to_string(&peak_file).map_err(|_| Errno::EIO)?;
                    let peak: u64 = peak.trim().parse().map_err(|_| Errno::EIO)?;
                    // What was sampled before must not be above the peak that is reported.
                    touch_for_a_while(PEAK_PAGES + 2 * BATCH_PAGES)?;
                    if peak >= usage { Ok(()) } else { Err(Errno::ERANGE) }
                });
            }
        })
    });
    Ok(terms.plan(actor))
}

/// One writer lowers the limit far below what hogs hold, and kills one after the other; a second
/// one raises it as soon as the first victim is dead.
fn plan_raised(terms: &Terms<'_>) -> Result<Plan> {
    let (low_bytes, high_bytes) = (terms.param("low_bytes"), terms.cell.limit_bytes);
    ensure!(low_bytes < high_bytes, "low_bytes is {low_bytes}, the limit {high_bytes}");
    let limited = terms.memcgs.limited.clone();
    let over: &'static Flag = shared::map_one()?;
    let (path, files) = (arena::create_file("file")?, terms.cell.operations);
    let actor = Part::new(&["open"], move |_| {
        process::reserve_files(files)?;
        let path = path.clone();
        Ok(move |lane: &Lane| {
            lane.wait_until(|| over.is_up());
            // Enough for some charges, so that those of the load are known to be seen.
            for _ in (0..files).take_while(|_| lane.goes_on()) {
                lane.call(0, || open_kept(&path));
            }
        })
    });
    let outsider = Part::new(&["lower", "raise"], move |_| {
        let limited = limited.clone();
        Ok(move |lane: &Lane| {
            let killed = |memcg: &Memcg| {
                let events = memcg.read("memory.events").unwrap_or_default();
                !events.lines().any(|line| line == "oom_kill 0")
            };
            let lowered = lane.call(0, || {
                process::fork_child(|| i32::from(limited.limit_to(low_bytes).is_err()))
            });
            while lowered.is_some() && !lane.stopped() && !killed(&limited) {
                clock::sleep_us(100);
            }
            lane.call(1, || limited.limit_to(high_bytes).map_err(|_| Errno::EBUSY));
            process::await_children();
            over.raise();
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}

/// The last CPU that is online.
const CPU: usize = 1;

/// A task leaves pages and objects in the stocks of a CPU, which then goes offline.
fn plan_offline(terms: &Terms<'_>) -> Result<Plan> {
    let files = terms.cell.operations;
    let path = arena::create_file("file")?;
    let gone: &'static Flag = shared::map_one()?;
    let left: &'static Flag = shared::map_one()?;
    let actor = Part::new(&["open"], move |_| {
        process::reserve_files(files)?;
        stay_on_cpu(CPU)?;
        let path = path.clone();
        Ok(move |lane: &Lane| {
            for _ in (0..files).take_while(|_| lane.goes_on()) {
                lane.call(0, || open_kept(&path));
            }
            left.raise();
            lane.wait_until(|| gone.is_up());
        })
    });
    let outsider = Part::new(&["offline"], move |_| {
        Ok(move |lane: &Lane| {
            lane.wait_until(|| left.is_up());
            let online = format!("/sys/devices/system/cpu/cpu{CPU}/online");
            lane.call(0, || fs::write(&online, "0"));
            gone.raise();
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}
