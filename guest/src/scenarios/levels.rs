// SPDX-License-Identifier: MIT OR Apache-2.0
//! `levels`: what a hierarchy of memcgs promises.
//!
//! The outsider has a tree of its own, top/mid/{a, b}, and lets processes read files and touch
//! pages in its leaves. Each promise that is not kept is a failed call `holds`, told apart by its
//! errno. No promise needs a kill.

use std::fs::{self, File};
use std::io::Read as _;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt as _;
use std::sync::Barrier;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Part, Plan, Terms, Workload};
use crate::arena::SCRATCH;
use crate::lane::Lane;
use crate::memcg::{Memcg, page_bytes};
use crate::pages::Pages;
use crate::shared::{self, Flag};
use crate::{clock, process};

pub(super) const WORKLOADS: &[Workload] = &[Workload::new("levels", &[], plan).on_scratch()];

/// More than any memcg ever uses.
const PLENTY: &str = "1G";

/// Size of each file, and of what a process touches.
const FILE_BYTES: u64 = 4 << 20;
const TOUCHED_BYTES: u64 = 3 << 20;

/// What memory.stat (two CPUs with 64 updates each), stocks and the memcgs themselves account for.
const SLACK_BYTES: u64 = 1 << 20;

/// For memory that RCU frees.
const FREED_MS: u64 = 2_000;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let rounds = terms.cell.operations;
    // Not below the parent: what a removed memcg was charged goes away late.
    let top = terms.memcgs.root.child("top")?;
    top.delegate()?;
    let mid = top.child("mid")?;
    mid.delegate()?;
    let (a, b) = (mid.child("a")?, mid.child("b")?);
    let [file_a, file_b] = [cold_file("a")?, cold_file("b")?];
    let tree = Tree { top, mid, a, b, file_a, file_b };
    let of_outsider = tree.clone();
    let done: &'static Flag = shared::map_one()?;
    let actor = Part::new(&["wait"], move |_| {
        Ok(move |lane: &Lane| {
            lane.call(0, || nix::Result::Ok(()));
            lane.wait_until(|| done.is_up());
        })
    });
    let outsider = Part::new(&["holds"], move |_| {
        let tree = of_outsider.clone();
        Ok(move |lane: &Lane| {
            for _ in (0..rounds).take_while(|_| !lane.stopped()) {
                for promise in PROMISES {
                    lane.call(0, || promise(&tree));
                }
            }
            done.raise();
        })
    });
    let findings = move || {
        tree.give_back();
        [&tree.a, &tree.b, &tree.mid, &tree.top].into_iter().for_each(|memcg| _ = memcg.remove());
        Vec::new()
    };
    let plan = terms.plan(actor).with_outsider(outsider);
    Ok(Plan { findings: Some(Box::new(findings)), ..plan })
}

/// A file on disk that no page cache holds: who reads it is charged.
fn cold_file(name: &str) -> Result<String> {
    let path = format!("{SCRATCH}/levels-{name}");
    fs::write(&path, vec![0xa5; FILE_BYTES as usize]).context("write a file")?;
    File::open(&path)?.sync_all()?;
    forget(&path);
    Ok(path)
}

