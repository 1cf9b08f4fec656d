// SPDX-License-Identifier: MIT OR Apache-2.0
//! `owe-*`: a task goes over the limit in a system call and does not come back to user mode.
//!
//! It sleeps in the call (`owe-fifo`), or is stopped, traced, frozen or killed on its way out of it
//! (`owe-stopped`, `owe-traced`, `owe-frozen`, `owe-killed`, `owe-dumped`). The outsider conducts:
//! it waits until the task is asleep over its limit (`owe`), does that to it, waits for usage to
//! come back to the limit (`repay`, whose latency is how long that took), and lets the task go.
//!
//! In `owe-reclaimable` the task sleeps, and a second task gives up file pages that it had locked in
//! memory: what could not be reclaimed when the charge went over the limit can be now. It owes more
//! than the page or two that stocks give back, which would spare the victim too.
//!
//! In `owe-interrupted` a signal ends the call, which gives back what it had charged: the task comes back
//! to user mode owing, and all that is left to do is to notice that usage is at the limit again.
//!
//! A pipe's pages outlive the call and even the task, for the outsider has the pipe open too, so
//! that usage does not fall because the task was interrupted.

use std::fs;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, read, write};

use super::brink::{Brink, Level, stay_on_cpu};
use super::cue::{ASLEEP_MS, Cue, state, within};
use super::{Part, Plan, Run, Terms, Workload, file_pages};
use crate::arena::ARENA;
use crate::clock;
use crate::lane::Lane;
use crate::memcg::Memcg;
use crate::tally::Failure;
use crate::tracer::Tracee;
use crate::{process, shared};

const fn workload(name: &'static str, plan: fn(&Terms<'_>) -> Result<Plan>) -> Workload {
    Workload { name, params: &[("hold_ms_max", HOLD_MS_MAX)], on_scratch: false, plan }
}

pub(super) const OWE_FIFO: Workload = workload("owe-fifo", |terms| plan(terms, How::Asleep));
pub(super) const OWE_STOPPED: Workload = workload("owe-stopped", |terms| plan(terms, How::Stopped));
pub(super) const OWE_TRACED: Workload = workload("owe-traced", |terms| plan(terms, How::Traced));
pub(super) const OWE_FROZEN: Workload = workload("owe-frozen", |terms| plan(terms, How::Frozen));
pub(super) const OWE_KILLED: Workload = workload("owe-killed", |terms| plan(terms, How::Killed));
pub(super) const OWE_DUMPED: Workload = workload("owe-dumped", |terms| plan(terms, How::Dumped));
pub(super) const OWE_RECLAIMABLE: Workload = Workload {
    on_scratch: true,
    ..workload("owe-reclaimable", |terms| plan(terms, How::Reclaimable))
};
pub(super) const OWE_INTERRUPTED: Workload =
    workload("owe-interrupted", |terms| plan(terms, How::Interrupted));

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

/// Longest that the task is held, milliseconds: longer than any kernel may need to kill and reap.
const HOLD_MS_MAX: u64 = 4_500;

/// How long it is held on after usage is back: who else would be killed is killed by then.
const HOLD_ON_MS: u64 = 150;

/// Room left below the limit, pages: less than the call charges.
const ROOM_PAGES: u64 = 4;

/// How much of a dump is written, bytes.
const CORE_BYTES: u64 = 64 << 10;

/// Pages that a pipe holds.
const PIPE_BYTES: usize = 16 * 4096;

fn plan(terms: &Terms<'_>, how: How) -> Result<Plan> {
    ensure!(terms.cell.tasks == how.tasks(), "it takes {} tasks", how.tasks());
    let path = format!("{ARENA}/fifo");
    mkfifo(path.as_str(), Mode::S_IRUSR | Mode::S_IWUSR).context("make the FIFO")?;
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
    let actor = Part {
        ops: match how {
            How::Asleep | How::Interrupted => &["open"],
            How::Reclaimable => &["write", "munmap"],
            _ => &["write"],
        },
        setup: Box::new(move |index| {
            if index > 0 && how == How::Reclaimable {
                return file_pages::lock_and_give_up(cue);
            }
            stay_on_cpu(0)?;
            if index > 0 {
                return fill(cue, Brink::of(&memcg, "filler")?);
            }
            if how == How::Dumped {
                setrlimit(Resource::RLIMIT_CORE, CORE_BYTES, CORE_BYTES).context("allow a dump")?;
            }
            let mut brink = Brink::of(&memcg, "actor")?;
            cue.pid.store(nix::unistd::getpid().as_raw(), Ordering::SeqCst);
            if how == How::Interrupted {
                process::catch(Signal::SIGUSR1)?;
            }
            if how.opens_fifo() {
                let path = std::ffi::CString::new(path.as_str())?;
                return Ok(Box::new(move |lane: &Lane| {
                    if cue.walk(|| brink.step_to_the_edge()) {
                        lane.call(CALL, || open_to_read(&path));
                    }
                    cue.returned.store(1, Ordering::SeqCst);
                }) as Run);
            }
            let pipe = open_both_ways(&path)?;
            // One page more than the pipe holds sleeps; a tracer wants the call to come to its end.
            let bytes = PIPE_BYTES + if how == How::Traced { 0 } else { 4096 };
            let filling = vec![0xa5_u8; bytes];
            Ok(Box::new(move |lane: &Lane| {
                let to_the_brink = || match how.dies() {
                    true => Ok(within(ASLEEP_MS, || cue.is_ready()).map_err(|_| Errno::ETIMEDOUT)?),
                    false => brink.approach(ROOM_PAGES).map(drop),
                };
                if cue.walk(to_the_brink) {
                    lane.call(CALL, || write_most(pipe.as_fd(), &filling));
                }
                cue.returned.store(1, Ordering::SeqCst);
            }) as Run)
        }),
    };
    let outsider = outsider(cue, how, hold_ms_max, outsiders, outsiders_path);
    Ok(Plan { actor, outsider: Some(outsider), failures_max: 1 })
}

