// SPDX-License-Identifier: MIT OR Apache-2.0
//! The names of the flat facts: what a scenario's conditions may refer to.
//!
//! `facts` produces exactly these. A name of another shape in a config file is a typing error.

/// Facts of the cell as a whole, with what they mean.
pub(crate) const NAMES: [(&str, &str); 44] = [
    ("load.ms", "from the start of the load to its end, ms"),
    ("load.complete", "1: every actor finished or was killed; 0: cut at load_max"),
    (
        "settled",
        "1: usage fell to the limit after the load; 0: it did not while the observer waited",
    ),
    ("settle_ms", "how long that took or the observer waited, ms"),
    ("limit_bytes", "memory.max in force, bytes"),
    ("cap_bytes", "cap of the patch in force, bytes; only where the kernel has one"),
    ("peak_bytes", "memory.peak of the limited memcg, bytes"),
    ("peak_over_bytes", "memory.peak above memory.max, bytes"),
    ("over_ms_max", "longest run of samples above memory.max, ms"),
    ("over_ms_last", "such a run that still went on at the last sample, ms"),
    ("samples_over", "samples above memory.max"),
    ("sampler.gap_ms", "longest time between two samples, ms"),
    ("after.current_bytes", "memory.current after every task has exited and caches are dropped"),
    ("dying", "nr_dying_descendants of the root when the observer stopped waiting"),
    ("removed", "1: rmdir of the limited memcg worked"),
    ("heartbeat.gap_ms", "longest time between two beats of a task outside, ms"),
    ("heartbeat.beats", "beats of that task"),
    ("processes.ended", "processes of the workload that ended"),
    ("processes.killed", "processes ended by SIGKILL that the guest did not send"),
    ("processes.unkillable", "processes that did not end though sent SIGKILL"),
    ("killable.left", "processes in the limited memcg that could still be killed at clean-up"),
    ("kills", "memcg OOM kills on the console"),
    ("kills.in_charge", "of these: reported from inside a kernel-memory charge, as within open()"),
    ("kills.in_fault", "of these: reported from the charge of a user page or page-cache page"),
    ("kills.on_return", "of these: reported from the reconciliation on return to user mode"),
    ("kills.untraced", "of these: without a report, which the kernel limits to 10 in 5 s"),
    ("overrun.p50_bytes", "samples above memory.max: how far, the median"),
    ("overrun.p99_bytes", "the same, 99th percentile"),
    ("overrun.max_bytes", "the same, the highest"),
    ("reconcile.owed", "charges over the limit, by the patch's trace events"),
    ("reconcile.paid", "of these: paid by reconciling"),
    ("reconcile.lapsed", "of these: usage came back by itself"),
    ("reconcile.open", "of these: no event tells how they ended"),
    (
        "reconcile.unattended_us",
        "longest time over the limit before an attempt to pay or a kill, us",
    ),
    ("reconcile.p50_us", "from a charge over the limit to its payment, median, us"),
    ("reconcile.p99_us", "the same, 99th percentile"),
    ("reconcile.max_us", "the same, the longest"),
    ("overcharges.lost", "trace events of the patch that were lost"),
    ("charges.failed", "calls of try_charge_memcg() that failed while the load ran and settled"),
    (
        "charges.eligible",
        "of these: of kernel memory, and such that the patch may not let them fail",
    ),
    ("charges.lost", "calls of which the probe does not know whether they failed"),
    ("host.starved", "share of the cell's time for which a virtual CPU waited for one of the host"),
    ("oom.no_victim", "memcg OOM reports that found nobody to kill"),
    ("kills.global", "OOM kills of the whole system (the cell is an ERROR)"),
];

/// What is known of each operation, as `<op>.<suffix>`.
pub(crate) const OP_SUFFIXES: [(&str, &str); 7] = [
    ("attempted", "calls begun"),
    ("succeeded", "calls that did what they should"),
    ("errors", "calls that failed, by any errno; `<op>.ENOMEM` and so on count one"),
    ("unfinished", "calls begun that never returned"),
    ("p50_us", "median time in the call, us"),
    ("p99_us", "99th percentile, us"),
    ("max_us", "longest, us"),
];

/// Before the operations of those who are not actors.
pub(crate) const ROLE_PREFIXES: [&str; 2] = ["outsider.", "hog."];

/// Before a delta of `memory.events` and before a delta of the patch's counters.
pub(crate) const DELTA_PREFIXES: [&str; 2] = ["events.", "counters."];

/// Before the facts of a memcg other than the one under test: `second.events.oom_kill`.
pub(crate) const MEMCG_PREFIXES: [&str; 3] = ["second.", "parent.", "bystander."];

/// Which of [`NAMES`] there are of those memcgs too.
pub(crate) const MEMCG_NAMES: [&str; 20] = [
    "limit_bytes",
    "cap_bytes",
    "peak_bytes",
    "peak_over_bytes",
    "over_ms_max",
    "over_ms_last",
    "samples_over",
    "sampler.gap_ms",
    "after.current_bytes",
    "overrun.p50_bytes",
    "overrun.p99_bytes",
    "overrun.max_bytes",
    "reconcile.owed",
    "reconcile.paid",
    "reconcile.lapsed",
    "reconcile.open",
    "reconcile.unattended_us",
    "reconcile.p50_us",
    "reconcile.p99_us",
    "reconcile.max_us",
];

/// Whether a fact of that name can exist.
pub(crate) fn is_name(name: &str) -> bool {
    if NAMES.iter().any(|(known, _)| *known == name) {
        return true;
    }
    if let Some(rest) = MEMCG_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        let delta = DELTA_PREFIXES.iter().find_map(|prefix| rest.strip_prefix(prefix));
        return MEMCG_NAMES.contains(&rest) || delta.is_some_and(is_word);
    }
    if let Some(key) = DELTA_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        return is_word(key);
    }
    let op = ROLE_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    op.split_once('.').is_some_and(|(op, suffix)| {
        is_word(op) && (OP_SUFFIXES.iter().any(|(known, _)| *known == suffix) || is_errno(suffix))
    })
}

/// Whether the last part of a name is an errno (`ENOMEM`) or `SHORT`.
pub(crate) fn is_errno(suffix: &str) -> bool {
    suffix == "SHORT"
        || (suffix.len() >= 4
            && suffix.starts_with('E')
            && suffix.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()))
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_known_shapes() {
        for name in [
            "open.ENOMEM",
            "write.SHORT",
            "outsider.create.max_us",
            "events.oom_kill",
            "second.events.oom_kill",
            "parent.peak_over_bytes",
            "kills.in_charge",
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in
            ["open", "open.enomem", "opne.max", "kills.in_chrage", "events.", "peak", ".max_us"]
                .into_iter()
                .chain(["second.open.errors", "second.kills", "third.peak_bytes", "second.events."])
        {
            assert!(!is_name(name), "{name}");
        }
    }
}
