// SPDX-License-Identifier: MIT OR Apache-2.0
//! Child processes: bounded in time and output, and never left behind.
//!
//! Contract: a child is the leader of its own process group. The group ends when the child ends,
//! at the deadline, when the harness is asked to stop, and (by `PR_SET_PDEATHSIG`) when the harness
//! is killed. The asking signal is SIGTERM, since make then deletes the targets it was writing;
//! SIGKILL follows after [`GRACE`]. Standard output and error come as one stream of lines.

use std::io::{BufRead as _, BufReader, PipeReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::exit::{Exit, Fault};

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long output is still read after the child itself has ended.
const DRAIN: Duration = Duration::from_secs(2);
/// A longer line is cut.
const LINE_BYTES: u64 = 64 * 1024;
/// [`capture`] keeps so much.
const CAPTURE_BYTES: usize = 8 * 1024 * 1024;

/// The harness-wide wish to stop; signals are a matter of the whole process, and so is this.
static STOP: OnceLock<Box<dyn Fn() -> bool + Send + Sync>> = OnceLock::new();

/// Ends every child, and every wait for a lock, once `asked` says so. The first call counts.
pub(crate) fn obey(asked: impl Fn() -> bool + Send + Sync + 'static) {
    // A second call comes from a second task in the same process and means the same signals.
    let _ = STOP.set(Box::new(asked));
}

/// Refuses to go on once the harness was asked to stop.
///
/// # Errors
/// [`Exit::Interrupted`].
pub(crate) fn unless_stopped() -> Result<(), Fault> {
    if STOP.get().is_some_and(|asked| asked()) {
        return Err(Fault::new(Exit::Interrupted, "stopped; what was finished is kept"));
    }
    Ok(())
}

/// In the chain of an error: the child did not end when asked to, and may have left half a file.
#[derive(Debug)]
pub(crate) struct Killed;

impl std::fmt::Display for Killed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it did not end when asked to and was killed")
    }
}

/// How a child ended, with what it said.
pub(crate) struct Output {
    /// Exit status.
    pub(crate) status: ExitStatus,
    /// Standard output and error, in the order written; at most [`CAPTURE_BYTES`].
    pub(crate) text: String,
}

/// The command line as a person would type it, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs to the end and gives every line to `heard` as it comes, and `None` about ten times a second.
///
/// # Errors
/// [`Exit::MissingTool`] if there is no such program, [`Exit::Host`] at the deadline,
/// [`Exit::Interrupted`]. A child that fails is no error here: the caller reads the status.
pub(crate) fn follow(
    mut command: Command,
    deadline: Duration,
    mut heard: impl FnMut(Option<&str>),
) -> anyhow::Result<ExitStatus> {
    let said = shown(&command);
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = Group(spawn(&mut command)?);
    // The command still holds the writing end: without this the pipe would never end.
    drop(command);
    let lines = read_lines(reader);
    let outcome = watch(&mut child.0, &lines, Instant::now() + deadline, &mut heard);
    // First: a child that waits for us to read would not come to its end.
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
                // The last line comes a moment before the end; do not spin until then.
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        unless_stopped()?;
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        match ended {
            // A grandchild that was left behind may keep the pipe open for ever.
            Some((status, at)) if drained || at.elapsed() > DRAIN => return Ok(Some(status)),
            None if Instant::now() > deadline => return Ok(None),
            _ => {}
        }
    }
}

/// Runs to the end and keeps what it says.
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

/// Starts a command that ends with the harness: own process group, SIGTERM when this thread dies.
///
/// # Errors
/// [`Exit::MissingTool`] if there is no such program.
pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    let parent = nix::unistd::getpid();
    command.process_group(0);
    // SAFETY: only system calls that are async-signal-safe are made between fork and exec.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
            // The parent may have died before the request was made.
            if nix::unistd::getppid() != parent {
                return Err(std::io::Error::other("the harness has ended"));
            }
            Ok(())
        });
    }
    command.spawn().map_err(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        if error.kind() == std::io::ErrorKind::NotFound {
            Fault::new(Exit::MissingTool, format!("there is no program `{program}`"))
                .hint("`cargo xtask doctor` says what is missing and how to get it")
                .into()
        } else {
            anyhow::Error::new(error).context(format!("starting `{}`", shown(command)))
        }
    })
}

/// A child whose group is ended when this is dropped.
struct Group(Child);

impl Group {
    /// Ends all of it; false if SIGTERM did not suffice.
    fn end(&mut self) -> bool {
        let group = Pid::from_raw(self.0.id().cast_signed());
        // Even after its leader ended, a group with members in it keeps its number.
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
        // Not for ever: a child that became another user (sudo) does not take our signals.
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

fn read_lines(reader: PipeReader) -> Receiver<String> {
    // Bounded, so that a child that floods waits for us and memory does not grow.
    let (sender, receiver) = sync_channel(1024);
    std::thread::spawn(move || {
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
    });
    receiver
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
    fn a_missing_program_is_named() {
        let error =
            capture(Command::new("no-such-program-here"), Duration::from_secs(1)).err().unwrap();
        let fault = crate::exit::fault_of(&error).unwrap();
        assert_eq!(fault.exit, Exit::MissingTool);
        assert!(fault.what.contains("no-such-program-here"));
    }
}
