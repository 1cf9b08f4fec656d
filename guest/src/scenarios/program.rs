// SPDX-License-Identifier: MIT OR Apache-2.0
//! `program`: a program of the user, which the host has packed into the initramfs.
//!
//! The actor becomes the program: it calls `execve()` inside the memcg, so how it ends is how the
//! program ended. It sees the parent of the memcgs as the root of the cgroup hierarchy, and may
//! make memcgs there. Everything else that it can write to is made for it and gone with it: tmpfs
//! in the usual places and the ext4 scratch disk; the rest is read-only. A task outside the memcg
//! reads what it prints from a FIFO, however much that is, and keeps the beginning and the end.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, mkfifo, setsid};
use protocol::{Fact, NOT_STARTED_STATUS, PROGRAM_ID, PROGRAM_WORKLOAD, Transcript};

use super::{Part, Plan, Terms, Workload};
use crate::arena::ARENA;
use crate::lane::Lane;
use crate::{Missing, clock, process, shared};

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new(PROGRAM_WORKLOAD, &[("hogs", 1)], plan).on_scratch()];

/// Folders in which the program may write.
const WRITABLE: [&str; 5] = ["/tmp", "/run", "/var/tmp", "/dev/shm", "/root"];

/// Bytes kept of the beginning of what it prints, and of the end.
const KEPT_BYTES: usize = 32 << 10;

/// Bytes of one read: what a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;

/// How often the reader looks, microseconds.
const LOOK_US: u64 = 1_000;

/// Where the program writes to.
fn fifo() -> String {
    format!("{ARENA}/output")
}

/// Where the reader leaves it.
fn kept(part: &str) -> String {
    format!("{ARENA}/output.{part}")
}

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let program = terms.cell.program.as_ref().context("the request names no program")?;
    let id = fs::read_to_string(PROGRAM_ID).map_err(|_| Missing("the program".to_owned()))?;
    ensure!(id == program.files_sha256, "{PROGRAM_ID} is of another program: {id}");
    ensure!(terms.cell.tasks == 1, "one task runs the program");
    let words = |words: &[String]| -> Result<Vec<CString>> {
        words.iter().map(|word| Ok(CString::new(word.as_str())?)).collect()
    };
    let (argv, env) = (words(&program.argv)?, words(&program.env)?);
    ensure!(!argv.is_empty(), "the program has no name");
    for folder in WRITABLE {
        fs::create_dir_all(folder).with_context(|| format!("create {folder}"))?;
    }
    mkfifo(fifo().as_str(), Mode::S_IRUSR | Mode::S_IWUSR).context("make the FIFO")?;
    let root = terms.memcgs.parent.path("");
    let errno: &'static AtomicU32 = shared::map_one()?;
    let actor = Part::new(&[], move |_index| {
        // With a reader, if only itself, opening it to write does not wait.
        let _reader = OpenOptions::new().read(true).write(true).open(fifo())?;
        let output = OpenOptions::new().write(true).open(fifo())?;
        seclude(&root).context("give the program its file systems")?;
        // Rust's start-up ignores it, and execve() would hand that down.
        // SAFETY: no handler is installed.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.context("reset SIGPIPE")?;
        setsid().context("begin a session")?;
        let null = File::open("/dev/null").context("open /dev/null")?;
        dup2_stdin(&null).context("set up standard input")?;
        dup2_stdout(&output).context("set up standard output")?;
        dup2_stderr(&output).context("set up standard error")?;
        let (argv, env) = (argv.clone(), env.clone());
        let [argv_at, env_at] = [&argv, &env].map(|words| -> Vec<*const libc::c_char> {
            words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect()
        });
        Ok(move |_lane: &Lane| {
            // SAFETY: both lists end with a null pointer, and their strings live in this closure.
            unsafe { libc::execve(argv[0].as_ptr(), argv_at.as_ptr(), env_at.as_ptr()) };
            errno.store(Errno::last_raw() as u32, Ordering::SeqCst);
            process::exit_now(NOT_STARTED_STATUS)
        })
    });
    let reader = Part::new(&[], |_index| {
        let flags = libc::O_NONBLOCK;
        let input = OpenOptions::new().read(true).custom_flags(flags).open(fifo())?;
        Ok(move |lane: &Lane| read_all(input, lane))
    });
    let plan = terms.plan(actor).with_outsider(reader);
    // What the reader did not leave is missed by the host.
    let found = move || transcript(errno).ok().map(Fact::Transcript).into_iter().collect();
    Ok(Plan { findings: Some(Box::new(found)), ..plan })
}

