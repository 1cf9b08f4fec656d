// SPDX-License-Identifier: MIT OR Apache-2.0
//! The processes of a workload: actors, hog, outsider, bystander; from fork to exit.
//!
//! Every exit is reported when PID 1 sees it. A process that fails in its set-up breaks the cell;
//! one that is killed is a fact.

use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use protocol::{CellRequest, Fact, MemcgRole, ProcessEnd, ProcessEnded, ProcessRole, Started};

use crate::board::{Board, Phase, Slot};
use crate::clock::{self, Deadline};
use crate::lane::Lane;
use crate::memcgs::Memcgs;
use crate::port::Port;
use crate::scenarios::{Part, Plan};
use crate::{bystander, hog, patience, process, shared, tally};

/// How often PID 1 looks for exits, microseconds.
const LOOK_US: u64 = 1_000;

struct Member {
    role: ProcessRole,
    /// Whether its place is the second memcg instead of the limited one.
    second: bool,
    name: String,
    pid: Pid,
    slot: &'static Slot,
    killed_by_guest: bool,
    ended: bool,
}

/// All processes of one cell except PID 1 and its observers.
pub(crate) struct Crew {
    port: &'static Port,
    board: &'static Board,
    actors_killable: bool,
    /// Whether those added next take their place in the second memcg.
    second: bool,
    members: Vec<Member>,
}

impl Crew {
    /// Forks all and waits until each is set up and waits at its gate, in the root memcg.
    ///
    /// # Errors
    /// A process fails in its set-up.
    pub(crate) fn muster(
        port: &'static Port,
        board: &'static Board,
        cell: &CellRequest,
        plan: &Plan,
        memcgs: &Memcgs,
    ) -> Result<Self> {
        let actors_killable = cell.killable;
        let mut crew = Self { port, board, actors_killable, second: false, members: Vec::new() };
        let score = if cell.killable { 0 } else { process::OOM_NEVER };
        let second = cell.second.as_ref().map(|second| (second.tasks, second.hog_bytes));
        let (second_tasks, second_hog_bytes) = second.unwrap_or_default();
        let tasks_in_first = cell.tasks.saturating_sub(second_tasks);
        for index in 0..cell.tasks {
            crew.second = index >= tasks_in_first;
            crew.add(ProcessRole::Actor, &format!("actor-{index}"), score, |slot| {
                let lane = Lane::new(board, slot, cell.operations, plan.failures_max);
                take_part(board, slot, &plan.actor, index, &lane)
            })?;
        }
        let hogs = [(cell.hogs(), cell.hog_bytes), (1, second_hog_bytes)];
        for (limit, (hogs, hog_bytes)) in memcgs.limits(cell).iter().zip(hogs) {
            crew.second = limit.role == MemcgRole::Second;
            for _ in 0..if hog_bytes > 0 { hogs } else { 0 } {
                crew.add(ProcessRole::Hog, "hog", hog::OOM_SCORE_ADJ, |slot| {
                    hog::body(board, slot, limit.memcg, limit.limit_bytes, hog_bytes / hogs)
                })?;
            }
        }
        if let Some(part) = &plan.outsider {
            crew.add(ProcessRole::Outsider, "outsider", process::OOM_NEVER, |slot| {
                take_part(board, slot, part, 0, &Lane::new(board, slot, u64::MAX, u64::MAX))
            })?;
        }
        crew.add(ProcessRole::Bystander, "bystander", bystander::OOM_SCORE_ADJ, |slot| {
            bystander::body(board, slot)
        })?;
        crew.await_phase(Phase::Ready, "ready", patience::READY_MS, |_| true)?;
        Ok(crew)
    }

