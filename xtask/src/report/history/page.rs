// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page of trends: one file without scripts, with grids of jobs and of cells by nights, and a
//! line for every fact of every cell.

use std::collections::BTreeMap;
use std::fmt::Display;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{day, job_since, of_fault, row, since};
use crate::plan::CellKey;
use crate::report::html::anchor;
use crate::report::numbers::{number, plural};
use crate::runs::{
    CellState, JobRun, JobTrends, JobVerdict, Line, Night, Row, Spread, Square, Trend, Trends,
    shown,
};

const STYLE: &str = include_str!("style.css");
/// Size of a line's picture, CSS pixels.
const WIDTH: f64 = 180.0;
const HEIGHT: f64 = 36.0;
const EDGE: f64 = 3.0;

/// The whole page; `made` says when and from where, and `results` is what leads from the page to
/// the run folders: empty, or a path that ends in a slash.
pub(crate) fn history_page(
    matrices: &[Trends],
    of_jobs: &JobTrends,
    made: &str,
    results: &str,
) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Trends over runs" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "Trends over runs" }
                    p.soft { (made) }
                    @if matrices.is_empty() { p { "No run of a matrix is kept." } }
                    @if !of_jobs.rows.is_empty() { (jobs(of_jobs, results)) }
                    @for trends in matrices { (matrix(trends, results)) }
                }
            }
        }
    };
    page.into_string()
}

fn matrix(trends: &Trends, results: &str) -> Markup {
    html! {
        section {
            h2 { "Matrix " (trends.matrix) }
            @if trends.nights.is_empty() {
                p { "No run of the whole matrix is kept." }
            } @else {
                (faults(trends))
                (grid(trends, results))
            }
            (apart(trends))
            @if !trends.nights.is_empty() { (runs(trends)) }
        }
    }
}

/// Run by run, and a line for every fact.
fn runs(trends: &Trends) -> Markup {
    html! {
        h3 { "Runs" }
        section.scroll tabindex="0" aria-label={ "Runs of matrix " (trends.matrix) } {
            table {
                thead { tr {
                    @for head in ["Run", "Accelerator", "Cells", "As expected", "Flaky", "Not expected", "Fixed", "Worse than baseline", "Took"] {
                        th scope="col" { (head) }
                    }
                } }
                tbody { @for night in trends.nights.iter().rev() {
                    tr {
                        @for (at, text) in row(night).iter().enumerate() {
                            @if at == 0 {
                                th scope="row" class=[(!night.good).then_some("bad")] { (text) }
                            } @else {
                                td { (text) }
                            }
                        }
                    }
                    @if !night.changes.is_empty() || !night.rebuilt.is_empty() {
                        tr { td colspan="9" { ul {
                            @if !night.rebuilt.is_empty() {
                                li { "other build of " (night.rebuilt.join(", ")) }
                            }
                            @for change in &night.changes { li { (change) } }
                        } } }
                    }
                } }
            }
        }
        @if !trends.overall.is_empty() {
            h3 { "Kernels and policies" }
            p.soft { "The middle of all cells that every whole run has; the band goes from the least to the most of them." }
            @let overall: Vec<_> = trends.overall.iter().collect();
            (lines(&overall, &format!("Kernels and policies of {}", trends.matrix)))
        }
        h3 { "Cells" }
        p.soft { "Oldest run left, newest right, from zero. The band goes from the least to the most of the repetitions." }
        @for (scenario, lines_of) in by_scenario(&trends.lines) {
            @let name = format!("Cells of {scenario} in {}", trends.matrix);
            details { summary { (scenario) } (lines(&lines_of, &name)) }
        }
    }
}

/// Since when is a cell red? Cells that ever were first; the others on demand.
/// The faults, each once.
fn faults(trends: &Trends) -> Markup {
    html! {
        @if !trends.faults.is_empty() {
            h3 { "Faults" }
            p.soft { "A sign for each night, the newest right: x not as expected, k known, . not there." }
            section.scroll tabindex="0" aria-label="Faults by nights" {
                table {
                    thead { tr { th scope="col" { "Fault" } th scope="col" { "Nights" } th scope="col" { "Cells" } } }
                    tbody { @for line in &trends.faults {
                        tr {
                            th scope="row" { code { (line.identity) } }
                            td { code { @for night in &line.nights { (of_fault(night)) } } }
                            td { (line.most()) }
                        }
                    } }
                }
            }
        }
    }
}

fn grid(trends: &Trends, results: &str) -> Markup {
    let (odd, good): (Vec<&Row>, Vec<&Row>) = trends.grid.rows.iter().partition(|row| row.odd > 0);
    html! {
        h3 { "Cells by nights" }
        p.soft { "A square for each night, the newest left, with a link to its evidence. ✓ as expected, ~ only sometimes, ✗ not, · did not run." }
        @if odd.is_empty() { p { "Every cell was as expected on every night." } }
        @if !odd.is_empty() { (squares(&odd, trends, results, "Cells that were not as expected")) }
        @if !good.is_empty() {
            details {
                summary { (plural(good.len(), "cell")) " as expected every night" }
                (squares(&good, trends, results, "Cells that were as expected"))
            }
        }
    }
}

