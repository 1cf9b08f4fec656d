// SPDX-License-Identifier: MIT OR Apache-2.0
//! The folder of one cell: evidence is written as it arrives, and read back.
//!
//! | file | holds |
//! |---|---|
//! | `request.json` | the guest's request |
//! | `qemu.cmdline` | the command line, and one to run the same VM by hand |
//! | `console.log` | console bytes, bounded |
//! | `events.jsonl` | each event as the guest sent it, one a line |
//! | `code.txt` | addresses of watched kernel code that ran |
//! | `registers.txt` | registers of every CPU at the deadline, as QEMU prints them |
//! | `recording.*` | the log of a cell that was recorded, its VM, and its initramfs |
//! | `memory.kdump` | the guest's memory, if it was dumped: for drgn |
//! | `ending.json` | how the VM ended, wall time, lines that were no events |
//!
//! Contract: an event is in the file before anything acts on it, so a crash of the harness keeps
//! it. Files and memory are bounded, whatever the guest sends. [`load`] returns the evidence of the
//! run.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use protocol::{CellRequest, Event};
use serde::{Deserialize, Serialize};

use super::console::{self, Console, printable};
use super::lines::{Line, Lines};
use super::translated::{self, Translated};
use crate::evidence::{Ending, Evidence};
use crate::host::file::{self, Links, publish};

const REQUEST: &str = "request.json";
/// File with the command line.
pub(crate) const CMDLINE: &str = "qemu.cmdline";
const CONSOLE: &str = "console.log";
const EVENTS: &str = "events.jsonl";
const ENDING: &str = "ending.json";
const CODE: &str = "code.txt";
/// File with the registers of every CPU.
pub(crate) const REGISTERS: &str = "registers.txt";
/// File with the guest's memory.
pub(crate) const MEMORY: &str = "memory.kdump";

/// File that says what VM was recorded.
pub(crate) const RECORDING: &str = "recording.json";
/// QEMU's log of a recorded VM.
pub(crate) const LOG: &str = "recording.rr";
/// Initramfs of a recorded VM, with its order.
pub(crate) const RECORDED_INITRAMFS: &str = "recording.cpio";

/// Event bytes kept of one cell. A cell of the default matrix has less than 64 KiB.
const EVENTS_BYTES_MAX: usize = 32 << 20;
/// More than this was not written here.
const FILE_BYTES_MAX: u64 = 2 * EVENTS_BYTES_MAX as u64;
/// Lines kept that were no events, and bytes of each.
const TORN_LINES_MAX: usize = 32;
const TORN_LINE_BYTES_MAX: usize = 1024;

/// Writes the folder of one cell.
#[derive(Debug)]
pub(crate) struct Recorder {
    dir: PathBuf,
    console: Console<File>,
    events_file: File,
    lines: Lines,
    heard: Heard,
    translated: Translated,
    starved_ms: u64,
}

/// What the guest said so far.
#[derive(Debug, Default)]
struct Heard {
    events: Vec<Event>,
    event_bytes: usize,
    torn_lines: Vec<String>,
    torn_more: u64,
    flooded: bool,
}

/// Content of `ending.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    ending: Ending,
    wall_ms: u64,
    #[serde(default)]
    starved_ms: u64,
    console_dropped_bytes: u64,
    /// From this byte of the console on is what the harness asked the kernel for.
    #[serde(default)]
    console_asked_at: Option<u64>,
    torn_lines: Vec<String>,
}

