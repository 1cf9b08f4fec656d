// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages of all sorts, page tables, mappings, and tasks with their kernel stacks.

use std::arch::asm;
use std::ptr::null_mut;

use nix::errno::Errno;
use nix::libc;

use super::{Kind, Maker, ok, ok_long};
use crate::arena::ARENA;
use crate::clock;
use crate::memcg::Memcg;

pub(super) const KINDS: &[Kind] = &[
    Kind::new("anon_page", 500, anon_page),
    Kind::new("page_table", 200, page_table),
    Kind::new("mapping", 1000, mapping),
    Kind::new("anon_mapping", 500, anon_mapping),
    Kind::new("tmpfs_page", 400, tmpfs_page),
    Kind::new("tmpfs_sparse", 400, tmpfs_sparse),
    Kind::new("process", 20, fork),
    Kind::new("task", 50, |_| task(0)),
    Kind::new("thread", 60, thread),
    Kind::new("groups", 1, groups),
    Kind::new("descriptor_table", 2, descriptor_table),
    Kind::new("mount_namespace", 50, |_| task(libc::CLONE_NEWNS)),
    Kind::new("ipc_namespace", 20, |_| task(libc::CLONE_NEWIPC)),
    Kind::new("uts_namespace", 20, |_| task(libc::CLONE_NEWUTS)),
    Kind::new("user_namespace", 20, |_| task(libc::CLONE_NEWUSER)),
    Kind::new("net_namespace", 4, |_| task(libc::CLONE_NEWNET)),
    Kind::new("pid_namespace", 20, |_| task(libc::CLONE_NEWPID)),
];

const PAGE: usize = 4096;

/// A private mapping without pages.
fn map(bytes: usize) -> nix::Result<*mut u8> {
    let (rights, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh mapping where the kernel wants.
    let memory = unsafe { libc::mmap(null_mut(), bytes, rights, flags, -1, 0) };
    if memory == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(memory.cast()) }
}

/// Writes to one byte in each `step` bytes.
fn touch(step: usize, count: usize) -> nix::Result<Maker> {
    let memory = map(step * count)?;
    // SAFETY: inside the mapping. Whole pages of 2 MiB would be another kind.
    unsafe { libc::madvise(memory.cast(), step * count, libc::MADV_NOHUGEPAGE) };
    Ok(Box::new(move |number| {
        // SAFETY: inside the mapping.
        unsafe { memory.add(step * number as usize).write_volatile(1) };
        Ok(())
    }))
}

/// Changes the statistics by so much that who reads them next has all that is outstanding added:
/// below 64 pages a CPU a reader does not wait for it (`memcg_vmstats_needs_flush()`).
pub(super) fn force_statistics() -> nix::Result<()> {
    const PAGES: usize = 2048;
    let memory = map(PAGES * PAGE)?;
    for page in 0..PAGES {
        // SAFETY: inside the mapping, which nothing else uses.
        unsafe { memory.add(page * PAGE).write_volatile(1) };
    }
    // SAFETY: as above; it is not used again.
    ok(unsafe { libc::munmap(memory.cast(), PAGES * PAGE) }).map(drop)
}

fn anon_page(_: &Memcg) -> nix::Result<Maker> {
    touch(PAGE, 510)
}

/// One page in each 2 MiB needs a table of its own.
fn page_table(_: &Memcg) -> nix::Result<Maker> {
    touch(2 << 20, 210)
}

/// Mappings with other rights than their neighbours.
fn mapping(_: &Memcg) -> nix::Result<Maker> {
    let memory = map(2 * PAGE * 1010)?;
    Ok(Box::new(move |number| {
        // SAFETY: a page inside the mapping, which nothing uses.
        let page = unsafe { memory.add(2 * PAGE * number as usize) };
        // SAFETY: as above.
        ok(unsafe { libc::mprotect(page.cast(), PAGE, libc::PROT_READ) }).map(drop)
    }))
}

/// Mappings with a page each, so that each has the structures that find it from its pages.
fn anon_mapping(_: &Memcg) -> nix::Result<Maker> {
    let memory = map(4 * PAGE * 510)?;
    Ok(Box::new(move |number| {
        // SAFETY: two pages inside the mapping, which nothing uses.
        unsafe {
            let page = memory.add(4 * PAGE * number as usize);
            ok(libc::mprotect(page.add(PAGE).cast(), PAGE, libc::PROT_READ))?;
            ok(libc::madvise(page.add(2 * PAGE).cast(), PAGE, libc::MADV_DONTFORK))?;
            page.add(2 * PAGE).write_volatile(1);
        }
        Ok(())
    }))
}

fn tmpfs_page(_: &Memcg) -> nix::Result<Maker> {
    let file = std::fs::File::create(format!("{ARENA}/pages")).map_err(|_| Errno::EIO)?;
    let page = [0xa5_u8; PAGE];
    Ok(Box::new(move |_| nix::unistd::write(&file, &page).map(drop)))
}

