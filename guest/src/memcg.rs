// SPDX-License-Identifier: MIT OR Apache-2.0
//! One memcg: its files, under one set of names for both cgroup versions.
//!
//! What is reported is always read back from the kernel.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::libc;
use nix::unistd::Pid;
use protocol::{CgroupVersion, Fact, Files, MemcgRole, MemcgWrite, Stage};

/// v1 shows "no limit" as the largest multiple of a page below 2^63.
const V1_NO_LIMIT_BYTES: u64 = (i64::MAX as u64) & !0xffff;

/// A memcg's folder.
#[derive(Clone)]
pub(crate) struct Memcg {
    folder: PathBuf,
    version: CgroupVersion,
}

impl Memcg {
    /// The memcg at `folder`, which exists.
    pub(crate) fn at(folder: PathBuf, version: CgroupVersion) -> Self {
        Self { folder, version }
    }

    /// Creates a child.
    pub(crate) fn child(&self, name: &str) -> Result<Self> {
        let folder = self.folder.join(name);
        fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(Self { folder, version: self.version })
    }

    /// Hands the memory controller down to children. v1 does that by itself.
    pub(crate) fn delegate(&self) -> Result<()> {
        match self.version {
            CgroupVersion::V1 => Ok(()),
            CgroupVersion::V2 => self.write("cgroup.subtree_control", "+memory"),
        }
    }

    /// Moves a process in.
    pub(crate) fn admit(&self, pid: Pid) -> Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// Removes the memcg; `false` when the kernel refuses, as it does while a process is inside.
    pub(crate) fn remove(&self) -> bool {
        fs::remove_dir(&self.folder).is_ok()
    }

    /// The number by which the kernel's trace events name it.
    pub(crate) fn number(&self) -> Result<u64> {
        let folder = fs::metadata(&self.folder);
        Ok(folder.with_context(|| format!("look at {}", self.folder.display()))?.ino())
    }

    /// Whether it has not been removed.
    pub(crate) fn exists(&self) -> bool {
        self.folder.exists()
    }

