// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine's CPUs: which they are, how fast their TSC counts, and how much of their time its
//! hypervisor took away.

use std::time::{Duration, Instant};

use super::file;

/// Model and microcode of the CPUs; empty where `/proc/cpuinfo` does not say.
pub(crate) fn model() -> (String, String) {
    let text = file::text("/proc/cpuinfo").unwrap_or_default();
    (every(&text, "model name"), every(&text, "microcode"))
}

/// Time that the CPUs have spent since boot, clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    /// Not idle, stolen time included.
    wanted: u64,
    /// Wanted to run, and the hypervisor ran something else.
    stolen: u64,
}

impl CpuTime {
    /// Until now; `None` if `/proc/stat` does not say.
    pub(crate) fn now() -> Option<Self> {
        Self::read(&file::text("/proc/stat").ok()?)
    }

    fn read(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_whitespace().map_while(|n| n.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guest time is in user.
        let &[user, nice, system, _idle, _iowait, irq, softirq, stolen, ..] = ticks.as_slice()
        else {
            return None;
        };
        Some(Self { wanted: user + nice + system + irq + softirq + stolen, stolen })
    }

    /// Share of the time wanted since `begin` that was stolen, percent.
    pub(crate) fn steal_percent(self, begin: Self) -> Option<u32> {
        let wanted = self.wanted.checked_sub(begin.wanted).filter(|ticks| *ticks > 0)?;
        let stolen = self.stolen.checked_sub(begin.stolen)?;
        u32::try_from((stolen * 100).div_ceil(wanted)).ok()
    }
}

/// For how long the TSC is measured: an error of a microsecond at each end is 10 ppm.
const TSC_MEASURED: Duration = Duration::from_millis(200);

/// Readings at each end of the measurement; the one that took the shortest time counts.
const TSC_READINGS: u32 = 100;

/// What the TSC counts, kHz, to a tenth of a MHz; `None` on a host that is no x86-64.
#[cfg(target_arch = "x86_64")]
pub(crate) fn tsc_khz() -> Option<u64> {
    let (begin_at, begin) = tsc_now()?;
    std::thread::sleep(TSC_MEASURED);
    let (end_at, end) = tsc_now()?;
    let passed_us = end_at.checked_duration_since(begin_at)?.as_micros();
    let khz = u128::from(end.checked_sub(begin)?) * 1000 / passed_us.max(1);
    u64::try_from(khz).ok().map(|khz| (khz + 50) / 100 * 100).filter(|khz| *khz > 0)
}

/// See above.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn tsc_khz() -> Option<u64> {
    None
}

/// The TSC and the time of one moment.
#[cfg(target_arch = "x86_64")]
fn tsc_now() -> Option<(Instant, u64)> {
    let readings = (0..TSC_READINGS).map(|_| {
        let before = Instant::now();
        // SAFETY: every x86-64 CPU has the instruction, and it changes no memory.
        let ticks = unsafe { std::arch::x86_64::_rdtsc() };
        (before.elapsed(), before, ticks)
    });
    readings.min().map(|(_, at, ticks)| (at, ticks))
}

/// The different values of a field, one CPU's each.
fn every(cpuinfo: &str, field: &str) -> String {
    let values = cpuinfo.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == field).then(|| value.trim())
    });
    values.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_tsc_counts_the_same_twice() {
        let (one, other) = (tsc_khz().unwrap(), tsc_khz().unwrap());
        assert!(one.abs_diff(other) <= one / 1000, "{one} kHz, then {other} kHz");
        assert!((100_000..10_000_000).contains(&one), "{one} kHz");
    }

    #[test]
    fn the_cpus_of_a_machine_are_named_once() {
        let cpu = |n| format!("processor : {n}\nmodel name\t: AMD EPYC\nmicrocode\t: 0xa2\n\n");
        let text = format!("{}{}", cpu(0), cpu(1));
        assert_eq!((every(&text, "model name"), every(&text, "microcode")).0, "AMD EPYC");
        assert_eq!(every(&text, "microcode"), "0xa2");
        assert_eq!(every(&text.replacen("0xa2", "0xa1", 1), "microcode"), "0xa1, 0xa2");
        assert_eq!(every("", "microcode"), "");
    }

    #[test]
    fn stolen_time_is_a_share_of_the_time_that_was_wanted() {
        let at = |text| CpuTime::read(text).unwrap();
        let begin = at("cpu  100 0 50 9000 10 0 0 5 0 0\ncpu0 1\n");
        let end = at("cpu  180 0 60 99000 10 0 0 15 0 0\n");
        assert_eq!(end.steal_percent(begin), Some(10));
        assert_eq!(begin.steal_percent(begin), None, "nothing ran");
        assert_eq!(begin.steal_percent(end), None);
        assert_eq!(CpuTime::read("cpu  1 2 3\n"), None);
    }
}
