// SPDX-License-Identifier: MIT OR Apache-2.0
//! System V objects, message queues, timers and signals.

use std::fs;
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};

use super::files::reserve;
use super::{Kind, Maker, ok, ok_long};
use crate::arena::NumberedPath;
use crate::memcg::Memcg;

pub(super) const KINDS: &[Kind] = &[
    Kind::new("msgget", 1000, msgget),
    Kind::new("msgsnd", 600, |_| msgsnd(1000, 14)),
    Kind::new("msgsnd_long", 100, |_| msgsnd(8000, 2)),
    Kind::new("semget", 200, |_| semget(64)),
    Kind::new("semget_large", 1, |_| semget(20_000)),
    Kind::new("semop_undo", 500, semop_undo),
    Kind::new("shmget", 500, shmget),
    Kind::new("shm_page", 300, shm_page),
    Kind::new("mq_open", 100, mq_open),
    Kind::new("timer", 1000, timer),
    Kind::new("queued_signal", 2000, queued_signal),
    Kind::new("key", 200, key),
];

/// Removes every System V object: they outlive the processes that made them.
pub(super) fn remove_all() {
    // SAFETY: removing reads nothing.
    let queue = |id| unsafe { libc::msgctl(id, libc::IPC_RMID, null_mut()) };
    // SAFETY: as above.
    let set = |id| unsafe { libc::semctl(id, 0, libc::IPC_RMID) };
    // SAFETY: as above.
    let segment = |id| unsafe { libc::shmctl(id, libc::IPC_RMID, null_mut()) };
    let kinds: [(&str, &dyn Fn(libc::c_int) -> libc::c_int); 3] =
        [("msg", &queue), ("sem", &set), ("shm", &segment)];
    for (kind, remove) in kinds {
        let table = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
        // A key, then the id; the first line has the titles.
        let ids = table.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse().ok());
        for id in ids {
            remove(id);
        }
    }
}

fn msgget(_: &Memcg) -> nix::Result<Maker> {
    // SAFETY: plain numbers.
    Ok(Box::new(|_| ok(unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) }).map(drop)))
}

/// Messages of so many bytes, so many of them a queue.
fn msgsnd(bytes: usize, a_queue: usize) -> nix::Result<Maker> {
    let queues = (0..700_usize.div_ceil(a_queue)).map(|_| {
        // SAFETY: plain numbers.
        ok(unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) })
    });
    let queues: Vec<libc::c_int> = queues.collect::<nix::Result<_>>()?;
    // The kind of the message, then its text.
    let message = vec![1_u64; 1 + bytes / 8];
    Ok(Box::new(move |number| {
        let queue = queues[number as usize / a_queue];
        let message = message.as_ptr().cast();
        // SAFETY: the kernel reads a kind and so many bytes.
        ok(unsafe { libc::msgsnd(queue, message, bytes, libc::IPC_NOWAIT) }).map(drop)
    }))
}

fn semget(semaphores: libc::c_int) -> nix::Result<Maker> {
    Ok(Box::new(move |_| {
        // SAFETY: plain numbers.
        ok(unsafe { libc::semget(libc::IPC_PRIVATE, semaphores, 0o600) }).map(drop)
    }))
}

fn semop_undo(_: &Memcg) -> nix::Result<Maker> {
    // SAFETY: plain numbers.
    let sets = (0..510).map(|_| ok(unsafe { libc::semget(libc::IPC_PRIVATE, 200, 0o600) }));
    let sets: Vec<libc::c_int> = sets.collect::<nix::Result<_>>()?;
    Ok(Box::new(move |number| {
        let flags = libc::SEM_UNDO as libc::c_short;
        let mut step = libc::sembuf { sem_num: 0, sem_op: 1, sem_flg: flags };
        // SAFETY: the kernel reads one step.
        ok(unsafe { libc::semop(sets[number as usize], &raw mut step, 1) }).map(drop)
    }))
}

fn shmget(_: &Memcg) -> nix::Result<Maker> {
    Ok(Box::new(|_| {
        // SAFETY: plain numbers.
        ok(unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, 0o600) }).map(drop)
    }))
}

fn shm_page(_: &Memcg) -> nix::Result<Maker> {
    // SAFETY: a fresh segment is attached where the kernel wants.
    let memory = unsafe {
        let id = ok(libc::shmget(libc::IPC_PRIVATE, 310 * 4096, 0o600))?;
        libc::shmat(id, null(), 0).cast::<u8>()
    };
    if memory as isize == -1 {
        return Err(Errno::last());
    }
    Ok(Box::new(move |number| {
        // SAFETY: inside the segment.
        unsafe { memory.add(4096 * number as usize).write_volatile(1) };
        Ok(())
    }))
}

fn mq_open(_: &Memcg) -> nix::Result<Maker> {
    reserve(1000)?;
    let mut name = NumberedPath::new("counted-", "");
    Ok(Box::new(move |number| {
        let (flags, name) = (libc::O_CREAT | libc::O_RDWR, name.with(number).as_ptr());
        // SAFETY: the name ends with NUL.
        unsafe {
            let queue = libc::syscall(libc::SYS_mq_open, name, flags, 0o600, null::<u8>());
            libc::syscall(libc::SYS_mq_unlink, name);
            ok_long(queue).map(drop)
        }
    }))
}

fn timer(_: &Memcg) -> nix::Result<Maker> {
    setrlimit(Resource::RLIMIT_SIGPENDING, 1 << 20, 1 << 20)?;
    Ok(Box::new(|_| {
        // SAFETY: all bytes zero are a valid description.
        let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
        event.sigev_notify = libc::SIGEV_NONE;
        let (mut timer, clock) = (0_i32, libc::CLOCK_MONOTONIC);
        // SAFETY: the kernel reads one `sigevent` and writes one number.
        ok_long(unsafe {
            libc::syscall(libc::SYS_timer_create, clock, &raw mut event, &raw mut timer)
        })
        .map(drop)
    }))
}

/// A blocked real-time signal: each one sent is queued.
pub(super) fn queued_signal(_: &Memcg) -> nix::Result<Maker> {
    setrlimit(Resource::RLIMIT_SIGPENDING, 1 << 20, 1 << 20)?;
    let number = libc::SIGRTMIN();
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGUSR1);
    signals.thread_block()?;
    // SAFETY: the set is a live value, and so is the one that is not asked for.
    unsafe {
        let mut set = MaybeUninit::zeroed().assume_init();
        libc::sigaddset(&raw mut set, number);
        ok(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, null_mut()))?;
    }
    let process = std::process::id() as libc::pid_t;
    Ok(Box::new(move |_| {
        let value = libc::sigval { sival_ptr: null_mut() };
        // SAFETY: plain numbers.
        ok(unsafe { libc::sigqueue(process, number, value) }).map(drop)
    }))
}

fn key(_: &Memcg) -> nix::Result<Maker> {
    let mut name = NumberedPath::new("counted-", "");
    let payload = [0xa5_u8; 100];
    Ok(Box::new(move |number| {
        const PROCESS_KEYRING: libc::c_int = -2;
        let (kind, name) = (c"user".as_ptr(), name.with(number).as_ptr());
        let (text, bytes) = (payload.as_ptr(), payload.len());
        // SAFETY: strings end with NUL, and the kernel reads so many bytes.
        ok_long(unsafe {
            libc::syscall(libc::SYS_add_key, kind, name, text, bytes, PROCESS_KEYRING)
        })
        .map(drop)
    }))
}
