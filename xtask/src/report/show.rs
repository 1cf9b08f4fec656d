// SPDX-License-Identifier: MIT OR Apache-2.0
//! The evidence for one cell's verdict, on a page: checks with their numbers, facts, what the guest
//! said, usage over time, the console where it matters, and the command that repeats the cell.

use std::collections::BTreeMap;
use std::path::Path;

use protocol::{
    CallCost, CellRequest, Census, Charges, Fact, Files, Heartbeat, Hello, Instructions, KernelLog,
    LatencyUs, Ledger, LoadEnded, MemcgRole, Operations, Overcharges, ProcessEnd, ProcessEnded,
    Removed, Settled, Setup, Started, Transcript,
};

use super::again::{NONE, again, quoted};
use super::chart;
use super::numbers::{plain, plural, size};
use super::output;
use super::places;
use super::terminal::{attempts, verdict};
use super::text::Style;
use crate::evidence::oom::{Ooms, Report};
use crate::evidence::{Evidence, Seen};
use crate::outcome::{CellResult, Check, Manifest, Outcome};
use crate::symbols::Symbols;
use crate::taxonomy::FactName;
use crate::verdict;

/// Faults of the console that are shown in full; the rest mostly follow from the first.
const FINDINGS_SHOWN: usize = 2;

/// Lines of one fault that are shown.
const EXCERPT_LINES: usize = 40;

/// OOM reports whose stack is shown.
const STACKS_SHOWN: usize = 3;

/// Kinds of failed charges that are shown.
const ROWS_SHOWN: usize = 5;

/// Everything about one cell. `evidence` is that of the attempt that counts; `folder` is its folder
/// as people should read it, `series` the run's copy of the user's patches. `symbols`: of the
/// kernel that ran, or why there are none.
pub(crate) fn show(
    run: &Manifest,
    cell: &CellResult,
    evidence: &Evidence,
    symbols: Result<&Symbols<'_>, &str>,
    (folder, series): (&str, Option<&Path>),
    style: Style,
) -> String {
    let seen = Seen::of(evidence);
    let mut text = heading(cell, style);
    let mut section = |title: &str, body: String| {
        if !body.is_empty() {
            text.push_str(&format!("\n{}\n{body}", style.strong(title)));
        }
    };
    section("asked", asked(cell));
    section("checks", cell.judgement().checks.iter().map(|check| checked(check, style)).collect());
    section("facts", facts(cell));
    section("events", events(&seen));
    section("output of the program", output(&seen));
    section("usage of the limited memcg", usage(cell, &seen));
    section("console", console(&seen, symbols, style));
    section("evidence", format!("  {folder}\n"));
    section("again", format!("  {}\n", again(run, cell, series).as_deref().unwrap_or(NONE)));
    text
}

fn heading(cell: &CellResult, style: Style) -> String {
    let (judgement, note) = (cell.judgement(), &cell.cell.note);
    let expected = if judgement.as_expected { "as expected" } else { "NOT as expected" };
    let mut text = format!(
        "{}\n{} {expected}: {}\n",
        style.strong(&cell.cell.id),
        style.of(cell, &verdict(judgement)),
        judgement.why
    );
    if let Some(attempts) = attempts(cell) {
        text.push_str(&format!("{attempts}\n"));
    }
    text.push_str(&format!("\n{}\n{}\n", note.title, note.about));
    text
}

fn asked(cell: &CellResult) -> String {
    let request = &cell.cell.request;
    let policy: Vec<String> =
        request.policy.iter().map(|write| format!("{} = {}", write.file, write.value)).collect();
    let killable = if request.killable { "killable" } else { "not killable" };
    let mut text = format!(
        "  {} on cgroup {}, memory.max {}, {} ({killable}), hog {}, at most {} operations or {} ms each\n",
        load(request),
        request.cgroup,
        size(request.limit_bytes as f64),
        plural(request.tasks, "task"),
        size(request.hog_bytes as f64),
        request.operations,
        request.load_ms_max,
    );
    if !policy.is_empty() {
        text.push_str(&format!("  {}\n", policy.join(", ")));
    }
    text
}

