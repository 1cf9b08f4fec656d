// SPDX-License-Identifier: MIT OR Apache-2.0
//! Is the evidence whole? A cell starts as not proven, like a KUnit test that has not reported.
//!
//! Each doubt is one reason why the events prove nothing. Only without a doubt is there a verdict
//! about the kernel.

use std::collections::BTreeSet;

use protocol::{Files, MemcgRole, MemcgWrite, ProcessRole, Setup, Stage};

use super::BATCH_PAGES;
use crate::evidence::Seen;
use crate::plan::Cell;

/// The memcgs that may have a limit.
const LIMITS: [MemcgRole; 3] = [MemcgRole::Limited, MemcgRole::Second, MemcgRole::Parent];

/// Every reason not to believe the events of a cell that ran to its end.
pub(crate) fn doubts(cell: &Cell, seen: &Seen<'_>) -> Vec<String> {
    let mut doubts = seen.doubts.clone();
    doubts.extend(stream(seen));
    if !seen.begins_with_hello {
        doubts.push("the guest never said Hello".to_owned());
    }
    if !seen.is_complete() {
        doubts.push("the guest never said that it had reported everything".to_owned());
    }
    doubts.extend(missing(cell, seen).into_iter().map(|what| format!("missing: {what}")));
    doubts.extend(seen.hello.and_then(|(_, hello)| {
        let (cpus, asked) = (hello.cpus, cell.vm.cpus);
        (cpus != asked).then(|| format!("{cpus} CPUs are online where {asked} were asked for"))
    }));
    doubts.extend(seen.setups.values().flat_map(|setup| set_up(cell, setup)));
    doubts.extend(limits(cell, seen));
    let others = [
        everybody_ended(seen),
        watched_throughout(seen),
        peak_covers_samples(cell, seen),
        load_took_its_time(seen),
        clock_ran_away(cell, seen),
        clock_jumped(cell, seen),
    ];
    doubts.extend(others.into_iter().flatten());
    doubts
}

/// What must be reported and was not.
fn missing(cell: &Cell, seen: &Seen<'_>) -> Vec<String> {
    let mut missing = Vec::new();
    let mut must = |what: String, has: bool| missing.extend((!has).then_some(what));
    for role in LIMITS.into_iter().filter(|role| limit_asked(cell, *role).is_some()) {
        must(format!("the set-up of the {role:?} memcg"), seen.setups.contains_key(&role));
        let usage = seen.usage(role).is_some();
        must(format!("the samples of usage of the {role:?} memcg"), usage);
    }
    for stage in [Stage::Before, Stage::LoadEnd, Stage::Settled, Stage::After] {
        for role in [MemcgRole::Limited, MemcgRole::Bystander, MemcgRole::Parent] {
            let files = seen.files(stage, role).is_some();
            must(format!("the files of the {role:?} memcg at {stage:?}"), files);
        }
    }
    // At later stages a workload may have removed the second one.
    let second = seen.files(Stage::Before, MemcgRole::Second).is_some();
    must(
        "the files of the Second memcg at Before".to_owned(),
        second || cell.request.second.is_none(),
    );
    let workload = &cell.request.workload;
    let acted =
        seen.operations.iter().any(|calls| calls.role == ProcessRole::Actor && calls.attempted > 0);
    let is_program = cell.request.program.is_some();
    let page_bytes = seen.hello.map(|(_, hello)| hello.page_bytes);
    for (what, has) in [
        ("the size of a page", page_bytes != Some(0)),
        ("the start of the workload", seen.started.is_some_and(|(_, s)| s.workload == *workload)),
        ("the end of the load", seen.load_ended.is_some()),
        ("the patch's trace events", seen.overcharges.is_some()),
        ("whether usage settled", seen.settled.is_some()),
        ("the heartbeat", seen.heartbeat.is_some_and(|heartbeat| heartbeat.beats > 0)),
        ("what the actors did", acted || is_program),
        ("what the program printed", seen.transcript.is_some() || !is_program),
        ("the removal of the memcg", seen.removed.is_some()),
        ("what the kernel logged", seen.log.is_some()),
    ] {
        must(what.to_owned(), has);
    }
    missing
}

