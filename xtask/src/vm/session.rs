// SPDX-License-Identifier: MIT OR Apache-2.0
//! The run of one VM, from start to end: who says what when, and for how long.
//!
//! Contract: [`Session::run`] ends, whatever guest, QEMU or host do: every turn of its loop checks
//! the deadline and the stop flag. It judges nothing; how the VM ended is a fact.

mod hang;

use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use protocol::{CellRequest, Fact, Hello, Order};

use super::process::{Vm, Wire};
use super::qmp::{self, Said, Shutdown};
use super::rig::{Dumps, LOG_BYTES_MAX, Limits};
use super::watch::Watch;
use crate::evidence::Ending;
use crate::evidence::console::printable;
use crate::evidence::lines::{Line, Lines};
use crate::evidence::store::{LOG, Recorder};
use crate::host::stop::Stop;

/// Longest wait between two checks of the stop flag and the process.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// A QEMU that runs ends, and answers, in milliseconds. After this it is stuck.
const STUCK: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 5 });
/// Time for the kernel to print its lists, after the deadline.
const DUMP_LIMIT: Duration = Duration::from_secs(5);
/// A kernel that was silent for this long has printed all.
const CONSOLE_QUIET: Duration = Duration::from_millis(500);
/// Between a break and its key. They use different sockets and interrupts: with 100 ms, the key
/// overtook the break in some runs under TCG.
const DUMP_KEY_PAUSE: Duration = Duration::from_millis(300);
/// Between a key and the next break: a break before the key cancels the sysrq.
const DUMP_NEXT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes kept of the end of QEMU's stderr.
const STDERR_BYTES_MAX: usize = 8 * 1024;

/// Why the VM is started.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal<'a> {
    /// To see whether a guest comes up.
    Hello,
    /// To run a cell to its end.
    Cell(&'a CellRequest),
    /// The same, but with the request sent before the guest is up: if an idle guest's clock skips
    /// from timer to timer, it gives up before an answer to its Hello can arrive.
    CellAtOnce(&'a CellRequest),
    /// To run a cell whose order is in its initramfs, to be recorded or as it was recorded.
    Packed,
    /// To boot, and to write the state of the waiting guest to this file.
    Save(&'a File),
    /// To run a cell from the state in this file.
    Restored(&'a CellRequest, &'a File),
}

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// [`Goal::Hello`]: the guest said it.
    Hello,
    /// [`Goal::Save`]: the state is written.
    Saved,
    /// The VM ended, or was killed.
    Vm(Ending),
}

/// One VM while it runs.
#[derive(Debug)]
pub(super) struct Session<'a> {
    vm: Vm,
    recorder: &'a mut Recorder,
    goal: Goal<'a>,
    limits: Limits,
    stop: &'a Stop,
    /// Start of the phase: of QEMU, then of the cell.
    since: Instant,
    booted: bool,
    last_sign: Instant,
    qmp: Lines,
    shutdown: Option<(Shutdown, Instant)>,
    stderr: Vec<u8>,
    watch: Watch,
    /// Since when QEMU has one of its wires closed.
    hung_up: Option<Instant>,
    /// Whether the guest runs, in QEMU's words, if it was asked.
    status: Option<String>,
    /// Registers of every CPU, if they were asked for.
    registers: Option<String>,
    /// How many dumps of memory may still be written; none where they are not wanted.
    dumps: Option<&'a Dumps>,
    /// Whether a dump was asked for, and then how that ended.
    dumped: Option<Option<Result<(), String>>>,
}

impl<'a> Session<'a> {
    /// A session of a VM that has just been started.
    pub(super) fn new(
        vm: Vm,
        recorder: &'a mut Recorder,
        goal: Goal<'a>,
        limits: Limits,
        stop: &'a Stop,
    ) -> Self {
        let (since, last_sign) = (Instant::now(), Instant::now());
        let (qmp, shutdown, stderr) = (Lines::new(qmp::LINE_BYTES_MAX), None, Vec::new());
        let (watch, hung_up, status, booted) = (Watch::begin(), None, None, false);
        let (registers, dumps, dumped) = (None, None, None);
        Self {
            vm,
            recorder,
            goal,
            limits,
            stop,
            since,
            booted,
            last_sign,
            qmp,
            shutdown,
            stderr,
            watch,
            hung_up,
            status,
            registers,
            dumps,
            dumped,
        }
    }