fn squares(rows: &[&Row], trends: &Trends, results: &str, name: &str) -> Markup {
    let nights = &trends.nights;
    html! {
        section.scroll tabindex="0" aria-label={ (name) ", matrix " (trends.matrix) } {
            table.squares {
                (days(&nights.iter().map(|night| night.run.as_str()).collect::<Vec<_>>()))
                @for one in rows {
                    tbody {
                        tr { th scope="rowgroup" colspan=(nights.len()) {
                            span.name.bad[one.red_since.is_some()] {
                                (one.key) " " span.since { (since(one, nights)) }
                            }
                        } }
                        tr { @for (night, one) in nights.iter().zip(&one.squares).rev() {
                            td { (square(night, one.as_ref(), results)) }
                        } }
                    }
                }
            }
        }
    }
}

/// The heads of a table of squares: days, the newest left, with their months.
fn days(runs: &[&str]) -> Markup {
    html! {
        thead { tr { @for (at, run) in runs.iter().enumerate().rev() {
            @let day = day(run);
            th scope="col" title=(run) {
                @let earlier = runs.get(at + 1).map_or("", |next| month(next));
                @if month(run) != earlier { span.month { (month(run)) } }
                (day.rsplit('-').next().unwrap_or(day))
            }
        } } }
    }
}

/// The jobs of the plan of the week that are no matrix.
fn jobs(jobs: &JobTrends, results: &str) -> Markup {
    let names: Vec<&str> = jobs.days.iter().map(String::as_str).collect();
    html! {
        section {
            h2 { "Jobs" }
            p.soft { "A square for each day, the newest left, with a link to the evidence. ✓ as expected, ✗ not, ! the series does not apply, · did not run." }
            section.scroll tabindex="0" aria-label="Jobs of the plan of the week" {
                table.squares {
                    (days(&names))
                    @for row in &jobs.rows {
                        tbody {
                            tr { th scope="rowgroup" colspan=(jobs.days.len()) {
                                span.name.bad[row.red_since.is_some()] {
                                    (row.job) " " span.since { (job_since(row, &jobs.days)) }
                                }
                            } }
                            tr { @for (day, run) in jobs.days.iter().zip(&row.squares).rev() {
                                td { (job_square(day, run.as_ref(), results)) }
                            } }
                        }
                    }
                }
            }
        }
    }
}

fn job_square(day: &str, run: Option<&JobRun>, results: &str) -> Markup {
    let Some(run) = run else {
        return html! { span class="square none" title={ (day) ": did not run" } { "·" } };
    };
    let verdict = run.verdict();
    let (class, sign) = match verdict {
        JobVerdict::Good => ("good", "✓"),
        JobVerdict::DoesNotApply => ("odd", "!"),
        _ => ("bad", "✗"),
    };
    let said = format!("{}: {verdict}", run.started_at);
    html! {
        a class={ "square " (class) } title=(said) aria-label=(said)
            href={ (results) (run.evidence) } { (sign) }
    }
}

/// `11` of `2026-11-30T...`.
fn month(run: &str) -> &str {
    day(run).split('-').nth(1).unwrap_or_default()
}

fn square(night: &Night, square: Option<&Square>, results: &str) -> Markup {
    let Some(Square { state, verdicts, id }) = square else {
        return html! { span class="square none" title={ (night.run) ": did not run" } { "·" } };
    };
    let (class, sign, words) = match state {
        CellState::Good => ("good", "✓", "as expected"),
        CellState::Flaky => ("odd", "~", "as expected only sometimes"),
        CellState::Bad => ("bad", "✗", "not as expected"),
    };
    let said = format!("{}: {verdicts}, {words}", night.run);
    html! {
        a class={ "square " (class) } title=(said) aria-label=(said)
            href={ (results) (night.run) "/report.html#" (anchor(id)) } { (sign) }
    }
}

/// Runs that nothing is compared with.
fn apart(trends: &Trends) -> Markup {
    html! {
        @if !trends.apart.is_empty() {
            h3 { "Apart" }
            p.soft { "Narrowed, interrupted or by hand: nothing is compared with these runs." }
            ul { @for (night, why) in trends.apart.iter().rev() {
                li { (night.run) ": " (why) ", " (night.totals.as_expected) " of " (plural(night.totals.ran, "cell")) " as expected" }
            } }
        }
    }
}

fn by_scenario(lines: &[Line<CellKey>]) -> BTreeMap<&str, Vec<&Line<CellKey>>> {
    let mut scenarios: BTreeMap<&str, Vec<&Line<CellKey>>> = BTreeMap::new();
    for line in lines {
        scenarios.entry(&line.of.scenario).or_default().push(line);
    }
    scenarios
}