    /// Whether the memcg has this file.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.path(file).exists()
    }

    /// Path of one of its files.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// File that holds the usage in bytes.
    pub(crate) fn usage_file(&self) -> PathBuf {
        self.folder.join(self.either("memory.usage_in_bytes", "memory.current"))
    }

    /// File that holds the highest usage so far in bytes.
    pub(crate) fn peak_file(&self) -> PathBuf {
        self.folder.join(self.either("memory.max_usage_in_bytes", "memory.peak"))
    }

    /// Usage, bytes.
    pub(crate) fn current_bytes(&self) -> Result<u64> {
        number(&read(&self.usage_file())?)
    }

    /// Limit in force, bytes; `None` for no limit.
    pub(crate) fn limit_bytes(&self) -> Result<Option<u64>> {
        limit(&self.read(self.limit_file())?)
    }

    /// Sets the limit.
    pub(crate) fn limit_to(&self, bytes: u64) -> Result<()> {
        self.write(self.limit_file(), &bytes.to_string())
    }

    /// Drains the stocks that CPUs hold for this memcg: precharged pages, which would serve the
    /// next charges before any of them meets the limit.
    ///
    /// `memory_high_write()` drains all stocks if usage is above the new value. v1 needs
    /// `memory.force_empty`, which also reclaims all that it can.
    pub(crate) fn drain(&self) -> Result<()> {
        if self.version == CgroupVersion::V1 {
            return self.write("memory.force_empty", "0");
        }
        let below_bytes = self.current_bytes()?.saturating_sub(page_bytes());
        self.write("memory.high", &below_bytes.to_string())?;
        self.write("memory.high", "max")
    }

    /// Whether all tasks in it are frozen. v2 only.
    pub(crate) fn is_frozen(&self) -> bool {
        let events = self.flat("cgroup.events");
        events.is_ok_and(|events| events.get("frozen") == Some(&1))
    }

    /// Writes one policy file and reads it back.
    pub(crate) fn apply(&self, write: &MemcgWrite) -> Result<MemcgWrite> {
        self.write(&write.file, &write.value)?;
        Ok(MemcgWrite { file: write.file.clone(), value: self.read(&write.file)? })
    }

    /// A number of bytes in a file of any name, `max` as the largest number.
    ///
    /// # Errors
    /// The file cannot be read or holds something else.
    pub(crate) fn bytes_in(&self, file: &str) -> Result<u64> {
        Ok(limit(&self.read(file)?)?.unwrap_or(u64::MAX))
    }

    /// Reads everything that is reported of a memcg.
    pub(crate) fn reading(
        &self,
        stage: Stage,
        role: MemcgRole,
        counters_file: Option<&str>,
    ) -> Result<Fact> {
        let counters = counters_file.map(|file| self.flat(file)).transpose()?;
        Ok(Fact::Memcg(Files {
            stage,
            role,
            current_bytes: self.current_bytes()?,
            peak_bytes: number(&read(&self.peak_file())?)?,
            max_bytes: self.limit_bytes()?,
            events: self.events()?,
            stat: self.flat("memory.stat")?,
            counters,
        }))
    }

    fn events(&self) -> Result<BTreeMap<String, u64>> {
        match self.version {
            CgroupVersion::V2 => self.flat("memory.events"),
            CgroupVersion::V1 => {
                let control = self.flat("memory.oom_control")?;
                let kills = control.get("oom_kill").context("no oom_kill in memory.oom_control")?;
                let hits = number(&self.read("memory.failcnt")?)?;
                Ok(BTreeMap::from([("max".to_owned(), hits), ("oom_kill".to_owned(), *kills)]))
            }
        }
    }

    fn limit_file(&self) -> &'static str {
        self.either("memory.limit_in_bytes", "memory.max")
    }

    /// The name for this cgroup version.
    fn either(&self, v1: &'static str, v2: &'static str) -> &'static str {
        match self.version {
            CgroupVersion::V1 => v1,
            CgroupVersion::V2 => v2,
        }
    }

    fn flat(&self, file: &str) -> Result<BTreeMap<String, u64>> {
        flat_keyed(&self.read(file)?)
            .with_context(|| format!("parse {}", self.folder.join(file).display()))
    }

    /// Reads one file.
    pub(crate) fn read(&self, file: &str) -> Result<String> {
        read(&self.folder.join(file))
    }

    /// Writes one file.
    pub(crate) fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, text).with_context(|| format!("write {text:?} to {}", path.display()))
    }
}

fn read(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.trim().to_owned())
}

fn number(text: &str) -> Result<u64> {
    text.trim().parse().with_context(|| format!("{text:?} is no number"))
}

fn limit(text: &str) -> Result<Option<u64>> {
    if text == "max" {
        return Ok(None);
    }
    let bytes = number(text)?;
    Ok((bytes < V1_NO_LIMIT_BYTES).then_some(bytes))
}

/// Parses lines of `key number`.
///
/// # Errors
/// A line is something else, or a key comes twice.
pub(crate) fn flat_keyed(text: &str) -> Result<BTreeMap<String, u64>> {
    let mut values = BTreeMap::new();
    for line in text.lines() {
        let (key, value) =
            line.split_once(' ').with_context(|| format!("line {line:?} has no value"))?;
        let before = values.insert(key.to_owned(), number(value)?);
        ensure!(before.is_none(), "key {key:?} comes twice");
    }
    Ok(values)
}

/// Page size, bytes.
pub(crate) fn page_bytes() -> u64 {
    // SAFETY: no preconditions; this name is always known.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_flat_keyed_files() {
        let events = flat_keyed("low 0\nmax 117\noom_kill 1\n").unwrap();
        assert_eq!(events["max"], 117);
        assert_eq!(events.len(), 3);
        assert!(flat_keyed("").unwrap().is_empty());
    }

    #[test]
    fn refuses_what_is_not_flat_keyed() {
        for text in ["max", "max many", "max 1 2", "max -1", "max 1\nmax 2"] {
            assert!(flat_keyed(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn no_limit_of_either_version_is_none() {
        assert_eq!(limit("max").unwrap(), None);
        assert_eq!(limit("9223372036854771712").unwrap(), None);
        assert_eq!(limit("4194304").unwrap(), Some(4 << 20));
    }
}