    fn add(
        &mut self,
        role: ProcessRole,
        name: &str,
        oom_score_adj: i32,
        body: impl FnOnce(&'static Slot) -> Result<()>,
    ) -> Result<()> {
        let slot: &'static Slot = shared::map_one()?;
        let pid = process::spawn(slot, name, oom_score_adj, || body(slot))?;
        let name = name.to_owned();
        let second = self.second;
        let member = Member { role, second, name, pid, slot, killed_by_guest: false, ended: false };
        self.members.push(member);
        Ok(())
    }

    /// Moves each to its memcg and lets the hog and the bystander fill theirs.
    ///
    /// # Errors
    /// A process cannot be moved, or ends before the load.
    pub(crate) fn take_places(&mut self, memcgs: &Memcgs) -> Result<()> {
        for member in &self.members {
            let memcg = match member.role {
                ProcessRole::Actor | ProcessRole::Hog if member.second => {
                    memcgs.second.as_ref().context("there is no second memcg")?
                }
                ProcessRole::Actor | ProcessRole::Hog => &memcgs.limited,
                ProcessRole::Bystander => &memcgs.bystander,
                ProcessRole::Outsider => continue,
            };
            memcg.admit(member.pid).with_context(|| format!("move {}", member.name))?;
        }
        self.board.fill.open();
        self.await_phase(Phase::Done, "full", patience::FILL_MS, |role| {
            matches!(role, ProcessRole::Hog | ProcessRole::Bystander)
        })
    }

    fn await_phase(
        &mut self,
        phase: Phase,
        word: &str,
        within_ms: u64,
        whom: impl Fn(ProcessRole) -> bool,
    ) -> Result<()> {
        let reached = clock::poll(Deadline::in_ms(within_ms), LOOK_US, || {
            self.reap()?;
            if let Some(ended) = self.members.iter().find(|member| member.ended) {
                bail!("{} ended before the load began", ended.name);
            }
            Ok(self.late(phase, &whom).is_none())
        })?;
        match self.late(phase, &whom) {
            Some(late) if !reached => {
                bail!("{} is not {word} within {within_ms} ms", late.name)
            }
            _ => Ok(()),
        }
    }

    fn late(&self, phase: Phase, whom: impl Fn(ProcessRole) -> bool) -> Option<&Member> {
        self.members.iter().find(|member| whom(member.role) && !member.slot.reached(phase))
    }

    /// Starts the load.
    pub(crate) fn start(&self, workload: &str) -> Result<()> {
        let processes = self.members.len() as u32;
        self.port.send(Fact::Started(Started { workload: workload.to_owned(), processes }))?;
        self.board.started_us.store(clock::now_us(), Ordering::SeqCst);
        self.board.start.open();
        Ok(())
    }

    /// Time since the load began, microseconds; 0 before.
    pub(crate) fn since_start_us(&self) -> u64 {
        match self.board.started_us.load(Ordering::SeqCst) {
            0 => 0,
            started_us => clock::now_us() - started_us,
        }
    }

    /// Waits for the end of the load and signals it to all. `true` if every actor has done its work
    /// or was killed, `false` if the load timed out at `load_ms_max`.
    ///
    /// # Errors
    /// A process failed by itself.
    pub(crate) fn await_load(&mut self, load_ms_max: u64) -> Result<bool> {
        let complete = clock::poll(Deadline::in_ms(load_ms_max), LOOK_US, || {
            self.reap()?;
            Ok(self.members.iter().all(|member| {
                member.role != ProcessRole::Actor
                    || member.ended
                    || member.slot.reached(Phase::Done)
            }))
        })?;
        self.board.stop.raise();
        Ok(complete)
    }

    /// Whether a process in the limited memcg is left that the OOM killer may choose.
    pub(crate) fn has_victims(&self) -> bool {
        self.members.iter().any(|member| match member.role {
            ProcessRole::Actor => self.actors_killable && !member.ended,
            ProcessRole::Hog => !member.ended,
            ProcessRole::Outsider | ProcessRole::Bystander => false,
        })
    }

    /// Reaps and reports every process that has ended.
    ///
    /// # Errors
    /// One failed in its set-up, or the port fails.
    pub(crate) fn reap(&mut self) -> Result<()> {
        loop {
            let (pid, end) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) => (pid, ProcessEnd::Exited(status)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    (pid, ProcessEnd::Signaled(signal as i32))
                }
                Ok(_) | Err(Errno::ECHILD) => return Ok(()),
                Err(errno) => bail!("wait for children: {errno}"),
            };
            let after_us = self.since_start_us();
            // Observers are children too; their end shows in their pipe.
            let Some(member) = self.members.iter_mut().find(|member| member.pid == pid) else {
                continue;
            };
            member.ended = true;
            // A program of the user may exit with that status too.
            if let (ProcessEnd::Exited(process::EXIT_FAULT), Some(fault)) =
                (end, member.slot.fault())
            {
                bail!("{}: {fault}", member.name);
            }
            let (role, by_guest) = (member.role, member.killed_by_guest);
            self.port.send(Fact::ProcessEnded(ProcessEnded {
                role,
                pid: pid.as_raw(),
                end,
                by_guest,
                after_us,
            }))?;
        }
    }

    /// Ends a program of the user, if that is the load, and all that is beside it in the memcg: its
    /// children may go on, and no gate stops them.
    pub(crate) fn end_program(&mut self, cell: &CellRequest, memcgs: &Memcgs) -> Result<()> {
        if cell.program.is_none() {
            return Ok(());
        }
        let inside = |role| matches!(role, ProcessRole::Actor | ProcessRole::Hog);
        self.kill(inside)?;
        self.await_end(patience::EXIT_MS, inside)?;
        clock::poll(Deadline::in_ms(patience::EXIT_MS), LOOK_US, || {
            let gone = memcgs.end_strays()?;
            self.reap()?;
            Ok(gone)
        })?;
        Ok(())
    }

    /// Releases all and makes sure that they end: first those inside memcgs, then the outsider,
    /// which may be stuck behind an actor.
    pub(crate) fn disband(&mut self) -> Result<()> {
        self.board.release.open();
        // The hog and the bystander only ever end by a signal.
        self.kill(|role| matches!(role, ProcessRole::Hog | ProcessRole::Bystander))?;
        self.end(|role| role != ProcessRole::Outsider)?;
        self.end(|_| true)?;
        for member in self.members.iter().filter(|member| !member.ended) {
            self.port.send(Fact::ProcessEnded(ProcessEnded {
                role: member.role,
                pid: member.pid.as_raw(),
                end: ProcessEnd::Unkillable,
                by_guest: true,
                after_us: self.since_start_us(),
            }))?;
        }
        Ok(())
    }

    /// Waits for some to end and kills those that do not.
    fn end(&mut self, whom: impl Fn(ProcessRole) -> bool) -> Result<()> {
        if !self.await_end(patience::LEAVE_MS, &whom)? {
            self.kill(&whom)?;
            self.await_end(patience::EXIT_MS, &whom)?;
        }
        Ok(())
    }

    fn await_end(&mut self, within_ms: u64, whom: impl Fn(ProcessRole) -> bool) -> Result<bool> {
        clock::poll(Deadline::in_ms(within_ms), LOOK_US, || {
            self.reap()?;
            Ok(self.members.iter().all(|member| !whom(member.role) || member.ended))
        })
    }

    fn kill(&mut self, whom: impl Fn(ProcessRole) -> bool) -> Result<()> {
        // Victims of the OOM killer must be noted first.
        self.reap()?;
        let alive = self.members.iter_mut().filter(|member| !member.ended);
        for member in alive.filter(|member| whom(member.role)) {
            member.killed_by_guest = true;
            // It may end just before the signal; the next look sees that.
            let _ = kill(member.pid, Signal::SIGKILL);
        }
        Ok(())
    }

    /// Reports what all processes of one role did with each kind of call.
    pub(crate) fn report(&self, role: ProcessRole, ops: &[&str]) -> Result<()> {
        for (number, op) in ops.iter().enumerate() {
            let players = self.members.iter().filter(|member| member.role == role);
            let tallies = players.map(|member| &member.slot.tallies[number]);
            self.port.send(tally::operations(role, op, tallies))?;
        }
        Ok(())
    }
}

/// The life of an actor or outsider.
fn take_part(board: &Board, slot: &Slot, part: &Part, index: u32, lane: &Lane) -> Result<()> {
    let run = (part.setup)(index)?;
    process::lock_memory()?;
    slot.reach(Phase::Ready);
    board.start.pass();
    run(lane);
    slot.reach(Phase::Done);
    board.release.pass();
    process::await_children();
    process::exit_now(0)
}
