// SPDX-License-Identifier: MIT OR Apache-2.0
//! The measured calls: what the task inside the memcg does, round by round.
//!
//! Every call must succeed; the first that does not ends the measurement. Names change from round
//! to round and have no folder in common, so that one dentry in a crowded hash bucket does not
//! decide what is most frequent.

use std::ffi::CStr;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail, ensure};
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

/// What is measured, and where its samples go.
pub(super) struct Meters {
    own: Meter,
    known: Meter,
    getppid: Meter,
    open: Meter,
    stat: Meter,
    close: Meter,
    pipe2: Meter,
    mkdir: Meter,
    rmdir: Meter,
    munmap: Meter,
    write: Charged,
    fault: Charged,
}

/// One kind of call that charges one page, by where the charge came from.
pub(super) struct Charged {
    /// The CPU's stock of charged pages.
    stock: Meter,
    /// The memcg's counter, which gave a stock of them.
    counter: Meter,
}

/// One kind of call.
pub(super) struct Meter {
    /// Name in the report.
    pub(super) op: &'static str,
    /// One sample a call.
    pub(super) samples: Samples,
}

impl Meters {
    /// Room for so many rounds.
    ///
    /// # Errors
    ///
    /// When the kernel has no memory left.
    pub(super) fn with_room(rounds: u64) -> Result<Self> {
        let rounds = usize::try_from(rounds)?;
        let meter =
            |op, most| Ok::<_, anyhow::Error>(Meter { op, samples: Samples::with_room(most)? });
        let pages = PIPES * PIPE_PAGES as usize;
        Ok(Self {
            own: meter("own", rounds)?,
            known: meter(protocol::COST_KNOWN, rounds)?,
            getppid: meter("getppid", rounds)?,
            open: meter("open", rounds)?,
            stat: meter("stat", rounds)?,
            close: meter("close", rounds)?,
            pipe2: meter("pipe2", rounds)?,
            mkdir: meter("mkdir", rounds)?,
            rmdir: meter("rmdir", rounds)?,
            munmap: meter("munmap.last", rounds)?,
            write: Charged {
                stock: meter("write.stock", pages)?,
                counter: meter("write.counter", pages)?,
            },
            fault: Charged {
                stock: meter("fault.stock", pages)?,
                counter: meter("fault.counter", pages)?,
            },
        })
    }

    /// The block of assembly without anything in it.
    pub(super) fn own(&self) -> &Samples {
        &self.own.samples
    }

    /// All that are reported, in the order of the report.
    pub(super) fn reported(&self) -> [&Meter; 13] {
        let Self {
            own: _,
            known,
            getppid,
            open,
            stat,
            close,
            pipe2,
            mkdir,
            rmdir,
            munmap,
            write,
            fault,
        } = self;
        let charged = [&write.stock, &write.counter, &fault.stock, &fault.counter];
        let [write_stock, write_counter, fault_stock, fault_counter] = charged;
        [
            known,
            getppid,
            open,
            stat,
            close,
            pipe2,
            mkdir,
            rmdir,
            munmap,
            write_stock,
            write_counter,
            fault_stock,
            fault_counter,
        ]
    }

    fn forget(&self) {
        self.own.samples.forget();
        self.reported().iter().for_each(|meter| meter.samples.forget());
    }
}

impl Meter {
    /// Makes and counts one system call; what it returned.
    ///
    /// # Safety
    ///
    /// As [`counter::call`].
    unsafe fn call(&self, number: c_long, arguments: [u64; 4]) -> Result<u64> {
        // SAFETY: as the caller promises.
        let Counted { returned, ticks } = unsafe { counter::call(number, arguments) };
        self.samples.take(ticks);
        match u64::try_from(returned) {
            Ok(returned) => Ok(returned),
            Err(_) => bail!("{} failed: {}", self.op, Errno::from_raw(-returned as i32)),
        }
    }
}

/// The file that is opened in a round, from the task's own folder.
pub(super) fn file_path() -> NumberedPath {
    NumberedPath::new("file-", "")
}

/// Calls that give back what they charge, so that each round finds what the one before found.
/// The first half of the rounds is warming up.
///
/// # Errors
///
/// When a call fails.
pub(super) fn steady(meters: &Meters, rounds: u64) -> Result<()> {
    let mut file = file_path();
    let mut folder = NumberedPath::new("folder-", "");
    for round in 0..2 * rounds {
        if round == rounds {
            meters.forget();
        }
        let number = (round % u64::from(FILES)) as u32;
        meters.own.samples.take(counter::nothing().ticks);
        meters.known.samples.take(counter::known().ticks);
        // SAFETY: no pointers.
        unsafe { meters.getppid.call(libc::SYS_getppid, [0; 4])? };
        look(meters, file.with(number))?;
        make_pipe(&meters.pipe2)?;
        make_folder(meters, folder.with(number))?;
        unmap(&meters.munmap, file.with(number))?;
    }
    Ok(())
}