    /// The same, which may write dumps.
    pub(super) fn with_dumps(self, dumps: &'a Dumps) -> Self {
        Self { dumps: Some(dumps), ..self }
    }

    /// Runs it to its end. The VM is gone afterwards.
    pub(super) fn run(mut self) -> End {
        self.vm.send(Wire::Qmp, qmp::HANDSHAKE.as_bytes());
        if self.stays() {
            self.vm.send(Wire::Qmp, qmp::STAY.as_bytes());
        }
        let begun = match self.goal {
            Goal::CellAtOnce(request) => self.request(request),
            Goal::Restored(_, state) => self.state(state, qmp::RESTORE),
            Goal::Hello | Goal::Cell(_) | Goal::Packed | Goal::Save(_) => Ok(()),
        };
        let end = match begun {
            Ok(()) => self.until_end(),
            Err(error) => self.never_begun(&error),
        };
        self.watch.look(&self.vm);
        let end = match self.watch.trouble() {
            Some(why) if end != End::Vm(Ending::Interrupted) => host_failed(why),
            _ => end,
        };
        self.vm.kill();
        // The pipe may still hold what it wrote.
        self.rest_of_code();
        end
    }

    /// A QEMU that is gone says why by its status and stderr.
    fn never_begun(&mut self, error: &anyhow::Error) -> End {
        let until = Instant::now() + STUCK;
        while Instant::now() < until {
            match self.turn(TICK) {
                Ok(Some(end)) => return end,
                Ok(None) => {}
                Err(_) => break,
            }
        }
        host_failed(self.with_stderr(format!("cannot talk to QEMU: {error:#}")))
    }

