// SPDX-License-Identifier: MIT OR Apache-2.0
//! `owe-*`: a task goes over the limit in a system call and does not come back to user mode.
//!
//! It sleeps in the call (`owe-fifo`), or is stopped, traced, frozen or killed on its way out of it
//! (`owe-stopped`, `owe-traced`, `owe-frozen`, `owe-killed`, `owe-dumped`). The outsider conducts:
//! it waits until the task is asleep over its limit (`owe`), acts on it, waits for usage to come
//! back to the limit (`repay`, whose latency is how long that took), and lets the task go.
//!
//! In `owe-reclaimable` the task sleeps, and a second task unmaps file pages that it had locked in
//! memory: what could not be reclaimed when the charge went over the limit can be now. The task
//! owes more than the page or two that stocks give back, which would spare the victim too.
//!
//! In `owe-interrupted` a signal ends the call, which uncharges what it had charged: the task comes
//! back to user mode owing, and the kernel only has to notice that usage is at the limit again.
//!
//! The pages of a pipe outlive the call and even the task, because the outsider has the pipe open
//! too. So usage does not fall because the task was interrupted.

mod file_pages;
mod tracer;

use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, read, write};

use self::tracer::Tracee;
use super::{Part, Plan, Run, Terms, Workload};
use crate::arena::ARENA;
use crate::brink::{Brink, Level, stay_on_cpu};
use crate::cue::{ASLEEP_MS, Cue, state, within};
use crate::lane::Lane;
use crate::memcg::Memcg;
use crate::tally::Failure;
use crate::{clock, process, shared};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new("owe-fifo", PARAMS, |terms| plan(terms, How::Asleep)),
    Workload::new("owe-stopped", PARAMS, |terms| plan(terms, How::Stopped)),
    Workload::new("owe-traced", PARAMS, |terms| plan(terms, How::Traced)),
    Workload::new("owe-frozen", PARAMS, |terms| plan(terms, How::Frozen)),
    Workload::new("owe-killed", PARAMS, |terms| plan(terms, How::Killed)),
    Workload::new("owe-dumped", PARAMS, |terms| plan(terms, How::Dumped)),
    Workload::new("owe-reclaimable", PARAMS, |terms| plan(terms, How::Reclaimable)).on_scratch(),
    Workload::new("owe-interrupted", PARAMS, |terms| plan(terms, How::Interrupted)),
];

/// `hold_ms_max`: longest that the task is held, milliseconds. Longer than any kernel may need to
/// kill and reap.
const PARAMS: &[(&str, u64)] = &[("hold_ms_max", 4_500)];

/// How the task is kept from returning to user mode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Asleep,
    Stopped,
    Traced,
    Frozen,
    Killed,
    Dumped,
    Reclaimable,
    Interrupted,
}

impl How {
    /// Whether the call is the open of a FIFO, which goes over the limit by one page, rather than a
    /// write, which goes on charging for a while.
    fn opens_fifo(self) -> bool {
        matches!(self, Self::Asleep | Self::Interrupted)
    }

    /// Whether the task does not survive.
    fn dies(self) -> bool {
        matches!(self, Self::Killed | Self::Dumped)
    }

    /// Tasks that take part.
    fn tasks(self) -> u32 {
        if self.dies() || self == Self::Reclaimable { 2 } else { 1 }
    }
}

const CALL: usize = 0;
const OWE: usize = 0;
const REPAY: usize = 1;

/// How long it is still held after usage is back, milliseconds: any further kill happens by then.
const HOLD_ON_MS: u64 = 150;

/// Room left below the limit, pages: less than the call charges.
const ROOM_PAGES: u64 = 4;

/// How much of a dump is written, bytes.
const CORE_BYTES: u64 = 64 << 10;

/// Pages that a pipe holds.
const PIPE_BYTES: usize = 16 * 4096;

