// SPDX-License-Identifier: MIT OR Apache-2.0
//! Child processes: bounded in time and output, and never left behind.
//!
//! Contract: a child leads its own process group; where the harness is niced, its own session,
//! which is as nice. The group ends when the child ends, at the
//! deadline, when the harness is asked to stop, and (by `PR_SET_PDEATHSIG`) when the harness is
//! killed. It gets SIGTERM first, since make then deletes the targets it was writing; SIGKILL
//! follows after [`GRACE`]. Standard output and error come as one stream of lines.

use std::ffi::CStr;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use super::limits;
use super::stop::unless_process_asked;
use crate::exit::{Exit, Fault};

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// How often to look whether a child has ended.
const LOOK: Duration = Duration::from_millis(50);
/// How long output is still read after the child has ended.
const DRAIN: Duration = Duration::from_secs(2);
/// The program that makes namespaces. It blocks SIGTERM: the command in them can end by itself.
pub(super) const SANDBOX: &str = "unshare";
/// The nice value of the session of a process, where the host's kernel has autogroups.
const AUTOGROUP: &CStr = c"/proc/self/autogroup";
/// A longer line is split.
const LINE_BYTES: u64 = 64 * 1024;
/// Output kept by [`capture`].
const CAPTURE_BYTES: usize = 8 * 1024 * 1024;

/// In an error's chain: the child ignored SIGTERM and may have left half a file.
#[derive(Debug)]
pub(crate) struct Killed;

impl std::fmt::Display for Killed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it did not end on SIGTERM and was killed")
    }
}

/// How a child ended, and what it printed.
pub(crate) struct Output {
    /// Exit status.
    pub(crate) status: ExitStatus,
    /// Standard output and error, in the order written; at most [`CAPTURE_BYTES`].
    pub(crate) text: String,
}

/// The command line as one would type it, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs to the end; `heard` gets every line as it comes, and `None` about ten times a second.
///
/// # Errors
/// [`Exit::MissingTool`] if there is no such program, [`Exit::Host`] at the deadline,
/// [`Exit::Interrupted`]. A child that fails is no error: the caller checks the status.
pub(crate) fn follow(
    mut command: Command,
    deadline: Duration,
    mut heard: impl FnMut(Option<&str>),
) -> anyhow::Result<ExitStatus> {
    let said = shown(&command);
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = Group(spawn(&mut command)?);
    // The command holds the writing end: without this the pipe would never end.
    drop(command);
    let lines = read_lines(reader).context("cannot start a thread")?;
    let outcome = watch(&mut child.0, &lines, Instant::now() + deadline, &mut heard);
    // First: a child that blocks on a full pipe would not end.
    drop(lines);
    let gently = child.end();
    let late = || {
        let text = format!("`{said}` took over {} s and was stopped", deadline.as_secs());
        anyhow::Error::new(Fault::new(Exit::Host, text))
    };
    let outcome = outcome.and_then(|status| status.ok_or_else(late));
    outcome.map_err(|error| if gently { error } else { error.context(Killed) })
}

/// Until the child ends, the deadline passes (`None`), or the harness is asked to stop.
fn watch(
    child: &mut Child,
    lines: &Receiver<String>,
    deadline: Instant,
    heard: &mut dyn FnMut(Option<&str>),
) -> anyhow::Result<Option<ExitStatus>> {
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        let mut drained = false;
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => heard(Some(&line)),
            Err(RecvTimeoutError::Timeout) => heard(None),
            Err(RecvTimeoutError::Disconnected) => {
                drained = true;
                // The pipe closes a moment before the child ends; do not spin until then.
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        unless_process_asked()?;
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        match ended {
            // A grandchild may keep the pipe open for ever.
            Some((status, at)) if drained || at.elapsed() > DRAIN => return Ok(Some(status)),
            None if Instant::now() > deadline => return Ok(None),
            _ => {}
        }
    }
}

