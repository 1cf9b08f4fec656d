// SPDX-License-Identifier: MIT OR Apache-2.0
//! Is the evidence whole? A cell starts as not proven, like a KUnit test that has not reported.
//!
//! Each doubt is one reason why the events prove nothing. An empty list is the only licence for a
//! verdict about the kernel.

use protocol::{
    Fact, Files, Heartbeat, Hello, LoadEnded, MemcgRole, MemcgWrite, Operations, Setup, Stage,
    Started, Usage,
};

use crate::evidence::Evidence;
use crate::plan::Cell;

/// Every reason not to believe the events of a cell that ran to its end.
pub(crate) fn doubts(cell: &Cell, evidence: &Evidence) -> Vec<String> {
    let mut doubts = stream(evidence);
    let facts: Vec<&Fact> = evidence.events.iter().map(|event| &event.fact).collect();
    if !matches!(facts.first(), Some(Fact::Hello(_))) {
        doubts.push("the guest never said Hello".to_owned());
    }
    if !matches!(facts.last(), Some(Fact::Ended)) {
        doubts.push("the guest never said that it had reported everything".to_owned());
    }
    let mut has = |what: &str, fits: &dyn Fn(&Fact) -> bool| {
        if !facts.iter().any(|fact| fits(fact)) {
            doubts.push(format!("missing: {what}"));
        }
    };
    for role in [MemcgRole::Limited, MemcgRole::Second, MemcgRole::Parent] {
        if limit_asked(cell, role).is_some() {
            has(
                &format!("the set-up of the {role:?} memcg"),
                &|fact| matches!(fact, Fact::Setup(Setup { memcg, .. }) if *memcg == role),
            );
            has(
                &format!("the samples of usage of the {role:?} memcg"),
                &|fact| matches!(fact, Fact::Usage(Usage { memcg, samples: 1.., .. }) if *memcg == role),
            );
        }
    }
    has("the start of the workload", &|fact| {
        let Fact::Started(Started { workload, .. }) = fact else { return false };
        *workload == cell.request.workload
    });
    has("the end of the load", &|fact| matches!(fact, Fact::LoadEnded(_)));
    has("the patch's trace events", &|fact| matches!(fact, Fact::Overcharges(_)));
    has("whether usage settled", &|fact| matches!(fact, Fact::Settled(_)));
    has("the heartbeat", &|fact| matches!(fact, Fact::Heartbeat(Heartbeat { beats: 1.., .. })));
    has("what the actors did", &|fact| {
        matches!(
            fact,
            Fact::Operations(Operations { role: protocol::ProcessRole::Actor, attempted: 1.., .. })
        )
    });
    has("the removal of the memcg", &|fact| matches!(fact, Fact::Removed(_)));
    for stage in [Stage::Before, Stage::LoadEnd, Stage::Settled, Stage::After] {
        for role in [MemcgRole::Limited, MemcgRole::Bystander, MemcgRole::Parent] {
            has(&format!("the files of the {role:?} memcg at {stage:?}"), &|fact| {
                let Fact::Memcg(Files { stage: at, role: of, .. }) = fact else { return false };
                (*at, *of) == (stage, role)
            });
        }
    }
    if cell.request.second.is_some() {
        // At later stages a workload may have removed it.
        has("the files of the Second memcg at Before", &|fact| {
            matches!(fact, Fact::Memcg(Files { stage: Stage::Before, role: MemcgRole::Second, .. }))
        });
    }
    for fact in &facts {
        doubts.extend(as_asked(cell, fact));
    }
    doubts.extend(everybody_ended(&facts));
    doubts.extend(watched_throughout(&facts));
    doubts.extend(peak_covers_samples(cell, &facts));
    doubts.extend(load_took_its_time(evidence));
    doubts.extend(clock_ran_away(cell, evidence));
    doubts
}

/// Reasons not to believe the console: it must have been read from the start to the power-off.
pub(crate) fn console_doubts(evidence: &Evidence) -> Vec<String> {
    let mut doubts = Vec::new();
    if evidence.console_dropped_bytes > 0 {
        doubts
            .push(format!("{} bytes of the console were dropped", evidence.console_dropped_bytes));
    } else if !evidence.console.contains("reboot: Power down") {
        // Printed at KERN_EMERG by every power-off: no console level hides it.
        doubts.push("the console does not end with the kernel's power-off line".to_owned());
    }
    doubts
}

