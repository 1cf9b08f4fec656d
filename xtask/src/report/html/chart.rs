// SPDX-License-Identifier: MIT OR Apache-2.0
//! Usage of the limited memcg over time as inline SVG: the limit, what is above it, and when it was
//! charged over the limit, reconciled, and tasks were killed.
//!
//! The picture is as wide as its page, and its texts keep their size: places are told in percent of
//! the width, and only the line itself is stretched.

use std::fmt::Write as _;

use maud::{Markup, html};
use protocol::{DebtEnd, ProcessRole};

use super::super::chart::bottom;
use super::super::numbers::{plural, size, time_us};
use super::anchor;
use crate::outcome::CellResult;
use crate::outcome::Mark;
use crate::taxonomy::MemcgFact;

/// The plot's upper edge and height, and the rows of marks below it, pixels.
const TOP: f64 = 16.0;
const HEIGHT: f64 = 150.0;
const OVER_ROW: f64 = 180.0;
const BAR_ROW: f64 = 190.0;
const PAID_ROW: f64 = 200.0;
const AXIS: f64 = 220.0;

/// The texts of the axis where there are no such rows.
const AXIS_ALONE: f64 = 178.0;

/// Both sides of the box in which the line is drawn before it is stretched.
const BOX: f64 = 1000.0;

/// Marks that are put into words below the chart.
const WORDS_MAX: usize = 6;

/// What is to be drawn, with its scales.
struct Plot<'a> {
    usage: &'a [(u64, u64)],
    marks: &'a [Mark],
    limit: f64,
    peak: Option<f64>,
    end_us: f64,
    bottom: f64,
    top: f64,
}

/// The chart of a cell with its legend; nothing where no usage is known.
pub(super) fn usage(cell: &CellResult) -> Markup {
    let attempt = cell.counted();
    let limit = cell.cell.request.limit_bytes as f64;
    let peak = attempt.judgement.facts.get(&MemcgFact::PeakBytes.into()).copied();
    let Some(plot) = Plot::of(&attempt.usage, &attempt.marks, limit, peak) else {
        return html! { p.none { "No usage over time is known of this cell." } };
    };
    let id = anchor(&cell.cell.id);
    let (title, desc) = (format!("{id}-chart"), format!("{id}-chart-says"));
    html! {
        figure.chart {
            svg role="img" aria-labelledby={ (title) " " (desc) } width="100%"
                height=(plot.axis() + 8.0) {
                title id=(title) { "Usage over time against memory.max" }
                desc id=(desc) { (plot.said()) }
                (plot.line())
                (plot.levels())
                (plot.times())
                @for mark in plot.marks { (plot.mark(mark)) }
            }
            figcaption { (legend(&plot)) (words(&plot)) }
        }
    }
}

impl<'a> Plot<'a> {
    fn of(
        usage: &'a [(u64, u64)],
        marks: &'a [Mark],
        limit: f64,
        peak: Option<f64>,
    ) -> Option<Self> {
        let (last_us, _) = usage.last()?;
        let ends = marks.iter().map(|mark| match mark {
            Mark::Overcharged { until_us, .. } => *until_us,
            Mark::Killed { at_us, gone_us, .. } => at_us.unwrap_or(*gone_us),
            Mark::LoadEnded { at_us } | Mark::Settled { at_us } => *at_us,
        });
        // Processes that the guest had to send away end later than anything that is drawn.
        let end_us = ends.chain([*last_us]).max()?.max(1) as f64;
        let highest = usage.iter().map(|(_, bytes)| *bytes).max()? as f64;
        let top = highest.max(limit).max(peak.unwrap_or(0.0));
        let bottom = bottom(top, limit);
        // Room above the highest, so that it is not the frame.
        let top = top + (top - bottom).max(1.0) * 0.06;
        Some(Self { usage, marks, limit, peak, end_us, bottom, top })
    }

    /// Where times stand.
    fn axis(&self) -> f64 {
        let owed = self.marks.iter().any(|mark| matches!(mark, Mark::Overcharged { .. }));
        if owed { AXIS } else { AXIS_ALONE }
    }

    /// Percent of the width.
    fn x(&self, at_us: u64) -> String {
        format!("{:.2}%", at_us as f64 / self.end_us * 100.0)
    }

    /// Pixels from the top.
    fn y(&self, bytes: f64) -> String {
        format!("{:.1}", TOP + HEIGHT * self.above(bytes))
    }

    /// Part of the plot that is above this usage.
    fn above(&self, bytes: f64) -> f64 {
        ((self.top - bytes) / (self.top - self.bottom)).clamp(0.0, 1.0)
    }