/// Gives the caller file systems of its own, which end with it and its children.
fn seclude(root: &Path) -> Result<()> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).context("unshare mounts")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).context("make mounts private")?;
    mount(Some(root), "/sys/fs/cgroup", none, MsFlags::MS_BIND, none).context("bind cgroups")?;
    for folder in WRITABLE {
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), none)
            .with_context(|| format!("mount tmpfs on {folder}"))?;
    }
    umount2(ARENA, MntFlags::MNT_DETACH).context("unmount what is the guest's own")?;
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(none, "/", none, read_only, none).context("make the root read-only")?;
    std::env::set_current_dir("/tmp").context("enter /tmp")
}

/// Reads what is printed until nothing can print any more.
fn read_all(mut input: File, lane: &Lane) {
    let (mut head, mut tail, mut bytes) = (Vec::new(), Vec::new(), 0_u64);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match input.read(&mut chunk) {
            // Nobody has it open: not yet, or not any more.
            Ok(0) if lane.stopped() => break,
            Ok(0) => clock::sleep_us(LOOK_US),
            Ok(length) => {
                bytes += length as u64;
                keep(&mut head, &mut tail, &chunk[..length]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => clock::sleep_us(LOOK_US),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let count = bytes.to_string().into_bytes();
    for (part, bytes) in [("head", head), ("tail", tail), ("count", count)] {
        let written = File::create(kept(part)).and_then(|mut file| file.write_all(&bytes));
        // A part that is missing is missed.
        drop(written);
    }
}

/// Keeps the first bytes and the last.
fn keep(head: &mut Vec<u8>, tail: &mut Vec<u8>, mut bytes: &[u8]) {
    let first = bytes.len().min(KEPT_BYTES - head.len());
    head.extend_from_slice(&bytes[..first]);
    bytes = &bytes[first..];
    bytes = &bytes[bytes.len().saturating_sub(KEPT_BYTES)..];
    tail.drain(..(tail.len() + bytes.len()).saturating_sub(KEPT_BYTES));
    tail.extend_from_slice(bytes);
}

/// What the reader left.
fn transcript(errno: &AtomicU32) -> Result<Transcript> {
    let read = |part| fs::read(kept(part)).context("the reader of the program's output left none");
    let text = |part| Ok::<_, anyhow::Error>(String::from_utf8_lossy(&read(part)?).into_owned());
    Ok(Transcript {
        not_started: match errno.load(Ordering::SeqCst) {
            0 => None,
            errno => Some(format!("{:?}", Errno::from_raw(errno as i32))),
        },
        bytes: text("count")?.parse().context("bytes printed")?,
        head: text("head")?,
        tail: text("tail")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_and_end_are_kept_and_no_more() {
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        let all: Vec<u8> = (0..5 * KEPT_BYTES).map(|at| (at % 251) as u8).collect();
        for chunk in all.chunks(1000) {
            keep(&mut head, &mut tail, chunk);
        }
        assert_eq!((&head[..], &tail[..]), (&all[..KEPT_BYTES], &all[4 * KEPT_BYTES..]));
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        keep(&mut head, &mut tail, &all);
        assert_eq!((&head[..], &tail[..]), (&all[..KEPT_BYTES], &all[4 * KEPT_BYTES..]));
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        keep(&mut head, &mut tail, b"all");
        assert_eq!((&head[..], &tail[..]), (&b"all"[..], &b""[..]));
    }
}
