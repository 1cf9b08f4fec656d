// SPDX-License-Identifier: MIT OR Apache-2.0
//! Trends over runs and jobs: for a terminal here, and as a page of its own in `page`.

mod page;

use super::numbers::{number, plural, time_ms};
use super::text::{Style, Table};
use crate::outcome::Totals;
use crate::runs::{
    CellState, FaultLine, FaultNight, Grid, JobRun, JobTrend, JobTrends, JobVerdict, Line, Night,
    Row, Square, Trends, Variant,
};

pub(crate) use page::history_page;

const HEAD: [&str; 9] =
    ["run", "", "cells", "as expected", "flaky", "not", "fixed", "worse", "took"];
/// Verdict changes that are listed of one run.
const CHANGES_MAX: usize = 10;
/// Cells that are listed of a grid; the page has all.
const ROWS_MAX: usize = 40;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The text; cells one by one are only on the page.
pub(crate) fn history(matrices: &[Trends], jobs: &JobTrends, style: Style) -> String {
    let mut text = of_jobs(jobs, style);
    for trends in matrices {
        text.push_str(&style.strong(&format!("{}\n", trends.matrix)));
        if !trends.nights.is_empty() {
            text.push_str(&nights(&trends.nights, style));
        }
        text.push_str(&faults(&trends.faults, style));
        text.push_str(&grid(&trends.grid, &trends.nights, style));
        text.push_str(&apart(trends, style));
        text.push('\n');
        for line in &trends.overall {
            text.push_str(&format!("  {}\n", overall(line)));
        }
        text.push('\n');
    }
    text
}

fn nights(nights: &[Night], style: Style) -> String {
    let mut table = Table::indented(2).left(HEAD);
    for night in nights {
        table.row(row(night).map(|text| style.good_if(night.good, &text)));
        changes(night).into_iter().for_each(|change| table.note(format!("    {change}")));
    }
    table.text(style)
}

pub(super) fn row(night: &Night) -> [String; 9] {
    let Totals { planned, ran, as_expected, flaky, unexpected, regressed, .. } = night.totals;
    let cells = match &night.missing {
        _ if ran == planned => ran.to_string(),
        None => format!("{ran} of {planned}"),
        Some(missing) => format!("{ran} of {planned}: {missing}"),
    };
    let counts = [as_expected, flaky, unexpected, night.fixed as u32, regressed];
    let [as_expected, flaky, unexpected, fixed, regressed] = counts.map(|count| count.to_string());
    let took = time_ms(night.duration_ms as f64);
    let (run, accelerator) = (night.run.clone(), night.accelerator.clone());
    [run, accelerator, cells, as_expected, flaky, unexpected, fixed, regressed, took]
}

/// The faults, each once: a sign for each night, the newest right, and in how many cells at most.
fn faults(lines: &[FaultLine], style: Style) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut table = Table::indented(2).left(["oldest..newest"]).right(["cells"]).left(["fault"]);
    for line in lines.iter().take(ROWS_MAX) {
        let signs: String = line.nights.iter().map(of_fault).collect();
        table.row([signs, line.most().to_string(), line.identity.clone()]);
    }
    if let more @ 1.. = lines.len().saturating_sub(ROWS_MAX) {
        table.note(format!("  and {more} more"));
    }
    format!("\n{}", table.text(style))
}

/// `x` not as expected for it, `k` only where it is known, `.` not there.
pub(super) fn of_fault(night: &FaultNight) -> char {
    match night {
        FaultNight { red: 1.., .. } => 'x',
        FaultNight { known: 1.., .. } => 'k',
        _ => '.',
    }
}

/// The cells that were not as expected on any night: a sign for each night, the newest right.
fn grid(grid: &Grid, nights: &[Night], style: Style) -> String {
    let odd: Vec<&Row> = grid.rows.iter().filter(|row| row.odd > 0).collect();
    if odd.is_empty() {
        return String::new();
    }
    let mut table = Table::indented(2).left(["cell", "oldest..newest", ""]);
    for row in odd.iter().take(ROWS_MAX) {
        let signs: String = row.squares.iter().map(|square| sign(square.as_ref())).collect();
        let since = since(row, nights);
        let said = if row.red_since.is_some() { style.bad(&since) } else { since };
        table.row([row.key.to_string(), signs, said]);
    }
    if let more @ 1.. = odd.len().saturating_sub(ROWS_MAX) {
        table.note(format!("  and {more} more"));
    }
    format!("\n{}", table.text(style))
}