impl Recorder {
    /// Creates the folder with empty files, in place of those of an earlier run.
    pub(crate) fn create(dir: &Path, request: &CellRequest, cmdline: &str) -> anyhow::Result<Self> {
        let create = |name: &str| {
            let path = dir.join(name);
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))
        };
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        for old in [ENDING, CODE, REGISTERS, MEMORY] {
            let _ = fs::remove_file(dir.join(old));
        }
        let mut request_text = serde_json::to_string_pretty(request)?;
        request_text.push('\n');
        create(REQUEST)?.write_all(request_text.as_bytes()).context(REQUEST)?;
        create(CMDLINE)?.write_all(cmdline.as_bytes()).context(CMDLINE)?;
        let console_file = create(CONSOLE)?;
        Ok(Self {
            dir: dir.to_owned(),
            console: Console::new(console_file, console::HEAD_BYTES_MAX, console::TAIL_BYTES_MAX),
            events_file: create(EVENTS)?,
            lines: Lines::new(protocol::LINE_BYTES_MAX),
            heard: Heard::default(),
            translated: Translated::default(),
            starved_ms: 0,
        })
    }

    /// Takes console bytes.
    pub(crate) fn console(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.console.push(bytes).with_context(|| self.cannot_write(CONSOLE))
    }

    /// Notes that the kernel now prints what the harness asks it for.
    pub(crate) fn asks(&mut self) -> anyhow::Result<()> {
        self.console.asks().with_context(|| self.cannot_write(CONSOLE))
    }

    /// Takes bytes of the port; returns the events that they completed.
    pub(crate) fn port(&mut self, bytes: &[u8]) -> anyhow::Result<&[Event]> {
        let known = self.heard.events.len();
        let mut raw = Vec::new();
        for line in self.lines.push(bytes) {
            if self.heard.take(&line)
                && let Line::Whole(text) = line
            {
                raw.extend_from_slice(&text);
                raw.push(b'\n');
            }
        }
        self.events_file.write_all(&raw).with_context(|| self.cannot_write(EVENTS))?;
        Ok(&self.heard.events[known..])
    }

    /// Takes how long a vCPU had been starved when the guest shut down, ms.
    pub(crate) fn starved(&mut self, starved_ms: u64) {
        self.starved_ms = starved_ms;
    }

    /// The path of a file beside the others.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file beside the others, in one step.
    pub(crate) fn keep(&self, name: &str, text: &str) -> anyhow::Result<()> {
        publish(&self.dir.join(name), |file| Ok(file.write_all(text.as_bytes())?))
    }

    /// Takes bytes of QEMU's log of translated code.
    pub(crate) fn code(&mut self, bytes: &[u8]) {
        self.translated.push(bytes);
    }

    /// Writes how the VM ended; returns the evidence. If the write fails, the ending says so.
    pub(crate) fn finish(mut self, request: CellRequest, ending: Ending, wall_ms: u64) -> Evidence {
        if let Some(line) = self.lines.rest() {
            self.heard.take(&line);
        }
        let (events, torn_lines) = self.heard.finish();
        let mut evidence = Evidence {
            request,
            events,
            torn_lines,
            console: String::new(),
            console_dropped_bytes: 0,
            ending,
            wall_ms,
            starved_ms: self.starved_ms,
        };
        let code = write_code(&self.dir, &self.translated);
        if let Err(error) = write_ending(&self.dir, self.console, &mut evidence).and(code)
            // The first failure of the host is the cause of the second.
            && !matches!(evidence.ending, Ending::HostFailed { .. })
        {
            evidence.ending = Ending::HostFailed { why: format!("{error:#}") };
        }
        evidence
    }

    fn cannot_write(&self, name: &str) -> String {
        format!("cannot write {}", self.dir.join(name).display())
    }
}

impl Heard {
    /// Takes a line; true if it is an event to keep.
    fn take(&mut self, line: &Line) -> bool {
        let (Line::Whole(text) | Line::Cut(text)) = line;
        if self.event_bytes + text.len() > EVENTS_BYTES_MAX {
            self.flooded = true;
            return false;
        }
        // The first byte is a cheap test in a flood of other lines.
        if let Line::Whole(text) = line
            && text.first() == Some(&b'{')
            && let Ok(event) = serde_json::from_slice(text)
        {
            self.event_bytes += text.len();
            self.events.push(event);
            return true;
        }
        if self.torn_lines.len() == TORN_LINES_MAX {
            self.torn_more += 1;
        } else {
            let kept = &text[..text.len().min(TORN_LINE_BYTES_MAX)];
            self.torn_lines.push(printable(&String::from_utf8_lossy(kept)));
        }
        false
    }

    fn finish(mut self) -> (Vec<Event>, Vec<String>) {
        if self.torn_more > 0 {
            self.torn_lines.push(format!("[harness: {} more such lines]", self.torn_more));
        }
        if self.flooded {
            let kept = self.event_bytes;
            self.torn_lines.push(format!("[harness: events after the first {kept} bytes dropped]"));
        }
        (self.events, self.torn_lines)
    }
}

fn write_ending(dir: &Path, console: Console<File>, evidence: &mut Evidence) -> anyhow::Result<()> {
    let path = dir.join(CONSOLE);
    let finished = console.finish().with_context(|| format!("cannot write {}", path.display()));
    // Even if its end could not be written: this is all there is to judge.
    let asked_at = finished.as_ref().ok().and_then(|finished| finished.asked_at);
    evidence.console = unasked(&read_own(&path)?, asked_at);
    let console::Finished { dropped_bytes, asked_at } = finished?;
    evidence.console_dropped_bytes = dropped_bytes;
    let ended = Ended {
        ending: evidence.ending.clone(),
        wall_ms: evidence.wall_ms,
        starved_ms: evidence.starved_ms,
        console_dropped_bytes: dropped_bytes,
        console_asked_at: asked_at,
        torn_lines: evidence.torn_lines.clone(),
    };
    publish(&dir.join(ENDING), |file| {
        serde_json::to_writer_pretty(&mut *file, &ended)?;
        Ok(file.write_all(b"\n")?)
    })
}