/// Reasons to think that the guest's stream of events was torn.
pub(super) fn stream(evidence: &Evidence) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(line) = evidence.torn_lines.first() {
        let begin: String = line.chars().take(80).collect();
        doubts.push(format!(
            "{} lines on the port are no events: {begin}",
            evidence.torn_lines.len()
        ));
    }
    let gap = evidence.events.iter().zip(0..).find(|(event, expected)| event.seq != *expected);
    if let Some((event, expected)) = gap {
        doubts.push(format!("event {expected} is missing: {} came instead", event.seq));
    }
    doubts
}

/// What the guest read back from the kernel is what it was asked to set.
fn as_asked(cell: &Cell, fact: &Fact) -> Option<String> {
    match fact {
        Fact::Hello(Hello { cpus, .. }) if *cpus != cell.vm.cpus => {
            Some(format!("{cpus} CPUs are online where {} were asked for", cell.vm.cpus))
        }
        Fact::Hello(Hello { page_bytes: 0, .. }) => Some("a page of no bytes".to_owned()),
        Fact::Setup(Setup { memcg, limit_bytes, .. })
            if Some(*limit_bytes) != limit_asked(cell, *memcg) =>
        {
            Some(format!(
                "the limit of {memcg:?} is {limit_bytes} where {:?} was asked for",
                limit_asked(cell, *memcg)
            ))
        }
        Fact::Memcg(Files {
            role: role @ (MemcgRole::Limited | MemcgRole::Second | MemcgRole::Parent),
            stage,
            max_bytes,
            ..
        }) if *max_bytes != limit_asked(cell, *role) => Some(format!(
            "the limit of {role:?} is {max_bytes:?} at {stage:?}: it was not in force throughout"
        )),
        Fact::Setup(Setup { memcg, cap_bytes: Some(cap_bytes), .. })
            if cap_asked(cell, *memcg).is_some_and(|asked| asked != *cap_bytes) =>
        {
            let asked = cap_asked(cell, *memcg);
            Some(format!("the cap of {memcg:?} is {cap_bytes} where {asked:?} was asked for"))
        }
        Fact::Setup(Setup { memcg, policy, .. }) => {
            policy_asked(cell, *memcg).iter().find_map(|asked| {
                let read = policy.iter().find(|read| read.file == asked.file);
                match read {
                    Some(read) if same_setting(asked, read) => None,
                    Some(read) => Some(format!(
                        "{} is {:?} where {:?} was asked for",
                        asked.file, read.value, asked.value
                    )),
                    None => Some(format!("{} was not read back", asked.file)),
                }
            })
        }
        _ => None,
    }
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
fn cap_asked(cell: &Cell, memcg: MemcgRole) -> Option<u64> {
    let file = cell.request.cap_file.as_ref()?;
    policy_asked(cell, memcg).iter().find(|write| write.file == *file)?.value.parse().ok()
}

/// `off [kmem] all` shows the choice in force in brackets, as many kernel files do.
pub(super) fn same_setting(asked: &MemcgWrite, read: &MemcgWrite) -> bool {
    let value = read.value.trim();
    let chosen = value.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or(value, |(chosen, _)| chosen.trim()) == asked.value.trim()
}

fn everybody_ended(facts: &[&Fact]) -> Option<String> {
    let started = facts.iter().find_map(|fact| match fact {
        Fact::Started(Started { processes, .. }) => Some(*processes as usize),
        _ => None,
    })?;
    let ended = facts.iter().filter(|fact| matches!(fact, Fact::ProcessEnded(_))).count();
    (ended != started).then(|| format!("{started} processes started and {ended} ended"))
}

/// Observers that looked away cannot say that nothing happened.
fn watched_throughout(facts: &[&Fact]) -> Option<String> {
    let load_us = facts.iter().find_map(|fact| match fact {
        Fact::LoadEnded(LoadEnded { duration_us, .. }) => Some(*duration_us),
        _ => None,
    })?;
    facts.iter().find_map(|fact| {
        let (who, looks, gap_us, period_us) = match fact {
            Fact::Usage(Usage { memcg: MemcgRole::Limited, samples, gap_us_max, period_us, .. }) => {
                ("the sampler", *samples, *gap_us_max, *period_us)
            }
            Fact::Heartbeat(Heartbeat { beats, gap_us_max, period_us }) => {
                ("the heartbeat", *beats, *gap_us_max, *period_us)
            }
            _ => return None,
        };
        // The first look is a gap after the start of the load, and after the last one the next may
        // not have been due yet.
        let covered_us = looks.saturating_mul(gap_us) + gap_us.max(period_us);
        (covered_us < load_us).then(|| {
            format!("{who} looked {looks} times, at most {gap_us} us apart: less than the load of {load_us} us")
        })
    })
}

/// The length of the load agrees with the clock of the events around it: those are stamped just
/// before and after, so more than half of the time between them is the load.
fn load_took_its_time(evidence: &Evidence) -> Option<String> {
    const STAMPING_US: u64 = 100_000;
    let started_us = evidence.events.iter().find_map(|event| match event.fact {
        Fact::Started(_) => Some(event.at_us),
        _ => None,
    })?;
    let (ended_us, load_us) = evidence.events.iter().find_map(|event| match event.fact {
        Fact::LoadEnded(LoadEnded { duration_us, .. }) => Some((event.at_us, duration_us)),
        _ => None,
    })?;
    let between_us = ended_us.saturating_sub(started_us);
    let agrees = load_us <= between_us && between_us <= 2 * load_us + STAMPING_US;
    (!agrees).then(|| format!("the load took {load_us} us, and {between_us} us passed meanwhile"))
}

/// The guest's clock was no faster than the host's. A kernel that boots on an overloaded host may
/// measure its time stamp counter wrongly; 31 s of such a guest were 6 s of the host's, and every
/// time in it was five times too long. Where instructions are counted the guest's time is its own.
fn clock_ran_away(cell: &Cell, evidence: &Evidence) -> Option<String> {
    let load_us = evidence.events.iter().find_map(|event| match event.fact {
        Fact::LoadEnded(LoadEnded { duration_us, .. }) => Some(duration_us),
        _ => None,
    })?;
    let wall_ms = evidence.wall_ms;
    let faster = !cell.vm.counted && load_us > wall_ms * 1000;
    faster.then(|| {
        format!("the load took {load_us} us of a cell that took {wall_ms} ms: a wrong clock")
    })
}

/// The same of a boot, from QEMU's start to the guest's Hello: why no cell must begin from there.
pub(crate) fn wrong_clock(boot: &Evidence) -> Option<String> {
    let up_us = boot.events.first().filter(|event| matches!(event.fact, Fact::Hello(_)))?.at_us;
    (up_us > boot.wall_ms * 1000).then(|| {
        format!("the guest was up for {up_us} us after {} ms: a wrong clock", boot.wall_ms)
    })
}

/// The kernel's peak only grows, and what was sampled it has seen, but for what other CPUs had
/// added for a moment (a batch of 64 pages each) and took back.
fn peak_covers_samples(cell: &Cell, facts: &[&Fact]) -> Option<String> {
    const BATCH_PAGES: u64 = 64;
    let page_bytes = facts.iter().find_map(|fact| match fact {
        Fact::Hello(Hello { page_bytes, .. }) => Some(*page_bytes),
        _ => None,
    })?;
    let mut peaks_bytes = facts.iter().filter_map(|fact| match fact {
        Fact::Memcg(Files { role: MemcgRole::Limited, peak_bytes, .. }) => Some(*peak_bytes),
        _ => None,
    });
    if !peaks_bytes.clone().is_sorted() {
        return Some("memory.peak went down".to_owned());
    }
    let peak_bytes = peaks_bytes.next_back()?;
    let sampled_bytes = facts.iter().find_map(|fact| match fact {
        Fact::Usage(Usage { memcg: MemcgRole::Limited, sampled_bytes_max, .. }) => {
            Some(*sampled_bytes_max)
        }
        _ => None,
    })?;
    let slack_bytes = BATCH_PAGES * page_bytes * u64::from(cell.vm.cpus);
    (peak_bytes + slack_bytes < sampled_bytes)
        .then(|| format!("memory.peak is {peak_bytes} where {sampled_bytes} was sampled"))
}
