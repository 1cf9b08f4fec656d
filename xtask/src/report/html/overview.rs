// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run says as a whole: totals, differential verdicts, spreads, and what it was made of.

use maud::{Markup, html};

use super::super::numbers::time_ms;
use super::super::spread;
use super::anchor;
use crate::outcome::{CellResult, RunResult};
use crate::outcome::{Differential, Parts, SideBySide};

/// Differential verdicts in the order of what a reader must know first.
pub(super) const ORDER: [Differential; 8] = [
    Differential::Regressed,
    Differential::NotFixed,
    Differential::Changed,
    Differential::Unknown,
    Differential::NoDifference,
    Differential::Fixed,
    Differential::Same,
    Differential::Inert,
];

/// Class, sign and meaning of a differential verdict; `stated`: its cells are as the scenario says of that policy.
fn look(outcome: Differential, stated: bool) -> (&'static str, &'static str, &'static str) {
    match outcome {
        Differential::Regressed => {
            ("bad", "✗", "this kernel does worse than the baseline, or other than it should")
        }
        Differential::NotFixed if stated => {
            ("known", "=", "both show the problem, as the scenario states of this policy")
        }
        Differential::NotFixed => ("bad", "✗", "both show the problem"),
        Differential::Changed => {
            ("odd", "~", "does other than the baseline and breaks no more rules: is that wanted?")
        }
        Differential::Unknown => {
            ("odd", "?", "a side has no usable verdict, or its repetitions disagree")
        }
        Differential::NoDifference => {
            ("odd", "~", "neither shows the problem: this says nothing about the patch")
        }
        Differential::Fixed => {
            ("good", "✓", "the baseline shows the problem, this kernel does not")
        }
        Differential::Same => ("known", "=", "does as the baseline does"),
        Differential::Inert => {
            ("known", "=", "switched off it does as the baseline does, as it should")
        }
    }
}

/// The differential verdicts of a run that look alike, in the order of [`ORDER`].
fn alike(run: &RunResult) -> Vec<(Differential, bool, Vec<&SideBySide>)> {
    let groups = ORDER.into_iter().flat_map(|outcome| [(outcome, false), (outcome, true)]);
    groups
        .filter_map(|(outcome, stated)| {
            let ours = |side: &&SideBySide| {
                let is_stated = outcome == Differential::NotFixed && run.is_as_stated(side);
                side.outcome == outcome && is_stated == stated
            };
            let sides: Vec<&SideBySide> = run.differentials.iter().filter(ours).collect();
            (!sides.is_empty()).then_some((outcome, stated, sides))
        })
        .collect()
}

/// Title, totals and where to go.
pub(super) fn header(run: &RunResult, is_repeated: bool) -> Markup {
    let (totals, manifest) = (&run.totals, &run.manifest);
    let good = totals.good() && !manifest.interrupted;
    let sign = if good { "✓" } else { "✗" };
    html! {
        header.top {
            h1 { "Matrix " code { (manifest.matrix) } }
            p.lede {
                span class=(if good { "badge good" } else { "badge bad" }) {
                    span aria-hidden="true" { (sign) } " " (totals.as_expected) " of " (totals.planned) " cells as expected"
                }
                @if totals.unexpected > 0 { " " span class="badge bad" { (totals.unexpected) " not as expected" } }
                @if totals.regressed > 0 { " " span class="badge bad" { (totals.regressed) " REGRESSED" } }
                @if totals.flaky > 0 { " " span class="badge odd" { (totals.flaky) " flaky" } }
                @if totals.ran < totals.planned { " " span class="badge odd" { (totals.planned - totals.ran) " did not run" } }
                @if manifest.interrupted { " " span class="badge odd" { "interrupted" } }
            }
            p.when {
                "Run " code { (run.run) } ", " (time_ms(manifest.duration_ms as f64)) ", " (manifest.accelerator.to_uppercase())
                ", " (manifest.jobs) " at once"
            }
            @if !good { (surprises(run)) }
            nav aria-label="Parts of this report" {
                ul {
                    @if !run.differentials.is_empty() { li { a href="#verdicts" { "Differential verdicts" } } }
                    li { a href="#matrix" { "Matrix" } }
                    @if is_repeated { li { a href="#repeated" { "Repetitions" } } }
                    li { a href="#cells" { "Evidence" } }
                    li { a href="#made-of" { "Kernels and host" } }
                }
            }
        }
    }
}

/// Cells that were not as expected, with the reason: what a reader of a red run looks for.
fn surprises(run: &RunResult) -> Markup {
    let bad: Vec<&CellResult> =
        run.cells.iter().filter(|cell| !cell.judgement().as_expected).collect();
    html! {
        @if !bad.is_empty() {
            ul.surprises {
                @for cell in bad {
                    li { a href={ "#" (anchor(&cell.cell.id)) } { (cell.cell.id) } " " (super::badge(cell)) ": " (cell.judgement().why) }
                }
            }
        }
    }
}