/// Reasons to think that the guest's stream of events was torn.
pub(super) fn stream(seen: &Seen<'_>) -> Vec<String> {
    let mut doubts = Vec::new();
    let torn_lines = &seen.evidence.torn_lines;
    if let Some(line) = torn_lines.first() {
        let begin: String = line.chars().take(80).collect();
        let count = torn_lines.len();
        doubts.push(format!("the port has what is no event (lines: {count}): {begin}"));
    }
    if let Some((due, came)) = seen.misnumbered {
        doubts.push(format!("event {due} is missing: {came} came instead"));
    }
    // One task writes them, each with the time of that moment.
    if let Some(late) = seen.older {
        doubts.push(format!("event {late} is older than the one before it"));
    }
    doubts
}

/// What the guest read back from the kernel is what it was asked to set.
fn set_up(cell: &Cell, setup: &Setup) -> Vec<String> {
    let Setup { memcg, limit_bytes, cap_bytes, .. } = setup;
    let mut doubts = Vec::new();
    let asked = limit_asked(cell, *memcg);
    if Some(*limit_bytes) != asked {
        let asked = asked.unwrap_or_default();
        doubts.push(format!("the limit of {memcg:?} is {limit_bytes} where {asked} was asked for"));
    }
    if let (Some(cap_bytes), Some(asked)) = (cap_bytes, cap_asked(cell, *memcg))
        && *cap_bytes != asked
    {
        doubts.push(format!("the cap of {memcg:?} is {cap_bytes} where {asked} was asked for"));
    }
    doubts.extend(not_as_asked(policy_asked(cell, *memcg), &setup.policy));
    doubts
}

/// The first of these settings that is not the one asked for.
pub(super) fn not_as_asked(asked: &[MemcgWrite], read: &[MemcgWrite]) -> Option<String> {
    asked.iter().find_map(|asked| {
        let MemcgWrite { file, value } = asked;
        match read.iter().find(|read| read.file == *file) {
            Some(read) if same_setting(value, &read.value) => None,
            Some(read) => Some(format!("{file} is {:?} where {value:?} was asked for", read.value)),
            None => Some(format!("{file} was not read back")),
        }
    })
}

/// `off [kmem] all` shows the choice in force in brackets, as many kernel files do.
fn same_setting(asked: &str, read: &str) -> bool {
    let value = read.trim();
    let chosen = value.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or(value, |(chosen, _)| chosen.trim()) == asked.trim()
}

/// Limits that were not in force throughout.
fn limits(cell: &Cell, seen: &Seen<'_>) -> Vec<String> {
    let files = seen.files.values().filter(|files| LIMITS.contains(&files.role));
    let lifted = files.filter(|files| files.max_bytes != limit_asked(cell, files.role));
    let said = |files: &&Files| {
        let Files { role, stage, max_bytes, .. } = files;
        format!(
            "the limit of {role:?} is {max_bytes:?} at {stage:?}: it was not in force throughout"
        )
    };
    lifted.map(said).collect()
}

/// The limit that the plan gave a memcg, bytes.
fn limit_asked(cell: &Cell, memcg: MemcgRole) -> Option<u64> {
    let request = &cell.request;
    match memcg {
        MemcgRole::Limited => Some(request.limit_bytes),
        MemcgRole::Second => request.second.as_ref().map(|shape| shape.limit_bytes),
        MemcgRole::Parent => request.parent.as_ref().map(|shape| shape.limit_bytes),
        MemcgRole::Bystander => None,
    }
}

/// Cap and policy that the plan had written into a memcg.
fn policy_asked(cell: &Cell, memcg: MemcgRole) -> &[MemcgWrite] {
    let request = &cell.request;
    let shape = match memcg {
        MemcgRole::Limited => return &request.policy,
        MemcgRole::Second => &request.second,
        MemcgRole::Parent => &request.parent,
        MemcgRole::Bystander => &None,
    };
    shape.as_ref().map_or(&[], |shape| &shape.policy)
}

/// The cap that the plan had written into a memcg, bytes.
pub(super) fn cap_asked(cell: &Cell, memcg: MemcgRole) -> Option<u64> {
    let file = cell.request.cap_file.as_ref()?;
    policy_asked(cell, memcg).iter().find(|write| write.file == *file)?.value.parse().ok()
}

fn everybody_ended(seen: &Seen<'_>) -> Option<String> {
    let (started, ended) = (seen.started?.1.processes, seen.ends.len());
    if ended != started as usize {
        return Some(format!("{started} processes started and {ended} ended"));
    }
    // A process that is reported twice must not stand for one that is missing.
    let pids: BTreeSet<i32> = seen.ends.iter().map(|end| end.pid).collect();
    (pids.len() != ended).then(|| format!("{ended} ends of {} processes were reported", pids.len()))
}

