// SPDX-License-Identifier: MIT OR Apache-2.0
//! One QEMU process with its wires: console, port, control channel, stderr and the log of
//! translated code.
//!
//! Contract: it never outlives the harness. The kernel kills it when the thread that spawned it
//! ends, so that thread must also wait for it. Dropping a [`Vm`] kills and reaps it. Its own
//! process group keeps a terminal's Ctrl-C from it. No read or write blocks longer than the given
//! time.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice, PipeReader, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::Pid;

use super::command::Wiring;
use crate::host::file;
use crate::host::process::tie_to_harness;

/// Most bytes of one read.
const CHUNK_BYTES: usize = 64 * 1024;

/// A process that got SIGKILL is gone after this, or stuck in the host's kernel.
const REAP_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait once QEMU has hung up and only its exit status is missing.
const TICK_AT_END: Duration = Duration::from_millis(2);

/// A connection to QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// Serial console, both ways.
    Console,
    /// The guest's port, both ways.
    Port,
    /// QEMU's control channel, both ways.
    Qmp,
    /// QEMU's stderr, from it only.
    Stderr,
    /// QEMU's log of the code it translates, from it only.
    Code,
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Console => "the console",
            Self::Port => "the guest's port",
            Self::Qmp => "its control channel",
            Self::Stderr => "its stderr",
            Self::Code => "its log",
        })
    }
}

/// Bytes that arrived, each with its wire.
pub(super) type Chunks = Vec<(Wire, Vec<u8>)>;

/// A running QEMU. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Vm {
    child: Child,
    status: Option<ExitStatus>,
    sockets: Vec<Socket>,
    files: Vec<(Wire, Option<Tail>)>,
    stderr: Option<ChildStderr>,
    code: Option<PipeReader>,
}

/// A file in memory that QEMU appends to. Its end is where QEMU has not written yet.
#[derive(Debug)]
struct Tail(File);

impl io::Read for Tail {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            length => Ok(length),
        }
    }
}

#[derive(Debug)]
struct Socket {
    wire: Wire,
    /// `None` after the other side has closed it.
    stream: Option<UnixStream>,
    /// Bytes that still have to be written.
    pending: Vec<u8>,
}

impl Vm {
    /// Starts the command line that `words` makes for these wires.
    ///
    /// # Errors
    /// No such binary (`NotFound`), no permission, out of descriptors or processes.
    pub(super) fn spawn(words: impl FnOnce(Wiring) -> Vec<String>) -> io::Result<Self> {
        let (console, console_there) = UnixStream::pair()?;
        let (port, port_there) = UnixStream::pair()?;
        console.set_nonblocking(true)?;
        port.set_nonblocking(true)?;
        let socket = |wire, stream| Socket { wire, stream: Some(stream), pending: Vec::new() };
        let sockets = vec![socket(Wire::Console, console), socket(Wire::Port, port)];
        Self::start(words, console_there.into(), port_there.into(), sockets, Vec::new())
    }