/// One row a cell, one column a fact; `name` tells the table from the others of the page.
fn lines<Of: Display + Ord>(lines: &[&Line<Of>], name: &str) -> Markup {
    let shown = shown();
    let mut rows: BTreeMap<&Of, BTreeMap<&Trend, &Line<Of>>> = BTreeMap::new();
    for line in lines {
        rows.entry(&line.of).or_default().insert(&line.fact, line);
    }
    html! {
        section.scroll tabindex="0" aria-label=(name) {
            table {
                thead {
                    tr {
                        th scope="col" { "Cell" }
                        @for (_, name) in &shown { th scope="col" { (name) } }
                    }
                }
                tbody { @for (of, facts) in rows {
                    tr {
                        th scope="row" { (of) }
                        @for (fact, _) in &shown {
                            td { @if let Some(line) = facts.get(fact) { (picture(line)) } }
                        }
                    }
                } }
            }
        }
    }
}

fn picture<Of>(line: &Line<Of>) -> Markup {
    let values = || line.points.iter().flatten();
    let highest = values().map(|side| side.max).fold(f64::MIN_POSITIVE, f64::max);
    let x =
        |at: usize| EDGE + at as f64 * (WIDTH - 2.0 * EDGE) / (line.points.len().max(2) - 1) as f64;
    let y = |value: f64| HEIGHT - EDGE - value / highest * (HEIGHT - 2.0 * EDGE);
    let spot = |at: usize, value: f64| format!("{:.1},{:.1}", x(at), y(value));
    let last = values().next_back().map_or(0.0, |side| side.median);
    let (least, most) = values().fold((f64::MAX, 0.0f64), |(least, most), side| {
        (least.min(side.median), most.max(side.median))
    });
    let said = format!(
        "now {}, between {} and {}",
        number(line.fact.unit(), last),
        number(line.fact.unit(), least),
        number(line.fact.unit(), most)
    );
    html! {
        svg role="img" aria-label=(said) width=(WIDTH) height=(HEIGHT)
            viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } {
            title { (said) }
            @for stretch in stretches(line) {
                @let highs = stretch.iter().map(|(at, side)| spot(*at, side.max));
                @let lows = stretch.iter().rev().map(|(at, side)| spot(*at, side.min));
                @let middle = stretch.iter().map(|(at, side)| spot(*at, side.median));
                polygon class="band" points=(highs.chain(lows).collect::<Vec<_>>().join(" ")) {}
                polyline class="middle" points=(middle.collect::<Vec<_>>().join(" ")) {}
                @for (at, side) in &stretch {
                    circle class="point" cx=(format!("{:.1}", x(*at)))
                        cy=(format!("{:.1}", y(side.median))) r="1.8" {}
                }
            }
        }
        span.now { (number(line.fact.unit(), last)) }
    }
}

/// Runs of points without a gap: nothing is drawn through a night that says nothing.
fn stretches<Of>(line: &Line<Of>) -> Vec<Vec<(usize, Spread)>> {
    let mut stretches = vec![Vec::new()];
    for (at, point) in line.points.iter().enumerate() {
        match (point, stretches.last_mut()) {
            (Some(side), Some(stretch)) => stretch.push((at, *side)),
            _ => stretches.push(Vec::new()),
        }
    }
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_run_and_line_and_escapes_names() {
        let made = super::super::tests::made();
        let text = history_page(&[made], &super::super::tests::jobs(), "made", "../");
        assert!(text.starts_with("<!DOCTYPE html>"), "{text}");
        for part in [
            "Matrix default",
            "2026-01-30",
            "open.v2.&lt;patched&gt;.off",
            "<summary>open</summary>",
            "<span class=\"name bad\">open.v2.&lt;patched&gt;.off",
            "red since 2026-01-31 (1 night)",
            "href=\"../2026-01-31/report.html#cell-open-v2--patched--off\"",
            "2026-01-29: filter open",
        ] {
            assert!(text.contains(part), "no `{part}` in {text}");
        }
        assert!(!text.contains("<patched>") && !text.contains("<script"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }

    /// A page of jobs alone, without its style.
    #[test]
    fn the_jobs_have_a_square_a_day_with_a_link() {
        let text = history_page(&[], &super::super::tests::jobs(), "made", "");
        let (_, body) = text.split_once("<main>").unwrap();
        insta::assert_snapshot!(body.replace("<t", "\n<t").replace("</main></body></html>", ""));
    }

    #[test]
    fn a_night_without_a_value_is_a_gap() {
        let mut line = super::super::tests::made().overall.remove(0);
        line.points.insert(1, None);
        let at: Vec<Vec<usize>> =
            stretches(&line).iter().map(|s| s.iter().map(|(at, _)| *at).collect()).collect();
        assert_eq!(at, [vec![0], vec![2]]);
    }
}