/// Who conducts the task.
fn outsider(cue: &'static Cue, how: How, hold_ms_max: u64, memcg: Memcg, path: String) -> Part {
    Part {
        ops: &["owe", "repay"],
        setup: Box::new(move |_| {
            let level = Level::of(&memcg)?;
            let pipe = if how.opens_fifo() { None } else { Some(open_both_ways(&path)?) };
            let mut conductor = Conductor {
                cue,
                how,
                hold_ms_max,
                memcg: memcg.clone(),
                level,
                path: path.clone(),
            };
            Ok(Box::new(move |lane: &Lane| {
                // What goes wrong is seen in the tallies: the operations after it are missing.
                let _ = conductor.conduct(lane);
                conductor.let_go(pipe.as_ref());
            }) as Run)
        }),
    }
}

/// The task that brings usage to the limit where the debtor dies: its files stay open, so that the
/// debtor's death frees next to nothing.
fn fill(cue: &'static Cue, mut brink: Brink) -> Result<Run> {
    Ok(Box::new(move |_: &Lane| {
        cue.drained.pass();
        if brink.approach(ROOM_PAGES).is_ok() {
            cue.ready.store(1, Ordering::SeqCst);
        }
    }))
}

struct Conductor {
    cue: &'static Cue,
    how: How,
    hold_ms_max: u64,
    memcg: Memcg,
    level: Level,
    path: String,
}

impl Conductor {
    fn conduct(&mut self, lane: &Lane) -> Result<()> {
        if self.how == How::Reclaimable {
            let _ = within(ASLEEP_MS, || self.cue.is_ready());
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
            self.over()
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
                    return within(ASLEEP_MS, || self.cue.has_returned());
                }
                // What was repaid after the task had got away says nothing.
                within(ASLEEP_MS, || self.is_held()).map_err(|_| Errno::ESRCH.into())
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
                state == Some('S') && !self.cue.has_returned()
            }
            How::Stopped => state == Some('T'),
            How::Traced => state == Some('t'),
            How::Frozen => self.memcg.is_frozen(),
            How::Killed | How::Dumped => matches!(state, None | Some('Z')),
        }
    }

    /// Whether usage is over the limit: `ENODATA` when it is not, as on a kernel that lets nothing
    /// over it.
    fn over(&mut self) -> Result<(), Failure> {
        if self.level.is_over() == Some(true) { Ok(()) } else { Err(Errno::ENODATA.into()) }
    }

    /// Lets the task return, whatever it waits for. A tracer has let it go already.
    fn let_go(&self, pipe: Option<&std::os::fd::OwnedFd>) {
        self.cue.drained.open();
        self.cue.go.open();
        self.cue.unlock.open();
        match self.how {
            How::Frozen => drop(self.memcg.write("cgroup.freeze", "0")),
            How::Stopped => drop(kill(self.cue.pid(), Signal::SIGCONT)),
            _ => {}
        }
        let writer = match pipe {
            None => open(self.path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).ok(),
            Some(_) => None,
        };
        let mut sink = [0; 4096];
        let _ = within(ASLEEP_MS, || {
            while let Some(pipe) = pipe
                && matches!(read(pipe, &mut sink), Ok(1..))
            {}
            self.how.dies() || self.cue.has_returned()
        });
        drop(writer);
    }
}

fn open_to_read(path: &std::ffi::CStr) -> Result<(), Failure> {
    open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    Ok(())
}

/// Opening a FIFO both ways never waits. Reads do not wait either.
pub(super) fn open_both_ways(path: &str) -> Result<std::os::fd::OwnedFd> {
    open(path, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .with_context(|| format!("open {path}"))
}

/// Writes; a signal may cut off what the pipe has no room for, and no more.
pub(super) fn write_most(pipe: std::os::fd::BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Failure> {
    if write(pipe, bytes)? >= PIPE_BYTES { Ok(()) } else { Err(Failure::Short) }
}