/// Baseline beside patched.
pub(super) fn verdicts(run: &RunResult) -> Markup {
    let groups = alike(run);
    html! {
        section id="verdicts" aria-labelledby="verdicts-title" {
            h2 id="verdicts-title" { "What the series changes" }
            @if run.differentials.is_empty() {
                p { "Nothing can be said: this run has no baseline beside a patched kernel." }
            }
            ul.tiles {
                @for (outcome, stated, sides) in &groups {
                    @let (class, sign, meaning) = look(*outcome, *stated);
                    li class={ "tile " (class) } {
                        span.count { (sides.len()) }
                        span.word { span aria-hidden="true" { (sign) } " " (outcome) }
                        span.meaning { (meaning) }
                    }
                }
            }
            @for (outcome, stated, sides) in &groups {
                @let (class, sign, meaning) = look(*outcome, *stated);
                @if class == "known" {
                    // As many as there are scenarios, and each says that nothing happens.
                    details.more open[groups.len() == 1] {
                        summary { (sides.len()) " times " (outcome) ": " (meaning) }
                        (sides_table(run, sides, class, sign))
                    }
                } @else {
                    (sides_table(run, sides, class, sign))
                }
            }
        }
    }
}

fn sides_table(run: &RunResult, sides: &[&SideBySide], class: &str, sign: &str) -> Markup {
    html! {
        table.sides.blocks {
            caption.hidden { "Differential verdicts: " (sides[0].outcome) }
            thead {
                tr {
                    th scope="col" { "Verdict" } th scope="col" { "Scenario" } th scope="col" { "Problem" }
                    th scope="col" { "Baseline" } th scope="col" { "This kernel" }
                }
            }
            tbody {
                @for side in sides {
                    @let Parts { meaning, asked, baseline, here } = side.parts();
                    tr {
                        td { span class={ "badge " (class) } { span aria-hidden="true" { (sign) } " " (side.outcome) } }
                        th scope="row" {
                            (link(run, side))
                            span.of { "cgroup " (side.key.cgroup) ", kernel " (side.key.kernel) ", policy " (side.key.policy) }
                        }
                        @if baseline.is_empty() {
                            td colspan="3" { (meaning) }
                        } @else {
                            td data-label="Problem" { @if asked.is_empty() { "–" } @else { code { (asked) } } }
                            td data-label="Baseline" { (baseline) }
                            td data-label="This kernel" { (here) }
                        }
                    }
                }
            }
        }
    }
}

/// The scenario, with a link to the first of the cells that the verdict is on.
fn link(run: &RunResult, side: &SideBySide) -> Markup {
    html! {
        @match run.cells.iter().find(|cell| cell.cell.key == side.key) {
            Some(cell) => a href={ "#" (anchor(&cell.cell.id)) } { (side.key.scenario) },
            None => (side.key.scenario),
        }
        " "
    }
}

/// Spreads over repetitions; nothing where there were none.
pub(super) fn repeated(rows: &[[String; 9]]) -> Markup {
    html! {
        @if !rows.is_empty() {
            section id="repeated" aria-labelledby="repeated-title" {
                h2 id="repeated-title" { "Over the repetitions" }
                section.scroll aria-label="Spread of the facts that were measured" tabindex="0" {
                    table {
                        thead { tr { @for head in spread::HEAD { th scope="col" { @if head.is_empty() { "cgroup" } @else { (head) } } } } }
                        tbody { @for row in rows { tr { @for (column, text) in row.iter().enumerate() {
                            @if column == 0 { th scope="row" { (text) } } @else { td { (text) } }
                        } } } }
                    }
                }
            }
        }
    }
}

/// Kernels, host and command.
pub(super) fn made_of(run: &RunResult) -> Markup {
    let manifest = &run.manifest;
    let host = &manifest.host;
    html! {
        section id="made-of" aria-labelledby="made-of-title" {
            h2 id="made-of-title" { "Kernels and host" }
            @for (name, kernel) in &manifest.kernels {
                details.kernel {
                    summary { code { (name) } " " span.of { (kernel.source) ", " (kernel.patches.len()) " patches" } }
                    dl {
                        dt { "Toolchain" } dd { @for line in kernel.toolchain.lines() { (line) br; } }
                        @if !kernel.key.is_empty() { dt { "Build key" } dd { code { (kernel.key) } } }
                        dt { "SHA-256 of the image" } dd { code { (kernel.image_sha256) } }
                        @if !kernel.patches.is_empty() {
                            dt { "Patches" } dd { ol { @for patch in &kernel.patches { li { (patch) } } } }
                        }
                    }
                }
            }
            dl.facts {
                dt { "Started" } dd { time datetime=(manifest.started_at) { (manifest.started_at) } }
                dt { "Host" } dd { (host.system) ", " (host.cpus) " CPUs, " (host.memory_mib) " MiB free" }
                dt { "QEMU" } dd { (manifest.qemu) ", " (manifest.accelerator) ", waits stretched " (manifest.slowdown) " times" }
                dt { "Seed" } dd { (manifest.seed) }
                dt { "Guest" } dd { "SHA-256 " code { (manifest.guest_sha256) } }
                dt { "Command" } dd { code { (manifest.command.join(" ")) } }
            }
        }
    }
}