fn plan(terms: &Terms<'_>, how: How) -> Result<Plan> {
    ensure!(terms.cell.tasks == how.tasks(), "it takes {} tasks", how.tasks());
    let path = make_fifo()?;
    match how {
        How::Reclaimable => file_pages::prepare()?,
        How::Dumped => {
            let pattern = format!("{ARENA}/core");
            fs::write("/proc/sys/kernel/core_pattern", pattern).context("say where to dump")?;
        }
        _ => {}
    }
    let cue: &'static Cue = shared::map_one()?;
    let hold_ms_max = terms.param("hold_ms_max");
    let (memcg, outsiders) = (terms.memcgs.limited.clone(), terms.memcgs.limited.clone());
    let outsiders_path = path.clone();
    let setup = move |index| {
        if index > 0 && how == How::Reclaimable {
            return file_pages::lock_and_give_up(cue);
        }
        stay_on_cpu(0)?;
        match index {
            0 => act(cue, how, &memcg, &path),
            _ => fill(cue, Brink::of(&memcg, "filler")?),
        }
    };
    let actor = match how {
        How::Asleep | How::Interrupted => Part::new(&["open"], setup),
        How::Reclaimable => Part::new(&["write", "munmap"], setup),
        _ => Part::new(&["write"], setup),
    };
    let outsider = outsider(cue, how, hold_ms_max, outsiders, outsiders_path);
    Ok(Plan { failures_max: 1, ..terms.plan(actor).with_outsider(outsider) })
}

/// The task that goes over the limit.
fn act(cue: &'static Cue, how: How, memcg: &Memcg, path: &CStr) -> Result<Run> {
    if how == How::Dumped {
        setrlimit(Resource::RLIMIT_CORE, CORE_BYTES, CORE_BYTES).context("allow a dump")?;
    }
    let mut brink = Brink::of(memcg, "actor")?;
    cue.pid.store(nix::unistd::getpid().as_raw(), Ordering::SeqCst);
    if how == How::Interrupted {
        process::catch(Signal::SIGUSR1)?;
    }
    if how.opens_fifo() {
        let path = path.to_owned();
        return Ok(Box::new(move |lane: &Lane| {
            if cue.walk(|| brink.step_to_the_edge().is_ok()) {
                lane.call(CALL, || open_to_read(&path));
            }
            cue.returned.raise();
        }));
    }
    let pipe = open_both_ways(path)?;
    // One page more than the pipe holds sleeps; a tracer needs the call to come to its end.
    let bytes = PIPE_BYTES + if how == How::Traced { 0 } else { 4096 };
    let filling = vec![0xa5_u8; bytes];
    Ok(Box::new(move |lane: &Lane| {
        let to_the_brink = || match how.dies() {
            true => within(ASLEEP_MS, || cue.ready.is_up()).is_ok(),
            false => brink.approach(ROOM_PAGES).is_ok(),
        };
        if cue.walk(to_the_brink) {
            lane.call(CALL, || write_most(pipe.as_fd(), &filling));
        }
        cue.returned.raise();
    }))
}

/// Conducts the task.
fn outsider(cue: &'static Cue, how: How, hold_ms_max: u64, memcg: Memcg, path: CString) -> Part {
    Part::new(&["owe", "repay"], move |_| {
        let level = Level::of(&memcg)?;
        let pipe = if how.opens_fifo() { None } else { Some(open_both_ways(&path)?) };
        let (memcg, path) = (memcg.clone(), path.clone());
        let mut conductor = Conductor { cue, how, hold_ms_max, memcg, level, path };
        Ok(move |lane: &Lane| {
            // An error shows in the tallies: the operations after it are missing.
            let _ = conductor.conduct(lane);
            conductor.let_go(pipe.as_ref());
        })
    })
}

/// The task that brings usage to the limit where the debtor dies: its files stay open, so that the
/// debtor's death frees next to nothing.
fn fill(cue: &'static Cue, mut brink: Brink) -> Result<Run> {
    Ok(Box::new(move |_: &Lane| {
        cue.drained.pass();
        if brink.approach(ROOM_PAGES).is_ok() {
            cue.ready.raise();
        }
    }))
}

struct Conductor {
    cue: &'static Cue,
    how: How,
    hold_ms_max: u64,
    memcg: Memcg,
    level: Level,
    path: CString,
}