/// Runs to the end, and prints where the harness does. Its deadline is that of a person who looks
/// on.
///
/// # Errors
/// [`Exit::MissingTool`] if there is no such program, [`Exit::Interrupted`]. A child that fails is
/// no error: the caller checks the status.
pub(crate) fn attend(mut command: Command) -> anyhow::Result<ExitStatus> {
    command.stdin(Stdio::null());
    let mut child = Group(spawn(&mut command)?);
    loop {
        // First: a child that a signal ended did not fail.
        unless_process_asked()?;
        if let Some(status) = child.0.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(LOOK);
    }
}

/// Runs to the end and keeps what it prints.
///
/// # Errors
/// As [`follow`].
pub(crate) fn capture(command: Command, deadline: Duration) -> anyhow::Result<Output> {
    let mut text = String::new();
    let status = follow(command, deadline, |line| match line {
        Some(line) if text.len() + line.len() < CAPTURE_BYTES => {
            text.push_str(line);
            text.push('\n');
        }
        _ => {}
    })?;
    Ok(Output { status, text })
}

/// Runs a tool that must succeed; returns what it printed.
///
/// # Errors
/// As [`follow`]; `exit` with the command and its output if the tool fails.
pub(crate) fn succeed(command: Command, deadline: Duration, exit: Exit) -> anyhow::Result<String> {
    let said = shown(&command);
    let Output { status, text } = capture(command, deadline)?;
    match status.success() {
        true => Ok(text),
        false => {
            Err(Fault::new(exit, format!("`{said}` failed ({status}): {}", text.trim())).into())
        }
    }
}

/// Puts the child into its own process group and lets the kernel send it `signal` when the calling
/// thread ends, for whatever reason.
pub(crate) fn tie_to_harness(command: &mut Command, signal: Signal) {
    command.process_group(0);
    die_with_harness(command, signal);
}

/// Makes a child get this signal when the thread that spawned it ends.
pub(crate) fn die_with_harness(command: &mut Command, signal: Signal) {
    let harness = Pid::this();
    let before_exec = move || {
        nix::sys::prctl::set_pdeathsig(signal)?;
        // The harness may have died before this request: then the signal never comes.
        if Pid::parent() == harness { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: between fork and exec it only makes async-signal-safe system calls.
    unsafe { command.pre_exec(before_exec) };
}

/// Puts the child into its own session, and so into its own autogroup, with this nice value: the
/// kernel compares nice values within an autogroup only.
fn put_behind(command: &mut Command, nice: i32) {
    let nice = nice.to_string();
    let before_exec = move || {
        nix::unistd::setsid()?;
        // Without autogroups there is no such file, and nice orders all processes.
        if let Ok(file) = open(AUTOGROUP, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()) {
            let _ = nix::unistd::write(&file, nice.as_bytes());
        }
        Ok(())
    };
    // SAFETY: between fork and exec it only makes async-signal-safe system calls.
    unsafe { command.pre_exec(before_exec) };
}

fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    // A sandbox does not end on SIGTERM: it waits for the command in it.
    let in_sandbox = command.get_program() == SANDBOX;
    let signal = if in_sandbox { Signal::SIGKILL } else { Signal::SIGTERM };
    match limits::own_nice() {
        Some(nice @ 1..) => {
            put_behind(command, nice);
            die_with_harness(command, signal);
        }
        _ => tie_to_harness(command, signal),
    }
    command.spawn().map_err(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        if error.kind() == std::io::ErrorKind::NotFound {
            Fault::new(Exit::MissingTool, format!("there is no program `{program}`"))
                .hint("`cargo xtask doctor` lists what is missing and how to install it")
                .into()
        } else {
            anyhow::Error::new(error).context(format!("starting `{}`", shown(command)))
        }
    })
}

/// A child whose process group ends when this is dropped.
struct Group(Child);

