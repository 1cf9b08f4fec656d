// SPDX-License-Identifier: MIT OR Apache-2.0
//! The measured calls: what the task inside the memcg does, round by round.
//!
//! Every call must succeed; the first failure ends the measurement. Names change from round to
//! round and share no folder, so that one dentry in a crowded hash bucket does not decide which
//! number is most frequent.

use std::ffi::CStr;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::{self, c_long};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munlockall};
use nix::sys::stat::Mode;

use super::counter::{self, Counted};
use super::samples::Samples;
use crate::arena::NumberedPath;
use crate::memcg::Memcg;

/// Files that are opened and looked up in turn.
pub(super) const FILES: u32 = 16;

/// Pages in a new pipe.
const PIPE_PAGES: u32 = 16;

/// Pipes that are filled page by page: 128 times the pages of one per-CPU stock are charged often
/// enough to see the stock run out 32 times.
const PIPES: usize = 128;

/// Bytes of a page on the one architecture whose instructions are counted.
const PAGE_BYTES: usize = 4096;

/// Longest text of a file with a number of bytes.
const NUMBER_BYTES: usize = 32;

/// The measured steps, by number. All but the first are reported, in this order. Charges of a page
/// are separated by where they came from: the CPU's stock, or the memcg's counter, which gave a
/// stock.
const STEPS: [&str; 14] = [
    "own",
    protocol::COST_KNOWN,
    "getppid",
    "open",
    "stat",
    "close",
    "pipe2",
    "mkdir",
    "rmdir",
    "munmap.last",
    "write.stock",
    "write.counter",
    "fault.stock",
    "fault.counter",
];
const OWN: usize = 0;
const KNOWN: usize = 1;
const GETPPID: usize = 2;
const OPEN: usize = 3;
const STAT: usize = 4;
const CLOSE: usize = 5;
const PIPE2: usize = 6;
const MKDIR: usize = 7;
const RMDIR: usize = 8;
const MUNMAP: usize = 9;
/// From the stock; the next number is from the counter.
const WRITE: usize = 10;
/// The same.
const FAULT: usize = 12;

/// What is measured, and where its samples go.
pub(super) struct Meters(Vec<Meter>);

/// One kind of call.
pub(super) struct Meter {
    /// Name in the report.
    pub(super) op: &'static str,
    /// One sample per call.
    pub(super) samples: Samples,
}

impl Meters {
    /// Room for so many rounds.
    pub(super) fn with_room(rounds: u64) -> Result<Self> {
        let rounds = usize::try_from(rounds)?;
        let meter = |(step, op)| {
            let most = if step < WRITE { rounds } else { PIPES * PIPE_PAGES as usize };
            Ok(Meter { op, samples: Samples::with_room(most)? })
        };
        STEPS.into_iter().enumerate().map(meter).collect::<Result<_>>().map(Self)
    }

    /// The block of assembly without anything in it.
    pub(super) fn own(&self) -> &Samples {
        &self.0[OWN].samples
    }

    /// All that are reported, in the order of the report.
    pub(super) fn reported(&self) -> &[Meter] {
        &self.0[KNOWN..]
    }

    fn forget(&self) {
        self.0.iter().for_each(|meter| meter.samples.forget());
    }

    fn take(&self, step: usize, counted: Counted) {
        self.0[step].samples.take(counted.ticks);
    }

    /// Makes and counts one system call; what it returned.
    ///
    /// # Safety
    /// As [`counter::call`].
    unsafe fn call(&self, step: usize, number: c_long, arguments: [u64; 4]) -> Result<u64> {
        // SAFETY: as the caller promises.
        let counted = unsafe { counter::call(number, arguments) };
        self.take(step, counted);
        let Counted { returned, .. } = counted;
        u64::try_from(returned).map_err(|_| {
            let errno = Errno::from_raw(-returned as i32);
            anyhow!("{} failed: {errno}", STEPS[step])
        })
    }
}

/// The file that is opened in a round, from the task's own folder.
pub(super) fn file_path() -> NumberedPath {
    NumberedPath::new("file-", "")
}

/// Calls that give back what they charge, so that each round finds what the one before found.
/// The first half of the rounds is warming up.
pub(super) fn steady(meters: &Meters, rounds: u64) -> Result<()> {
    let mut file = file_path();
    let mut folder = NumberedPath::new("folder-", "");
    for round in 0..2 * rounds {
        if round == rounds {
            meters.forget();
        }
        let number = (round % u64::from(FILES)) as u32;
        meters.take(OWN, counter::nothing());
        meters.take(KNOWN, counter::known());
        // SAFETY: no pointers.
        unsafe { meters.call(GETPPID, libc::SYS_getppid, [0; 4])? };
        look(meters, file.with(number))?;
        make_pipe(meters)?;
        make_folder(meters, folder.with(number))?;
        unmap(meters, file.with(number))?;
    }
    Ok(())
}

/// `open`, `stat` and `close` of a file that exists.
fn look(meters: &Meters, path: &CStr) -> Result<()> {
    let (at, path) = (libc::AT_FDCWD as u64, path.as_ptr() as u64);
    let mut found = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the path ends with NUL.
    let file =
        unsafe { meters.call(OPEN, libc::SYS_openat, [at, path, libc::O_RDONLY as u64, 0])? };
    // SAFETY: the path ends with NUL and the buffer has the size of the structure.
    unsafe {
        meters.call(STAT, libc::SYS_newfstatat, [at, path, found.as_mut_ptr() as u64, 0])?;
    }
    // SAFETY: this descriptor is not used otherwise.
    unsafe { meters.call(CLOSE, libc::SYS_close, [file, 0, 0, 0])? };
    Ok(())
}