/// The workload, or the user's program as a shell would be told.
pub(super) fn load(request: &CellRequest) -> String {
    match &request.program {
        Some(program) => program.argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
        None => request.workload.clone(),
    }
}

fn checked(check: &Check, style: Style) -> String {
    let word = match check.outcome {
        Outcome::Kept => style.good("kept   "),
        Outcome::Broken => style.bad("broken "),
        Outcome::NotApplicable => "n/a    ".to_owned(),
        Outcome::Unknown => style.odd("unknown"),
    };
    format!("  {word} {:<2} {}\n", check.rule, check.said)
}

/// All but the zeros that no check asks for.
fn facts(cell: &CellResult) -> String {
    let judgement = cell.judgement();
    let asked =
        |name: &FactName| judgement.checks.iter().any(|check| check.fact.as_ref() == Some(name));
    let shown = judgement.facts.iter().filter(|(name, value)| **value != 0.0 || asked(name));
    shown.map(|(name, value)| format!("  {name} = {}\n", plain(*value))).collect()
}

fn events(seen: &Seen<'_>) -> String {
    let mut text = String::new();
    for event in &seen.evidence.events {
        if let Some(line) = said(&event.fact) {
            text.push_str(&format!("  {:>10.3} s  {line}\n", event.at_us as f64 / 1e6));
        }
    }
    for (end, count) in ends(seen) {
        text.push_str(&format!("  {count:>10} x  {end}\n"));
    }
    text
}

fn calls(operations: &Operations) -> String {
    let Operations { role, op, attempted, succeeded, errnos, latency, unfinished } = operations;
    let errnos: Vec<String> =
        errnos.iter().map(|(errno, count)| format!(", {count} {errno}")).collect();
    format!(
        "{role:?} {op}: {attempted} calls, {succeeded} good{}, {unfinished} unfinished; p50 {} us, p99 {} us, max {} us",
        errnos.concat(),
        latency.p50,
        latency.p99,
        latency.max
    )
}

fn census(Census { kind, objects, bytes }: &Census) -> String {
    format!("{objects} of {kind} charge {bytes} bytes")
}

fn left(Ledger { before, after }: &Ledger) -> String {
    let more = after.iter().filter_map(|(name, amount)| {
        let more = amount.saturating_sub(before.get(name).copied().unwrap_or(0));
        (more > 0).then(|| format!("{name} {more}"))
    });
    let more: Vec<String> = more.collect();
    match more.as_slice() {
        [] => "the machine holds no more than before".to_owned(),
        more => format!("the machine holds more than before: {}", more.join(", ")),
    }
}

fn logged(log: &KernelLog) -> String {
    let KernelLog { records, kernel_lines, after, .. } = log;
    let records = plural(*records as usize, "record");
    format!("the kernel logged {kernel_lines} lines in {records}, taint {:#x}", after.tainted)
}