    /// The same, with files for console and port: for a VM that is recorded or replayed. They take
    /// all that it says, and nothing is sent to it.
    ///
    /// # Errors
    /// As [`Vm::spawn`].
    pub(super) fn spawn_deaf(words: impl FnOnce(Wiring) -> Vec<String>) -> io::Result<Self> {
        let file = |name| Ok::<_, Errno>(File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?));
        let (console, port) = (file("console")?, file("port")?);
        // QEMU opens them again by their names: its position is its own.
        let files = vec![
            (Wire::Console, Some(Tail(console.try_clone()?))),
            (Wire::Port, Some(Tail(port.try_clone()?))),
        ];
        Self::start(words, console.into(), port.into(), Vec::new(), files)
    }

    fn start(
        words: impl FnOnce(Wiring) -> Vec<String>,
        console_there: OwnedFd,
        port_there: OwnedFd,
        mut sockets: Vec<Socket>,
        files: Vec<(Wire, Option<Tail>)>,
    ) -> io::Result<Self> {
        let (qmp, qmp_there) = UnixStream::pair()?;
        qmp.set_nonblocking(true)?;
        sockets.push(Socket { wire: Wire::Qmp, stream: Some(qmp), pending: Vec::new() });
        // QEMU opens its log by a name, and a socket cannot be opened.
        let (code, code_there) = io::pipe()?;
        let words = words(Wiring::Inherited {
            console: console_there.as_raw_fd(),
            port: port_there.as_raw_fd(),
            qmp: qmp_there.as_raw_fd(),
            code: code_there.as_raw_fd(),
        });
        let (binary, arguments) =
            words.split_first().ok_or_else(|| io::Error::other("empty command"))?;
        let mut command = Command::new(binary);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        tie_to_harness(&mut command, Signal::SIGKILL);
        let wires = [console_there, port_there, qmp_there.into()];
        inherit(&mut command, wires.into_iter().chain([code_there.into()]).collect());
        let mut child = command.spawn()?;
        let stderr = child.stderr.take();
        let vm = Self { child, status: None, sockets, files, stderr, code: Some(code) };
        for pipe in vm.pipes() {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(vm)
    }

    /// Queues bytes for a wire; [`Vm::read`] writes them as the other side takes them.
    pub(super) fn send(&mut self, wire: Wire, bytes: &[u8]) {
        for socket in self.sockets.iter_mut().filter(|socket| socket.wire == wire) {
            socket.pending.extend_from_slice(bytes);
            socket.write_pending();
        }
    }

    /// Sends text over the control channel together with a descriptor that the text names.
    ///
    /// # Errors
    /// QEMU is gone, or did not take what was sent before.
    pub(super) fn send_with(&mut self, file: &File, text: &str) -> io::Result<()> {
        let socket = self.sockets.iter_mut().find(|socket| socket.wire == Wire::Qmp);
        let socket = socket.ok_or_else(|| io::Error::other("no control channel"))?;
        socket.write_pending();
        let stream = socket.stream.as_ref().filter(|_| socket.pending.is_empty());
        let stream = stream.ok_or_else(|| io::Error::other("the control channel is stuck"))?;
        let descriptors = [file.as_raw_fd()];
        let sent = sendmsg::<()>(
            stream.as_raw_fd(),
            &[IoSlice::new(text.as_bytes())],
            &[ControlMessage::ScmRights(&descriptors)],
            MsgFlags::empty(),
            None,
        )?;
        match sent == text.len() {
            true => Ok(()),
            false => Err(io::Error::other("the control channel took only a part")),
        }
    }

    /// Bytes in the files that it writes to, of a VM that has such.
    pub(super) fn written_bytes(&self) -> u64 {
        let files = self.files.iter().filter_map(|(_, file)| file.as_ref());
        files.filter_map(|file| file.0.metadata().ok()).map(|it| it.len()).sum()
    }

    /// Waits at most `limit`. Returns how QEMU ended, if it has, and what arrived on its wires.
    pub(super) fn turn(&mut self, limit: Duration) -> io::Result<(Option<ExitStatus>, Chunks)> {
        // Before the read, which then gets everything that an ended process wrote.
        let exited = self.exited()?;
        let hung_up = self.sockets.iter().any(|it| it.wire == Wire::Qmp && it.stream.is_none());
        let limit = match (exited, hung_up) {
            (Some(_), _) => Duration::ZERO,
            (None, true) => limit.min(TICK_AT_END),
            (None, false) => limit,
        };
        Ok((exited, self.read(limit)?))
    }

    /// Waits at most `limit` for bytes and returns at most one chunk of each wire.
    pub(super) fn read(&mut self, limit: Duration) -> io::Result<Chunks> {
        self.wait_readable(limit)?;
        let mut chunks = Chunks::new();
        // First: an event of the guest may end the session, and later chunks are then dropped.
        read_chunk(Wire::Code, &mut self.code, &mut chunks)?;
        for socket in &mut self.sockets {
            socket.write_pending();
            read_chunk(socket.wire, &mut socket.stream, &mut chunks)?;
        }
        for (wire, file) in &mut self.files {
            read_chunk(*wire, file, &mut chunks)?;
        }
        read_chunk(Wire::Stderr, &mut self.stderr, &mut chunks)?;
        Ok(chunks)
    }

    /// How the process ended, if it has.
    fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// How long its most starved thread has been runnable without running. Zero if the host's
    /// kernel does not account for it (`/proc/<pid>/schedstat`, CONFIG_SCHED_INFO).
    pub(super) fn waited_for_cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let waited_ns = |task: std::fs::DirEntry| {
            let account = file::text(task.path().join("schedstat")).ok()?;
            account.split_whitespace().nth(1)?.parse().ok()
        };
        let most_ns = tasks.into_iter().flatten().flatten().filter_map(waited_ns).max();
        Duration::from_nanos(most_ns.unwrap_or(0))
    }

    /// Whether it is stopped: by a signal, or by a debugger.
    pub(super) fn is_stopped(&self) -> bool {
        let stat = file::text(format!("/proc/{}/stat", self.child.id()));
        let state = stat.ok().and_then(|stat| stat.rsplit(") ").next()?.chars().next());
        matches!(state, Some('T' | 't'))
    }

    /// A wire that QEMU has closed.
    pub(super) fn closed(&self) -> Option<Wire> {
        self.sockets.iter().find(|socket| socket.stream.is_none()).map(|socket| socket.wire)
    }

    /// Kills it and its children, and reaps it.
    pub(super) fn kill(&mut self) {
        let begun = Instant::now();
        while let Ok(None) = self.exited() {
            // Until it is reaped, the pid is certain to be ours.
            if let Ok(pid) = i32::try_from(self.child.id()) {
                let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            }
            if begun.elapsed() > REAP_LIMIT {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[cfg(test)]
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn pipes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let stderr = self.stderr.as_ref().map(|stderr| stderr.as_fd());
        stderr.into_iter().chain(self.code.as_ref().map(|code| code.as_fd()))
    }

    fn wait_readable(&self, limit: Duration) -> io::Result<()> {
        let mut wanted: Vec<PollFd<'_>> = Vec::with_capacity(5);
        for socket in &self.sockets {
            if let Some(stream) = &socket.stream {
                let out =
                    if socket.pending.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
                wanted.push(PollFd::new(stream.as_fd(), PollFlags::POLLIN | out));
            }
        }
        wanted.extend(self.pipes().map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)));
        // Rounded up: half a millisecond must not become a busy loop.
        let millis = limit.as_millis().saturating_add(1);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        match poll(&mut wanted, timeout) {
            // A signal: the caller checks its flag and comes back.
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Socket {
    /// Writes what fits. A closed wire swallows bytes: reading notices that it is closed.
    fn write_pending(&mut self) {
        while !self.pending.is_empty() {
            let Some(stream) = &mut self.stream else { return self.pending.clear() };
            match stream.write(&self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.pending.clear(),
            }
        }
    }
}

fn read_chunk<R: io::Read>(
    wire: Wire,
    from: &mut Option<R>,
    chunks: &mut Chunks,
) -> io::Result<()> {
    let Some(reader) = from else { return Ok(()) };
    let mut bytes = vec![0; CHUNK_BYTES];
    match reader.read(&mut bytes) {
        Ok(0) => *from = None,
        Ok(length) => {
            bytes.truncate(length);
            chunks.push((wire, bytes));
        }
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
            // A killed QEMU with unread bytes in its socket.
            io::ErrorKind::ConnectionReset => *from = None,
            _ => return Err(error),
        },
    }
    Ok(())
}

/// Lets the child inherit `wires`.
fn inherit(command: &mut Command, wires: Vec<OwnedFd>) {
    let before_exec = move || {
        for wire in &wires {
            // Cleared only in this child: QEMUs that start at the same time must not hold each
            // other's sockets open.
            let fd: BorrowedFd<'_> = wire.as_fd();
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes one kind of system call, and neither allocates nor
    // takes a lock.
    unsafe { command.pre_exec(before_exec) };
}
