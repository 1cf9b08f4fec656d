// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memcgs of a cell: a parent with the limited one, a bystander and, if the cell asks for it, a
//! second limited one below it. The parent has a limit only if the cell asks for that.
//!
//! The guest itself, its observers and all set-up stay in the root memcg, whose usage counts
//! against no limit.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount, umount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::{CellRequest, CgroupVersion, Fact, MemcgRole, MemcgWrite, Setup, Stage};

use crate::Missing;
use crate::memcg::{Memcg, flat_keyed};
use crate::port::Port;

/// Where the hierarchy is mounted.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";

/// The memcgs of one cell.
pub(crate) struct Memcgs {
    version: CgroupVersion,
    /// The root; only the guest's own helpers are created here.
    pub(crate) root: Memcg,
    /// Of all others; no task is in it.
    pub(crate) parent: Memcg,
    /// Under test.
    pub(crate) limited: Memcg,
    /// A second one with a limit, a sibling.
    pub(crate) second: Option<Memcg>,
    /// Must notice nothing.
    pub(crate) bystander: Memcg,
    counters_file: Option<String>,
}

impl Memcgs {
    /// Mounts the hierarchy that the request names and creates the memcgs in it.
    ///
    /// # Errors
    /// [`Missing`] if the kernel has no memory controller there; or the kernel refuses.
    pub(crate) fn create(cell: &CellRequest) -> Result<Self> {
        if !Self::mount(cell.cgroup)? {
            bail!(Missing(format!("memory controller of cgroup {}", cell.cgroup)));
        }
        let root = Memcg::at(ROOT.into(), cell.cgroup);
        root.delegate()?;
        let parent = root.child("parent")?;
        parent.delegate()?;
        Ok(Self {
            version: cell.cgroup,
            limited: parent.child("limited")?,
            second: cell.second.as_ref().map(|_| parent.child("second")).transpose()?,
            // Below a parent with a limit it would be the right victim.
            bystander: if cell.parent.is_some() { &root } else { &parent }.child("bystander")?,
            counters_file: cell.counters_file.clone(),
            root,
            parent,
        })
    }

    /// Mounts the hierarchy; whether it has the memory controller. One that is mounted stays.
    pub(crate) fn mount(version: CgroupVersion) -> Result<bool> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("read the mounts")?;
        match mounted(&mounts) {
            Some(kind) if kind == kind_of(version) => Ok(true),
            Some(_) => {
                umount(ROOT).context("unmount the other hierarchy")?;
                let bound =
                    "the other version has the controller until its memcgs are freed: boot anew";
                mount_hierarchy(version).context(bound)
            }
            None => mount_hierarchy(version),
        }
    }

    /// Removes the memcgs of an earlier cell.
    ///
    /// # Errors
    /// Tasks are in one.
    pub(crate) fn clear() -> Result<()> {
        for name in ["parent/limited", "parent/second", "parent/bystander", "parent", "bystander"] {
            let folder = Path::new(ROOT).join(name);
            match fs::remove_dir(&folder) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    let folder = folder.display();
                    return Err(error).with_context(|| format!("remove {folder}: end its tasks"));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Checks that the limited memcg has these files.
    ///
    /// # Errors
    /// [`Missing`] names the first that it has not.
    pub(crate) fn require<'a>(&self, mut files: impl Iterator<Item = &'a String>) -> Result<()> {
        match files.find(|file| !self.limited.has(file)) {
            Some(file) => bail!(Missing(format!("{file} in a memcg of cgroup {}", self.version))),
            None => Ok(()),
        }
    }

    /// Those whose charges count at the parent: a bystander may be outside.
    pub(crate) fn below_parent(&self) -> impl Iterator<Item = &Memcg> {
        let is_below = self.bystander.path("").starts_with(self.parent.path(""));
        let bystander = is_below.then_some(&self.bystander);
        [Some(&self.limited), self.second.as_ref(), bystander].into_iter().flatten()
    }

    /// Those with a limit, the one under test first.
    pub(crate) fn limits<'a>(&'a self, cell: &'a CellRequest) -> Vec<Limit<'a>> {
        let mut limits = vec![Limit {
            role: MemcgRole::Limited,
            memcg: &self.limited,
            limit_bytes: cell.limit_bytes,
            writes: &cell.writes,
            policy: &cell.policy,
        }];
        let (second, parent) = (self.second.as_ref(), Some(&self.parent));
        for (role, memcg, shape) in
            [(MemcgRole::Second, second, &cell.second), (MemcgRole::Parent, parent, &cell.parent)]
        {
            limits.extend(memcg.zip(shape.as_ref()).map(|(memcg, shape)| Limit {
                role,
                memcg,
                limit_bytes: shape.limit_bytes,
                writes: &shape.writes,
                policy: &shape.policy,
            }));
        }
        limits
    }

    /// Reads and reports all.
    pub(crate) fn report(&self, port: &Port, stage: Stage) -> Result<()> {
        // A workload may have removed the second one.
        let second = self.second.as_ref().filter(|second| second.exists());
        let second = second.map(|second| (second, MemcgRole::Second));
        for (memcg, role) in [
            (&self.limited, MemcgRole::Limited),
            (&self.bystander, MemcgRole::Bystander),
            (&self.parent, MemcgRole::Parent),
        ]
        .into_iter()
        .chain(second)
        {
            // A kernel may leave the counters out of some memcgs: absence is a fact there.
            let counters_file = self.counters_file.as_deref().filter(|file| memcg.has(file));
            port.send(memcg.reading(stage, role, counters_file)?)?;
        }
        Ok(())
    }

    /// Kills every task below the parent but the bystander, and removes every memcg there that is
    /// not of the cell. Whether nothing was left to do.
    pub(crate) fn end_strays(&self) -> Result<bool> {
        let is = |memcg: &Memcg, folder: &Path| memcg.path("").components().eq(folder.components());
        let own = [Some(&self.limited), self.second.as_ref()];
        let mut gone = true;
        for folder in folders_below(&self.parent.path(""))? {
            if is(&self.bystander, &folder) {
                continue;
            }
            // All in one, where the kernel can: tasks that fork may be faster than a list of them.
            let _ = fs::write(folder.join("cgroup.kill"), "1");
            for pid in fs::read_to_string(folder.join("cgroup.procs"))?.lines() {
                gone = false;
                let pid = pid.parse().with_context(|| format!("{pid:?} is no PID"))?;
                // It may have ended meanwhile.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let is_own = own.iter().flatten().any(|memcg| is(memcg, &folder));
            gone &= is_own || fs::remove_dir(&folder).is_ok();
        }
        Ok(gone)
    }

    /// Removed memcgs that the kernel has not freed yet.
    pub(crate) fn dying(&self) -> Result<u64> {
        match self.version {
            CgroupVersion::V2 => {
                let text = fs::read_to_string(Path::new(ROOT).join("cgroup.stat"))?;
                let stat = flat_keyed(&text).context("parse cgroup.stat")?;
                stat.get("nr_dying_descendants").copied().context("no nr_dying_descendants")
            }
            CgroupVersion::V1 => {
                // v1 has no such count, but its total includes what is not freed yet.
                let text = fs::read_to_string("/proc/cgroups").context("read /proc/cgroups")?;
                let total = v1_total(&text).context("no memory line in /proc/cgroups")?;
                Ok(total.saturating_sub(folders_in(Path::new(ROOT))?))
            }
        }
    }
}

/// A memcg that has a limit, and what is written into it.
pub(crate) struct Limit<'a> {
    /// Which it is.
    pub(crate) role: MemcgRole,
    /// The memcg.
    pub(crate) memcg: &'a Memcg,
    /// The limit, bytes.
    pub(crate) limit_bytes: u64,
    writes: &'a [MemcgWrite],
    policy: &'a [MemcgWrite],
}