/// Observers that looked away cannot say that nothing happened.
fn watched_throughout(seen: &Seen<'_>) -> Option<String> {
    let load_us = seen.load_ended?.1.duration_us;
    let sampler = seen.samples.get(&MemcgRole::Limited);
    let sampler = sampler.map(|s| ("the sampler", s.samples, s.gap_us_max, s.period_us));
    let heartbeat = seen.heartbeat.map(|h| ("the heartbeat", h.beats, h.gap_us_max, h.period_us));
    [sampler, heartbeat].into_iter().flatten().find_map(|(who, looks, gap_us, period_us)| {
        // The first look is a gap after the start of the load, and after the last one the next may
        // not have been due yet.
        let covered_us = looks.saturating_mul(gap_us) + gap_us.max(period_us);
        (covered_us < load_us).then(|| {
            format!(
                "{who} looked {looks} times, at most {gap_us} us apart: less than the load of \
                 {load_us} us"
            )
        })
    })
}

/// The length of the load agrees with the clock of the events around it: those are stamped just
/// before and after, so more than half of the time between them is the load.
fn load_took_its_time(seen: &Seen<'_>) -> Option<String> {
    const STAMPING_US: u64 = 100_000;
    let ((started_us, _), (ended_us, load)) = (seen.started?, seen.load_ended?);
    let (load_us, between_us) = (load.duration_us, ended_us.saturating_sub(started_us));
    let agrees = load_us <= between_us && between_us <= 2 * load_us + STAMPING_US;
    (!agrees).then(|| format!("the load took {load_us} us, and {between_us} us passed meanwhile"))
}

/// The guest's clock was no faster than the host's. A kernel that boots on an overloaded host may
/// measure its time stamp counter wrongly: 31 s of such a guest were 6 s of the host's. Where
/// instructions are counted, the guest's time does not depend on the host's.
fn clock_ran_away(cell: &Cell, seen: &Seen<'_>) -> Option<String> {
    let (load_us, wall_ms) = (seen.load_ended?.1.duration_us, seen.evidence.wall_ms);
    let faster = !cell.vm.counted && load_us > wall_ms * 1000;
    faster.then(|| {
        format!("the load took {load_us} us of a cell that took {wall_ms} ms: a wrong clock")
    })
}

/// A VM that was restored went on with the clock it was saved with. A TSC that is not restored
/// makes the guest's clock jump before the load, by as long as the snapshot is old.
fn clock_jumped(cell: &Cell, seen: &Seen<'_>) -> Option<String> {
    // From Hello to the guest's stop for the snapshot; on a busy host that takes a while.
    const SAVING_MS: u64 = 2_000;
    let ((up_us, _), (started_us, _)) = (seen.hello?, seen.started?);
    let (passed_us, wall_ms) = (started_us.saturating_sub(up_us), seen.evidence.wall_ms);
    let jumped = !cell.vm.counted && passed_us > (wall_ms + SAVING_MS) * 1000;
    jumped.then(|| {
        format!("{passed_us} us passed before the load of a cell that took {wall_ms} ms: a clock that jumped")
    })
}

/// The same of a boot, from QEMU's start to the guest's Hello: why no cell must begin from there.
pub(crate) fn wrong_clock(boot: &Seen<'_>) -> Option<String> {
    let ((up_us, _), wall_ms) = (boot.hello?, boot.evidence.wall_ms);
    (up_us > wall_ms * 1000)
        .then(|| format!("the guest was up for {up_us} us after {wall_ms} ms: a wrong clock"))
}

/// The kernel's peak only grows, and covers what was sampled, except for what other CPUs had added
/// for a moment (a batch of 64 pages each) and took back.
fn peak_covers_samples(cell: &Cell, seen: &Seen<'_>) -> Option<String> {
    let (_, hello) = seen.hello?;
    let of_limited = seen.files.values().filter(|files| files.role == MemcgRole::Limited);
    let peaks_bytes: Vec<u64> = of_limited.map(|files| files.peak_bytes).collect();
    if !peaks_bytes.is_sorted() {
        return Some("memory.peak went down".to_owned());
    }
    let peak_bytes = peaks_bytes.last()?;
    let sampled_bytes = seen.samples.get(&MemcgRole::Limited)?.sampled_bytes_max;
    let slack_bytes = BATCH_PAGES * hello.page_bytes * u64::from(cell.vm.cpus);
    (peak_bytes.saturating_add(slack_bytes) < sampled_bytes)
        .then(|| format!("memory.peak is {peak_bytes} where {sampled_bytes} was sampled"))
}
