// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two sets of runs compared, for people: the worst first, then what is only different, then the
//! rule.

use super::differential;
use super::numbers::{number, plural};
use super::text::{Style, Table};
use crate::plan::CellKey;
use crate::runs::{
    BY_CHANCE, Change, DOUBLED, GROWTH, Moved, Number, PatchMoved, RunComparison, Spread,
};
use crate::taxonomy::FactName;

/// Names that are listed of cells that one side does not have.
const NAMES_MAX: usize = 8;
/// Numbers that are listed under one title.
const ROWS_MAX: usize = 20;

/// The whole text; `old` and `new` say which runs these are.
pub(crate) fn comparison(found: &RunComparison, old: &str, new: &str, style: Style) -> String {
    let mut text = format!("old: {old}\nnew: {new}\n");
    for difference in &found.unlike {
        text.push_str(&format!("     {difference}\n"));
    }
    let verdicts = |change| cells(&found.moved, change);
    let patches = |change| patches(&found.patches, change);
    let numbers = |change| table(&found.numbers, change, style);
    let spread = ": median (min .. max; values)";
    let parts = [
        (style.bad("worse"), verdicts(Change::Worse)),
        (style.bad("worse, compared with the baseline"), patches(Change::Worse)),
        (style.odd("flaky"), verdicts(Change::Flaky)),
        (style.bad("slower, or further over") + spread, numbers(Change::Worse)),
        (style.good("better"), verdicts(Change::Better)),
        (style.good("better, compared with the baseline"), patches(Change::Better)),
        (style.good("faster, or less far over") + spread, numbers(Change::Better)),
        ("different, as good or bad as before".to_owned(), verdicts(Change::Other)),
        ("different, compared with the baseline".to_owned(), patches(Change::Other)),
        (format!("doubled or halved, unproven{spread}"), numbers(Change::Other)),
    ];
    for (title, body) in parts.iter().filter(|(_, body)| !body.is_empty()) {
        text.push_str(&format!("\n{title}\n{body}"));
    }
    text.push_str(&names("only in old", &found.gone));
    text.push_str(&names("only in new", &found.added));
    for run in &found.incomplete {
        text.push_str(&format!("\n{}: {run}\n", style.bad("incomplete, so no proof")));
    }
    text.push_str(&rule(found));
    text.push_str(&ending(found, style));
    text
}

fn moved(key: &CellKey, old: &str, new: &str, why: &str) -> String {
    let why = if why.is_empty() { String::new() } else { format!("    {why}\n") };
    format!("  {key}: {old} -> {new}\n{why}")
}

fn cells(all: &[Moved], change: Change) -> String {
    let these = all.iter().filter(|one| one.change == change);
    these.map(|Moved { key, old, new, why, .. }| moved(key, old, new, why)).collect()
}

fn patches(all: &[PatchMoved], change: Change) -> String {
    let these = all.iter().filter(|one| one.change == change);
    let line = |PatchMoved { old, new, .. }: &PatchMoved| {
        let why = differential::sentence(new, false);
        moved(&new.cell, &old.to_string(), &new.outcome.to_string(), &why)
    };
    these.map(line).collect()
}

fn table(numbers: &[Number], change: Change, style: Style) -> String {
    let mut numbers: Vec<&Number> = numbers.iter().filter(|one| one.change == change).collect();
    // What moved farthest comes first.
    let factor = |number: &Number| (number.new.median.max(1e-9) / number.old.median.max(1e-9)).ln();
    numbers.sort_by(|a, b| factor(b).abs().total_cmp(&factor(a).abs()));
    let heads = ["", "fact", "old", "new", "times", "by chance"];
    let mut table = Table::indented(2).left(heads);
    let more = numbers.len().saturating_sub(ROWS_MAX);
    for Number { key, fact, old, new, chance, .. } in numbers.into_iter().take(ROWS_MAX) {
        let times = match old.median {
            0.0 => "from 0".to_owned(),
            median => format!("{:.2}", new.median / median),
        };
        let sides = [spread(fact, old), spread(fact, new)];
        table.row(
            [key.to_string(), fact.to_string()]
                .into_iter()
                .chain(sides)
                .chain([times, odds(*chance)]),
        );
    }
    if table.is_empty() {
        return String::new();
    }
    if more > 0 {
        table.note(format!("  and {more} more"));
    }
    table.text(style)
}

/// `410 ms  (390 ms .. 450 ms; 7)`, and how many of the values are of loads that timed out.
fn spread(fact: &FactName, spread: &Spread) -> String {
    let Spread { count, min, median, max, timed_out } = *spread;
    let [min, median, max] = [min, median, max].map(|value| number(fact.unit(), value));
    let timed_out = match timed_out {
        0 => String::new(),
        timed_out => format!(", {timed_out} timed out"),
    };
    match count {
        1 => format!("{median}  (1{timed_out})"),
        _ => format!("{median}  ({min} .. {max}; {count}{timed_out})"),
    }
}

/// `1 in 252`.
fn odds(chance: f64) -> String {
    match 1.0 / chance.max(1e-12) {
        one_in if one_in < 10.0 => format!("1 in {one_in:.1}"),
        one_in => format!("1 in {one_in:.0}"),
    }
}

