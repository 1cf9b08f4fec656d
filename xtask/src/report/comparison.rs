// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two sides beside each other, for people: the worst first, then what is only different, then the rule.

use super::spread::number;
use super::style::Style;
use crate::plan::CellKey;
use crate::runs::{BY_CHANCE, Change, Comparison, DOUBLED, GROWTH, Moved, Number, Side};

/// Names that are listed of cells that one side does not have.
const NAMES_MAX: usize = 8;
/// Numbers that are listed under one title.
const ROWS_MAX: usize = 20;

/// The whole text; `old` and `new` say which runs these are.
pub(crate) fn comparison(found: &Comparison, old: &str, new: &str, style: Style) -> String {
    let mut text = format!("old: {old}\nnew: {new}\n");
    for difference in &found.unlike {
        text.push_str(&format!("     {difference}\n"));
    }
    let verdicts = |change| found.moved.iter().filter(move |moved| moved.change == change);
    let beside = |change| found.beside.iter().filter(move |moved| moved.change == change);
    let numbers = |change| found.numbers.iter().filter(move |number| number.change == change);
    text.push_str(&moved(&style.bad("worse"), verdicts(Change::Worse)));
    text.push_str(&moved(&style.bad("worse beside the baseline"), beside(Change::Worse)));
    text.push_str(&moved(&style.odd("flaky"), verdicts(Change::Flaky)));
    text.push_str(&table(&style.bad("slower, or further over"), numbers(Change::Worse)));
    text.push_str(&moved(&style.good("better"), verdicts(Change::Better)));
    text.push_str(&moved(&style.good("better beside the baseline"), beside(Change::Better)));
    text.push_str(&table(&style.good("faster, or less far over"), numbers(Change::Better)));
    text.push_str(&moved("other, as good or bad as before", verdicts(Change::Other)));
    text.push_str(&moved("other beside the baseline", beside(Change::Other)));
    text.push_str(&table("has doubled or halved, unproven", numbers(Change::Other)));
    text.push_str(&names("only in old", &found.gone));
    text.push_str(&names("only in new", &found.added));
    for run in &found.incomplete {
        text.push_str(&format!("\n{}: {run}\n", style.bad("not whole, so no proof")));
    }
    text.push_str(&rule(found));
    text.push_str(&ending(found, style));
    text
}

fn moved<'a>(title: &str, moved: impl Iterator<Item = &'a Moved>) -> String {
    let mut text = String::new();
    for Moved { key, old, new, why, .. } in moved {
        text.push_str(&format!("  {key}: {old} -> {new}\n"));
        if !why.is_empty() {
            text.push_str(&format!("    {why}\n"));
        }
    }
    if text.is_empty() { text } else { format!("\n{title}\n{text}") }
}

fn table<'a>(title: &str, numbers: impl Iterator<Item = &'a Number>) -> String {
    let mut rows = vec![["", "fact", "old", "new", "times", "by chance"].map(str::to_owned)];
    let mut numbers: Vec<&Number> = numbers.collect();
    // What moved farthest comes first.
    let factor = |number: &Number| (number.new.median.max(1e-9) / number.old.median.max(1e-9)).ln();
    numbers.sort_by(|a, b| factor(b).abs().total_cmp(&factor(a).abs()));
    let more = numbers.len().saturating_sub(ROWS_MAX);
    for Number { key, fact, old, new, chance, .. } in numbers.into_iter().take(ROWS_MAX) {
        let times = match old.median {
            0.0 => "from 0".to_owned(),
            median => format!("{:.2}", new.median / median),
        };
        rows.push([
            key.to_string(),
            fact.clone(),
            side(fact, old),
            side(fact, new),
            times,
            odds(*chance),
        ]);
    }
    if rows.len() == 1 {
        return String::new();
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 6] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut text = format!("\n{title}: median (min .. max; values)\n");
    for row in &rows {
        let columns = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = columns.collect::<Vec<_>>().join("  ");
        text.push_str(&format!("  {}\n", line.trim_end()));
    }
    if more > 0 {
        text.push_str(&format!("  and {more} more\n"));
    }
    text
}

