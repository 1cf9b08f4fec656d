// SPDX-License-Identifier: MIT OR Apache-2.0
//! The workloads that there is C code for, and why there is none for the others.

use std::collections::BTreeMap;

use protocol::{CellRequest, CgroupVersion};

/// Where the files of a workload are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It needs none.
    Nowhere,
    /// In a tmpfs of its own.
    Tmpfs,
}

/// A workload in C.
#[derive(Debug)]
pub(super) struct Load {
    /// Its name in requests.
    name: &'static str,
    /// Its code.
    pub(super) parts: &'static [&'static str],
    /// Where its files are.
    pub(super) place: Place,
    /// The parameters that become constants, with the guest's defaults.
    params: &'static [(&'static str, u64)],
    /// The parameters that the C code has only one value for.
    fixed: &'static [(&'static str, u64)],
}

impl Load {
    /// Every parameter that is a constant, with its value.
    pub(super) fn params(&self, given: &BTreeMap<String, u64>) -> Vec<(&'static str, u64)> {
        let value = |&(name, default)| (name, given.get(name).copied().unwrap_or(default));
        self.params.iter().map(value).collect()
    }
}

macro_rules! parts {
    ($($file:literal),+) => { &[$(include_str!(concat!("parts/", $file, ".c"))),+] };
}

const fn load(
    name: &'static str,
    parts: &'static [&'static str],
    place: Place,
    params: &'static [(&'static str, u64)],
    fixed: &'static [(&'static str, u64)],
) -> Load {
    Load { name, parts, place, params, fixed }
}

/// Constant of every load: failed calls after which a task ends.
const FAILURES_MAX: &str = "failures_max";

const LOADS: &[Load] = &[
    load(
        "open-keep",
        parts!("open_keep"),
        Place::Nowhere,
        &[(FAILURES_MAX, 10)],
        &[("rseq", 1), ("hogs", 1)],
    ),
    load(
        "pipes",
        parts!("keep_pipe", "pipes"),
        Place::Nowhere,
        &[("pipe_bytes", 64 << 10), ("setpipe_bytes", 16 << 20), (FAILURES_MAX, 10)],
        &[],
    ),
    load(
        "pipe-sizes",
        parts!("keep_pipe", "pipe_sizes"),
        Place::Nowhere,
        &[(FAILURES_MAX, 10)],
        &[],
    ),
    load("sockets", parts!("sockets"), Place::Tmpfs, &[(FAILURES_MAX, 10)], &[]),
    load("nodes", parts!("nodes"), Place::Tmpfs, &[(FAILURES_MAX, 20)], &[("newcomers", 0)]),
    load(
        "dup-far",
        parts!("dup_far"),
        Place::Nowhere,
        &[("descriptor", 400_000), (FAILURES_MAX, 10)],
        &[],
    ),
    load("lock-storm", parts!("locks"), Place::Tmpfs, &[(FAILURES_MAX, 10)], &[]),
    load(
        "read-fresh",
        parts!("fresh_pages", "read_fresh"),
        Place::Tmpfs,
        &[(FAILURES_MAX, 10)],
        &[],
    ),
];

/// Why there is none for any other workload.
const GENERAL: &str = "nobody has written its C code; the guest runs it as Rust";

/// Why there is no C code for the workloads whose names begin like this.
const REASONS: &[(&str, &str)] = &[
    ("census", "what objects charge is judged by comparing two kernels"),
    ("made-at-limit", "its objects are made by the census, of some 70 kinds"),
    ("refused", "its objects are made by the census, and what leaks is seen by the machine's sum"),
    ("cpu-offline", "pages that stay in the stock of a CPU are seen after everything has ended"),
    ("exec", "a call at an exact number of pages below the limit takes the harness to get there"),
    ("owe", "a second process acts at the moment when a task is over its limit"),
    ("pipe-long", "a task is taken exactly to its limit, and another one empties the pipe"),
    ("victim-later", "a second process acts at the moment when a task is over its limit"),
    ("victims-hold", "it counts victims, and their memory comes back after they have died"),
    ("inotify-events", "that a charge with a fallback fails shows only in the trace events"),
    ("victim-stuck", "it freezes a file system, and a second process thaws it in time"),
    ("freed-late", "a task is taken exactly to its limit, to the page"),
    ("stranger-mkdir", "a task is taken exactly to the limit of another memcg"),
    ("open-waits", "a second process acts when the task sleeps at its limit"),
    ("move-charge", "a second process moves in at the moment when the memcg is full"),
    (
        "toggle-limit",
        "its limit is moved while 64 tasks run, and what is lost depends on the moment",
    ),
    ("land-on-max", "usage has to come to rest exactly on the limit"),
    ("high-over", "it measures how long the kernel throttles a task"),
    ("max-", "it sets limits at moments that depend on other tasks"),
    ("levels", "it checks six promises of the interface in a hierarchy of its own"),
    ("promises", "it checks 20 promises of the interface, each with a memcg of its own"),
    ("policy-", "it tests the files of the series, which other kernels do not have"),
    ("sweep", "it measures how often reclaim reschedules"),
    ("signals-atomic", "that atomic charges go over the limit is no problem to show"),
    ("loop-write", "it takes a loop device, and who charged is in the kernel's stacks only"),
    ("uring", "io_uring without liburing takes more code than the rest of the program"),
    ("thread-bomb", "its threads have stacks of their own making and no C library"),
];

/// The C code of a request's workload.
///
/// # Errors
/// Why there is none.
pub(super) fn of(request: &CellRequest) -> Result<&'static Load, String> {
    let workload = request.workload.as_str();
    if request.cgroup == CgroupVersion::V1 {
        return Err("it is a cell of cgroup v1; programs are for v2".to_owned());
    }
    if request.program.is_some() {
        return Err("its load is a program already".to_owned());
    }
    let Some(load) = LOADS.iter().find(|load| load.name == workload) else {
        let reason = REASONS.iter().find(|(name, _)| workload.starts_with(name));
        let reason = reason.map_or(GENERAL, |(_, reason)| reason);
        return Err(format!("workload {workload}: {reason}"));
    };
    for (name, value) in &request.params {
        let is = |list: &[(&str, u64)]| list.iter().any(|(known, _)| known == name);
        let fits = load.fixed.iter().any(|(known, only)| known == name && only == value);
        if !is(load.params) && !fits {
            return Err(format!("workload {workload}: there is no C code for {name} = {value}"));
        }
    }
    Ok(load)
}

/// What the list has for workloads of other names: begins of names, and the general reason.
#[cfg(test)]
pub(crate) fn listed() -> (impl Iterator<Item = &'static str>, &'static str) {
    let loads = LOADS.iter().map(|load| load.name);
    (loads.chain(REASONS.iter().map(|(name, _)| *name)), GENERAL)
}
