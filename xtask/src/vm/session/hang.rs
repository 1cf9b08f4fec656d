// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is asked of a VM at its deadline, before it is killed, and of one that crashed: the
//! registers of every CPU, the state of every memcg, the kernel's own lists, and its memory. Each
//! has a limit.
//!
//! Only the guest's watchdog and the kernel's lists need a kernel that still takes interrupts.

use super::{
    CONSOLE_QUIET, DUMP_KEY_PAUSE, DUMP_LIMIT, DUMP_NEXT_PAUSE, Duration, End, Goal, Instant,
    STUCK, Session, Shutdown, TICK, Wire, host_failed, qmp,
};
use crate::evidence::store::{MEMORY, REGISTERS};
use crate::host;
use crate::progress::note;
use crate::vm::dump;

/// For the registers: QEMU answers in milliseconds.
const REGISTERS_LIMIT: Duration = Duration::from_secs(1);
/// For the guest's watchdog to print the memcgs; it looks every tenth of a second.
const MEMCGS_LIMIT: Duration = Duration::from_millis(700);
/// To write the memory of a guest: 1 s for 512 MiB.
const MEMORY_LIMIT: Duration = Duration::from_secs(60);
/// Blocked tasks, active CPUs, memory, held locks (lockdep only), all tasks. The longest is last.
const KEYS: [&str; 5] = ["w", "l", "m", "d", "t"];

impl Session<'_> {
    /// Only a guest that QEMU runs can hang: gives another end if it does not.
    pub(super) fn ask_whether_it_runs(&mut self) -> Option<End> {
        self.vm.send(Wire::Qmp, qmp::STATUS.as_bytes());
        let until = Instant::now() + STUCK;
        while self.status.is_none() && Instant::now() < until {
            self.watch.look(&self.vm);
            match self.turn(TICK) {
                Ok(None) => {}
                Ok(end) => return end,
                Err(error) => return Some(host_failed(format!("{error:#}"))),
            }
        }
        let why = match self.status.as_deref() {
            // It may wait for its state, or have powered off in the last moment.
            Some("running" | "inmigrate" | "shutdown") => return None,
            Some(other) => format!("at the deadline QEMU did not run the guest: {other}"),
            None => format!("QEMU did not answer within {} s", STUCK.as_secs()),
        };
        Some(host_failed(self.with_stderr(why)))
    }

    /// Asks everything.
    pub(super) fn ask_where_it_hangs(&mut self) {
        if self.recorder.asks().is_err() {
            return;
        }
        self.vm.send(Wire::Qmp, qmp::registers().as_bytes());
        self.listen_while(REGISTERS_LIMIT, |it| it.registers.is_none());
        if let Some(registers) = self.registers.take() {
            // What is missing is missing: the verdict does not rest on it.
            let _ = self.recorder.keep(REGISTERS, &registers);
        }
        // What it is asked over its wires would not be in the recording.
        if self.goal_is_packed() {
            self.vm.send(Wire::Qmp, qmp::QUIT.as_bytes());
            return self.listen(STUCK);
        }
        if self.booted {
            self.vm.send(Wire::Port, protocol::LOOK.as_bytes());
            self.listen(MEMCGS_LIMIT);
        }
        let until = Instant::now() + DUMP_LIMIT;
        for key in KEYS {
            let left = || until.saturating_duration_since(Instant::now());
            self.vm.send(Wire::Qmp, qmp::console_break().as_bytes());
            self.listen(left().min(DUMP_KEY_PAUSE));
            self.vm.send(Wire::Console, key.as_bytes());
            self.listen(left().min(DUMP_NEXT_PAUSE));
        }
        let left = until.saturating_duration_since(Instant::now());
        self.listen_while(left, |it| it.last_sign.elapsed() < CONSOLE_QUIET);
        self.dump();
    }

    /// Whether QEMU keeps the guest when it ends. The end of a recording is in its log.
    pub(super) fn stays(&self) -> bool {
        self.dumps.is_some() && !self.goal_is_packed()
    }

    /// Lets go of a guest that QEMU has kept; first the memory of one that crashed is written: only
    /// a panic resets a guest.
    pub(super) fn let_go(&mut self) {
        if self.shutdown.is_none() || self.status.take().is_none() {
            return;
        }
        if matches!(self.shutdown, Some((Shutdown::Reset, _))) {
            self.dump();
        }
        self.vm.send(Wire::Qmp, qmp::QUIT.as_bytes());
    }

    /// Has QEMU write the guest's memory, if this run may have another dump. The guest stands still
    /// meanwhile, and then goes on.
    pub(super) fn dump(&mut self) {
        let Some(dumps) = self.dumps.filter(|_| self.dumped.is_none()) else { return };
        let path = self.recorder.path(MEMORY);
        let room = host::free_mib(self.recorder.path("").as_path()).unwrap_or(0);
        if room < dump::FREE_MIB || !dumps.take() {
            return;
        }
        self.dumped = Some(None);
        self.vm.send(Wire::Qmp, qmp::dump(&path).as_bytes());
        self.listen_while(MEMORY_LIMIT, |it| it.dumped == Some(None));
        let outcome = match self.dumped.clone().flatten() {
            Some(Ok(())) => dump::name_system(&path).map_err(|error| error.to_string()),
            Some(Err(why)) => Err(why),
            None => Err(format!("not written within {} s", MEMORY_LIMIT.as_secs())),
        };
        if let Err(why) = outcome {
            let _ = std::fs::remove_file(&path);
            note(&format!("note: no dump of the guest's memory: {why}"));
        }
        self.dumped.get_or_insert(None);
    }

    /// Whether the guest is stopped for its memory to be written.
    pub(super) fn is_being_dumped(&self) -> bool {
        self.dumped == Some(None)
    }

    /// Whether the load is over and everything of it still there, in a cell that is to be dumped.
    pub(super) fn dumps_at_rest(&self) -> bool {
        self.dumps.is_some_and(|dumps| dumps.at_rest) && !matches!(self.goal, Goal::Save(_))
    }

    fn listen(&mut self, limit: Duration) {
        self.listen_while(limit, |_| true);
    }

    fn listen_while(&mut self, limit: Duration, goes_on: impl Fn(&Self) -> bool) {
        let until = Instant::now() + limit;
        while goes_on(self) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !matches!(self.turn(left.min(TICK)), Ok(None)) {
                return;
            }
        }
    }
}