/// `410 ms  (390 ms .. 450 ms; 7)`, and how many of the values are of loads that were cut.
fn side(fact: &str, side: &Side) -> String {
    let (shown, count) = (|value| number(fact, value), side.count);
    let cut = if side.cut > 0 { format!(", {} cut", side.cut) } else { String::new() };
    match count {
        1 => format!("{}  (1{cut})", shown(side.median)),
        _ => format!(
            "{}  ({} .. {}; {count}{cut})",
            shown(side.median),
            shown(side.min),
            shown(side.max)
        ),
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
    format!("\n{title}, {} cells: {}{more}\n", names.len(), shown.join(", "))
}

fn rule(found: &Comparison) -> String {
    let Comparison { held, provable, times_unlike, numbers, .. } = found;
    let mut text = format!(
        "\n{held} numbers are on both sides, {provable} of them with values enough to rule out chance. Slower or further over is a \
         median\nthat grew by more than {:.0} % and beyond chance: fewer than 1 in {:.0} comparisons finds such a thing where nothing has \
         changed\n(exact rank-sum test, Bonferroni). Unproven is what only moved by a factor of {DOUBLED:.0}: repeat with --repetitions, or give more \
         runs.\n",
        (GROWTH - 1.0) * 100.0,
        1.0 / BY_CHANCE,
    );
    if numbers.iter().any(|number| number.old.cut + number.new.cut > 0) {
        text.push_str(
            "A load that was cut took at least so long: it makes no side that is called faster.\n",
        );
    }
    if let Some(unlike) = times_unlike {
        text.push_str(&format!("Times prove nothing here: {unlike}.\n"));
    }
    text
}

fn ending(found: &Comparison, style: Style) -> String {
    let count = |change| {
        let verdicts = found.moved.iter().chain(&found.beside).filter(|m| m.change == change);
        (verdicts.count(), found.numbers.iter().filter(|n| n.change == change).count())
    };
    let ((worse, slower), (better, faster)) = (count(Change::Worse), count(Change::Better));
    let (flaky, _) = count(Change::Flaky);
    let said = format!(
        "{} cells on both sides: {worse} worse, {flaky} flaky, {better} better; {slower} numbers worse, {faster} better",
        found.cells
    );
    format!("\n{}\n", if found.regressed() { style.bad(&said) } else { style.good(&said) })
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
        let side = |count, min, median, max, cut| Side { count, min, median, max, cut };
        let number = Number {
            key: CellKey::v2("open", "patched", "overcharge"),
            fact: "load.ms".to_owned(),
            old: side(7, 390.0, 410.0, 450.0, 0),
            new: side(1, 820.0, 820.0, 820.0, 0),
            change: Change::Other,
            chance: 1.0 / 8.0,
        };
        let found = Comparison {
            cells: 3,
            moved: vec![moved],
            numbers: vec![number],
            held: 12,
            gone: vec![CellKey::v2("stat", "patched", "off")],
            ..Comparison::default()
        };
        let text = comparison(&found, "a", "b", Style::default());
        for part in [
            "old: a\nnew: b\n\nworse\n  open.v2.patched.overcharge: PASS -> FAIL I3 (not expected)\n    I3: late\n",
            "has doubled or halved, unproven: median (min .. max; values)\n",
            "load.ms  410 ms  (390 ms .. 450 ms; 7)  820 ms  (1)  2.00   1 in 8.0\n",
            "\nonly in old, 1 cells: stat.v2.patched.off\n",
            "\n3 cells on both sides: 1 worse, 0 flaky, 0 better; 0 numbers worse, 0 better\n",
        ] {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
    }

    #[test]
    fn a_length_that_is_only_a_bound_is_said_to_be_one() {
        let side = |count, cut| Side { count, min: 6000.0, median: 6050.0, max: 6100.0, cut };
        let moved = |new| Number {
            key: CellKey::v2("create", "patched", "off"),
            fact: "load.ms".to_owned(),
            old: side(10, 0),
            new,
            change: Change::Worse,
            chance: 1e-5,
        };
        let text = |new| {
            let found = Comparison { numbers: vec![moved(new)], ..Comparison::default() };
            comparison(&found, "a", "b", Style::default())
        };
        assert!(!text(side(10, 0)).contains("cut"));
        for (new, part) in
            [(side(10, 9), "6.0 s  (6.0 s .. 6.1 s; 10, 9 cut)"), (side(1, 1), "6.0 s  (1, 1 cut)")]
        {
            let text = text(new);
            assert!(text.contains(part) && text.contains("at least so long"), "{text}");
        }
    }

    #[test]
    fn odds_are_readable_at_both_ends() {
        assert_eq!(odds(0.5), "1 in 2.0");
        assert_eq!(odds(1.0 / 252.0), "1 in 252");
        assert_eq!(odds(0.0), "1 in 1000000000000");
    }
}
