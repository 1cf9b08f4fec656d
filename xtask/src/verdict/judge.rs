// SPDX-License-Identifier: MIT OR Apache-2.0
//! One cell's evidence -> its judgement.
//!
//! Causes are asked in the order of [`Verdict`]: the harness's own failures, crash, hang, evidence
//! that is not whole, a missing requirement, a broken rule, a path that never ran. PASS is what is
//! left when every rule was asked and kept. A rule that cannot be told does not take back what
//! another one has shown: that is FAIL all the same, unless it was expected, which takes all of them.

use protocol::{Fact, Hello};

use super::rule::{Answer, Missing};
use super::{
    Case, Check, Finding, INVARIANTS, Judgement, Outcome, Pace, Rule, Verdict, console, facts,
    proof,
};
use crate::config::{Condition, Expectation, Scenario};
use crate::evidence::console::message;
use crate::evidence::oom::ooms;
use crate::evidence::{Ending, Evidence};
use crate::plan::Cell;

/// Judges one cell by its evidence, the rules, and what is expected of it ([`Cell::expect`]).
pub(crate) fn judge(
    cell: &Cell,
    scenario: &Scenario,
    evidence: &Evidence,
    pace: Pace,
) -> Judgement {
    let findings = console::findings(&evidence.console);
    let (facts, mut doubts) = facts::derive(evidence, &ooms(&evidence.console));
    doubts.extend(proof::doubts(cell, evidence));
    let rules_pace = Pace { slowdown: pace.slowdown.saturating_mul(cell.slowdown) };
    let checks = checks(cell, scenario, evidence, &facts, &findings, rules_pace);
    let breaks = broken(&checks);
    let expected_to_fail = as_expected(cell, Verdict::Fail, &breaks, &checks);
    let (verdict, why) = host(cell, evidence)
        .or_else(|| on_console(&findings, pace))
        .or_else(|| ending(evidence))
        .or_else(|| said_by_guest(evidence))
        .or_else(|| not_proven(&doubts, &[]))
        .or_else(|| surely_failed(&checks).filter(|_| !expected_to_fail))
        .or_else(|| not_proven(&[], &checks))
        .or_else(|| broken_rules(&checks))
        .or_else(|| not_exercised(&checks))
        .or_else(|| not_as_stated(&checks))
        .or_else(|| not_proven(&proof::console_doubts(evidence), &[]))
        .unwrap_or_else(|| pass(&checks));
    // A mutant has to break a rule, and a host that does not let it run would do that for it.
    let welcome = expected_to_fail && !cell.expect.or_more;
    let busy = busy_host(evidence, &checks).filter(|_| verdict == Verdict::Fail && !welcome);
    let (verdict, why) = busy.unwrap_or((verdict, why));
    Judgement {
        as_expected: as_expected(cell, verdict, &breaks, &checks),
        verdict,
        breaks,
        why,
        checks,
        facts: facts.into_values(),
    }
}