/// `+` as expected, `~` sometimes, `x` not, `.` did not run.
fn sign(square: Option<&Square>) -> char {
    match square.map(|square| square.state) {
        None => '.',
        Some(CellState::Good) => '+',
        Some(CellState::Flaky) => '~',
        Some(CellState::Bad) => 'x',
    }
}

/// `red since 2026-01-12 (4 nights)`, or on how many nights it was odd.
pub(super) fn since(row: &Row, nights: &[Night]) -> String {
    match row.red_since {
        Some(at) => {
            let ran = row.squares[at..].iter().flatten().count();
            let since = red_since(day(&nights[at].run), &row.squares[..at]);
            format!("{since} ({})", plural(ran, "night"))
        }
        None if row.odd > 0 => format!("not as expected on {}", plural(row.odd, "night")),
        None => "as expected every night".to_owned(),
    }
}

/// What was red when it first ran of those shown may have been red before.
fn red_since<Of>(day: &str, before: &[Option<Of>]) -> String {
    let known = before.iter().any(Option::is_some);
    format!("red since {day}{}", if known { "" } else { " or earlier" })
}

/// Every job: a sign for each day, the newest right.
fn of_jobs(jobs: &JobTrends, style: Style) -> String {
    if jobs.rows.is_empty() {
        return String::new();
    }
    let mut table = Table::indented(2).left(["job", "oldest..newest", ""]);
    for row in &jobs.rows {
        let signs: String = row.squares.iter().map(|run| job_sign(run.as_ref())).collect();
        let since = job_since(row, &jobs.days);
        let said = if row.red_since.is_some() { style.bad(&since) } else { since };
        table.row([row.job.clone(), signs, said]);
    }
    format!("{}{}\n", style.strong("jobs\n"), table.text(style))
}

/// As [`sign`]; `!` where the series did not apply.
fn job_sign(run: Option<&JobRun>) -> char {
    match run.map(JobRun::verdict) {
        None => '.',
        Some(JobVerdict::Good) => '+',
        Some(JobVerdict::DoesNotApply) => '!',
        Some(_) => 'x',
    }
}

/// Since when a job is red, or what its last run ended with.
pub(super) fn job_since(row: &JobTrend, days: &[String]) -> String {
    let Some(last) = row.squares.iter().flatten().next_back() else { return String::new() };
    let verdict = last.verdict();
    match row.red_since {
        Some(at) => {
            let ran = row.squares[at..].iter().flatten().count();
            let since = red_since(&days[at], &row.squares[..at]);
            format!("{verdict}, {since} ({})", plural(ran, "night"))
        }
        None if row.odd > 0 => format!("{verdict}, red on {}", plural(row.odd, "night")),
        None => verdict.to_string(),
    }
}

/// The day in the name of a run.
pub(super) fn day(run: &str) -> &str {
    run.split_once('T').map_or(run, |(day, _)| day)
}

/// Runs that are no part of the history.
fn apart(trends: &Trends, style: Style) -> String {
    if trends.apart.is_empty() {
        return String::new();
    }
    let mut text = format!("\n  {}\n", style.strong("apart: nothing is compared with these"));
    for (night, why) in &trends.apart {
        let totals = &night.totals;
        text.push_str(&format!(
            "  {}  {why}: {} of {} as expected\n",
            night.run,
            totals.as_expected,
            plural(totals.ran, "cell")
        ));
    }
    text
}

fn changes(night: &Night) -> Vec<String> {
    let mut lines = Vec::new();
    if !night.rebuilt.is_empty() {
        lines.push(format!("other build of {}", night.rebuilt.join(", ")));
    }
    lines.extend(night.changes.iter().take(CHANGES_MAX).cloned());
    if let more @ 1.. = night.changes.len().saturating_sub(CHANGES_MAX) {
        lines.push(format!("and {more} more verdicts changed"));
    }
    lines
}

