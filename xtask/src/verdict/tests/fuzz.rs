// SPDX-License-Identifier: MIT OR Apache-2.0
//! Evidence that passed, bent at random places: no panic, and no PASS of what is bent.
//! `PROPTEST_CASES=100000` tries more.

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;

/// Lines that a kernel prints when something is wrong, or when its log has a hole.
const FAULTS: [&str; 6] = [
    "<4>[    0.700000] WARNING: CPU: 1 PID: 7 at mm/memcontrol.c:1 f+0x1/0x2",
    "<1>[    0.700000] BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "<0>[    0.700000] Kernel panic - not syncing: out of ideas",
    "** 5 printk messages dropped **",
    "<3>[    0.700000] INFO: task x:77 blocked for more than 122 seconds.",
    "<5>[    0.000000] Linux version 6.12.117",
];

/// What a console may be bent with: words that its readers look for.
const PIECES: [&str; 16] = [
    "<4>",
    "<14>",
    "[    0.7] ",
    "[",
    "]",
    "\n",
    "\0",
    "\u{202e}",
    "oom-kill:",
    " kB",
    "Call Trace:",
    "memcg harness: ",
    "** ",
    "invoked oom-killer",
    "Killed process ",
    "99999999999999999999",
];

/// One way to change the truth; the number chooses the place.
fn bend(bench: &mut Bench, how: u8, at: usize) {
    let Evidence { events, console, ending, .. } = &mut bench.evidence;
    if events.is_empty() {
        return;
    }
    let (place, next) = (at % events.len(), (at + 1) % events.len());
    let line = console.match_indices('\n').map(|(end, _)| end + 1).nth(at % 4).unwrap_or(0);
    match how {
        0 => drop(events.remove(place)),
        1 => events.insert(place, events[place].clone()),
        2 => events.truncate(place),
        // Of one moment, either may come first.
        3 if events[place].at_us != events[next].at_us => events.swap(place, next),
        3 => {}
        4 => console.insert_str(line, &format!("{}\n", FAULTS[at % FAULTS.len()])),
        5 => console.truncate(at % (CONSOLE.len() - 2)),
        6 => *ending = Ending::Reset,
        _ => bench.evidence.console_dropped_bytes = 1 + at as u64,
    }
}

/// A text with pieces put in, cut out and repeated.
fn bent(text: &str, bends: &[(u8, usize, usize)]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for (how, at, count) in bends {
        let from = at % (text.len() + 1);
        let to = text.len().min(from + count % 40);
        match how {
            0 => drop(text.drain(from..to)),
            1 => drop(text.splice(from..from, text[from..to].to_vec()).collect::<Vec<_>>()),
            _ => {
                let piece = PIECES[count % PIECES.len()].chars();
                drop(text.splice(from..from, piece).collect::<Vec<_>>());
            }
        }
    }
    text.into_iter().collect()
}

fn bends() -> impl Strategy<Value = Vec<(u8, usize, usize)>> {
    prop::collection::vec((0_u8..5, 0_usize..100_000, 0_usize..1000), 1..8)
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn bent_evidence_does_not_pass(
        bends in prop::collection::vec((0_u8..8, 0_usize..10_000), 1..4),
        renumbered: bool,
    ) {
        let mut bench = Bench::overcharge();
        let whole = format!("{:?}", bench.evidence);
        bends.iter().for_each(|(how, at)| bend(&mut bench, *how, *at));
        if renumbered {
            bench.renumber();
        }
        // Two swaps may undo each other.
        prop_assume!(format!("{:?}", bench.evidence) != whole);
        let judgement = bench.judge();
        prop_assert_ne!(judgement.verdict, Verdict::Pass, "{:?}: {}", bends, judgement.why);
    }

    #[test]
    fn a_bent_console_never_hides_a_fault(bends in bends(), fault in 0_usize..FAULTS.len()) {
        // What is bent is what a task wrote; the fault is the kernel's.
        let mut bench = Bench::overcharge();
        let told = bent("<14>[    0.7] a task writes\n", &bends).replace('\n', "\n<14>[    0.7] ");
        let text = format!("{}\n{told}\n", FAULTS[fault]);
        let at = bench.evidence.console.find(SECOND_MARK).unwrap();
        bench.evidence.console.insert_str(at, &text);
        let judgement = bench.judge();
        prop_assert_ne!(judgement.verdict, Verdict::Pass, "{}: {}", text, judgement.why);
    }

    #[test]
    fn any_console_and_any_line_of_the_port_are_read(bends in bends(), at in 0_usize..1000) {
        let mut bench = Bench::overcharge();
        bench.logs(FAULTS[at % FAULTS.len()]);
        bench.evidence.console = bent(&bench.evidence.console, &bends);
        let _ = bench.judge();
        let _ = crate::verdict::ktap::results(&bench.evidence.console, None);
        let place = at % bench.evidence.events.len();
        let line = serde_json::to_string(&bench.evidence.events[place]).unwrap();
        // A line that is still an event is judged: it may say anything.
        if let Ok(event) = serde_json::from_str::<Event>(&bent(&line, &bends)) {
            bench.evidence.events[place] = event;
            let _ = bench.judge();
        }
    }
}