/// Whether a verdict and its broken rules are those expected.
fn as_expected(cell: &Cell, verdict: Verdict, breaks: &[Rule], checks: &[Check]) -> bool {
    let expect = &cell.expect;
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

fn checks(
    cell: &Cell,
    scenario: &Scenario,
    evidence: &Evidence,
    facts: &facts::Facts,
    findings: &[Finding],
    pace: Pace,
) -> Vec<Check> {
    let hello = evidence.events.iter().find_map(|event| match &event.fact {
        Fact::Hello(Hello { cpus, page_bytes, .. }) => Some((*cpus, *page_bytes)),
        _ => None,
    });
    let mut checks = Vec::new();
    for invariant in INVARIANTS {
        let answer = match hello {
            None => Err(Missing("the guest's Hello".to_owned())),
            Some((cpus, page_bytes)) => (invariant.check)(&Case {
                cell,
                scenario,
                evidence,
                facts,
                findings,
                pace,
                cpus,
                page_bytes,
            }),
        };
        checks.push(Answer::or_unknown(answer).into_check(invariant.rule));
    }
    let asked = |rule, condition: &Condition| {
        let answer = Answer::or_unknown(asked(condition, facts, evidence.stretch()));
        Check { fact: Some(condition.fact.clone()), ..answer.into_check(rule) }
    };
    let Expectation { exercised, facts: stated, .. } = &cell.expect;
    checks.extend(exercised.iter().map(|condition| asked(Rule::Exercised, condition)));
    checks.extend(stated.iter().map(|condition| asked(Rule::Expectation, condition)));
    checks
}

fn asked(condition: &Condition, facts: &facts::Facts, stretch: f64) -> Result<Answer, Missing> {
    let value = facts
        .get(&condition.fact.to_string())
        .ok_or_else(|| Missing(condition.fact.to_string()))?;
    let mut answer = Answer::of(condition.holds(value), format!("{condition}: it is {value}"));
    // Had the host not slowed the cell down, it might hold: unknown.
    if answer.outcome == Outcome::Broken
        && condition.fact.unit().is_time()
        && condition.holds(value / stretch)
    {
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
fn host(cell: &Cell, evidence: &Evidence) -> Option<(Verdict, String)> {
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
    Some((Verdict::Error, why))
}

/// Whether what the console shows is the emulator's failure and not the kernel's.
///
/// The kernel patches its own text through a breakpoint. QEMU's emulated CPUs can still run that
/// breakpoint when the patching is over, and the kernel, rightly, oopses. Seen about once in 50
/// boots of a busy host with QEMU 7.2, at "sched_clock: Marking stable".
pub(crate) fn by_emulator(findings: &[Finding], pace: Pace) -> bool {
    let decisive = console::decisive(findings);
    pace.slowdown > 1 && decisive.is_some_and(|finding| finding.title.contains("int3"))
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

fn on_console(findings: &[Finding], pace: Pace) -> Option<(Verdict, String)> {
    let finding = console::decisive(findings)?;
    if by_emulator(findings, pace) {
        let why = "the emulator ran a breakpoint that the kernel had already removed";
        return Some((Verdict::Error, format!("{why} ({})", finding.title)));
    }
    Some((finding.class, format!("{}: {}", finding.kind, finding.title)))
}

/// Of a cell's time, waited for a CPU of the host: then its times say nothing about the kernel.
const STARVED: f64 = 0.5;

/// A cell that was only too slow, on a host that did not let it run for half of its time, says nothing
/// about the kernel.
fn busy_host(evidence: &Evidence, checks: &[Check]) -> Option<(Verdict, String)> {
    let Evidence { starved_ms, wall_ms, .. } = evidence;
    let of_time = |check: &Check| {
        let is_time = check.fact.as_ref().is_some_and(|fact| fact.unit().is_time());
        INVARIANTS.iter().any(|invariant| invariant.of_time && invariant.rule == check.rule)
            || (check.rule == Rule::Expectation && is_time)
    };
    let mut broken = checks.iter().filter(|check| check.outcome == Outcome::Broken);
    let starved = *starved_ms > 0 && *starved_ms as f64 >= *wall_ms as f64 * STARVED;
    let slow = starved && broken.all(of_time);
    slow.then(|| {
        let why = first(checks, of_time).unwrap_or_default();
        let busy =
            format!("a virtual CPU waited for one of the host for {starved_ms} of {wall_ms} ms");
        (Verdict::Error, format!("{busy}; {why}"))
    })
}

/// Endings that say something without a line on the console.
fn ending(evidence: &Evidence) -> Option<(Verdict, String)> {
    match evidence.ending {
        Ending::Reset => Some((
            Verdict::Crash,
            "the VM reset itself and the console shows no panic: a triple fault, or the console was lost".to_owned(),
        )),
        Ending::Deadline { deadline_ms, starved_ms, .. } if starved_ms >= deadline_ms / 2 => {
            let why = "a virtual CPU waited for one of the host";
            Some((Verdict::Error, format!("{why} for {starved_ms} of {deadline_ms} ms")))
        }
        Ending::Deadline { deadline_ms, silent_ms, booted, starved_ms: _ } => {
            let silence = if silent_ms < 1000 {
                "it still printed or reported".to_owned()
            } else {
                format!("silent for the last {silent_ms} ms")
            };
            // A kernel that prints nothing hangs too: the accelerator has booted a guest before. What
            // firmware prints has no time stamp.
            let kernel_ran = evidence.console.contains("Linux version")
                || evidence.console.lines().any(|line| message(line) != line.trim());
            let stage = match (booted, kernel_ran) {
                (true, _) => "the cell had not ended",
                (false, true) => "the guest had not come up",
                (false, false) => "the kernel had printed nothing",
            };
            Some((Verdict::Hang, format!("{stage} after {deadline_ms} ms; {silence}")))
        }
        _ => None,
    }
}

fn said_by_guest(evidence: &Evidence) -> Option<(Verdict, String)> {
    evidence.events.iter().find_map(|event| match &event.fact {
        Fact::Hello(Hello { protocol, .. }) if *protocol != protocol::VERSION => Some((
            Verdict::Error,
            format!("the guest speaks protocol {protocol}, the harness {}", protocol::VERSION),
        )),
        Fact::Broken { why } => Some((Verdict::Error, format!("the guest failed: {why}"))),
        Fact::Unsupported { missing } => Some((Verdict::Skip, format!("missing: {missing}"))),
        _ => None,
    })
}

fn not_proven(doubts: &[String], checks: &[Check]) -> Option<(Verdict, String)> {
    let unknown = checks.iter().find(|check| check.outcome == Outcome::Unknown);
    let why = match (doubts, unknown) {
        ([], None) => return None,
        ([], Some(check)) => format!("{}: {}", check.rule, check.said),
        ([one], _) => one.clone(),
        ([first, rest @ ..], _) => format!("{first}; and {} more doubts", rest.len()),
    };
    Some((Verdict::Error, format!("not proven: {why}")))
}

/// What is broken whatever else cannot be told: a rule, or what the scenario states of a path that did run.
fn surely_failed(checks: &[Check]) -> Option<(Verdict, String)> {
    let ran = checks
        .iter()
        .filter(|check| check.rule == Rule::Exercised)
        .all(|x| x.outcome == Outcome::Kept);
    broken_rules(checks).or_else(|| not_as_stated(checks).filter(|_| ran))
}

fn broken_rules(checks: &[Check]) -> Option<(Verdict, String)> {
    first(checks, |check| matches!(check.rule, Rule::Invariant(_))).map(|why| (Verdict::Fail, why))
}

fn not_exercised(checks: &[Check]) -> Option<(Verdict, String)> {
    let why = first(checks, |check| check.rule == Rule::Exercised)?;
    Some((Verdict::Inconclusive, format!("the path under test never ran: {why}")))
}

fn not_as_stated(checks: &[Check]) -> Option<(Verdict, String)> {
    first(checks, |check| check.rule == Rule::Expectation).map(|why| (Verdict::Fail, why))
}

/// The first broken check of those, and how many more there are.
fn first(checks: &[Check], of: impl Fn(&Check) -> bool) -> Option<String> {
    let mut broken = checks.iter().filter(|check| check.outcome == Outcome::Broken && of(check));
    let first = broken.next()?;
    let more = match broken.count() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Some(format!("{}: {}{more}", first.rule, first.said))
}

fn pass(checks: &[Check]) -> (Verdict, String) {
    let kept = checks.iter().filter(|check| check.outcome == Outcome::Kept).count();
    (Verdict::Pass, format!("{kept} checks kept"))
}
