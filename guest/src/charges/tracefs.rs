// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's tracing interface: one return probe, and instances, each with its ring buffer.
//!
//! Bounded: a buffer stops when it is full and counts what it drops, and so does the reader.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mount::MsFlags;
use protocol::{CHARGE_FUNCTION, SIGNAL_EVENT};

const TRACEFS: &str = "/sys/kernel/tracing";

/// Group and name of the probe's event.
const EVENT: &str = "harness/charge";

/// Calls of the probed function that may be in flight: a charge sleeps in reclaim.
const CALLS_AT_ONCE: u32 = 1024;

/// The patch's events.
const PATCH: &str = "events/memcg_overcharge";

/// The OOM killer chose a victim.
const KILL: &str = "events/oom/mark_victim";

/// Ring buffer of each CPU, KiB: some 500 failed charges with their stacks, or 3,000 overcharges.
const BUFFER_KIB: u32 = 1024;

/// Bytes of text that are read, at most: the buffers of four CPUs, with symbols for addresses.
const TEXT_BYTES_MAX: u64 = 8 << 20;

/// Mounts tracefs.
///
/// # Errors
/// The kernel has none.
pub(super) fn mount() -> Result<()> {
    let kind = Some("tracefs");
    match nix::mount::mount(kind, TRACEFS, kind, MsFlags::empty(), None::<&str>) {
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => bail!("mount tracefs on {TRACEFS}: {errno}"),
    }
}

/// The numbers of names in the kernel's events.
pub(super) fn eval_map() -> Result<String> {
    read(&Path::new(TRACEFS).join("eval_map"))
}

/// Whether the kernel has the patch's own events.
pub(super) fn has_patch() -> bool {
    Path::new(TRACEFS).join(PATCH).exists()
}

/// The return probe.
pub(super) struct Probe {
    counted_before: Cell<(u64, u64)>,
}

impl Probe {
    /// Sets it.
    ///
    /// # Errors
    /// The kernel has no such function, has several, or no probes.
    pub(super) fn set() -> Result<Self> {
        // A probe that is optimised into a jump is patched a second time, some jiffies later and
        // through a breakpoint, which emulators get wrong.
        write(Path::new("/proc/sys/debug/kprobes-optimization"), "0")?;
        // Otherwise each instance follows every context switch to know the names of PIDs.
        write(&Path::new(TRACEFS).join("options/record-cmd"), "0")?;
        let probe = format!(
            "r{CALLS_AT_ONCE}:{EVENT} {CHARGE_FUNCTION} gfp=$arg2:x32 pages=$arg3:u32 \
             ret=$retval:s32 comm=$comm"
        );
        write(&Path::new(TRACEFS).join("kprobe_events"), &probe)?;
        Ok(Self { counted_before: Cell::new((0, 0)) })
    }

    /// Disables and removes it.
    pub(super) fn remove(&self, instance: &Instance) -> Result<()> {
        instance.write(&format!("events/{EVENT}/enable"), "0")?;
        write(&Path::new(TRACEFS).join("kprobe_events"), &format!("-:{EVENT}"))
    }

    /// Removes one that another process set.
    pub(super) fn forget() -> Result<()> {
        let events = Path::new(TRACEFS).join("kprobe_events");
        match read(&events)?.contains(EVENT) {
            true => write(&events, &format!("-:{EVENT}")),
            false => Ok(()),
        }
    }

    /// Restarts counting.
    pub(super) fn note_counts(&self) -> Result<()> {
        self.counted_before.set(counts()?);
        Ok(())
    }

    /// Hits and misses since then.
    pub(super) fn counted(&self) -> Result<(u64, u64)> {
        let (before, now) = (self.counted_before.get(), counts()?);
        Ok((now.0 - before.0, now.1 - before.1))
    }
}

fn counts() -> Result<(u64, u64)> {
    let text = read(&Path::new(TRACEFS).join("kprobe_profile"))?;
    profile(&text).with_context(|| format!("no counts in kprobe_profile: {text}"))
}