fn write_code(dir: &Path, translated: &Translated) -> anyhow::Result<()> {
    if translated.is_empty() {
        return Ok(());
    }
    publish(&dir.join(CODE), |file| Ok(file.write_all(translated.text().as_bytes())?))
}

/// Addresses of the watched kernel code that ran in this cell's VM.
///
/// # Errors
/// A file that this version does not write.
pub(crate) fn code(dir: &Path) -> anyhow::Result<BTreeSet<u64>> {
    let path = dir.join(CODE);
    if !path.exists() {
        return Ok(BTreeSet::new());
    }
    translated::read(&read_lossy(&path)?)
        .with_context(|| format!("{} is no list of addresses", path.display()))
}

/// The bytes of console and events, which this process wrote.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn raw(dir: &Path) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    Ok((read_own(&dir.join(CONSOLE))?, read_own(&dir.join(EVENTS))?))
}

/// Reads the evidence of a cell back from its folder.
///
/// Without `ending.json` the harness died during the cell: it is interrupted.
///
/// # Errors
/// A file that is missing, unreadable or of another version; the message names it.
pub(crate) fn load(dir: &Path) -> anyhow::Result<Evidence> {
    let path = dir.join(REQUEST);
    let request = serde_json::from_str(&read_lossy(&path)?)
        .with_context(|| format!("{} is no request of this version", path.display()))?;
    let mut heard = Heard::default();
    let mut lines = Lines::new(protocol::LINE_BYTES_MAX);
    let bytes = read(&dir.join(EVENTS))?;
    for line in lines.push(&bytes).into_iter().chain(lines.rest()) {
        heard.take(&line);
    }
    let (events, mut torn_lines) = heard.finish();
    let ended = ended(dir)?.unwrap_or_else(|| Ended {
        ending: Ending::Interrupted,
        wall_ms: 0,
        starved_ms: 0,
        console_dropped_bytes: 0,
        console_asked_at: None,
        torn_lines: Vec::new(),
    });
    torn_lines.extend(ended.torn_lines);
    Ok(Evidence {
        request,
        events,
        torn_lines,
        console: unasked(&read(&dir.join(CONSOLE))?, ended.console_asked_at),
        console_dropped_bytes: ended.console_dropped_bytes,
        ending: ended.ending,
        wall_ms: ended.wall_ms,
        starved_ms: ended.starved_ms,
    })
}

/// Whether a cell is in this folder that never came to its end.
pub(crate) fn is_cut_off(dir: &Path) -> bool {
    dir.join(REQUEST).exists() && !dir.join(ENDING).exists()
}

/// The console of a cell, without what the harness asked for; `None` if it is missing, for example
/// where only results were copied.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn console(dir: &Path) -> anyhow::Result<Option<String>> {
    let path = dir.join(CONSOLE);
    if !path.exists() {
        return Ok(None);
    }
    let asked_at = ended(dir)?.and_then(|ended| ended.console_asked_at);
    Ok(Some(unasked(&read(&path)?, asked_at)))
}

fn ended(dir: &Path) -> anyhow::Result<Option<Ended>> {
    let path = dir.join(ENDING);
    if !path.exists() {
        return Ok(None);
    }
    let ended = serde_json::from_str(&read_lossy(&path)?);
    ended.with_context(|| format!("{} is no ending of this version", path.display())).map(Some)
}

/// The text of a console up to this byte.
fn unasked(console: &[u8], asked_at: Option<u64>) -> String {
    let end = asked_at.and_then(|at| usize::try_from(at).ok()).unwrap_or(console.len());
    printable(&String::from_utf8_lossy(&console[..end.min(console.len())]))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    file::read(path, Links::Refused, FILE_BYTES_MAX)
        .with_context(|| format!("cannot read {}", path.display()))
}

/// A file that this process wrote, wherever that is.
fn read_own(path: &Path) -> anyhow::Result<Vec<u8>> {
    file::bytes(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read_lossy(path: &Path) -> anyhow::Result<String> {
    Ok(String::from_utf8_lossy(&read(path)?).into_owned())
}
