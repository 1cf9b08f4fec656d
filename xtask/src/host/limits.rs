// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this process may use: the machine's memory and CPUs, and what its cgroups leave of them.
//!
//! Contract: `memory.max`, `memory.high` and `cpu.max` of the own cgroup and of those above it
//! count, in cgroup v2 and v1. A file that is missing or says `max` is no limit.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::file;
use signal_hook::consts::signal::SIGXFSZ;

/// A v1 memory limit above this is none: the kernel shows the largest number it can.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// Memory of one compiler of a kernel build, MiB; the link of `vmlinux` takes two of these.
const COMPILER_MIB: u64 = 512;

/// Processors this process may use: affinity and CPU quota count, rounded down, at least one.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Memory available without swapping, to the machine and in every cgroup above, MiB.
pub(crate) fn memory_available_mib() -> Option<u64> {
    let machine_mib = available_in(&file::text("/proc/meminfo").ok()?)?;
    Some(own().iter().filter_map(|it| it.free_bytes()).map(|b| b >> 20).fold(machine_mib, u64::min))
}

/// The limits in force of the cgroups of this process, for people.
pub(crate) fn of_cgroups() -> Vec<String> {
    own().iter().filter_map(Cgroup::said).collect()
}

/// Lets a write beyond the limit of file sizes (`ulimit -f`) fail with EFBIG instead of killing the
/// harness. Its children are killed by SIGXFSZ as ever, which names the cause.
pub(crate) fn outlive_file_limit() {
    let flag = Arc::new(AtomicBool::new(false));
    // Without a handler all is as it was.
    let _ = signal_hook::flag::register(SIGXFSZ, flag);
}

/// Compilers that may run in parallel: processors, as far as there is memory for each.
pub(crate) fn build_jobs() -> usize {
    let by_memory = memory_available_mib().map_or(u64::MAX, |mib| mib / COMPILER_MIB).max(1);
    usize::try_from(by_memory).map_or(cores(), |by_memory| by_memory.min(cores()))
}

/// The nice value of this process.
pub(crate) fn own_nice() -> Option<i32> {
    nice_in(&file::text("/proc/self/stat").ok()?)
}

fn nice_in(stat: &str) -> Option<i32> {
    stat.rsplit(") ").next()?.split(' ').nth(16)?.parse().ok()
}

/// A note for who runs the harness with `nice`, which does not order cells between sessions.
pub(crate) fn autogroup_note() -> Option<String> {
    let read = |name: &str| file::text(format!("/proc/self/{name}")).ok();
    let enabled = file::text("/proc/sys/kernel/sched_autogroup_enabled").ok()?;
    (enabled.trim() == "1").then(|| nice_note(&read("stat")?, &read("autogroup")?)).flatten()
}

fn nice_note(stat: &str, autogroup: &str) -> Option<String> {
    let nice = nice_in(stat)?;
    let of_session: i32 = autogroup.trim().rsplit(' ').next()?.parse().ok()?;
    (nice > of_session.max(0)).then(|| {
        format!(
            "note: nice {nice} puts builds behind work of other terminals, but not cells \
             (autogroup): `echo {nice} > /proc/self/autogroup` in this shell does"
        )
    })
}

fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024)
}

/// One cgroup of this process, in the hierarchy that is mounted at `mount`.
#[derive(Debug, PartialEq, Eq)]
struct Cgroup {
    mount: PathBuf,
    /// Below `mount`.
    path: PathBuf,
}

fn own() -> Vec<Cgroup> {
    let read = |name: &str| file::text(format!("/proc/self/{name}")).unwrap_or_default();
    cgroups(&read("cgroup"), &read("mountinfo"))
}

/// The cgroups of a process from its `/proc` files: in each hierarchy from its own to the topmost
/// that can be seen.
fn cgroups(cgroup: &str, mountinfo: &str) -> Vec<Cgroup> {
    let mut all = Vec::new();
    for line in cgroup.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let Some((mount, root)) = mountinfo.lines().find_map(|m| mounted(m, controllers)) else {
            continue;
        };
        // In a container the mount may begin at the container's own cgroup.
        let path = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        let cgroup = |path: &Path| Cgroup { mount: mount.into(), path: path.to_owned() };
        all.extend(path.ancestors().map(cgroup));
    }
    all
}

/// Mount point and root of the hierarchy with these controllers (v2: none), if it is mounted here.
fn mounted<'a>(line: &'a str, controllers: &str) -> Option<(&'a str, &'a str)> {
    let (mount, fs) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, point) = (mount.next()?, mount.next()?);
    let mut fs = fs.split(' ');
    let kind = fs.next()?;
    let options = fs.nth(1)?;
    let here = match controllers {
        "" => kind == "cgroup2",
        named => kind == "cgroup" && named.split(',').all(|c| options.split(',').any(|o| o == c)),
    };
    here.then_some((point, root))
}

impl Cgroup {
    fn read(&self, file: &str) -> Option<String> {
        file::text(self.mount.join(&self.path).join(file)).ok()
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.read(file)?.trim().parse().ok()
    }

    fn memory_limit_bytes(&self) -> Option<u64> {
        let files = ["memory.max", "memory.high", "memory.limit_in_bytes"];
        let limits = files.iter().filter_map(|file| self.number(file));
        limits.filter(|bytes| *bytes < NO_LIMIT_BYTES).min()
    }

