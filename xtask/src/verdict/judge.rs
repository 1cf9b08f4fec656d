// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was seen of one cell -> its judgement.
//!
//! Causes are looked at in the order of [`Verdict`]: the harness's own failures, crash, hang,
//! evidence that is not whole, a missing requirement, a broken rule, a path that never ran. PASS is
//! what is left when every rule was evaluated and kept. A broken rule is a FAIL even if another
//! rule could not be evaluated. An expected FAIL counts only if every rule was evaluated.

use super::reason::Reason;
use super::rule::{Answer, Missing};
use super::{
    Case, Check, Finding, INVARIANTS, Judgement, Outcome, Pace, Rule, Verdict, by_emulator,
    console, facts, known, proof, whole,
};
use crate::config::{Condition, Expectation, KnownFault};
use crate::evidence::record::{message, restarted};
use crate::evidence::{Ending, Evidence, Seen, Stopped};
use crate::plan::Cell;
use crate::taxonomy::{CellFact, FactName, Facts};

/// Judges one cell by what was seen, the rules, and what is expected of it ([`Cell::expect`]).
pub(crate) fn judge(cell: &Cell, seen: &Seen<'_>, pace: Pace) -> Judgement {
    of_findings(cell, seen, pace, console::findings_of(seen), &[])
}

/// The judgement on a cell whose console shows known faults, without them; `None` if it shows none.
pub(crate) fn judge_beside(
    cell: &Cell,
    seen: &Seen<'_>,
    pace: Pace,
    known: &[&KnownFault],
) -> Option<Judgement> {
    let (set_aside, others) = known::set_aside(cell, console::findings_of(seen), known)?;
    Some(of_findings(cell, seen, pace, others, &set_aside))
}

fn of_findings(
    cell: &Cell,
    seen: &Seen<'_>,
    pace: Pace,
    mut findings: Vec<Finding>,
    set_aside: &[Finding],
) -> Judgement {
    let evidence = seen.evidence;
    let (needless, all) = (seen.ooms.needless_kills, seen.ooms.global_kills);
    if needless > 0 && needless == all {
        // Memory was there: the kernel's fault, not that of the VM's size (I4).
        findings.retain(|finding| finding.kind != console::SYSTEM_OOM_KILL);
    }
    if seen.ooms.searched_in_plenty {
        findings.iter_mut().filter(|it| it.kind == console::DEADLOCKED).for_each(|finding| {
            finding.class = Verdict::Crash;
        });
    }
    let gap = whole::gap(seen);
    let (facts, mut doubts) = facts::derive(seen, gap.is_none());
    doubts.extend(proof::doubts(cell, seen));
    let rules_pace = Pace { slowdown: pace.slowdown.saturating_mul(cell.slowdown), ..pace };
    let mut checks = invariants(cell, seen, &findings, gap.as_deref(), rules_pace);
    checks.extend(conditions(&cell.expect, &facts, evidence.stretch()));
    let breaks = broken(&checks);
    let expected_to_fail = as_expected(cell, Verdict::Fail, &breaks, &checks);
    let reason = host(cell, evidence)
        .or_else(|| not_proven(whole::forged(seen).as_slice(), &[]))
        .or_else(|| on_console(&findings, seen, known::warnings(set_aside), pace))
        .or_else(|| whole::tainted(seen, known::warnings(set_aside)))
        .or_else(|| ending(evidence))
        .or_else(|| said_by_guest(seen))
        .or_else(|| not_proven(&doubts, &[]))
        .or_else(|| surely_failed(&checks).filter(|_| !expected_to_fail))
        .or_else(|| not_proven(gap.as_slice(), &checks))
        .or_else(|| broken_rules(&checks))
        .or_else(|| not_exercised(&checks))
        .or_else(|| not_as_stated(&checks))
        .unwrap_or_else(|| pass(&checks));
    // A mutant must break a rule, and a host that does not let it run would do that for it.
    let welcome = expected_to_fail && !cell.expect.or_more;
    let may_be_host = reason.verdict == Verdict::Fail && !welcome;
    let reason = busy_host(evidence, &checks).filter(|_| may_be_host).unwrap_or(reason);
    let (verdict, why) = (reason.verdict, reason.why());
    let decided = console::decisive(&findings).filter(|_| reason.is_of_report());
    let frames = decided.map(console::frames).unwrap_or_default();
    let as_expected = as_expected(cell, verdict, &breaks, &checks);
    let (cause, known) = (reason.cause(), known::identities(cell, set_aside));
    Judgement { as_expected, verdict, breaks, why, checks, facts, cause, frames, known }
}