fn overall(line: &Line<Variant>) -> String {
    let medians: Vec<Option<f64>> =
        line.points.iter().map(|point| point.map(|side| side.median)).collect();
    let Some(last) = line.points.iter().flatten().next_back() else { return line.of.to_string() };
    format!(
        "{:28} {:18} {}  {}, middle of {} cells",
        line.of,
        line.fact,
        bars(&medians),
        number(line.fact.unit(), last.median),
        last.count
    )
}

/// One bar a night, from zero to the highest; a blank where there is no value.
fn bars(values: &[Option<f64>]) -> String {
    let highest = values.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |value: &Option<f64>| match value {
        None => ' ',
        Some(value) if highest > 0.0 => BARS[((value / highest) * 7.0).round() as usize],
        Some(_) => BARS[0],
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::CellKey;
    use crate::runs::{Spread, Trend};

    pub(super) fn made() -> Trends {
        let night = |run: &str, unexpected: u32| Night {
            run: run.to_owned(),
            accelerator: "kvm".to_owned(),
            duration_ms: 41_000,
            totals: Totals {
                planned: 2,
                ran: 2,
                as_expected: 2 - unexpected,
                unexpected,
                ..Totals::default()
            },
            fixed: 1,
            missing: None,
            good: unexpected == 0,
            rebuilt: vec!["patched".to_owned(); unexpected as usize],
            changes: vec!["open.v2.<patched>: PASS -> FAIL I1".to_owned(); unexpected as usize],
        };
        let side = |median| {
            Some(Spread { count: 3, min: median / 2.0, median, max: median * 2.0, timed_out: 0 })
        };
        let square = |state, verdicts: &str| {
            let id = "open.v2.<patched>.off".to_owned();
            Some(Square { state, verdicts: verdicts.to_owned(), id })
        };
        let key = CellKey::v2("open", "<patched>", "off");
        let squares = vec![square(CellState::Good, "PASS"), square(CellState::Bad, "FAIL I1")];
        let odd = Row { key, squares, red_since: Some(1), odd: 1 };
        let key = CellKey::v2("stat", "<patched>", "off");
        let fine =
            Row { key, squares: vec![None, odd.squares[0].clone()], red_since: None, odd: 0 };
        let (kernel, policy) = ("patched".to_owned(), "off".to_owned());
        let fact = Trend::Fact("load.ms".into());
        Trends {
            matrix: "default".to_owned(),
            nights: vec![night("2026-01-30", 0), night("2026-01-31", 1)],
            apart: vec![(night("2026-01-29", 0), "filter open".to_owned())],
            faults: vec![FaultLine {
                identity: "FAIL I1 in <open>".to_owned(),
                nights: vec![FaultNight { red: 0, known: 1 }, FaultNight { red: 2, known: 0 }],
            }],
            grid: Grid { rows: vec![odd, fine] },
            overall: vec![Line {
                of: Variant { kernel, policy },
                fact: fact.clone(),
                points: vec![side(100.0), side(800.0)],
            }],
            lines: vec![Line {
                of: CellKey::v2("open", "<patched>", "off"),
                fact,
                points: vec![side(100.0), None],
            }],
        }
    }

    pub(super) fn jobs() -> JobTrends {
        let run = |name: &str, day, exit| JobRun {
            exit,
            evidence: format!("2026-11-{day}/<{name}>.html"),
            ..crate::runs::tests::nights::job(name, day, 0)
        };
        let of = [
            run("mutants", 28, Some(0)),
            run("mutants", 29, Some(1)),
            run("mutants", 30, None),
            run("inject", 28, Some(3)),
            run("inject", 30, Some(0)),
            run("coverage", 29, Some(0)),
            run("upstream", 29, Some(0)),
            run("upstream", 30, Some(5)),
        ];
        crate::runs::over_days(&of, 30)
    }

    #[test]
    fn a_night_is_a_row_with_what_changed_below_it() {
        let text = history(&[made()], &jobs(), Style::default());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn bars_begin_at_zero_and_a_missing_value_is_a_gap() {
        assert_eq!(bars(&[Some(0.0), None, Some(7.0), Some(14.0)]), "▁ ▅█");
        assert_eq!(bars(&[Some(0.0)]), "▁");
    }
}