/// Pages so far apart that each needs a node of the page cache of its own.
fn tmpfs_sparse(_: &Memcg) -> nix::Result<Maker> {
    let file = std::fs::File::create(format!("{ARENA}/sparse")).map_err(|_| Errno::EIO)?;
    let apart_bytes = (64 * 64 * PAGE) as u64;
    Ok(Box::new(move |number| {
        let place = i64::try_from(u64::from(number) * apart_bytes).map_err(|_| Errno::EINVAL)?;
        nix::sys::uio::pwrite(&file, &[0xa5], place).map(drop)
    }))
}

/// The stack of a task that makes two system calls.
#[repr(C, align(4096))]
#[derive(Clone)]
struct Stack([u8; PAGE]);

/// Tasks that share the memory of their maker, and whatever else these flags of `clone` say, and
/// sleep: nothing but the task itself is charged.
fn sleepers(flags: libc::c_int) -> Maker {
    let mut stacks = vec![Stack([1; PAGE]); SLEEPERS];
    Box::new(move |number| {
        let top = stacks[number as usize].0.as_mut_ptr_range().end.cast();
        let flags = flags | libc::CLONE_VM;
        // SAFETY: the stack is aligned, not used otherwise and lives as long as the process; the
        // task touches nothing else.
        match ok(unsafe { libc::clone(sleep_on, top, flags, null_mut()) }) {
            // A kernel without this kind of name space.
            Err(Errno::EINVAL) => Err(Errno::ENOSYS),
            other => other.map(drop),
        }
    })
}

/// Most tasks of a kind.
const SLEEPERS: usize = 80;

/// Sleeps until it is killed, by its maker's end at the latest. It shares the thread-local storage
/// of its maker, `errno` too, so it may not call the C library.
extern "C" fn sleep_on(_: *mut libc::c_void) -> libc::c_int {
    // SAFETY: neither call touches memory; the instructions change these registers.
    unsafe {
        asm!(
            "syscall", "2:", "mov eax, {pause}", "syscall", "jmp 2b",
            pause = const libc::SYS_pause,
            in("rax") libc::SYS_prctl, in("rdi") libc::PR_SET_PDEATHSIG, in("rsi") libc::SIGKILL,
            options(noreturn)
        );
    }
}

fn thread(_: &Memcg) -> nix::Result<Maker> {
    let flags = libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
    Ok(sleepers(flags | libc::CLONE_SYSVSEM))
}

/// Processes that share nothing but memory, or are in a name space of their own.
fn task(flags: libc::c_int) -> nix::Result<Maker> {
    Ok(sleepers(flags | libc::SIGCHLD))
}

/// Processes with a table of descriptors in vmalloc space each.
fn descriptor_table(_: &Memcg) -> nix::Result<Maker> {
    // SAFETY: the descriptor is not open.
    ok(unsafe { libc::dup2(0, 60_000) })?;
    task(0)
}

/// Processes with memory of their own. Each writes once to the two pages that the kernel or the
/// parent may write to: a page that is written to after a fork is charged once more, by whichever
/// side comes first, and not at all if none does.
fn fork(_: &Memcg) -> nix::Result<Maker> {
    Ok(Box::new(|_| {
        let task: isize;
        // SAFETY: the child does not return, and what it writes was there before; the parent gets a
        // number.
        unsafe {
            asm!(
                "syscall", "test rax, rax", "jnz 3f",
                "push rax", "pop rax", "mov rax, fs:[0]", "mov fs:[0], rax",
                "mov eax, {prctl}", "mov edi, {signal_of_parent}", "mov esi, {sigkill}", "syscall",
                "2:", "mov eax, {pause}", "syscall", "jmp 2b", "3:",
                prctl = const libc::SYS_prctl, signal_of_parent = const libc::PR_SET_PDEATHSIG,
                sigkill = const libc::SIGKILL, pause = const libc::SYS_pause,
                inlateout("rax") libc::SYS_clone as isize => task,
                inlateout("rdi") libc::SIGCHLD as isize => _, inlateout("rsi") 0_isize => _,
                in("rdx") 0, in("r10") 0, in("r8") 0, out("rcx") _, out("r11") _,
            );
        }
        if task < 0 {
            return Err(Errno::from_raw(-task as i32));
        }
        // It runs on this CPU, and meets the page faults that it needs to sleep.
        clock::sleep_us(FORKED_US);
        Ok(())
    }))
}

/// For a new process to fall asleep, microseconds.
const FORKED_US: u64 = 1_000;

/// A list of groups in vmalloc space.
fn groups(_: &Memcg) -> nix::Result<Maker> {
    let groups: Vec<libc::gid_t> = (0..65_000).collect();
    Ok(Box::new(move |_| {
        let (count, list) = (groups.len(), groups.as_ptr());
        // SAFETY: the kernel reads so many numbers.
        ok_long(unsafe { libc::syscall(libc::SYS_setgroups, count, list) }).map(drop)
    }))
}