/// `open`, `stat` and `close` of a file that exists.
fn look(meters: &Meters, path: &CStr) -> Result<()> {
    let (at, path) = (libc::AT_FDCWD as u64, path.as_ptr() as u64);
    let mut found = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the path ends with NUL.
    let file = unsafe { meters.open.call(libc::SYS_openat, [at, path, libc::O_RDONLY as u64, 0])? };
    // SAFETY: the path ends with NUL and the buffer has the size of the structure.
    unsafe {
        meters.stat.call(libc::SYS_newfstatat, [at, path, found.as_mut_ptr() as u64, 0])?;
    }
    // SAFETY: nobody else knows this descriptor.
    unsafe { meters.close.call(libc::SYS_close, [file, 0, 0, 0])? };
    Ok(())
}

/// Makes a pipe and closes it.
fn make_pipe(meter: &Meter) -> Result<()> {
    let mut ends = [0_i32; 2];
    // SAFETY: room for two descriptors.
    unsafe { meter.call(libc::SYS_pipe2, [ends.as_mut_ptr() as u64, 0, 0, 0])? };
    for end in ends {
        // SAFETY: nobody else knows this descriptor.
        unsafe { libc::close(end) };
    }
    Ok(())
}

/// Makes a folder and removes it.
fn make_folder(meters: &Meters, path: &CStr) -> Result<()> {
    let path = path.as_ptr() as u64;
    // SAFETY: the path ends with NUL.
    unsafe { meters.mkdir.call(libc::SYS_mkdir, [path, 0o700, 0, 0])? };
    // SAFETY: the path ends with NUL.
    unsafe { meters.rmdir.call(libc::SYS_rmdir, [path, 0, 0, 0])? };
    Ok(())
}

/// Maps a file and lets go of it: its last use ends in work that is done on the way back to user
/// mode, where overcharges are reconciled too.
fn unmap(meter: &Meter, path: &CStr) -> Result<()> {
    let bytes = PAGE_BYTES;
    let flags = MapFlags::MAP_SHARED;
    let file = nix::fcntl::open(path, OFlag::O_RDONLY, Mode::empty())?;
    let whole = NonZeroUsize::new(bytes).context("a page of no bytes")?;
    // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
    let mapped = unsafe { mmap(None, whole, ProtFlags::PROT_NONE, flags, &file, 0)? };
    drop(file);
    // SAFETY: the mapping just made, which nobody uses.
    unsafe { meter.call(libc::SYS_munmap, [mapped.as_ptr() as u64, bytes as u64, 0, 0])? };
    Ok(())
}

/// Pages that are charged one by one and kept: from the CPU's stock as long as that lasts, then
/// from the memcg's counter. The usage tells which it was: the stock is counted as used.
pub(super) struct Pages {
    writers: Vec<std::io::PipeWriter>,
    _readers: Vec<std::io::PipeReader>,
    usage: std::fs::File,
}

impl Pages {
    /// Makes the pipes. To be called outside the memcg.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
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
    ///
    /// # Errors
    ///
    /// When a call fails.
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
                before = self.charged(before, &meters.write, counted)?;
            }
        }
        Ok(())
    }

    /// Faults in as many pages: user memory.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the mapping.
    pub(super) fn fault_in(&self, meters: &Meters) -> Result<()> {
        // Else the mapping would come with its pages.
        munlockall().context("unlock memory")?;
        let pages = PIPES * PIPE_PAGES as usize;
        let bytes = NonZeroUsize::new(pages * PAGE_BYTES).context("no pages")?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let begin = unsafe { mmap_anonymous(None, bytes, protection, MapFlags::MAP_PRIVATE)? };
        let mut before = self.usage_bytes()?;
        for page in 0..pages {
            // SAFETY: a byte of the mapping just made, which nobody else uses.
            let counted =
                unsafe { counter::touch(begin.as_ptr().cast::<u8>().add(page * PAGE_BYTES)) };
            before = self.charged(before, &meters.fault, counted)?;
        }
        Ok(())
    }

    /// Notes one charge where it belongs, by the usage before it; gives the usage after it.
    fn charged(&self, before: u64, to: &Charged, counted: Counted) -> Result<u64> {
        let after = self.usage_bytes()?;
        let meter = if after == before { &to.stock } else { &to.counter };
        meter.samples.take(counted.ticks);
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
