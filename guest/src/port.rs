// SPDX-License-Identifier: MIT OR Apache-2.0
//! The virtio-serial port to the host: one JSON object per line, numbered without a gap.
//!
//! The number is in shared memory: the watchdog may have to send the last line while PID 1 is stuck
//! in the kernel. No other process uses the port.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{self, SetArg};
use protocol::{Event, Fact, LINE_BYTES_MAX, ORDER, Order, PORT_NAME, VERSION};

use crate::clock::{self, Deadline};
use crate::{patience, shared, terminal};

/// How often to look for the port, or for the host at its other end, microseconds.
const RETRY_US: u64 = 2_000;

/// The port of a VM that is recorded.
const SERIAL: &str = "/dev/ttyS1";

/// File of [`Port::shown`].
const SHOWN: &str = "/tmp/events.jsonl";

/// What is shown of each line.
const SHOWN_CHARS: usize = 160;

static PORT: OnceLock<Port> = OnceLock::new();

/// The open port.
pub(crate) struct Port {
    file: File,
    next_seq: &'static AtomicU64,
    /// Whether a person looks on.
    shown: bool,
    /// Whether it is a serial port, which must have sent all before the machine is switched off.
    drained: bool,
}

/// Keeps the port for the whole process, so that a panic can still be reported.
pub(crate) fn install(port: Port) -> Result<&'static Port> {
    PORT.set(port).ok().context("the port is open already")?;
    installed().context("the port was not kept")
}

/// The port, once it is open.
pub(crate) fn installed() -> Option<&'static Port> {
    PORT.get()
}

impl Port {
    /// Finds the port by its name and opens it.
    ///
    /// # Errors
    /// No port of that name appears in time.
    pub(crate) fn open() -> Result<Self> {
        if Path::new(ORDER).exists() {
            return Self::serial();
        }
        let mut found = None;
        clock::poll(Deadline::in_ms(patience::DEVICE_MS), RETRY_US, || {
            found = device_named(PORT_NAME);
            Ok(found.is_some())
        })?;
        let device = found.with_context(|| format!("no virtio port is named {PORT_NAME}"))?;
        let file = File::options()
            .read(true)
            .write(true)
            .open(&device)
            .with_context(|| format!("open {}", device.display()))?;
        Ok(Self { file, next_seq: shared::map_one()?, shown: false, drained: false })
    }

    /// The port of a VM that is recorded.
    fn serial() -> Result<Self> {
        let file = File::options().write(true).custom_flags(libc::O_NOCTTY).open(SERIAL);
        let file = file.with_context(|| format!("open {SERIAL}"))?;
        let mut mode = termios::tcgetattr(&file).context("ask for the mode of the port")?;
        termios::cfmakeraw(&mut mode);
        termios::tcsetattr(&file, SetArg::TCSANOW, &mode).context("set the mode of the port")?;
        Ok(Self { file, next_seq: shared::map_one()?, shown: false, drained: true })
    }

    /// A file in place of the port. What goes there is shown on the terminal too, shortened.
    pub(crate) fn shown() -> Result<Self> {
        let file = File::create(SHOWN).with_context(|| format!("create {SHOWN}"))?;
        Ok(Self { file, next_seq: shared::map_one()?, shown: true, drained: false })
    }

    /// Sends one fact.
    ///
    /// # Errors
    /// The line would be too long, or the write fails.
    pub(crate) fn send(&self, fact: Fact) -> Result<()> {
        let seq = self.next_seq.fetch_add(1, Ordering::SeqCst);
        let mut line = serde_json::to_string(&Event { seq, at_us: clock::now_us(), fact })?;
        ensure!(line.len() < LINE_BYTES_MAX, "event {seq} has {} bytes", line.len());
        if self.shown {
            terminal::say(&format!("{line:.SHOWN_CHARS$}\n"));
        }
        line.push('\n');
        (&self.file).write_all(line.as_bytes()).context("write to the port")?;
        if self.drained {
            termios::tcdrain(&self.file).context("wait for the port")?;
        }
        Ok(())
    }

    /// Reads the one order, from the initramfs if it has one.
    ///
    /// # Errors
    /// None comes in time, it is too long, not an order, or of another protocol version.
    pub(crate) fn order(&self) -> Result<Order> {
        let line = match fs::read(ORDER) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.line(Deadline::in_ms(patience::REQUEST_MS))?
            }
            packed => packed.with_context(|| format!("read {ORDER}"))?,
        };
        // The version first: another version's order may have other fields.
        let any: serde_json::Value = serde_json::from_slice(&line).context("not JSON")?;
        let version = any.pointer("/request/protocol").and_then(serde_json::Value::as_u64);
        ensure!(
            version == Some(u64::from(VERSION)),
            "the host speaks protocol version {version:?}, this guest {VERSION}: rebuild both"
        );
        serde_json::from_value(any).context("not an order")
    }

    /// Whether the host has sent more than the order: [`protocol::LOOK`].
    pub(crate) fn has_more(&self) -> bool {
        let mut ready = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        let polled = poll(&mut ready, PollTimeout::ZERO);
        let events = ready[0].revents().unwrap_or(PollFlags::empty());
        // A host that hung up is readable too.
        polled.is_ok() && events == PollFlags::POLLIN
    }

    fn line(&self, deadline: Deadline) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut chunk = [0; 4096];
        while !deadline.passed() {
            let mut ready = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(deadline.left_ms()).unwrap_or(PollTimeout::MAX);
            poll(&mut ready, timeout).context("wait for the host")?;
            let bytes = (&self.file).read(&mut chunk).context("read from the port")?;
            if bytes == 0 {
                // The host has not connected yet, or has just been replaced by a new one.
                clock::sleep_us(RETRY_US);
            }
            line.extend_from_slice(&chunk[..bytes]);
            if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                line.truncate(end);
                return Ok(line);
            }
            ensure!(line.len() < LINE_BYTES_MAX, "the order is longer than {LINE_BYTES_MAX}");
        }
        bail!("no order within {} ms", patience::REQUEST_MS)
    }
}

fn device_named(name: &str) -> Option<PathBuf> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    let port = ports.flatten().find(|port| {
        fs::read_to_string(port.path().join("name")).is_ok_and(|found| found.trim() == name)
    })?;
    Some(PathBuf::from("/dev").join(port.file_name()))
}