/// Makes a pipe and closes it.
fn make_pipe(meters: &Meters) -> Result<()> {
    let mut ends = [0_i32; 2];
    // SAFETY: room for two descriptors.
    unsafe { meters.call(PIPE2, libc::SYS_pipe2, [ends.as_mut_ptr() as u64, 0, 0, 0])? };
    for end in ends {
        // SAFETY: this descriptor is not used otherwise.
        unsafe { libc::close(end) };
    }
    Ok(())
}

/// Makes a folder and removes it.
fn make_folder(meters: &Meters, path: &CStr) -> Result<()> {
    let path = path.as_ptr() as u64;
    // SAFETY: the path ends with NUL.
    unsafe { meters.call(MKDIR, libc::SYS_mkdir, [path, 0o700, 0, 0])? };
    // SAFETY: the path ends with NUL.
    unsafe { meters.call(RMDIR, libc::SYS_rmdir, [path, 0, 0, 0])? };
    Ok(())
}

/// Maps a file and unmaps it: its last use ends in work on the way back to user mode, where
/// overcharges are reconciled too.
fn unmap(meters: &Meters, path: &CStr) -> Result<()> {
    let bytes = PAGE_BYTES;
    let flags = MapFlags::MAP_SHARED;
    let file = nix::fcntl::open(path, OFlag::O_RDONLY, Mode::empty())?;
    let whole = NonZeroUsize::new(bytes).context("a page of no bytes")?;
    // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
    let mapped = unsafe { mmap(None, whole, ProtFlags::PROT_NONE, flags, &file, 0)? };
    drop(file);
    // SAFETY: the mapping just made, which is not used.
    unsafe { meters.call(MUNMAP, libc::SYS_munmap, [mapped.as_ptr() as u64, bytes as u64, 0, 0])? };
    Ok(())
}

/// Pages that are charged one by one and kept: from the CPU's stock as long as that lasts, then
/// from the memcg's counter. The usage shows which it was: the stock counts as used.
pub(super) struct Pages {
    writers: Vec<std::io::PipeWriter>,
    _readers: Vec<std::io::PipeReader>,
    usage: std::fs::File,
}

impl Pages {
    /// Makes the pipes. To be called outside the memcg.
    pub(super) fn prepare(memcg: &Memcg) -> Result<Self> {
        let (mut readers, mut writers) = (Vec::new(), Vec::new());
        for _ in 0..PIPES {
            let (reader, writer) = std::io::pipe().context("make a pipe")?;
            readers.push(reader);
            writers.push(writer);
        }
        let usage = std::fs::File::open(memcg.usage_file()).context("open the usage")?;
        let pages = Self { writers, _readers: readers, usage };
        // The first reading makes the kernel allocate a buffer.
        pages.usage_bytes()?;
        Ok(pages)
    }

    /// Fills them: kernel memory.
    pub(super) fn fill(&self, meters: &Meters) -> Result<()> {
        let page = [0xa5_u8; PAGE_BYTES];
        let mut before = self.usage_bytes()?;
        for writer in &self.writers {
            let write = [writer.as_raw_fd() as u64, page.as_ptr() as u64, PAGE_BYTES as u64, 0];
            for _ in 0..PIPE_PAGES {
                // SAFETY: so many readable bytes.
                let counted = unsafe { counter::call(libc::SYS_write, write) };
                ensure!(
                    counted.returned == PAGE_BYTES as i64,
                    "write returned {}",
                    counted.returned
                );
                before = self.charged(before, meters, WRITE, counted)?;
            }
        }
        Ok(())
    }

    /// Faults in as many pages: user memory.
    pub(super) fn fault_in(&self, meters: &Meters) -> Result<()> {
        // Otherwise the mapping would come with its pages.
        munlockall().context("unlock memory")?;
        let pages = PIPES * PIPE_PAGES as usize;
        let bytes = NonZeroUsize::new(pages * PAGE_BYTES).context("no pages")?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let begin = unsafe { mmap_anonymous(None, bytes, protection, MapFlags::MAP_PRIVATE)? };
        let mut before = self.usage_bytes()?;
        for page in 0..pages {
            // SAFETY: a byte of the mapping just made, which is not used otherwise.
            let counted =
                unsafe { counter::touch(begin.as_ptr().cast::<u8>().add(page * PAGE_BYTES)) };
            before = self.charged(before, meters, FAULT, counted)?;
        }
        Ok(())
    }

    /// Notes one charge as from the stock or from the counter, by the usage before it. Returns the
    /// usage after it.
    fn charged(&self, before: u64, to: &Meters, step: usize, counted: Counted) -> Result<u64> {
        let after = self.usage_bytes()?;
        to.take(step + usize::from(after != before), counted);
        Ok(after)
    }

    /// Reads the usage without allocating.
    fn usage_bytes(&self) -> Result<u64> {
        let mut text = [0_u8; NUMBER_BYTES];
        let length = std::os::unix::fs::FileExt::read_at(&self.usage, &mut text, 0)?;
        Ok(text[..length]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0, |number, digit| 10 * number + u64::from(digit - b'0')))
    }
}
