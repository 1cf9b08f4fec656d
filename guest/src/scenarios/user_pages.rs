// SPDX-License-Identifier: MIT OR Apache-2.0
//! `read-fresh`, `touch-fresh`, `touch-in-debt`: charges of user pages at the limit, by a copy from
//! the kernel, by a fault, and by a fault while kernel memory has taken the memcg over its limit;
//! `touch-sizes`: by one of several tasks that hold different amounts.
//!
//! Each operation uses another page that is not present yet, so each charges exactly one page. A
//! fault that cannot be served never returns: it shows as one `unfinished` call.

use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{
    MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munlock, munlockall,
};

use super::{Part, Plan, Terms, Workload};
use crate::arena::ARENA;
use crate::calls::keep_pipe;
use crate::lane::Lane;
use crate::shared::{self, Flag};
use crate::tally::Failure;
use crate::{clock, memcg, process};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new("read-fresh", &[("failures_max", 10)], plan_read),
    Workload::new("touch-fresh", &[("outsider_period_ms", 2)], plan_touch),
    Workload::new(
        "touch-in-debt",
        &[("pipes", 40), ("shared", 0), ("failures_max", 10)],
        plan_debt,
    ),
    Workload::new(
        "touch-sizes",
        &[("large", 1100), ("middle", 600), ("spared", 998), ("apart_pages", 1), ("leaderless", 0)],
        plan_sizes,
    ),
];

/// Pages that the outsider touches before it drops them and starts again.
const OUTSIDER_PAGES: u64 = 64;

/// What a pipe is filled with, bytes: 16 pages, which is what a new pipe holds.
const PIPE_BYTES: usize = 64 << 10;

/// User pages that are mapped but not present.
struct FreshPages {
    start: NonNull<libc::c_void>,
    pages: u64,
    /// From one page to the next.
    page_bytes: u64,
    /// Whether another process could see them: pages of tmpfs, without a file.
    shared: bool,
}

impl FreshPages {
    /// Maps them, in the set-up. Locking memory makes them present: see [`Self::let_go`].
    fn map(pages: u64) -> Result<Self> {
        Self::map_as(pages, 1, false)
    }

    /// The same, of which each lies so many pages behind the one before; shared ones or private.
    fn map_as(pages: u64, apart_pages: u64, shared: bool) -> Result<Self> {
        let page_bytes = apart_pages * memcg::page_bytes();
        let length = NonZeroUsize::new((pages * page_bytes) as usize).context("no pages to map")?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = if shared { MapFlags::MAP_SHARED } else { MapFlags::MAP_PRIVATE };
        let flags = flags | MapFlags::MAP_NORESERVE;
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let start = unsafe { mmap_anonymous(None, length, protection, flags) }
            .context("map fresh pages")?;
        Ok(Self { start, pages, page_bytes, shared })
    }

    /// Makes all of them absent again; their page tables stay, charged where the set-up ran.
    fn let_go(&self) {
        let length = (self.pages * self.page_bytes) as usize;
        // Shared pages stay in tmpfs when a process forgets them.
        let advice = if self.shared { MmapAdvise::MADV_REMOVE } else { MmapAdvise::MADV_DONTNEED };
        // SAFETY: the mapping is memory of this process without a reference into it.
        let gone = unsafe {
            munlock(self.start, length).and_then(|()| madvise(self.start, length, advice))
        };
        assert!(gone.is_ok(), "cannot let go of fresh pages: {gone:?}");
    }

    /// The first byte of a page, from 0; after the last page comes the first one again.
    fn page(&self, number: u64) -> *mut u8 {
        let offset = (number % self.pages) * self.page_bytes;
        // SAFETY: the offset is below the length of the mapping.
        unsafe { self.start.cast::<u8>().as_ptr().add(offset as usize) }
    }

    /// Writes to a page. Returns once the kernel has found memory for it.
    fn touch(&self, number: u64) -> nix::Result<()> {
        // SAFETY: the byte is inside the mapping.
        unsafe { self.page(number).write_volatile(1) };
        Ok(())
    }
}

fn plan_read(terms: &Terms<'_>) -> Result<Plan> {
    let source = format!("{ARENA}/source");
    let page_bytes = memcg::page_bytes();
    let content = vec![0xa5_u8; page_bytes as usize];
    File::create_new(&source)
        .and_then(|mut file| file.write_all(&content))
        .with_context(|| format!("make {source}"))?;
    let operations = terms.cell.operations;
    let actor = Part::new(&["read"], move |_| {
        let file = File::open(&source).with_context(|| format!("open {source}"))?;
        let fresh = FreshPages::map(operations)?;
        Ok(move |lane: &Lane| {
            fresh.let_go();
            for number in (0..).take_while(|_| lane.goes_on()) {
                lane.call(0, || read_into(&file, fresh.page(number), page_bytes));
            }
        })
    });
    Ok(terms.plan(actor))
}

/// Reads one page to where no page is present: the copy inside the kernel has to fault it in.
fn read_into(file: &File, page: *mut u8, page_bytes: u64) -> Result<(), Failure> {
    let length = page_bytes as usize;
    // SAFETY: the page is inside a private mapping, and there is no reference to it.
    let read = unsafe { libc::pread(file.as_raw_fd(), page.cast(), length, 0) };
    if Errno::result(read)? == length as isize { Ok(()) } else { Err(Failure::Short) }
}

