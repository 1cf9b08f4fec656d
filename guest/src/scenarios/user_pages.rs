// SPDX-License-Identifier: MIT OR Apache-2.0
//! `read-fresh`, `touch-fresh`, `touch-in-debt`: charges of user pages at the limit, by a copy from
//! the kernel, by a fault, and by a fault while kernel memory has taken the memcg over its limit.
//!
//! Each operation uses a page of its own that is not there yet, so each charges exactly one page.
//! A fault that cannot be served never returns: it shows as one call that is `unfinished`.

use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::ptr::NonNull;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munlock};
use nix::unistd::{pipe2, write};

use super::{Part, Plan, Run, Terms, Workload};
use crate::arena::ARENA;
use crate::lane::Lane;
use crate::tally::Failure;
use crate::{boot, clock, process};

pub(super) const READ_FRESH: Workload = Workload {
    name: "read-fresh",
    params: &[("failures_max", 10)],
    on_scratch: false,
    plan: plan_read,
};

pub(super) const TOUCH_FRESH: Workload = Workload {
    name: "touch-fresh",
    params: &[("outsider_period_ms", 2)],
    on_scratch: false,
    plan: plan_touch,
};

pub(super) const TOUCH_IN_DEBT: Workload = Workload {
    name: "touch-in-debt",
    params: &[("pipes", 40), ("failures_max", 10)],
    on_scratch: false,
    plan: plan_debt,
};

/// Pages that the outsider touches before it lets go of them and begins anew.
const OUTSIDER_PAGES: u64 = 64;

/// What a pipe is filled with: 16 pages, which is what a new pipe holds.
const PIPE_BYTES: usize = 64 << 10;

/// User pages that are mapped, and not there.
struct FreshPages {
    start: NonNull<libc::c_void>,
    pages: u64,
    page_bytes: u64,
}

impl FreshPages {
    /// Maps them, in the set-up. Locking memory makes them present, see [`Self::let_go`].
    fn map(pages: u64) -> Result<Self> {
        let page_bytes = boot::page_bytes();
        let length = NonZeroUsize::new((pages * page_bytes) as usize).context("no pages to map")?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let start = unsafe { mmap_anonymous(None, length, protection, flags) }
            .context("map fresh pages")?;
        Ok(Self { start, pages, page_bytes })
    }

    /// Makes all of them absent again; their page tables stay, charged where the set-up ran.
    fn let_go(&self) {
        let length = (self.pages * self.page_bytes) as usize;
        // SAFETY: the mapping is private memory of this process that nobody has a reference into.
        let gone = unsafe {
            munlock(self.start, length)
                .and_then(|()| madvise(self.start, length, MmapAdvise::MADV_DONTNEED))
        };
        assert!(gone.is_ok(), "cannot let go of fresh pages: {gone:?}");
    }

    /// The first byte of a page, from 0; they come round again after the last.
    fn page(&self, number: u64) -> *mut u8 {
        let offset = (number % self.pages) * self.page_bytes;
        // SAFETY: the offset is below the length of the mapping.
        unsafe { self.start.cast::<u8>().as_ptr().add(offset as usize) }
    }

    /// Writes to a page. Returns when the kernel has found memory for it.
    fn touch(&self, number: u64) -> Result<(), Failure> {
        // SAFETY: the byte is inside the mapping.
        unsafe { self.page(number).write_volatile(1) };
        Ok(())
    }
}

fn plan_read(terms: &Terms<'_>) -> Result<Plan> {
    let source = format!("{ARENA}/source");
    let page_bytes = boot::page_bytes();
    let content = vec![0xa5_u8; page_bytes as usize];
    File::create_new(&source)
        .and_then(|mut file| file.write_all(&content))
        .with_context(|| format!("make {source}"))?;
    let operations = terms.cell.operations;
    let actor = Part {
        ops: &["read"],
        setup: Box::new(move |_| {
            let file = File::open(&source).with_context(|| format!("open {source}"))?;
            let fresh = FreshPages::map(operations)?;
            Ok(Box::new(move |lane: &Lane| {
                fresh.let_go();
                for number in (0..).take_while(|_| lane.goes_on()) {
                    lane.call(0, || read_into(&file, fresh.page(number), page_bytes));
                }
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: None, failures_max: terms.param("failures_max") })
}

/// Reads one page to where no page is: the copy inside the kernel has to fault it in.
fn read_into(file: &File, page: *mut u8, page_bytes: u64) -> Result<(), Failure> {
    let length = page_bytes as usize;
    // SAFETY: the page is inside a private mapping, and nobody has a reference to it.
    let read = unsafe { libc::pread(file.as_raw_fd(), page.cast(), length, 0) };
    if Errno::result(read)? == length as isize { Ok(()) } else { Err(Failure::Short) }
}

fn plan_touch(terms: &Terms<'_>) -> Result<Plan> {
    let operations = terms.cell.operations;
    let period_us = terms.param("outsider_period_ms") * 1000;
    let actor = Part {
        ops: &["touch"],
        setup: Box::new(move |_| {
            let fresh = FreshPages::map(operations)?;
            Ok(Box::new(move |lane: &Lane| {
                fresh.let_go();
                for number in (0..).take_while(|_| lane.goes_on()) {
                    lane.call(0, || fresh.touch(number));
                }
            }) as Run)
        }),
    };
    let outsider = Part {
        ops: &["touch"],
        setup: Box::new(move |_| {
            let fresh = FreshPages::map(OUTSIDER_PAGES)?;
            Ok(Box::new(move |lane: &Lane| {
                for number in (0..).take_while(|_| lane.goes_on()) {
                    if number % OUTSIDER_PAGES == 0 {
                        fresh.let_go();
                    }
                    lane.call(0, || fresh.touch(number));
                    clock::sleep_us(period_us);
                }
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: Some(outsider), failures_max: u64::MAX })
}

fn plan_debt(terms: &Terms<'_>) -> Result<Plan> {
    let operations = terms.cell.operations;
    let pipes = terms.param("pipes");
    ensure!(pipes > 0, "without pipes there is no debt");
    let actor = Part {
        ops: &["pipe2", "write", "touch"],
        setup: Box::new(move |_| {
            // One more pipe with each touch.
            process::reserve_files(2 * (pipes + operations))?;
            let fresh = FreshPages::map(operations)?;
            let filling = vec![0xa5_u8; PIPE_BYTES];
            Ok(Box::new(move |lane: &Lane| {
                fresh.let_go();
                // Kernel memory first, and until it fails where it may not go over the limit: the
                // limit must be met by a charge of kernel memory.
                for _ in 0..pipes {
                    if !keep_pipe(lane, &filling) {
                        break;
                    }
                }
                for number in (0..).take_while(|_| lane.goes_on()) {
                    lane.call(2, || fresh.touch(number));
                    keep_pipe(lane, &filling[..1]);
                }
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: None, failures_max: terms.param("failures_max") })
}

/// Makes a pipe, writes to it and keeps it; whether both worked.
fn keep_pipe(lane: &Lane, filling: &[u8]) -> bool {
    let made = lane.call(0, || pipe2(OFlag::O_NONBLOCK).map_err(Failure::from));
    let Some((reader, writer)) = made else {
        return false;
    };
    let written = lane.call(1, || match write(&writer, filling)? {
        bytes if bytes == filling.len() => Ok(()),
        _ => Err(Failure::Short),
    });
    let _kept_open = (reader.into_raw_fd(), writer.into_raw_fd());
    written.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_absent_after_they_were_let_go() {
        let fresh = FreshPages::map(8).unwrap();
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