impl Group {
    /// Ends the group; false if it took a SIGKILL.
    fn end(&mut self) -> bool {
        let group = Pid::from_raw(self.0.id().cast_signed());
        // A group with members keeps its number even after its leader ended.
        let _ = killpg(group, Signal::SIGTERM);
        let begun = Instant::now();
        while begun.elapsed() < GRACE {
            let gone = matches!(self.0.try_wait(), Ok(Some(_)));
            if gone && kill(Pid::from_raw(-group.as_raw()), None).is_err() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = killpg(group, Signal::SIGKILL);
        let begun = Instant::now();
        // With a limit: a child that became another user (sudo) does not take our signals.
        while begun.elapsed() < GRACE && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

fn read_lines(reader: PipeReader) -> std::io::Result<Receiver<String>> {
    // Bounded: a child that floods blocks, and memory does not grow.
    let (sender, receiver) = sync_channel(1024);
    std::thread::Builder::new().spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut bytes = Vec::new();
        while let Ok(count) = (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut bytes) {
            if count == 0 {
                return;
            }
            let line = String::from_utf8_lossy(&bytes);
            if sender.send(line.trim_end_matches(['\n', '\r']).to_owned()).is_err() {
                return;
            }
            bytes.clear();
        }
    })?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_come_in_order_with_the_status() {
        let output =
            capture(sh("echo a; echo b >&2; echo c; exit 3"), Duration::from_secs(10)).unwrap();
        assert_eq!((output.status.code(), output.text.as_str()), (Some(3), "a\nb\nc\n"));
    }

    #[test]
    fn the_deadline_ends_the_whole_group() {
        let marker = format!("{}.25", 1000 + std::process::id());
        let begun = Instant::now();
        let error =
            capture(sh(&format!("sleep {marker} & sleep {marker}")), Duration::from_millis(300))
                .err()
                .unwrap();
        assert!(error.to_string().contains("was stopped"), "{error}");
        assert!(begun.elapsed() < GRACE, "SIGTERM suffices");
        let left =
            Command::new("pgrep").args(["-f", &format!("^sleep {marker}")]).output().unwrap();
        assert!(left.stdout.is_empty(), "no sleep may be left");
    }

    #[test]
    fn a_child_that_does_not_end_when_asked_is_killed_and_that_is_said() {
        let limit = Duration::from_millis(200);
        let gentle = capture(sh("sleep 60"), limit).err().unwrap();
        assert!(gentle.downcast_ref::<Killed>().is_none());
        // Longer: on a busy machine the shell needs its time to come to the trap.
        let limit = Duration::from_secs(2);
        let stubborn =
            capture(sh("trap '' TERM; while :; do sleep 0.1; done"), limit).err().unwrap();
        assert!(stubborn.downcast_ref::<Killed>().is_some());
        assert_eq!(crate::exit::fault_of(&stubborn).unwrap().exit, Exit::Host);
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_open_does_not_hold_us() {
        let begun = Instant::now();
        let output = capture(sh("sleep 30 & echo done"), Duration::from_secs(20)).unwrap();
        assert_eq!(output.text, "done\n");
        assert!(begun.elapsed() < Duration::from_secs(12));
    }

    #[test]
    fn a_child_of_a_niced_harness_is_behind_other_sessions() {
        let mut child = sh("cat /proc/self/autogroup; ps -o sid= -p $$; echo $$");
        put_behind(&mut child, 7);
        let said = String::from_utf8(child.output().unwrap().stdout).unwrap();
        let words: Vec<&str> = said.split_whitespace().collect();
        let [.., session, own] = words[..] else { panic!("{said}") };
        assert_eq!(session, own);
        if std::fs::exists("/proc/self/autogroup").unwrap() {
            assert!(said.lines().next().unwrap().ends_with(" nice 7"), "{said}");
        }
    }

    #[test]
    fn a_child_on_the_terminal_says_how_it_ended() {
        assert!(attend(sh("exit 0")).unwrap().success());
        assert_eq!(attend(sh("exit 3")).unwrap().code(), Some(3));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error =
            capture(Command::new("no-such-program-here"), Duration::from_secs(1)).err().unwrap();
        let fault = crate::exit::fault_of(&error).unwrap();
        assert_eq!(fault.exit, Exit::MissingTool);
        assert!(fault.what.contains("no-such-program-here"));
    }
}