fn plan_touch(terms: &Terms<'_>) -> Result<Plan> {
    let operations = terms.cell.operations;
    let period_us = terms.param("outsider_period_ms") * 1000;
    let actor = Part::new(&["touch"], move |_| {
        let fresh = FreshPages::map(operations)?;
        Ok(move |lane: &Lane| {
            fresh.let_go();
            for number in (0..).take_while(|_| lane.goes_on()) {
                lane.call(0, || fresh.touch(number));
            }
        })
    });
    let outsider = Part::new(&["touch"], move |_| {
        let fresh = FreshPages::map(OUTSIDER_PAGES)?;
        Ok(move |lane: &Lane| {
            for number in (0..).take_while(|_| lane.goes_on()) {
                if number % OUTSIDER_PAGES == 0 {
                    fresh.let_go();
                }
                lane.call(0, || fresh.touch(number));
                clock::sleep_us(period_us);
            }
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}

fn plan_debt(terms: &Terms<'_>) -> Result<Plan> {
    let operations = terms.cell.operations;
    let (pipes, shared) = (terms.param("pipes"), terms.param("shared") != 0);
    ensure!(pipes > 0, "without pipes there is no debt");
    let actor = Part::new(&["pipe2", "write", "touch"], move |_| {
        // One more pipe with each touch.
        process::reserve_files(2 * (pipes + operations))?;
        let fresh = FreshPages::map_as(operations, 1, shared)?;
        let filling = vec![0xa5_u8; PIPE_BYTES];
        Ok(move |lane: &Lane| {
            fresh.let_go();
            // A charge of kernel memory must be the first at the limit: so pipes first, until one
            // fails where they may not go over it.
            for _ in 0..pipes {
                if !keep_pipe(lane, &filling) {
                    break;
                }
            }
            for number in (0..).take_while(|_| lane.goes_on()) {
                lane.call(2, || fresh.touch(number));
                keep_pipe(lane, &filling[..1]);
            }
        })
    });
    Ok(terms.plan(actor))
}

/// One task touches pages beyond the limit; two others hold a large and a middling number of them.
/// All have the same low `oom_score_adj`. Pages of the large one may lie apart, so that each needs
/// a page table of its own. Its first thread may have ended, so that another one has the memory.
fn plan_sizes(terms: &Terms<'_>) -> Result<Plan> {
    let held = [terms.cell.operations, terms.param("large"), terms.param("middle")];
    ensure!(terms.cell.tasks == held.len() as u32, "one task grows, two hold pages");
    let (apart_pages, leaderless) = (terms.param("apart_pages"), terms.param("leaderless") != 0);
    let (spared, filled): (_, &'static [Flag]) = (terms.param("spared"), shared::map(3)?);
    let actor = Part::new(&["touch"], move |index| {
        let apart_pages = if index == 1 { apart_pages } else { 1 };
        let pages = held[index as usize];
        std::fs::write("/proc/self/oom_score_adj", format!("-{spared}"))?;
        Ok(move |lane: &Lane| {
            // Not earlier: locking memory would make all that lies between present, too.
            let Ok(fresh) = munlockall()
                .map_err(Into::into)
                .and_then(|()| FreshPages::map_as(pages, apart_pages, false))
            else {
                return;
            };
            if index == 0 {
                lane.wait_until(|| filled[1..].iter().all(Flag::is_up));
            }
            for number in (0..fresh.pages).take_while(|_| lane.goes_on()) {
                lane.call(0, || fresh.touch(number));
            }
            if leaderless && index == 1 {
                go_on_without_leader(filled);
            }
            filled[index as usize].raise();
            lane.wait_until(|| filled[0].is_up());
        })
    });
    Ok(terms.plan(actor))
}

/// Ends the calling thread, the only one of its process; another one goes on in its place, until
/// the first task has touched all. Its own flag is raised when the leader is gone.
fn go_on_without_leader(filled: &'static [Flag]) {
    let leader = nix::unistd::gettid();
    let rest = move || {
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/self/task/{leader}/stat"));
            stat.is_ok_and(|stat| {
                stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
            })
        };
        let _ = clock::within(LEADER_GONE_MS, 1_000, gone);
        filled[1].raise();
        while !filled[0].is_up() {
            clock::sleep_us(1_000);
        }
        process::exit_now(0)
    };
    if std::thread::Builder::new().spawn(rest).is_ok() {
        // SAFETY: nothing of this thread is used again: its stack stays mapped.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

/// For a thread to end.
const LEADER_GONE_MS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_absent_after_they_were_let_go() {
        [false, true].into_iter().for_each(is_absent_after_it_was_let_go);
    }

    fn is_absent_after_it_was_let_go(shared: bool) {
        let fresh = FreshPages::map_as(8, 1, shared).unwrap();
        fresh.touch(3).unwrap();
        fresh.let_go();
        let mut there = [0_u8; 8];
        // SAFETY: the mapping has eight pages and the vector a byte for each.
        let status = unsafe {
            libc::mincore(fresh.start.as_ptr(), 8 * fresh.page_bytes as usize, there.as_mut_ptr())
        };
        assert_eq!(status, 0);
        assert!(there.iter().all(|page| page & 1 == 0), "{there:?}");
        fresh.touch(8 + 3).unwrap();
        // SAFETY: as above; page 3 again, since they come round.
        assert_eq!(unsafe { fresh.page(3).read() }, 1);
    }
}