/// Whether a verdict and its broken rules are those expected.
fn as_expected(cell: &Cell, verdict: Verdict, breaks: &[Rule], checks: &[Check]) -> bool {
    let expect = &cell.expect;
    if expect.any {
        use Verdict::{Crash, Fail, Hang, Pass};
        return matches!(verdict, Pass | Fail | Crash | Hang);
    }
    if verdict != Verdict::Fail {
        // A verdict that outranks FAIL makes no promise about which rules could be asked.
        return verdict == expect.verdict;
    }
    let may = |rule: &Rule| {
        expect.or_more || expect.breaks.contains(rule) || expect.may_break.contains(rule)
    };
    let may_fail = expect.verdict == Verdict::Fail || expect.verdict == Verdict::Pass;
    // A rule that is broken now and then is no stand-in for what the scenario is about.
    let exercised = !expect.breaks.is_empty() || not_exercised(checks).is_none();
    may_fail
        && exercised
        && !breaks.is_empty()
        && expect.breaks.iter().all(|rule| breaks.contains(rule))
        && breaks.iter().all(may)
}

/// Evaluates every invariant.
fn invariants(
    cell: &Cell,
    seen: &Seen<'_>,
    findings: &[Finding],
    gap: Option<&str>,
    pace: Pace,
) -> Vec<Check> {
    let check = |invariant: &super::Invariant| {
        let answer = match seen.hello {
            None => Err(Missing("the guest's Hello".to_owned())),
            Some((_, hello)) => (invariant.check)(&Case { cell, seen, findings, pace, hello, gap }),
        };
        Answer::or_unknown(answer).into_check(invariant.rule, None)
    };
    INVARIANTS.iter().map(check).collect()
}

/// Evaluates what the scenario expects: X first, then E.
fn conditions(expect: &Expectation, facts: &Facts, stretch: f64) -> Vec<Check> {
    let check = |rule, condition: &Condition| {
        let answer = Answer::or_unknown(condition_holds(condition, facts, stretch));
        answer.into_check(rule, Some(condition.fact.clone()))
    };
    let exercised = expect.exercised.iter().map(|condition| check(Rule::Exercised, condition));
    let stated = expect.facts.iter().map(|condition| check(Rule::Expectation, condition));
    exercised.chain(stated).collect()
}

fn condition_holds(condition: &Condition, facts: &Facts, stretch: f64) -> Result<Answer, Missing> {
    let fact = &condition.fact;
    let value = facts::get(facts, fact).ok_or_else(|| Missing(fact.to_string()))?;
    let mut answer = Answer::of(condition.holds(value), format!("{condition}: it is {value}"));
    // Had the host not slowed the cell down, it might hold: unknown.
    let in_time = match fact {
        // A load that hit its time limit.
        FactName::Cell(CellFact::LoadComplete) => {
            stretch >= Evidence::STRETCHED && condition.holds(1.0)
        }
        _ => fact.unit().is_time() && condition.holds(value / stretch),
    };
    if answer.outcome == Outcome::Broken && in_time {
        answer.outcome = Outcome::Unknown;
        answer.said = format!("{}, stretched {stretch:.1} times by the host", answer.said);
    }
    Ok(answer)
}

/// Broken rules, each once. A path that never ran breaks nothing.
fn broken(checks: &[Check]) -> Vec<Rule> {
    let broken = checks.iter().filter(|check| check.outcome == Outcome::Broken);
    let mut rules: Vec<Rule> =
        broken.map(|check| check.rule).filter(|rule| *rule != Rule::Exercised).collect();
    rules.dedup();
    rules
}