pub(super) fn said(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::Hello(Hello { kernel_release, cpus, memory_bytes, protocol, .. }) => format!(
            "hello: Linux {kernel_release}, {}, {}, protocol {protocol}",
            plural(*cpus, "CPU"),
            size(*memory_bytes as f64)
        ),
        Fact::Unsupported { missing } => format!("unsupported: {missing}"),
        Fact::Setup(Setup { memcg, limit_bytes, cap_bytes, .. }) => {
            let cap = cap_bytes.map_or(String::new(), |cap| format!(", cap {}", size(cap as f64)));
            format!("set up: {memcg:?}, memory.max {}{cap}", size(*limit_bytes as f64))
        }
        Fact::Started(Started { workload, processes }) => {
            format!("{workload} begins with {processes} processes")
        }
        Fact::Operations(operations) => calls(operations),
        Fact::LoadEnded(LoadEnded { duration_us, complete, call_interrupts: _ }) => {
            let how = if *complete { "complete" } else { "timed out" };
            format!("load ends after {} ms, {how}", duration_us / 1000)
        }
        Fact::Settled(Settled { settled, after_us }) => {
            let how = if *settled { "usage <= max" } else { "usage still > max" };
            format!("{how} {} ms after the load", after_us / 1000)
        }
        Fact::Memcg(Files {
            stage, role: MemcgRole::Limited, current_bytes, peak_bytes, ..
        }) => {
            format!("{stage:?}: memory.current {current_bytes}, memory.peak {peak_bytes}")
        }
        Fact::Removed(Removed { removed, dying, after_us }) => {
            let how = if *removed { "removed" } else { "NOT removed" };
            format!("memcg {how}, {dying} dying after {} ms", after_us / 1000)
        }
        Fact::Ledger(ledger) => left(ledger),
        Fact::Transcript(transcript) => printed(transcript),
        Fact::KernelLog(log) => logged(log),
        Fact::Heartbeat(Heartbeat { beats, gap_us_max, .. }) => {
            format!("heartbeat: {beats} beats, at most {} ms apart", gap_us_max / 1000)
        }
        Fact::Census(counted) => census(counted),
        Fact::Cost(cost) => costs(cost),
        Fact::Broken { why } => format!("BROKEN: {why}"),
        Fact::Ended => "end".to_owned(),
        Fact::Charges(charges) => charged(charges),
        Fact::Overcharges(overcharges) if overcharges.traced => owed(overcharges),
        Fact::Memcg(_)
        | Fact::Usage(_)
        | Fact::Overcharges(_)
        | Fact::Injected(_)
        | Fact::ProcessEnded(_) => return None,
    })
}

fn printed(Transcript { not_started, bytes, .. }: &Transcript) -> String {
    match not_started {
        Some(errno) => format!("the program could not be started: {errno}"),
        None => format!("the program printed {bytes} bytes"),
    }
}

fn costs(CallCost { op, calls, instructions }: &CallCost) -> String {
    let Instructions { min, median, max, .. } = instructions;
    format!("{op}: {min} to {max} instructions, median {median}, {calls} calls")
}

fn charged(charges: &Charges) -> String {
    if let Some(why) = &charges.blind {
        return format!("charges could not be watched: {why}");
    }
    let mut text = format!("{} charges, {} lost", charges.charges, charges.lost);
    for row in charges.failed.iter().take(ROWS_SHOWN) {
        let dying = if row.dying { ", dying" } else { "" };
        text.push_str(&format!(
            "\n               {} x {}: {} pages, {}{dying}: {}",
            row.count,
            row.task,
            row.pages,
            row.gfp.join("|"),
            row.path.join(" < ")
        ));
    }
    if let Some(more) = charges.failed.len().checked_sub(ROWS_SHOWN + 1) {
        text.push_str(&format!("\n               and {} more kinds", more + 1));
    }
    text
}

fn owed(Overcharges { traced: _, lost, memcgs }: &Overcharges) -> String {
    let mut text = format!("{lost} trace events of the patch lost");
    for memcg in memcgs {
        let counted = |what: &str, all: &BTreeMap<String, u64>| -> String {
            all.iter().map(|(name, count)| format!(", {what}{name} {count} x")).collect()
        };
        let LatencyUs { p50, p99, max } = memcg.paid_after_us;
        text.push_str(&format!(
            "\n               {:?}: {} charges over the limit, {} paid (p50 {p50} us, p99 {p99} us, max {max} us), \
             {} lapsed, {} open, {} denied{}{}",
            memcg.memcg,
            memcg.charges,
            memcg.paid,
            memcg.lapsed,
            memcg.open,
            memcg.denied,
            counted("deferred: ", &memcg.deferred),
            counted("", &memcg.reconciles),
        ));
    }
    text
}

