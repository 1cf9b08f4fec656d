// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine's CPUs: which they are, and how much of their time its hypervisor took away.

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