/// The harness or the host failed, whatever the kernel did.
fn host(cell: &Cell, evidence: &Evidence) -> Option<Reason> {
    let why = match &evidence.ending {
        Ending::QemuFailed { status, stderr } => {
            let line = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
            format!("QEMU ended by itself ({status}): {line}")
        }
        Ending::HostFailed { why } => format!("the host failed: {why}"),
        Ending::Interrupted => "the run was stopped".to_owned(),
        _ if evidence.request != cell.request => "the evidence is of another request".to_owned(),
        _ => return None,
    };
    Some(Reason::new(Verdict::Error, why))
}

/// Titles of all faults of the kernel that a console shows: none where the emulator broke the boot,
/// whose cell is an ERROR and runs again.
pub(crate) fn console_faults(console: &str, pace: Pace) -> Vec<String> {
    let findings = console::findings(console);
    match by_emulator(&findings, pace) {
        true => Vec::new(),
        false => findings.into_iter().map(|finding| finding.title).collect(),
    }
}

fn on_console(
    findings: &[Finding],
    seen: &Seen<'_>,
    known_warnings: Option<u64>,
    pace: Pace,
) -> Option<Reason> {
    let finding = console::decisive(findings)?;
    // A crash that only the kernel's own count shows is worse than a hang or a lack of memory.
    if finding.class == Verdict::Hang || console::goes_on(finding) {
        let crashed =
            whole::tainted(seen, known_warnings).filter(|reason| reason.verdict == Verdict::Crash);
        if crashed.is_some() {
            return crashed;
        }
    }
    let reported = Reason::of_report(finding.class, finding.kind, &finding.title);
    let slow = starved(seen.evidence).filter(|_| finding.class == Verdict::Hang);
    if let Some(starved) = slow {
        return Some(Reason::new(Verdict::Error, starved).besides(Some(reported.why())));
    }
    if by_emulator(findings, pace) {
        let why = "the emulator ran a breakpoint that the kernel had already removed";
        return Some(Reason::new(Verdict::Error, format!("{why} ({})", finding.title)));
    }
    Some(reported)
}

/// Share of a cell's time spent waiting for a host CPU. From here on its times say nothing about
/// the kernel.
const STARVED: f64 = 0.5;

/// If only timing rules broke and a vCPU was starved for half of the cell, the cell says nothing
/// about the kernel.
fn busy_host(evidence: &Evidence, checks: &[Check]) -> Option<Reason> {
    let starved = starved(evidence)?;
    let of_time = |check: &Check| {
        let is_time = check.fact.as_ref().is_some_and(|fact| fact.unit().is_time());
        INVARIANTS.iter().any(|invariant| invariant.of_time && invariant.rule == check.rule)
            || (check.rule == Rule::Expectation && is_time)
    };
    // A load that had no time did not come to what it is for.
    let mut broken = checks
        .iter()
        .filter(|check| check.outcome == Outcome::Broken && check.rule != Rule::Exercised);
    broken.all(of_time).then(|| {
        let why = first(Verdict::Fail, checks, of_time).map(|reason| reason.why());
        Reason::new(Verdict::Error, starved).besides(why)
    })
}

/// How long a vCPU was starved, if that was most of the time.
fn starved(evidence: &Evidence) -> Option<String> {
    let (starved_ms, wall_ms) = match evidence.ending {
        Ending::Deadline { starved_ms, deadline_ms, .. } => (starved_ms, deadline_ms),
        _ => (evidence.starved_ms, evidence.wall_ms),
    };
    let most = starved_ms > 0 && starved_ms as f64 >= wall_ms as f64 * STARVED;
    most.then(|| format!("a vCPU waited for a host CPU for {starved_ms} of {wall_ms} ms"))
}