fn forget(path: &str) {
    if let Ok(file) = File::open(path) {
        let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}

#[derive(Clone)]
struct Tree {
    top: Memcg,
    mid: Memcg,
    a: Memcg,
    b: Memcg,
    file_a: String,
    file_b: String,
}

const PROMISES: &[fn(&Tree) -> nix::Result<()>] = &[
    Tree::levels_sum_up,
    Tree::the_sibling_gives_way,
    Tree::events_stay_at_their_level,
    Tree::a_breach_alone_is_counted,
    Tree::protection_is_shared_by_usage,
    Tree::a_removed_memcg_protects_nothing,
    Tree::a_batch_is_given_back_to_each,
    Tree::threads_move_with_their_process,
    Tree::a_fault_is_counted_once,
];

impl Tree {
    /// No page of the files is charged to anybody.
    fn give_back(&self) {
        forget(&self.file_a);
        forget(&self.file_b);
        let _ = self.top.write("memory.reclaim", PLENTY);
    }

    /// Both files are charged, each to its leaf.
    fn fill(&self) -> nix::Result<()> {
        self.give_back();
        let read = ended(&self.a, || read_in(&self.file_a))?;
        if read && ended(&self.b, || read_in(&self.file_b))? { Ok(()) } else { Err(Errno::EIO) }
    }

    /// The counters and memory.stat of a level are those of the levels below it.
    fn levels_sum_up(&self) -> nix::Result<()> {
        self.fill()?;
        let agree = |of: &dyn Fn(&Memcg) -> nix::Result<u64>| -> nix::Result<bool> {
            let leaves = of(&self.a)? + of(&self.b)?;
            let near = |sum: u64| sum.abs_diff(leaves) <= SLACK_BYTES;
            Ok(leaves + SLACK_BYTES >= 2 * FILE_BYTES
                && near(of(&self.mid)?)
                && near(of(&self.top)?))
        };
        if !agree(&|memcg| number(memcg, "memory.stat", "file"))? {
            return Err(Errno::EPERM);
        }
        if agree(&usage)? { Ok(()) } else { Err(Errno::EDOM) }
    }

    /// A leaf that uses nothing charges past the limit above it: the cache of its sibling goes, and
    /// charges that were refused first leave nothing behind.
    fn the_sibling_gives_way(&self) -> nix::Result<()> {
        self.give_back();
        if !ended(&self.b, || read_in(&self.file_b))? {
            return Err(Errno::EIO);
        }
        let before = (usage(&self.a)?, number(&self.b, "memory.stat", "file")?);
        self.mid.limit_to(usage(&self.mid)? + SLACK_BYTES / 2).map_err(|_| Errno::EIO)?;
        let touched = ended(&self.a, || touch(TOUCHED_BYTES));
        self.mid.write("memory.max", "max").map_err(|_| Errno::EIO)?;
        if !touched? {
            return Err(Errno::EACCES);
        }
        if number(&self.b, "memory.stat", "file")? + SLACK_BYTES > before.1 {
            return Err(Errno::EBUSY);
        }
        let is_empty = || {
            let _ = self.a.drain();
            usage(&self.a).is_ok_and(|now| now <= before.0 + 32 * page_bytes())
        };
        clock::within(FREED_MS, 10_000, is_empty).map_err(|_| Errno::ENODATA)
    }

    /// A leaf meets its own limit: it counts, and so does what is above it, but not as its own.
    fn events_stay_at_their_level(&self) -> nix::Result<()> {
        self.give_back();
        let met = |memcg: &Memcg| -> nix::Result<(u64, u64)> {
            let of = |file: &str| number(memcg, file, "max");
            Ok((of("memory.events")?, of("memory.events.local")?))
        };
        let all = || -> nix::Result<[(u64, u64); 3]> {
            Ok([met(&self.a)?, met(&self.mid)?, met(&self.b)?])
        };
        let before = all()?;
        self.a.limit_to(usage(&self.a)? + SLACK_BYTES).map_err(|_| Errno::EIO)?;
        let read = ended(&self.a, || read_in(&self.file_a));
        self.a.write("memory.max", "max").map_err(|_| Errno::EIO)?;
        let after = all()?;
        let grew = |at: usize| (after[at].0 - before[at].0, after[at].1 - before[at].1);
        let own = grew(0).0;
        let kept = read? && own > 0 && grew(0) == (own, own) && grew(1) == (own, 0);
        if kept && grew(2) == (0, 0) { Ok(()) } else { Err(Errno::ERANGE) }
    }

    /// memory.low counts an event where it was breached, not where it held.
    fn a_breach_alone_is_counted(&self) -> nix::Result<()> {
        self.fill()?;
        let low = |value: &str| -> nix::Result<()> {
            let write = |memcg: &Memcg| memcg.write("memory.low", value).map_err(|_| Errno::EIO);
            write(&self.mid).and_then(|()| write(&self.a))
        };
        let state = || -> nix::Result<(u64, u64)> {
            Ok((number(&self.a, "memory.stat", "file")?, number(&self.a, "memory.events", "low")?))
        };
        low(PLENTY)?;
        let before = state()?;
        let written = self.top.write("memory.reclaim", &SLACK_BYTES.to_string());
        let after = state()?;
        low("0")?;
        let kept = written.is_ok() && after.0 + SLACK_BYTES / 2 >= before.0 && after.1 == before.1;
        if kept { Ok(()) } else { Err(Errno::EOVERFLOW) }
    }

    /// A leaf that asks for more memory.min than its parent has gets the parent's, by what it uses.
    fn protection_is_shared_by_usage(&self) -> nix::Result<()> {
        self.fill()?;
        let min = |of_mid: &str, of_a: &str| -> nix::Result<()> {
            let write = |memcg: &Memcg, value: &str| {
                memcg.write("memory.min", value).map_err(|_| Errno::EIO)
            };
            write(&self.mid, of_mid).and_then(|()| write(&self.a, of_a))
        };
        forget(&self.file_b);
        min(&SLACK_BYTES.to_string(), PLENTY)?;
        let before = number(&self.a, "memory.stat", "file")?;
        // It need not find all of it.
        let _ = self.top.write("memory.reclaim", &(2 * SLACK_BYTES).to_string());
        let after = number(&self.a, "memory.stat", "file")?;
        min("0", "0")?;
        if after + SLACK_BYTES <= before { Ok(()) } else { Err(Errno::ENOTEMPTY) }
    }

    /// What a removed memcg was charged can be reclaimed, whatever it was promised. Reclaim begins
    /// right above it: nothing there is protected, whoever has the pages now.
    fn a_removed_memcg_protects_nothing(&self) -> nix::Result<()> {
        self.give_back();
        let gone = self.mid.child("gone").map_err(|_| Errno::EIO)?;
        gone.write("memory.min", PLENTY).map_err(|_| Errno::EIO)?;
        let read = ended(&gone, || read_in(&self.file_a))?;
        let peak = gone.bytes_in("memory.peak").map_err(|_| Errno::EIO)?;
        let before = number(&self.mid, "memory.stat", "file")?;
        let removed = gone.remove();
        // It is told that it is gone a moment after its folder is.
        let falls = || {
            let _ = self.mid.write("memory.reclaim", &(2 * SLACK_BYTES).to_string());
            let after = number(&self.mid, "memory.stat", "file");
            after.is_ok_and(|after| after + SLACK_BYTES <= before)
        };
        let fell = clock::within(FREED_MS, 10_000, falls);
        self.give_back();
        if !read || !removed {
            return Err(Errno::EIO);
        }
        if !(FILE_BYTES..=FILE_BYTES + 2 * SLACK_BYTES).contains(&peak) {
            return Err(Errno::ENOBUFS);
        }
        fell.map_err(|_| Errno::EXDEV)
    }
}

impl Tree {
    /// Pages of one file that two memcgs were charged for in turn are freed together
    /// (uncharge_folio()).
    fn a_batch_is_given_back_to_each(&self) -> nix::Result<()> {
        self.give_back();
        let before = (usage(&self.a)?, usage(&self.b)?);
        let read =
            |memcg: &Memcg, first: u64| ended(memcg, || read_every_second(&self.file_a, first));
        let both = read(&self.a, 0)? && read(&self.b, 1)?;
        let grew = usage(&self.a)? >= before.0 + SLACK_BYTES;
        forget(&self.file_a);
        if !both || !grew {
            return Err(Errno::EIO);
        }
        let is_back = |memcg: &Memcg, before: u64| {
            let _ = memcg.drain();
            usage(memcg).is_ok_and(|now| now.abs_diff(before) <= SLACK_BYTES / 4)
        };
        let both = || is_back(&self.a, before.0) && is_back(&self.b, before.1);
        clock::within(FREED_MS, 10_000, both).map_err(|_| Errno::ENOTUNIQ)
    }

    /// A thread that has charged in one memcg charges another one as soon as its process is moved
    /// (mem_cgroup_kmem_attach()).
    fn threads_move_with_their_process(&self) -> nix::Result<()> {
        let pid = process::fork_child(|| i32::from(moved_thread_charges(&self.a) != Ok(true)))?;
        if waitpid(pid, None)? == WaitStatus::Exited(pid, 0) { Ok(()) } else { Err(Errno::ENOTNAM) }
    }

    /// A fault that waits for the disk is tried again, and counted once (mm_account_fault()).
    fn a_fault_is_counted_once(&self) -> nix::Result<()> {
        self.give_back();
        let before = number(&self.a, "memory.stat", "pgfault")?;
        if !ended(&self.a, || map_in(&self.file_a))? {
            return Err(Errno::EIO);
        }
        let faults = number(&self.a, "memory.stat", "pgfault")? - before;
        let pages = FILE_BYTES / page_bytes();
        // Those of the process itself come on top.
        if (pages..pages * 3 / 2).contains(&faults) { Ok(()) } else { Err(Errno::EREMCHG) }
    }
}

/// Files that a thread opens, of more than 128 bytes each.
const THREAD_FILES: u64 = 8_000;

fn moved_thread_charges(memcg: &Memcg) -> nix::Result<bool> {
    let error = |_| Errno::EIO;
    process::become_ordinary("threads", 0).map_err(error)?;
    process::reserve_files(THREAD_FILES).map_err(error)?;
    let before = usage(memcg)?;
    let (charged, moved) = (Barrier::new(2), Barrier::new(2));
    let open = || File::open("/dev/null").map_err(|_| Errno::EIO);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| -> nix::Result<u64> {
            let first = open();
            charged.wait();
            moved.wait();
            let files: Vec<File> = (0..THREAD_FILES).map(|_| open()).collect::<nix::Result<_>>()?;
            let now = usage(memcg);
            drop((files, first?));
            now
        });
        charged.wait();
        let admitted = memcg.admit(Pid::this()).map_err(error);
        moved.wait();
        let now = thread.join().map_err(|_| Errno::EIO)?;
        admitted?;
        Ok(now? >= before + THREAD_FILES * 128)
    })
}