impl Limit<'_> {
    /// Sets limit and policy. Returns what the kernel made of them.
    pub(crate) fn set(&self, cell: &CellRequest) -> Result<Fact> {
        // The limit first: a kernel may derive the default of its cap from it.
        self.memcg.limit_to(self.limit_bytes)?;
        for write in self.writes {
            self.memcg.write(&write.file, &write.value)?;
        }
        let policy =
            self.policy.iter().map(|write| self.memcg.apply(write)).collect::<Result<_>>()?;
        Ok(Fact::Setup(Setup {
            memcg: self.role,
            limit_bytes: self.memcg.limit_bytes()?.context("no limit is in force")?,
            cap_bytes: cell.cap_file.as_ref().map(|file| self.memcg.bytes_in(file)).transpose()?,
            sample_period_us: cell.sample_period_us,
            policy,
        }))
    }
}

/// The file system of a version.
fn kind_of(version: CgroupVersion) -> &'static str {
    match version {
        CgroupVersion::V1 => "cgroup",
        CgroupVersion::V2 => "cgroup2",
    }
}

/// The file system at [`ROOT`], if something was mounted there.
fn mounted(mounts: &str) -> Option<&str> {
    let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(ROOT))?;
    line.split(' ').nth(2)
}

/// Mounts the hierarchy; whether it has the memory controller.
fn mount_hierarchy(version: CgroupVersion) -> Result<bool> {
    let kind = kind_of(version);
    let options = (version == CgroupVersion::V1).then_some("memory");
    match (mount(Some(kind), ROOT, Some(kind), MsFlags::empty(), options), version) {
        (Ok(()), CgroupVersion::V1) => Ok(true),
        (Ok(()), CgroupVersion::V2) => {
            let controllers = fs::read_to_string(Path::new(ROOT).join("cgroup.controllers"))?;
            Ok(controllers.split_whitespace().any(|name| name == "memory"))
        }
        // EINVAL: this kernel has no such controller for v1; ENODEV: no such file system.
        (Err(nix::Error::EINVAL | nix::Error::ENODEV), _) => Ok(false),
        (Err(errno), _) => bail!("mount {kind} on {ROOT}: {errno}"),
    }
}

/// The number of memcgs in `/proc/cgroups`: name, hierarchy, count, enabled.
fn v1_total(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("memory\t"))?;
    line.split('\t').nth(2)?.parse().ok()
}

/// Folders below `folder`, the deepest first.
pub(crate) fn folders_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.extend(folders_below(&entry.path())?);
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// Folders at and below `folder`.
fn folders_in(folder: &Path) -> Result<u64> {
    let mut folders = 1;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders += folders_in(&entry.path())?;
        }
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_hierarchy_is_found() {
        let mounts = "sysfs /sys sysfs rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        assert_eq!(mounted(mounts), Some(kind_of(CgroupVersion::V2)));
        assert_eq!(mounted("cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"), None);
    }

    #[test]
    fn reads_the_count_of_memcgs() {
        let text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t1\t1\nmemory\t1\t5\t1\n";
        assert_eq!(v1_total(text), Some(5));
        assert_eq!(v1_total("cpu\t0\t1\t1\n"), None);
    }
}
