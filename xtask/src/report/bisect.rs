// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a search for the first bad patch or commit: steps, answer, what verifies it.

use super::numbers::plural;
use super::text::{Style, Table};
use crate::outcome::{BisectStep, Bisection, Spot, Try};

/// Longest name of a patch or commit in a table, which fits 80 columns.
const NAME_CHARS: usize = 38;
/// Times that the verification repeats the cell.
const TIMES: u32 = 20;

/// One line for a step that has just ended.
pub(crate) fn bisect_line(search: &Bisection, step: &BisectStep) -> String {
    let [number, name, shows, likeliest, chance] = row(search, step);
    format!("{number} {name}: {shows} show it; likeliest {likeliest}, {chance}")
}

/// The whole text; `place` is the run folder as people read it.
pub(crate) fn bisect(search: &Bisection, place: &str, style: Style) -> String {
    let Bisection { cell, symptom, unit, .. } = search;
    let mut text = format!("first {unit} with which {cell} shows {symptom}\n\n");
    let mut table = Table::default()
        .right([""])
        .left([unit.as_str(), "shows it", "likeliest first"])
        .right(["chance"]);
    for step in &search.steps {
        table.row(row(search, step));
    }
    if !search.steps.is_empty() {
        text.push_str(&table.text(style));
    }
    for (at, spot) in search.spots.iter().enumerate() {
        if let Some(why) = &spot.skipped {
            let why = why.lines().next().unwrap_or_default();
            text.push_str(&format!("\nskipped {at} {}: {why}\n", spot.name));
        }
    }
    let answer = answer(search, style);
    let took: f64 = search.steps.iter().map(|step| step.build_s.unwrap_or(0.0) + step.run_s).sum();
    let tries = plural(search.tries(), "attempt");
    text + &format!("\n{answer}\n{}{tries}, {took:.0} s\nevidence: {place}\n", verify(search))
}

/// Number, name, what the step shows, the likeliest answer and how likely it is.
fn row(search: &Bisection, step: &BisectStep) -> [String; 5] {
    let (first, last) = step.likeliest;
    let likeliest = match first == last {
        true => number(search, first),
        false => format!("{} to {}", number(search, first), number(search, last)),
    };
    let name = short(&search.spots[step.spot]);
    let seen = match step.seen.of {
        0 if step.run_s > 0.0 => "none says".to_owned(),
        0 => "skipped".to_owned(),
        _ => step.seen.to_string(),
    };
    [step.spot.to_string(), name, seen, likeliest, percent(step.chance)]
}

fn number(search: &Bisection, at: usize) -> String {
    if at == search.spots.len() { "none".to_owned() } else { at.to_string() }
}

fn short(spot: &Spot) -> String {
    match spot.name.chars().count() > NAME_CHARS {
        true => spot.name.chars().take(NAME_CHARS - 2).chain("..".chars()).collect(),
        false => spot.name.clone(),
    }
}

/// `99.95 %`; never rounded up to certainty.
fn percent(chance: f64) -> String {
    format!("{:.2} %", (chance * 10_000.0).floor().min(9_999.0) / 100.0)
}

/// Whether it was found: one patch, or a few of which it could be any.
pub(crate) fn is_found(search: &Bisection) -> bool {
    let answer = search.answer();
    let inside = *answer.places.start() > 0 && *answer.places.end() < search.spots.len();
    inside && answer.chance >= search.confidence
}

fn answer(search: &Bisection, style: Style) -> String {
    let (answer, Bisection { unit, symptom, spots, .. }) = (search.answer(), search);
    let (first, last) = (*answer.places.start(), *answer.places.end());
    let (sure, wrong) = (percent(answer.chance), (1.0 - answer.chance) * 100.0);
    if answer.chance < search.confidence {
        let likeliest: Vec<String> = (first..=last).map(|at| number(search, at)).collect();
        return style
            .odd(&format!("undecided: likeliest is {unit} {}, {sure}", likeliest.join(", ")));
    }
    let chance = format!("it is wrong with a chance of {wrong:.2} %");
    if first == spots.len() {
        return style.odd(&format!("none of them shows {symptom}; {chance}"));
    }
    if last == 0 {
        let name = &spots[0].name;
        return style.odd(&format!("{name} shows {symptom} too: no {unit} brought it; {chance}"));
    }
    if first == last {
        let name = style.bad(&spots[first].name);
        return format!("first bad {unit}: {first} {name}\n{chance}");
    }
    let mut text = style.odd(&format!("the first bad {unit} could be any of these; {chance}"));
    for at in first..=last {
        let name = spots.get(at).map_or("none of them", |spot| spot.name.as_str());
        text.push_str(&format!("\n  {} {name}", number(search, at)));
    }
    text
}

/// The commands that repeat the cell with the first bad one, and with the one before it.
fn verify(search: &Bisection) -> String {
    if !is_found(search) {
        return String::new();
    }
    let (first, last) = search.answer().places.into_inner();
    let mut text = "verify, with it and without it:\n".to_owned();
    for at in [last, first - 1] {
        if let Some(Try { cell, run, .. }) = search.spots[at].tries.last() {
            text.push_str(&format!("  cargo xtask repro {cell} \\\n"));
            text.push_str(&format!("      --run {run} --times {TIMES}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::bisection_tests::{ended, search};

    #[test]
    fn the_steps_and_the_answer_fit_80_columns() {
        let text = bisect(&ended(), "results/bisect/r", Style::default());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
        assert!(is_found(&ended()));
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let text = bisect(&search(), "results/bisect/r", Style::default());
        assert!(text.contains("undecided: likeliest is patch"), "{text}");
        assert!(!is_found(&search()) && !text.contains("verify"));
        assert_eq!(percent(0.999_999_99), "99.99 %");
    }
}
