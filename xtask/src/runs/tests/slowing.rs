// SPDX-License-Identifier: MIT OR Apache-2.0
//! Seeded histories: a slowdown is found within so many nights, and no change gives no alarm.

use super::super::slower::{SIDE_MIN, WINDOW, slower};
use super::nights::night;
use super::*;
use crate::plan::CellKey;

/// Numbers of a cell that vary.
const FACTS: [&str; 5] =
    ["load.ms", "open.max_us", "over_ms_max", "overrun.p99_bytes", "reconcile.p99_us"];
/// Cells of a night.
const CELLS: usize = 3;
/// A slowdown of 20 percent is found within so many nights, if a number varies by 5 percent.
const FOUND_WITHIN: usize = 10;

/// The same numbers from the same seed, as SplitMix64 makes them.
struct Seeded(u64);

impl Seeded {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal, around 1, with this standard deviation.
    fn around_one(&mut self, deviation: f64) -> f64 {
        let sum: f64 = (0..12).map(|_| self.uniform()).sum();
        ((sum - 6.0) * deviation).exp()
    }
}

/// A night whose numbers vary by `deviation`; load times of the first cell are `factor` times
/// longer.
fn varied(number: usize, seeded: &mut Seeded, deviation: f64, factor: f64) -> RunResult {
    let [_, patched] = good();
    let cell = |at: usize| {
        let mut cell = patched.clone();
        cell.cell.key = CellKey::v2(&format!("open-{at}"), "patched", "overcharge");
        cell.cell.id = cell.cell.key.to_string();
        for fact in FACTS {
            let slow = if at == 0 && fact == "load.ms" { factor } else { 1.0 };
            cell = with(&cell, fact, 50_000.0 * slow * seeded.around_one(deviation));
        }
        cell
    };
    let mut night = night(1, (0..CELLS).map(cell).collect());
    night.run = format!("night-{number:03}");
    night
}

/// The first night on which something is said to be higher, and what.
fn alarm(history: &[RunResult], from: usize) -> Option<(usize, Vec<super::super::Slower>)> {
    (from..=history.len()).find_map(|until| {
        let nights: Vec<&RunResult> = history[..until].iter().collect();
        let found = slower(&nights);
        (!found.is_empty()).then_some((until, found))
    })
}

#[test]
fn a_slowdown_of_20_percent_is_found_within_ten_nights() {
    for seed in 1..=5 {
        let mut seeded = Seeded(seed);
        let history: Vec<RunResult> = (0..30 + FOUND_WITHIN)
            .map(|at| varied(at, &mut seeded, 0.05, if at < 30 { 1.0 } else { 1.2 }))
            .collect();
        let (until, found) = alarm(&history, 25)
            .unwrap_or_else(|| panic!("seed {seed}: no alarm after {FOUND_WITHIN} nights"));
        assert!(until > 30, "seed {seed}: before the change, {found:?}");
        assert_eq!(found.len(), 1, "seed {seed}: {found:?}");
        let number = &found[0];
        assert_eq!((number.key.scenario.as_str(), number.fact == "load.ms"), ("open-0", true));
        assert!((29..=32).any(|at| number.since == format!("night-{at:03}")), "{number:?}");
    }
}

#[test]
fn it_stays_found_until_the_window_has_passed() {
    let mut seeded = Seeded(5);
    let history: Vec<RunResult> = (0..30 + WINDOW)
        .map(|at| varied(at, &mut seeded, 0.03, if at < 30 { 1.0 } else { 1.2 }))
        .collect();
    let found = |until: usize| slower(&history[..until].iter().collect::<Vec<_>>()).len();
    for until in [30 + FOUND_WITHIN, 50, 30 + WINDOW - 10] {
        assert_eq!(found(until), 1, "night {until}");
    }
    assert_eq!(found(30 + WINDOW), 0, "all nights of the window are alike");
}

#[test]
fn two_hundred_nights_without_change_give_no_alarm() {
    for (seed, deviation) in [(1, 0.05), (2, 0.3)] {
        let mut seeded = Seeded(seed);
        let history: Vec<RunResult> =
            (0..200).map(|at| varied(at, &mut seeded, deviation, 1.0)).collect();
        // Every tenth is enough: the windows overlap.
        let alarms = (2 * SIDE_MIN..=200)
            .step_by(10)
            .filter(|until| !slower(&history[..*until].iter().collect::<Vec<_>>()).is_empty());
        assert_eq!(alarms.collect::<Vec<_>>(), [0usize; 0], "deviation {deviation}");
    }
}

#[test]
fn only_nights_on_like_machines_count() {
    let mut seeded = Seeded(3);
    let mut history: Vec<RunResult> =
        (0..50).map(|at| varied(at, &mut seeded, 0.02, if at < 30 { 1.0 } else { 1.5 })).collect();
    let found = |history: &[RunResult]| slower(&history.iter().collect::<Vec<_>>()).len();
    assert_eq!(found(&history), 1);
    let mut stolen = history.clone();
    stolen.last_mut().unwrap().manifest.steal_percent = Some(20);
    assert_eq!(found(&stolen), 0, "tonight's times are the host's");
    for night in &mut history[30..] {
        night.manifest.host.cpu_model = "slower".to_owned();
    }
    assert_eq!(found(&history), 0);
}