/// Hits and misses of the only probe.
fn profile(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_whitespace();
    words.next()?;
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// A tracing instance with its ring buffer.
pub(super) struct Instance {
    folder: PathBuf,
}

impl Instance {
    /// Creates it; nothing is recorded yet.
    pub(super) fn create(name: &str) -> Result<Self> {
        let folder = Path::new(TRACEFS).join("instances").join(name);
        fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
        let instance = Self { folder };
        instance.stop()?;
        // The guest's own clock, so that events can be put in order with its facts.
        instance.write("trace_clock", "boot")?;
        // The first events are kept; those that do not fit are counted.
        instance.write("options/overwrite", "0")?;
        instance.write("buffer_size_kb", &BUFFER_KIB.to_string())?;
        Ok(instance)
    }

    /// Removes one that another process created.
    pub(super) fn remove(name: &str) -> Result<()> {
        let folder = Path::new(TRACEFS).join("instances").join(name);
        match fs::remove_dir(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", folder.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Records the probe's events with their stacks, and each SIGKILL.
    pub(super) fn watch(&self, _: &Probe) -> Result<()> {
        self.write("options/stacktrace", "1")?;
        self.write(&format!("events/signal/{SIGNAL_EVENT}/filter"), "sig == 9")?;
        self.write(&format!("events/signal/{SIGNAL_EVENT}/enable"), "1")?;
        self.write(&format!("events/{EVENT}/enable"), "1")
    }

    /// Records the patch's events, and OOM kills among them.
    pub(super) fn watch_patch(&self) -> Result<()> {
        self.write(&format!("{KILL}/enable"), "1")?;
        self.write(&format!("{PATCH}/enable"), "1")
    }

    /// Stops recording the patch's events.
    pub(super) fn ignore_patch(&self) -> Result<()> {
        self.write(&format!("{KILL}/enable"), "0")?;
        self.write(&format!("{PATCH}/enable"), "0")
    }

    /// Selects the probe's events to keep.
    pub(super) fn filter(&self, filter: &str) -> Result<()> {
        self.write(&format!("events/{EVENT}/filter"), filter)
    }

    /// Opens the file through which tasks put marks into the trace.
    pub(super) fn marks(&self) -> Result<File> {
        let marks = OpenOptions::new().write(true).open(self.folder.join("trace_marker"));
        marks.context("open trace_marker")
    }

    /// Starts recording.
    pub(super) fn start(&self) -> Result<()> {
        self.write("tracing_on", "1")
    }

    /// Stops recording.
    pub(super) fn stop(&self) -> Result<()> {
        self.write("tracing_on", "0")
    }

    /// Drops what was recorded.
    pub(super) fn clear(&self) -> Result<()> {
        File::create(self.folder.join("trace")).context("clear the trace").map(drop)
    }

    /// What was recorded, and whether the text was truncated.
    pub(super) fn text(&self) -> Result<(String, bool)> {
        let mut bytes = Vec::new();
        let file = File::open(self.folder.join("trace")).context("open the trace")?;
        file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).context("read the trace")?;
        let cut = bytes.len() as u64 == TEXT_BYTES_MAX;
        Ok((String::from_utf8_lossy(&bytes).into_owned(), cut))
    }

    /// Events that found no room.
    pub(super) fn lost(&self) -> Result<u64> {
        let mut lost = 0;
        let cpus = self.folder.join("per_cpu");
        for cpu in fs::read_dir(&cpus).with_context(|| format!("read {}", cpus.display()))? {
            lost += dropped(&read(&cpu?.path().join("stats"))?).context("no counts in stats")?;
        }
        Ok(lost)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        write(&self.folder.join(file), text)
    }
}

/// The sum of the three ways in which a CPU's ring buffer loses events.
fn dropped(stats: &str) -> Option<u64> {
    ["overrun:", "commit overrun:", "dropped events:"]
        .iter()
        .map(|key| {
            let line = stats.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim().parse::<u64>().ok()
        })
        .sum()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// One write without truncating first, which some of these files take as "remove all".
fn write(path: &Path, text: &str) -> Result<()> {
    let context = || format!("write {text:?} to {}", path.display());
    let mut file = OpenOptions::new().append(true).open(path).with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_counts_of_the_probe() {
        let text =
            "  charge                                                    1234               7\n";
        assert_eq!(profile(text), Some((1234, 7)));
        assert_eq!(profile(""), None);
    }

    #[test]
    fn each_way_to_lose_an_event_counts() {
        let stats = "entries: 9\noverrun: 1\ncommit overrun: 20\nbytes: 55\ndropped events: 300\nread events: 4\n";
        assert_eq!(dropped(stats), Some(321));
        assert_eq!(dropped("entries: 9\noverrun: 1\n"), None);
    }
}