/// Reads one byte of every second page, and nothing ahead.
fn read_every_second(path: &str, first: u64) -> nix::Result<()> {
    let file = File::open(path).map_err(|_| Errno::EIO)?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM)?;
    let mut pages = (first..FILE_BYTES / page_bytes()).step_by(2);
    pages.try_for_each(|page| {
        file.read_exact_at(&mut [0], page * page_bytes()).map_err(|_| Errno::EIO)
    })
}

/// Touches each page of a mapped file, and nothing ahead.
fn map_in(path: &str) -> nix::Result<()> {
    let file = File::open(path).map_err(|_| Errno::EIO)?;
    let bytes = NonZeroUsize::new(FILE_BYTES as usize).ok_or(Errno::EINVAL)?;
    // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
    let begin =
        unsafe { mmap(None, bytes, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, &file, 0) }?;
    // SAFETY: the mapping is that of just now.
    unsafe { madvise(begin, bytes.get(), MmapAdvise::MADV_RANDOM) }?;
    for page in 0..FILE_BYTES / page_bytes() {
        // SAFETY: inside the mapping, which the file fills.
        unsafe { begin.cast::<u8>().add((page * page_bytes()) as usize).read_volatile() };
    }
    Ok(())
}

fn usage(memcg: &Memcg) -> nix::Result<u64> {
    memcg.current_bytes().map_err(|_| Errno::EIO)
}