/// How processes ended, and how many of them so.
pub(super) fn ends(seen: &Seen<'_>) -> BTreeMap<String, u32> {
    let mut ends = BTreeMap::new();
    for ProcessEnded { role, end, by_guest, .. } in seen.ends.iter().copied() {
        let how = match end {
            ProcessEnd::Exited(status) => format!("exited with {status}"),
            ProcessEnd::Signaled(signal) => format!("ended by signal {signal}"),
            ProcessEnd::Unkillable => "did NOT end".to_owned(),
        };
        let by_guest = if *by_guest { ", sent by the guest" } else { "" };
        *ends.entry(format!("{role:?} {how}{by_guest}")).or_insert(0) += 1;
    }
    ends
}

fn usage(cell: &CellResult, seen: &Seen<'_>) -> String {
    let usage = seen.samples.get(&MemcgRole::Limited);
    usage.map_or_else(String::new, |usage| chart::usage(&usage.line, cell.cell.request.limit_bytes))
}

fn output(seen: &Seen<'_>) -> String {
    let lines = seen.transcript.map(output::lines).unwrap_or_default();
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

fn console(seen: &Seen<'_>, symbols: Result<&Symbols<'_>, &str>, style: Style) -> String {
    let ooms = &seen.ooms;
    let mut text = String::new();
    let findings = verdict::findings_of(seen);
    for finding in findings.iter().take(FINDINGS_SHOWN) {
        text.push_str(&format!("  line {}: {}\n", finding.line + 1, style.bad(finding.kind)));
        for line in finding.excerpt.iter().take(EXCERPT_LINES) {
            text.push_str(&entry(line, symbols.ok(), style));
        }
    }
    match symbols {
        _ if findings.is_empty() => {}
        Err(why) => text.push_str(&format!("  Functions without file and line: {why}.\n")),
        Ok(symbols) if !symbols.know_the_series() => {
            text.push_str(&format!("  {}\n", places::NOT_NOTED));
        }
        Ok(_) => {}
    }
    if findings.len() > FINDINGS_SHOWN {
        text.push_str(&format!("  {} more faults\n", findings.len() - FINDINGS_SHOWN));
    }
    let kinds = of_each_kind(&ooms.reports, STACKS_SHOWN);
    if !ooms.reports.is_empty() || ooms.kills > 0 {
        text.push_str(&format!("  {}\n", oom_counts(ooms)));
    }
    for report in kinds {
        text.push_str(&format!("  line {}: {}:\n", report.line + 1, victim(report)));
        text.push_str(&format!("    {}\n", report.stack.join(" < ")));
    }
    text
}

/// A line of a fault, with the place in the source that it names. A `>` is before what the series
/// changes.
fn entry(line: &str, symbols: Option<&Symbols<'_>>, style: Style) -> String {
    let place = places::place(line, symbols);
    let line = match place.of_series {
        true => format!("  {} {}\n", style.strong(">"), style.strong(line)),
        false => format!("    {line}\n"),
    };
    let told = places::told(&place);
    let told = told.iter().enumerate();
    let told = told.map(|(at, it)| format!("        {}{it}\n", if at > 0 { "< " } else { "" }));
    line + &told.collect::<String>()
}

/// One of each kind says more than ten of the same; at most so many.
pub(super) fn of_each_kind(reports: &[Report], most: usize) -> Vec<&Report> {
    let kind = |report: &Report| (report.origin, report.killed.is_some());
    let mut kinds: Vec<&Report> = Vec::new();
    for report in reports {
        if kinds.len() < most && !kinds.iter().any(|known| kind(known) == kind(report)) {
            kinds.push(report);
        }
    }
    kinds
}

/// Who was killed, and from where.
pub(super) fn victim(report: &Report) -> String {
    let killed = report.killed.map_or("no task".to_owned(), |pid| pid.to_string());
    format!("killed {killed}, {}", report.origin)
}

/// `2 OOM reports, 1 task killed, no task to kill 0 times`.
pub(super) fn oom_counts(ooms: &Ooms) -> String {
    let (reports, tasks) = (plural(ooms.reports.len(), "OOM report"), plural(ooms.kills, "task"));
    format!("{reports}, {tasks} killed, no task to kill {}", plural(ooms.no_victim, "time"))
}