    fn until_end(&mut self) -> End {
        loop {
            if self.stop.asked() {
                return End::Vm(Ending::Interrupted);
            }
            self.watch.look(&self.vm);
            if let Some(why) = self.watch.trouble() {
                return host_failed(why);
            }
            if self.written_bytes() > LOG_BYTES_MAX {
                let most = LOG_BYTES_MAX >> 20;
                return host_failed(format!("the recording has more than {most} MiB"));
            }
            if let Some(wire) = self.deaf() {
                return host_failed(
                    self.with_stderr(format!("QEMU closed {wire} and did not end")),
                );
            }
            let left = self.deadline().saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.out_of_time();
            }
            match self.turn(left.min(TICK)) {
                Ok(Some(end)) => return end,
                Ok(None) => self.let_go(),
                Err(error) => return host_failed(format!("{error:#}")),
            }
        }
    }

    /// Waits once and handles what arrived; returns the end, if that was it.
    fn turn(&mut self, limit: Duration) -> anyhow::Result<Option<End>> {
        let (exited, chunks) = self.vm.turn(limit)?;
        if let (Some(status), true) = (exited, chunks.is_empty()) {
            return Ok(Some(End::Vm(self.ended(status))));
        }
        for (wire, bytes) in chunks {
            match wire {
                Wire::Console => {
                    self.last_sign = Instant::now();
                    self.recorder.console(&bytes)?;
                }
                Wire::Port => {
                    if let Some(end) = self.port(&bytes)? {
                        return Ok(Some(end));
                    }
                }
                Wire::Qmp => {
                    if let Some(end) = self.control(&bytes)? {
                        return Ok(Some(end));
                    }
                }
                Wire::Code => self.recorder.code(&bytes),
                Wire::Stderr => {
                    self.stderr.extend_from_slice(&bytes);
                    let excess = self.stderr.len().saturating_sub(STDERR_BYTES_MAX);
                    self.stderr.drain(..excess);
                }
            }
        }
        Ok(None)
    }

    fn port(&mut self, bytes: &[u8]) -> anyhow::Result<Option<End>> {
        let events = self.recorder.port(bytes)?;
        if !events.is_empty() {
            self.last_sign = Instant::now();
        }
        let settled = events.iter().any(|event| matches!(event.fact, Fact::Settled(_)));
        let hello = events.iter().find_map(|event| match &event.fact {
            Fact::Hello(Hello { protocol, .. }) => Some(*protocol),
            _ => None,
        });
        if settled && self.dumps_at_rest() {
            self.dump();
        }
        let (Some(theirs), false) = (hello, self.booted) else { return Ok(None) };
        self.booted = true;
        self.since = Instant::now();
        if theirs != protocol::VERSION {
            let ours = protocol::VERSION;
            let why = format!("the guest has protocol {theirs}, the harness {ours}: rebuild it");
            return Ok(Some(host_failed(why)));
        }
        match self.goal {
            Goal::Hello => return Ok(Some(End::Hello)),
            Goal::Cell(request) => self.request(request)?,
            Goal::Save(state) => self.state(state, qmp::SAVE)?,
            Goal::CellAtOnce(_) | Goal::Packed | Goal::Restored(..) => {}
        }
        Ok(None)
    }

    fn request(&mut self, request: &CellRequest) -> anyhow::Result<()> {
        let since_1970 = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_clock_us = match self.goal {
            Goal::Restored(..) => Some(u64::try_from(since_1970().as_micros())?),
            _ => None,
        };
        // The keys of std's hash maps are random.
        let nonce = RandomState::new().build_hasher().finish();
        let order = Order { wall_clock_us, nonce, request: request.clone() };
        let mut line = serde_json::to_vec(&order)?;
        line.push(b'\n');
        self.vm.send(Wire::Port, &line);
        Ok(())
    }

    /// Passes QEMU the file of the state, and the commands for it.
    fn state(&mut self, state: &File, commands: &str) -> anyhow::Result<()> {
        self.vm.send_with(state, qmp::TAKE_STATE)?;
        self.vm.send(Wire::Qmp, commands.as_bytes());
        Ok(())
    }

    fn control(&mut self, bytes: &[u8]) -> anyhow::Result<Option<End>> {
        for line in self.qmp.push(bytes) {
            let Line::Whole(text) = line else { continue };
            match (qmp::said(&text), self.goal) {
                (Some(Said::Shutdown(reason)), _) => {
                    self.shutdown.get_or_insert((reason, Instant::now()));
                    // While its threads still exist.
                    self.recorder.starved(millis(self.vm.waited_for_cpu()));
                }
                (Some(Said::Moved), Goal::Save(_)) => return Ok(Some(End::Saved)),
                (Some(Said::Moved), Goal::Restored(request, _)) => {
                    self.booted = true;
                    self.since = Instant::now();
                    self.vm.send(Wire::Qmp, qmp::CONTINUE.as_bytes());
                    self.request(request)?;
                }
                (Some(Said::Failed(why)), Goal::Save(_)) => {
                    return Ok(Some(host_failed(format!("QEMU cannot save the VM: {why}"))));
                }
                (Some(Said::Failed(why)), Goal::Restored(..)) if !self.booted => {
                    return Ok(Some(host_failed(format!("QEMU cannot restore the VM: {why}"))));
                }
                (Some(Said::DiskFailed(why)), _) => {
                    let why = format!("QEMU's disk, whose writes go to TMPDIR or /var/tmp: {why}");
                    return Ok(Some(host_failed(why)));
                }
                (Some(Said::Registers(text)), _) => self.registers = Some(text),
                (Some(Said::Dumped(outcome)), _) => self.dumped = Some(Some(outcome)),
                (Some(Said::Paused), _) if self.is_being_dumped() => {}
                (Some(Said::Paused), _) if self.shutdown.is_some() => {
                    self.status = Some("shutdown".to_owned());
                }
                (Some(Said::Paused), goal) if self.should_run(goal) => {
                    let why = self.with_stderr("QEMU stopped the guest by itself".to_owned());
                    return Ok(Some(host_failed(why)));
                }
                (Some(Said::Status(status)), _) => self.status = Some(status),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Whether the guest runs as far as we asked. A VM that is to be saved is stopped first, and
    /// one that is restored begins stopped.
    fn should_run(&self, goal: Goal<'_>) -> bool {
        match goal {
            Goal::Save(_) => !self.booted,
            Goal::Restored(..) => self.booted,
            Goal::Hello | Goal::Cell(_) | Goal::CellAtOnce(_) | Goal::Packed => true,
        }
    }

    /// Bytes that a VM without sockets has written, with its log.
    fn written_bytes(&self) -> u64 {
        let log = self.recorder.path(LOG).metadata().map_or(0, |it| it.len());
        self.vm.written_bytes() + log
    }

    /// The wire that QEMU closed a while ago, although it has not ended.
    fn deaf(&mut self) -> Option<Wire> {
        let wire = self.vm.closed()?;
        let since = *self.hung_up.get_or_insert_with(Instant::now);
        (since.elapsed() >= STUCK && self.shutdown.is_none()).then_some(wire)
    }

    fn rest_of_code(&mut self) {
        while let Ok(chunks) = self.vm.read(Duration::ZERO)
            && !chunks.is_empty()
        {
            let code = chunks.iter().filter(|(wire, _)| *wire == Wire::Code);
            code.for_each(|(_, bytes)| self.recorder.code(bytes));
        }
    }

    fn goal_is_packed(&self) -> bool {
        matches!(self.goal, Goal::Packed)
    }

    fn limit_ms(&self) -> u64 {
        if self.booted { self.limits.cell_ms } else { self.limits.boot_ms }
    }

    fn deadline(&self) -> Instant {
        match &self.shutdown {
            Some((_, said)) => *said + STUCK,
            None => self.since + Duration::from_millis(self.limit_ms()),
        }
    }

    fn out_of_time(&mut self) -> End {
        if let Some((reason, _)) = self.shutdown.take() {
            return End::Vm(self.shut_down(reason, "did not end after its shutdown".to_owned()));
        }
        if let Some(end) = self.ask_whether_it_runs() {
            return end;
        }
        let silent_ms = millis(self.last_sign.elapsed());
        let starved_ms = millis(self.vm.waited_for_cpu());
        if !matches!(self.goal, Goal::Hello) {
            self.ask_where_it_hangs();
        }
        let (deadline_ms, booted) = (self.limit_ms(), self.booted);
        End::Vm(Ending::Deadline { deadline_ms, silent_ms, booted, starved_ms })
    }

    fn ended(&mut self, status: std::process::ExitStatus) -> Ending {
        match self.shutdown.take() {
            Some((reason, _)) if status.success() => self.shut_down(reason, status.to_string()),
            Some((reason, _)) => self.failed(format!("{status} after {reason:?}")),
            None if status.success() => {
                self.failed(format!("{status}, but the guest had not ended"))
            }
            None => self.failed(status.to_string()),
        }
    }

    fn shut_down(&self, reason: Shutdown, status: String) -> Ending {
        match reason {
            Shutdown::PowerOff => Ending::PoweredOff,
            Shutdown::Reset => Ending::Reset,
            Shutdown::Other(reason) if self.goal_is_packed() && reason == qmp::HAS_QUIT => {
                // The deadline of the recording.
                let (deadline_ms, booted) = (self.limit_ms(), self.booted);
                Ending::Deadline { deadline_ms, silent_ms: 0, booted, starved_ms: 0 }
            }
            Shutdown::Other(reason) => self.failed(format!("{status} ({reason})")),
        }
    }

    fn failed(&self, mut status: String) -> Ending {
        if self.watch.oom_killed() {
            status.push_str("; the host's OOM killer killed a process meanwhile");
        }
        Ending::QemuFailed { status, stderr: self.said().trim_end().to_owned() }
    }

    /// What QEMU printed, as a terminal may show it.
    fn said(&self) -> String {
        printable(&String::from_utf8_lossy(&self.stderr))
    }

    /// A reason, with the last that QEMU printed.
    fn with_stderr(&self, why: String) -> String {
        match self.said().lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => format!("{why}; its last words: {line}"),
            None => why,
        }
    }
}

fn host_failed(why: String) -> End {
    End::Vm(Ending::HostFailed { why })
}

/// Whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
