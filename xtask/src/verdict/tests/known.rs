// SPDX-License-Identifier: MIT OR Apache-2.0
//! A known fault of the baseline does not count, and hides nothing.

use super::run::{cell, result};
use super::*;
use crate::config::{KnownFault, SeenIn, Until};
use crate::outcome::CellResult;

const WARN: &str = "\
[    0.7] WARNING: CPU: 0 PID: 7 at mm/x.c:61 page_counter_cancel+0x4e/0x60
[    0.7] Call Trace:
[    0.7]  page_counter_uncharge+0x1e/0x40
[    0.7] ---[ end trace 0000000000000000 ]---
";
const IDENTITY: &str = "CRASH WARN in page_counter_cancel < page_counter_uncharge";

fn known(identity: &str) -> KnownFault {
    KnownFault {
        identity: identity.to_owned(),
        base: "6.12".to_owned(),
        reason: "an off-by-one that is being fixed".to_owned(),
        link: "https://example.org/1".to_owned(),
        until: Until::Date("2027-03-01".to_owned()),
        seen_in: Some(SeenIn::AnyScenario),
    }
}

/// The kernel warns, and says so of itself.
fn warns(mut bench: Bench, text: &str, warnings: u64) -> Bench {
    bench.logs(text);
    for event in &mut bench.evidence.events {
        if let Fact::KernelLog(log) = &mut event.fact {
            log.after = Health { tainted: 1 << 9, warnings: Some(warnings), oopses: Some(0) };
        }
    }
    bench
}

fn ran(bench: &Bench, known: &KnownFault) -> CellResult {
    let mut ran = cell(bench);
    let seen = Seen::of(&bench.evidence);
    let beside = judge_beside(&bench.cell, &seen, bench.pace, &[known]);
    ran.first.beside_known = beside.map(Box::new);
    ran
}

/// The verdicts on a baseline and a patched kernel, with whether they are as expected.
fn verdicts(baseline: &Bench, patched: &Bench, known: &KnownFault) -> [(Verdict, bool); 2] {
    let mut cells = [baseline, patched].map(|bench| ran(bench, known));
    excuse_consoles(&mut cells, Some("baseline"));
    cells.map(|ran| (ran.judgement().verdict, ran.judgement().as_expected))
}

const RED: (Verdict, bool) = (Verdict::Crash, false);
const GOOD: (Verdict, bool) = (Verdict::Pass, true);

#[test]
fn a_known_warning_of_the_baseline_turns_neither_kernel_red() {
    let (baseline, patched) = (Bench::mainline(), Bench::overcharge());
    let both = [baseline.clone(), patched.clone()].map(|bench| warns(bench, WARN, 1));
    assert_eq!(verdicts(&both[0], &both[1], &known("another")), [RED, RED]);
    assert_eq!(verdicts(&both[0], &both[1], &known(IDENTITY)), [GOOD, GOOD]);
    // One of the series alone is the series' fault.
    assert_eq!(verdicts(&baseline, &both[1], &known(IDENTITY)), [GOOD, RED]);
    // Without a baseline nobody knows whose it is.
    let mut alone = [ran(&both[1], &known(IDENTITY))];
    excuse_consoles(&mut alone, None);
    assert_eq!(alone[0].judgement().verdict, Verdict::Crash);
    let mut cells = both.each_ref().map(|bench| ran(bench, &known(IDENTITY)));
    excuse_consoles(&mut cells, Some("baseline"));
    assert_eq!(cells[1].judgement().known, [IDENTITY]);
}

#[test]
fn a_known_warning_hides_nothing_else() {
    let baseline = warns(Bench::mainline(), WARN, 1);
    let patched = |text: &str, warnings| {
        let bench = warns(Bench::overcharge(), text, warnings);
        verdicts(&baseline, &bench, &known(IDENTITY))[1]
    };
    assert_eq!(patched(WARN, 1), GOOD);
    let elsewhere = WARN.replace("page_counter_uncharge", "memcg_new_bug");
    assert_eq!(patched(&format!("{WARN}{elsewhere}"), 2), RED, "another one");
    assert_eq!(patched(WARN, 2), RED, "a warning that the console does not show");
    let inside = WARN.replace("[    0.7] Call", "[    0.7] BUG: KASAN: bad in f\n[    0.7] Call");
    assert_eq!(patched(&inside, 1), RED, "a report in the report");
    let torn = WARN.replace("[    0.7] ---[ end trace 0000000000000000 ]---\n", "");
    assert_eq!(patched(&torn, 1), RED, "its end is not there, so anything may be in it");
    assert_eq!(patched(&WARN.repeat(3), 3), GOOD, "by chance");
    assert_eq!(patched(&WARN.repeat(30), 30), RED, "far more often than the baseline");
    let flood = WARN.repeat(60);
    assert_eq!(patched(&flood, 60), RED, "more reports than are looked at");
    // A rule is broken all the same.
    let loses = Bench::overcharge().set(OPEN, "/succeeded", 999).set(
        OPEN,
        "/errnos",
        serde_json::json!({ "ENOMEM": 1 }),
    );
    let loses = warns(loses, WARN, 1);
    assert_eq!(verdicts(&baseline, &loses, &known(IDENTITY))[1], (Verdict::Fail, false));
    // And a path that never ran is no PASS.
    let mut idle = warns(Bench::overcharge(), WARN, 1);
    idle.evidence.events.retain(|event| !matches!(event.fact, Fact::LoadEnded(_)));
    idle.renumber();
    assert_eq!(verdicts(&baseline, &idle, &known(IDENTITY))[1].0, Verdict::Error);
}

#[test]
fn broken_rules_are_known_of_the_baseline_alone() {
    let loses = |bench: Bench| {
        bench.set(OPEN, "/succeeded", 993).set(OPEN, "/errnos", serde_json::json!({ "ENOMEM": 7 }))
    };
    let mut cells = [Bench::mainline(), Bench::overcharge()].map(|bench| cell(&loses(bench)));
    let mut excused = |identity: &str| {
        excuse_rules(&mut cells, Some("baseline"), &[&known(identity)]);
        cells.each_ref().map(|ran| ran.judgement().as_expected)
    };
    assert_eq!(excused("FAIL I1,I2 in open"), [false, false], "it must be that and no more");
    assert_eq!(excused("FAIL I1 in open"), [true, false]);
    let told = result(cells.to_vec());
    assert_eq!((told.totals.as_expected, told.cells[0].fault()), (1, None));
}