    /// Usage, and the part of it above the limit.
    fn line(&self) -> Markup {
        let spot = |at_us: f64, bytes: f64| (at_us / self.end_us * BOX, self.above(bytes) * BOX);
        let points: Vec<(f64, f64)> =
            self.usage.iter().map(|(at_us, bytes)| (*at_us as f64, *bytes as f64)).collect();
        let line = path(points.iter().map(|(at_us, bytes)| spot(*at_us, *bytes)));
        let edge = |point: Option<&(f64, f64)>, level: f64| {
            let (x, y) = spot(point.map_or(0.0, |point| point.0), level);
            format!("{} {}", short(x), short(y))
        };
        let closed = |line: &str, level: f64| {
            format!("M{}L{line}L{}Z", edge(points.first(), level), edge(points.last(), level))
        };
        let over =
            path(clipped(&points, self.limit).into_iter().map(|(at, bytes)| spot(at, bytes)));
        html! {
            svg x="0" y=(TOP) width="100%" height=(HEIGHT)
                viewBox={ "0 0 " (BOX) " " (BOX) } preserveAspectRatio="none" {
                path.area d=(closed(&line, self.bottom)) {}
                @if points.iter().any(|(_, bytes)| *bytes > self.limit) {
                    path.over d=(closed(&over, self.limit)) {}
                }
                path.usage d={ "M" (line) } {}
            }
        }
    }

    /// The limit, the peak and the floor.
    fn levels(&self) -> Markup {
        let peak = self.peak.filter(|peak| *peak > self.limit);
        let limit_y = self.y(self.limit);
        let floor = match self.bottom > 0.0 {
            true => format!("max − {}, cut off below", size(self.limit - self.bottom)),
            false => size(0.0),
        };
        html! {
            line.limit x1="0" x2="100%" y1=(limit_y) y2=(limit_y) {}
            text.label x="4" y=(limit_y) dy="14" { "max " (size(self.limit)) }
            @if let Some(peak) = peak {
                line.peak x1="0" x2="100%" y1=(self.y(peak)) y2=(self.y(peak)) {}
                text.label x="4" y=(self.y(peak)) dy="-3" {
                    "peak " (size(peak)) ", +" (size(peak - self.limit))
                }
            }
            line.axis x1="0" x2="100%" y1=(TOP + HEIGHT) y2=(TOP + HEIGHT) {}
            text.label x="4" y=(TOP + HEIGHT) dy="-4" { (floor) }
        }
    }

    fn times(&self) -> Markup {
        html! {
            text.time x="0" y=(self.axis() + 4.0) { "0" }
            text."time middle" x="50%" y=(self.axis() + 4.0) { (time_us(self.end_us / 2.0)) }
            text."time end" x="100%" y=(self.axis() + 4.0) { (time_us(self.end_us)) }
        }
    }

    fn mark(&self, mark: &Mark) -> Markup {
        let plot_end = TOP + HEIGHT;
        match mark {
            Mark::Overcharged { since_us, until_us, end, .. } => {
                let (since, until) = (self.x(*since_us), self.x(*until_us));
                html! {
                    line.debt x1=(since) x2=(until) y1=(BAR_ROW) y2=(BAR_ROW) {}
                    (sign(&since, OVER_ROW, "charged", "M0-5L5 4H-5Z"))
                    @match end {
                        DebtEnd::Paid => (sign(&until, PAID_ROW, "paid", "M-4 0L-1 4L5-4")),
                        DebtEnd::Lapsed => (sign(&until, PAID_ROW, "lapsed", "M-4 0H4")),
                        DebtEnd::Open => {},
                    }
                }
            }
            Mark::Killed { at_us, gone_us, .. } => {
                let x = self.x(at_us.unwrap_or(*gone_us));
                html! {
                    line.kill x1=(x) x2=(x) y1=(TOP) y2=(plot_end) {}
                    (sign(&x, TOP - 7.0, "killed", "M-5-5L5 5M-5 5L5-5"))
                }
            }
            Mark::LoadEnded { at_us } => {
                let x = self.x(*at_us);
                html! { line.ended x1=(x) x2=(x) y1=(TOP) y2=(plot_end) {} }
            }
            Mark::Settled { .. } => html! {},
        }
    }

    /// For those who do not see it.
    fn said(&self) -> String {
        let highest = self.usage.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0) as f64;
        let mut said = format!(
            "{} of guest time; memory.max {}; highest sample {}",
            time_us(self.end_us),
            size(self.limit),
            size(highest)
        );
        if let Some(peak) = self.peak {
            let _ = write!(said, "; memory.peak {}", size(peak));
        }
        for sentence in self.sentences().into_iter().take(WORDS_MAX) {
            let _ = write!(said, "; {sentence}");
        }
        said
    }

    /// Each mark in words.
    fn sentences(&self) -> Vec<String> {
        self.marks.iter().map(sentence).collect()
    }
}