/// Endings that say something without a line on the console.
fn ending(evidence: &Evidence) -> Option<Reason> {
    match evidence.ending {
        Ending::Reset if restarted(&evidence.console) => Some(Reason::new(
            Verdict::Error,
            "not proven: a task in the guest restarted the VM (reboot(2))",
        )),
        Ending::Reset => Some(Reason::new(
            Verdict::Crash,
            "the VM reset itself and the console shows no panic: a triple fault, or the console was lost",
        )),
        Ending::Deadline { .. } if starved(evidence).is_some() => {
            starved(evidence).map(|why| Reason::new(Verdict::Error, why))
        }
        // A kernel that hangs cuts the last line.
        Ending::Deadline { .. } if evidence.torn_lines.len() > 1 => {
            let lines = evidence.torn_lines.len();
            let why = format!("not proven: the guest sent {lines} lines of no event");
            Some(Reason::new(Verdict::Error, why))
        }
        Ending::Deadline { deadline_ms, silent_ms, booted, starved_ms: _ } => {
            let silence = if silent_ms < 1000 {
                "it still printed or reported".to_owned()
            } else {
                format!("silent for the last {silent_ms} ms")
            };
            // A kernel that prints nothing hangs too: the accelerator has booted a guest before.
            // What firmware prints has no time stamp.
            let kernel_ran = evidence.console.contains("Linux version")
                || evidence.console.lines().any(|line| message(line) != line.trim());
            let stage = match (booted, kernel_ran) {
                (true, _) => "the cell had not ended",
                (false, true) => "the guest had not come up",
                (false, false) => "the kernel had printed nothing",
            };
            let why = format!("{stage} after {deadline_ms} ms");
            Some(Reason::new(Verdict::Hang, why).besides(Some(silence)))
        }
        _ => None,
    }
}

fn said_by_guest(seen: &Seen<'_>) -> Option<Reason> {
    if let Some((_, hello)) = seen.hello
        && hello.protocol != protocol::VERSION
    {
        let (guest, ours) = (hello.protocol, protocol::VERSION);
        let why = format!("the guest speaks protocol {guest}, the harness {ours}");
        return Some(Reason::new(Verdict::Error, why));
    }
    seen.stopped.map(|stopped| match stopped {
        Stopped::Broken(why) => Reason::new(Verdict::Error, format!("the guest failed: {why}")),
        Stopped::Unsupported(what) => Reason::new(Verdict::Skip, format!("missing: {what}")),
    })
}

fn not_proven(doubts: &[String], checks: &[Check]) -> Option<Reason> {
    let unknown = checks.iter().find(|check| check.outcome == Outcome::Unknown);
    let (why, more) = match (doubts, unknown) {
        ([], None) => return None,
        ([], Some(check)) => (format!("{}: {}", check.rule, check.said), None),
        ([one], _) => (one.clone(), None),
        ([first, rest @ ..], _) => (first.clone(), Some(format!("and {} more doubts", rest.len()))),
    };
    Some(Reason::new(Verdict::Error, format!("not proven: {why}")).besides(more))
}

/// What is broken whatever else is unknown: a rule, or what the scenario states of a path that ran.
fn surely_failed(checks: &[Check]) -> Option<Reason> {
    let ran = checks
        .iter()
        .filter(|check| check.rule == Rule::Exercised)
        .all(|x| x.outcome == Outcome::Kept);
    broken_rules(checks).or_else(|| not_as_stated(checks).filter(|_| ran))
}

fn broken_rules(checks: &[Check]) -> Option<Reason> {
    first(Verdict::Fail, checks, |check| matches!(check.rule, Rule::Invariant(_)))
}

fn not_exercised(checks: &[Check]) -> Option<Reason> {
    let reason = first(Verdict::Inconclusive, checks, |check| check.rule == Rule::Exercised)?;
    Some(reason.after("the path under test never ran"))
}

fn not_as_stated(checks: &[Check]) -> Option<Reason> {
    first(Verdict::Fail, checks, |check| check.rule == Rule::Expectation)
}

/// The first broken check of those, and how many more there are.
fn first(verdict: Verdict, checks: &[Check], of: impl Fn(&Check) -> bool) -> Option<Reason> {
    let mut broken = checks.iter().filter(|check| check.outcome == Outcome::Broken && of(check));
    let first = broken.next()?;
    let more = match broken.count() {
        0 => None,
        more => Some(format!("and {more} more")),
    };
    Some(Reason::new(verdict, format!("{}: {}", first.rule, first.said)).besides(more))
}

fn pass(checks: &[Check]) -> Reason {
    let kept = checks.iter().filter(|check| check.outcome == Outcome::Kept).count();
    Reason::new(Verdict::Pass, format!("{kept} checks kept"))
}
