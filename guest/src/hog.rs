// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hog: a killable process that fills the memcg to just below its limit with user memory.
//!
//! It stops short of the limit, because a page fault at the limit would make it the victim before
//! the load begins. The OOM killer prefers it to all other tasks in the memcg.

use std::num::NonZeroUsize;

use anyhow::{Context, Result};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munlockall};

use crate::board::{Board, Phase, Slot};
use crate::memcg::Memcg;
use crate::observer::Gauge;
use crate::{clock, memcg, process};

/// Half the memcg is added to the hog's score, so that no actor is chosen before it.
pub(crate) const OOM_SCORE_ADJ: i32 = 500;

/// Room left below the limit, pages. The kernel charges user pages in batches of 64 and falls back
/// to single pages, so less would do; this leaves room for the page tables of the last fault.
const MARGIN_PAGES: u64 = 16;

/// Pages to touch before looking at the usage again; 0 when the memcg is full enough.
///
/// Half of the room at a time: touching a page also charges page tables and batches, so filling all
/// the room in one go would pass the limit.
fn pages_next(usage_bytes: u64, limit_bytes: u64, page_bytes: u64, pages_left: u64) -> u64 {
    let room_pages = limit_bytes.saturating_sub(usage_bytes) / page_bytes;
    room_pages.saturating_sub(MARGIN_PAGES).div_ceil(2).min(pages_left)
}

/// The body of the hog: waits for [`Board::fill`], fills, holds until it is killed.
pub(crate) fn body(
    board: &Board,
    slot: &Slot,
    memcg: &Memcg,
    limit_bytes: u64,
    hog_bytes: u64,
) -> Result<()> {
    let page_bytes = memcg::page_bytes();
    let mut usage = Gauge::open(&memcg.usage_file())?;
    process::lock_memory()?;
    // Not earlier: locking memory would fill the mapping, outside the memcg. Later mappings would
    // be locked too, hence the munlockall().
    munlockall().context("unlock memory")?;
    let length = NonZeroUsize::new(hog_bytes as usize).context("a hog of nothing")?;
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
    // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
    let start = unsafe { mmap_anonymous(None, length, protection, flags) }.context("map")?;
    slot.reach(Phase::Ready);
    board.fill.pass();

    let pages = hog_bytes / page_bytes;
    let mut touched = 0;
    loop {
        let count = pages_next(usage.bytes()?, limit_bytes, page_bytes, pages - touched);
        if count == 0 {
            break;
        }
        for page in touched..touched + count {
            // SAFETY: `page` is below `pages`, so the byte is inside the mapping made above.
            unsafe { start.cast::<u8>().add((page * page_bytes) as usize).write_volatile(1) };
        }
        touched += count;
    }
    slot.reach(Phase::Done);
    loop {
        clock::sleep_us(1_000_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 32 << 20;

    #[test]
    fn fills_to_the_margin_and_no_further() {
        let (mut usage, mut left, mut rounds) = (100 << 10, 1 << 20, 0);
        loop {
            let pages = pages_next(usage, LIMIT, 4096, left);
            if pages == 0 {
                break;
            }
            usage += pages * 4096;
            left -= pages;
            rounds += 1;
        }
        assert!(usage <= LIMIT - MARGIN_PAGES * 4096 && usage > LIMIT - (MARGIN_PAGES + 1) * 4096);
        assert!(rounds < 20, "{rounds} rounds");
    }

    #[test]
    fn a_small_hog_ends_with_its_bytes() {
        assert_eq!(pages_next(0, LIMIT, 4096, 3), 3);
        assert_eq!(pages_next(0, LIMIT, 4096, 0), 0);
    }

    #[test]
    fn a_full_memcg_needs_nothing() {
        assert_eq!(pages_next(LIMIT - 4096, LIMIT, 4096, 100), 0);
        assert_eq!(pages_next(LIMIT + 4096, LIMIT, 4096, 100), 0);
    }
}