fn sentence(mark: &Mark) -> String {
    match mark {
        Mark::Overcharged { since_us, until_us, end, charges, over_bytes_max } => {
            let (since, took) =
                (time_us(*since_us as f64), time_us(until_us.saturating_sub(*since_us) as f64));
            let end = match end {
                DebtEnd::Paid => format!("reconciled after {took}"),
                DebtEnd::Lapsed => "came back by itself".to_owned(),
                DebtEnd::Open => "no event tells how that ended".to_owned(),
            };
            let charges = plural(*charges, "charge");
            format!(
                "at {since} charged over the limit ({charges}, up to {} over), {end}",
                size(*over_bytes_max as f64)
            )
        }
        Mark::Killed { at_us, gone_us, pid, role, from } => {
            let who = match role {
                ProcessRole::Actor => "actor",
                ProcessRole::Hog => "hog",
                ProcessRole::Outsider => "task outside",
                ProcessRole::Bystander => "bystander",
            };
            let from = from.map_or(String::new(), |from| format!(", {from}"));
            let at = at_us.map_or(String::new(), |at_us| format!(" at {}", time_us(at_us as f64)));
            format!("{who} {pid} was killed{at}{from}; seen gone at {}", time_us(*gone_us as f64))
        }
        Mark::LoadEnded { at_us } => format!("the load ended at {}", time_us(*at_us as f64)),
        Mark::Settled { at_us } => {
            format!("usage was seen at the limit or below it at {}", time_us(*at_us as f64))
        }
    }
}

/// What the signs mean; only those that are there.
fn legend(plot: &Plot<'_>) -> Markup {
    let has = |is: fn(&Mark) -> bool| plot.marks.iter().any(is);
    let key = |class: &str, path: &str| {
        html! {
            svg width="18" height="12" viewBox="-9 -6 18 12" aria-hidden="true" {
                path class=(class) d=(path) {}
            }
        }
    };
    let highest = plot.usage.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0) as f64;
    html! {
        ul.legend {
            li { (key("usage", "M-8 3L-2-3L2 1L8-4")) "usage" }
            li { (key("limit", "M-9 0H9")) "memory.max" }
            @if highest > plot.limit { li { (key("over", "M-8-4H8V4H-8Z")) "above the limit" } }
            @if has(|mark| matches!(mark, Mark::Overcharged { .. })) {
                li { (key("charged", "M0-5L5 4H-5Z")) "charged over it" }
            }
            @if has(|mark| matches!(mark, Mark::Overcharged { end: DebtEnd::Paid, .. })) {
                li { (key("paid", "M-4 0L-1 4L5-4")) "reconciled" }
            }
            @if has(|mark| matches!(mark, Mark::Overcharged { end: DebtEnd::Lapsed, .. })) {
                li { (key("lapsed", "M-4 0H4")) "came back by itself" }
            }
            @if has(|mark| matches!(mark, Mark::Killed { .. })) {
                li { (key("killed", "M-5-5L5 5M-5 5L5-5")) "killed" }
            }
            @if has(|mark| matches!(mark, Mark::LoadEnded { .. })) {
                li { (key("ended", "M0-6V6")) "end of the load" }
            }
        }
    }
}

fn words(plot: &Plot<'_>) -> Markup {
    let sentences = plot.sentences();
    let more = sentences.len().saturating_sub(WORDS_MAX);
    html! {
        @if !sentences.is_empty() {
            ul.marks {
                @for sentence in sentences.iter().take(WORDS_MAX) { li { (sentence) } }
                @if more > 0 { li { "and " (more) " more" } }
            }
        }
    }
}

/// A sign whose middle is at a place in percent.
fn sign(x: &str, y: f64, class: &str, shape: &str) -> Markup {
    html! { svg.sign x=(x) y=(y) overflow="visible" { path class=(class) d=(shape) {} } }
}

/// The points with all below `level` raised to it, and points where the line crosses it.
fn clipped(points: &[(f64, f64)], level: f64) -> Vec<(f64, f64)> {
    let mut clipped: Vec<(f64, f64)> = Vec::new();
    let mut before: Option<(f64, f64)> = None;
    for (at, bytes) in points.iter().copied() {
        if let Some((at_before, bytes_before)) = before
            && (bytes_before > level) != (bytes > level)
        {
            let part = (level - bytes_before) / (bytes - bytes_before);
            clipped.push((at_before + (at - at_before) * part, level));
        }
        clipped.push((at, bytes.max(level)));
        before = Some((at, bytes));
    }
    clipped
}

/// `x yLx y`, to be begun with `M`.
fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let points: Vec<String> = points.map(|(x, y)| format!("{} {}", short(x), short(y))).collect();
    points.join("L")
}

fn short(number: f64) -> String {
    format!("{number:.1}").trim_end_matches(".0").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_the_limit_is_cut_where_the_line_crosses_it() {
        assert_eq!(
            clipped(&[(0.0, 0.0), (10.0, 8.0), (20.0, 4.0), (30.0, 0.0)], 4.0),
            [(0.0, 4.0), (5.0, 4.0), (10.0, 8.0), (20.0, 4.0), (20.0, 4.0), (30.0, 4.0)]
        );
        assert_eq!(clipped(&[], 4.0), []);
    }

    #[test]
    fn scales_take_in_what_is_to_be_seen() {
        let (usage, marks) = ([(0, 0), (500, 100)], [Mark::LoadEnded { at_us: 1000 }]);
        let plot = Plot::of(&usage, &marks, 200.0, Some(400.0)).unwrap();
        assert_eq!((plot.x(500).as_str(), plot.x(1000).as_str()), ("50.00%", "100.00%"));
        assert!(plot.top > 400.0 && plot.bottom == 0.0);
        assert!(Plot::of(&[], &marks, 200.0, None).is_none());
    }
}