fn names(title: &str, names: &[CellKey]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = names.iter().take(NAMES_MAX).map(CellKey::to_string).collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("\n{title}, {}: {}{more}\n", plural(names.len(), "cell"), shown.join(", "))
}

fn rule(found: &RunComparison) -> String {
    let RunComparison { compared, provable, times_unlike, numbers, .. } = found;
    let (grown, one_in) = ((GROWTH - 1.0) * 100.0, 1.0 / BY_CHANCE);
    let mut text = format!(
        "\n{} compared, {provable} with values enough to rule out chance. Slower or further over: the median\n\
         grew by more than {grown:.0} % and beyond chance, which fewer than 1 in {one_in:.0} comparisons of equal kernels\n\
         find (exact rank-sum test, Bonferroni). Unproven: moved by a factor of {DOUBLED:.0}; repeat with --repetitions,\n\
         or give more runs.\n",
        plural(*compared, "number"),
    );
    if numbers.iter().any(|number| number.old.timed_out + number.new.timed_out > 0) {
        text.push_str(
            "A load that timed out would have taken longer: no side is called faster because of one.\n",
        );
    }
    if let Some(unlike) = times_unlike {
        text.push_str(&format!("Times prove nothing here: {unlike}.\n"));
    }
    text
}

fn ending(found: &RunComparison, style: Style) -> String {
    let verdicts = found.moved.iter().map(|one| one.change);
    let verdicts = verdicts.chain(found.patches.iter().map(|one| one.change));
    let [worse, flaky, better] = [Change::Worse, Change::Flaky, Change::Better]
        .map(|wanted| verdicts.clone().filter(|change| *change == wanted).count());
    let [slower, faster] = [Change::Worse, Change::Better]
        .map(|wanted| found.numbers.iter().filter(|number| number.change == wanted).count());
    let said = format!(
        "{} on both sides: {worse} worse, {flaky} flaky, {better} better; {} worse, {faster} better",
        plural(found.cells, "cell"),
        plural(slower, "number"),
    );
    format!("\n{}\n", style.good_if(!found.regressed(), &said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worse_comes_with_its_reason_and_its_spread() {
        let moved = Moved {
            key: CellKey::v2("open", "patched", "overcharge"),
            change: Change::Worse,
            old: "PASS".to_owned(),
            new: "FAIL I3 (not expected)".to_owned(),
            why: "I3: late".to_owned(),
        };
        let side =
            |count, min, median, max, timed_out| Spread { count, min, median, max, timed_out };
        let number = Number {
            key: CellKey::v2("open", "patched", "overcharge"),
            fact: "load.ms".into(),
            old: side(7, 390.0, 410.0, 450.0, 0),
            new: side(1, 820.0, 820.0, 820.0, 0),
            change: Change::Other,
            chance: 1.0 / 8.0,
        };
        let found = RunComparison {
            cells: 3,
            moved: vec![moved],
            numbers: vec![number],
            compared: 12,
            gone: vec![CellKey::v2("stat", "patched", "off")],
            ..RunComparison::default()
        };
        let text = comparison(&found, "a", "b", Style::default());
        for part in [
            "old: a\nnew: b\n\nworse\n  open.v2.patched.overcharge: PASS -> FAIL I3 (not expected)\n    I3: late\n",
            "doubled or halved, unproven: median (min .. max; values)\n",
            "load.ms  410 ms  (390 ms .. 450 ms; 7)  820 ms  (1)  2.00   1 in 8.0\n",
            "\nonly in old, 1 cell: stat.v2.patched.off\n",
            "\n3 cells on both sides: 1 worse, 0 flaky, 0 better; 0 numbers worse, 0 better\n",
        ] {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
    }

    #[test]
    fn a_length_that_is_only_a_bound_is_said_to_be_one() {
        let side = |count, timed_out| Spread {
            count,
            min: 6000.0,
            median: 6050.0,
            max: 6100.0,
            timed_out,
        };
        let moved = |new| Number {
            key: CellKey::v2("create", "patched", "off"),
            fact: "load.ms".into(),
            old: side(10, 0),
            new,
            change: Change::Worse,
            chance: 1e-5,
        };
        let text = |new| {
            let found = RunComparison { numbers: vec![moved(new)], ..RunComparison::default() };
            comparison(&found, "a", "b", Style::default())
        };
        assert!(!text(side(10, 0)).contains("timed out"));
        for (new, part) in [
            (side(10, 9), "6.0 s  (6.0 s .. 6.1 s; 10, 9 timed out)"),
            (side(1, 1), "6.0 s  (1, 1 timed out)"),
        ] {
            let text = text(new);
            assert!(text.contains(part) && text.contains("would have taken longer"), "{text}");
        }
    }

    #[test]
    fn odds_are_readable_at_both_ends() {
        assert_eq!(odds(0.5), "1 in 2.0");
        assert_eq!(odds(1.0 / 252.0), "1 in 252");
        assert_eq!(odds(0.0), "1 in 1000000000000");
    }
}