impl Conductor {
    fn conduct(&mut self, lane: &Lane) -> Result<()> {
        if self.how == How::Reclaimable {
            let _ = within(ASLEEP_MS, || self.cue.ready.is_up());
        }
        self.memcg.drain()?;
        self.cue.drained.open();
        if self.cue.await_brink().is_err() {
            return Ok(());
        }
        let mut tracee = None;
        if self.how == How::Traced {
            tracee = Some(Tracee::seize(self.cue.pid())?);
        }
        self.cue.go.open();
        let owes = lane.call(OWE, || {
            match &mut tracee {
                Some(tracee) => tracee.run_to_end_of(nix::libc::SYS_write)?,
                None => self.cue.await_sleep()?,
            }
            self.level.must_be_over()
        });
        match self.how {
            How::Asleep | How::Traced => {}
            How::Stopped => kill(self.cue.pid(), Signal::SIGSTOP)?,
            How::Killed => kill(self.cue.pid(), Signal::SIGKILL)?,
            How::Dumped => kill(self.cue.pid(), Signal::SIGQUIT)?,
            How::Reclaimable => self.cue.unlock.open(),
            How::Interrupted => kill(self.cue.pid(), Signal::SIGUSR1)?,
            How::Frozen => self.memcg.write("cgroup.freeze", "1")?,
        }
        if owes.is_some() {
            let hold_ms_max = self.hold_ms_max;
            lane.call(REPAY, || {
                within(hold_ms_max, || self.level.is_over() == Some(false))?;
                if self.how == How::Interrupted {
                    return within(ASLEEP_MS, || self.cue.returned.is_up());
                }
                // A repayment after the task got away means nothing.
                within(ASLEEP_MS, || self.is_held()).map_err(|_| Errno::ESRCH)
            });
            clock::sleep_us(HOLD_ON_MS * 1000);
        }
        Ok(())
    }

    /// Whether the task is where it should be: it has not come back to user mode.
    fn is_held(&self) -> bool {
        let state = state(self.cue.pid());
        match self.how {
            How::Asleep | How::Reclaimable | How::Interrupted => {
                state == Some('S') && !self.cue.returned.is_up()
            }
            How::Stopped => state == Some('T'),
            How::Traced => state == Some('t'),
            How::Frozen => self.memcg.is_frozen(),
            How::Killed | How::Dumped => matches!(state, None | Some('Z')),
        }
    }

    /// Lets the task return, whatever it waits for. A tracer has let it go already.
    fn let_go(&self, pipe: Option<&OwnedFd>) {
        self.cue.drained.open();
        self.cue.go.open();
        self.cue.unlock.open();
        match self.how {
            How::Frozen => drop(self.memcg.write("cgroup.freeze", "0")),
            How::Stopped => drop(kill(self.cue.pid(), Signal::SIGCONT)),
            _ => {}
        }
        let writer = match pipe {
            None => open_both_ways(&self.path).ok(),
            Some(_) => None,
        };
        let mut sink = [0; 4096];
        let _ = within(ASLEEP_MS, || {
            while let Some(pipe) = pipe
                && matches!(read(pipe, &mut sink), Ok(1..))
            {}
            self.how.dies() || self.cue.returned.is_up()
        });
        drop(writer);
    }
}

fn open_to_read(path: &CStr) -> nix::Result<()> {
    open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map(drop)
}

/// Makes the FIFO of a workload that needs one.
pub(super) fn make_fifo() -> Result<CString> {
    let path = CString::new(format!("{ARENA}/fifo"))?;
    mkfifo(path.as_c_str(), Mode::S_IRUSR | Mode::S_IWUSR).context("make the FIFO")?;
    Ok(path)
}

/// Opens a FIFO for reading and writing, which never waits.
pub(super) fn open_both_ways(path: &CStr) -> Result<OwnedFd> {
    open(path, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .with_context(|| format!("open {path:?}"))
}

/// Writes; a signal may cut off only what the pipe has no room for.
fn write_most(pipe: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Failure> {
    if write(pipe, bytes)? >= PIPE_BYTES { Ok(()) } else { Err(Failure::Short) }
}