    /// What is left below the limit; page cache can be reclaimed.
    fn free_bytes(&self) -> Option<u64> {
        let limit_bytes = self.memory_limit_bytes()?;
        let used =
            self.number("memory.current").or_else(|| self.number("memory.usage_in_bytes"))?;
        let stat = self.read("memory.stat").unwrap_or_default();
        let cache = ["inactive_file", "active_file"].iter().filter_map(|name| {
            let of = |prefix: &str| {
                let line =
                    stat.lines().find_map(|line| line.strip_prefix(&*format!("{prefix}{name} ")));
                line?.trim().parse::<u64>().ok()
            };
            // v1 has both: its own, and with the cgroups below it.
            of("total_").or_else(|| of(""))
        });
        Some(limit_bytes.saturating_sub(used.saturating_sub(cache.sum())))
    }

    fn cpu_quota(&self) -> Option<f64> {
        let v2 = self.read("cpu.max");
        let v2 = v2.as_deref().and_then(|text| text.trim().split_once(' '));
        let (quota, period): (f64, f64) = match v2 {
            Some((quota, period)) => (quota.parse().ok()?, period.parse().ok()?),
            None => {
                let number = |file: &str| self.read(file)?.trim().parse().ok();
                (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
            }
        };
        (quota > 0.0 && period > 0.0).then_some(quota / period)
    }

    fn said(&self) -> Option<String> {
        let memory =
            self.memory_limit_bytes().map(|bytes| format!("{} MiB of memory", bytes >> 20));
        let cpus = self.cpu_quota().map(|cpus| format!("{cpus:.1} CPUs"));
        let limits: Vec<String> = memory.into_iter().chain(cpus).collect();
        (!limits.is_empty())
            .then(|| format!("cgroup /{}: {}", self.path.display(), limits.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const V2: &str =
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";

    #[test]
    fn cgroups_above_count_too() {
        let at = |mount: &str, path: &str| Cgroup { mount: mount.into(), path: path.into() };
        let mount = "/sys/fs/cgroup";
        let own = cgroups("0::/user/build\n", V2);
        assert_eq!(own, [at(mount, "user/build"), at(mount, "user"), at(mount, "")]);
        // A container without a cgroup namespace: the mount shows its own cgroup as the root.
        let inside = V2.replace(" / /sys", " /docker/1 /sys");
        assert_eq!(cgroups("0::/docker/1/job\n", &inside), [at(mount, "job"), at(mount, "")]);
        let v1 = "35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n\
                  32 31 0:29 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct";
        let both = cgroups("4:memory:/a\n2:cpu,cpuacct:/\n9:name=systemd:/\n", v1);
        assert_eq!(both, [at("/cg/memory", "a"), at("/cg/memory", ""), at("/cg/cpu", "")]);
        assert_eq!(cgroups("", ""), []);
    }

    #[test]
    fn limits_of_both_versions_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let cgroup = Cgroup { mount: dir.path().to_owned(), path: "".into() };
        let write = |file: &str, text: &str| fs::write(dir.path().join(file), text).unwrap();
        assert_eq!((cgroup.free_bytes(), cgroup.said()), (None, None));
        write("memory.max", "max\n");
        write("cpu.max", "max 100000\n");
        write("memory.current", "734003200\n");
        write("memory.stat", "anon 1\ninactive_file 104857600\nactive_file 0\n");
        assert_eq!((cgroup.free_bytes(), cgroup.said()), (None, None));
        write("memory.max", "1073741824\n");
        write("cpu.max", "150000 100000\n");
        assert_eq!(cgroup.free_bytes(), Some((1024 - 700 + 100) << 20));
        assert_eq!(cgroup.said().unwrap(), "cgroup /: 1024 MiB of memory, 1.5 CPUs");
        write("memory.high", "536870912\n");
        assert_eq!(cgroup.free_bytes(), Some(0), "over its limit already");

        for file in ["memory.max", "memory.high", "memory.current", "cpu.max"] {
            fs::remove_file(dir.path().join(file)).unwrap();
        }
        write("memory.limit_in_bytes", "9223372036854771712\n");
        write("memory.usage_in_bytes", "314572800\n");
        write("memory.stat", "inactive_file 1\ntotal_inactive_file 104857600\n");
        write("cpu.cfs_quota_us", "-1\n");
        write("cpu.cfs_period_us", "100000\n");
        assert_eq!((cgroup.free_bytes(), cgroup.said()), (None, None));
        write("memory.limit_in_bytes", "1073741824\n");
        write("cpu.cfs_quota_us", "50000\n");
        assert_eq!(cgroup.free_bytes(), Some((1024 - 300 + 100) << 20));
        assert_eq!(cgroup.said().unwrap(), "cgroup /: 1024 MiB of memory, 0.5 CPUs");
    }

    #[test]
    fn nice_that_orders_nothing_is_said() {
        let stat = |nice: i32| format!("1 (a b) S 0 1 1 0 -1 4 5 6 7 8 9 10 11 12 20 {nice} 1 0");
        let note =
            |nice: i32, group: i32| nice_note(&stat(nice), &format!("/autogroup-5 nice {group}\n"));
        assert!(note(10, 0).unwrap().contains("echo 10 > /proc/self/autogroup"));
        assert_eq!((note(0, -5), note(10, 10), note(-5, 0)), (None, None, None));
    }

    #[test]
    fn what_the_machine_has_is_read() {
        assert_eq!(available_in("MemTotal: 9 kB\nMemAvailable:    2048000 kB\n"), Some(2000));
    }
}