fn number(memcg: &Memcg, file: &str, key: &str) -> nix::Result<u64> {
    let text = memcg.read(file).map_err(|_| Errno::EIO)?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    value.and_then(|number| number.parse().ok()).ok_or(Errno::EIO)
}

/// Whether a process that runs `body` in `memcg` ended by itself and without a failure.
fn ended(memcg: &Memcg, body: impl FnOnce() -> nix::Result<()>) -> nix::Result<bool> {
    let pid = process::fork_child(|| {
        // Where a charge fails, it is killed: a fault of who cannot be is tried for ever.
        let ready = process::become_ordinary("leaf", 0).is_ok() && memcg.admit(Pid::this()).is_ok();
        let done = ready && body().is_ok();
        i32::from(!done)
    })?;
    Ok(waitpid(pid, None)? == WaitStatus::Exited(pid, 0))
}

fn read_in(path: &str) -> nix::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let mut file = File::open(path).map_err(|_| Errno::EIO)?;
    while file.read(&mut buffer).map_err(|_| Errno::EIO)? > 0 {}
    Ok(())
}

fn touch(bytes: u64) -> nix::Result<()> {
    let count = bytes / page_bytes();
    let pages = Pages::map(count)?;
    (0..count).try_for_each(|page| pages.touch(page))
}
