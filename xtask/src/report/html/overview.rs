// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run says as a whole: totals, verdicts on the patch, spreads, and what it was made of.

use maud::{Markup, html};

use super::super::kvm::kvm_line;
use super::super::numbers::plural;
use super::super::terminal::conditions;
use super::super::{differential, reach, spread};
use super::anchor;
use crate::outcome::{Comparison, Differential, Fault, KnownState, RunResult};

/// Verdicts on the patch in the order of what a reader must know first.
pub(super) const ORDER: [Differential; 9] = [
    Differential::Regressed,
    Differential::NotFixed,
    Differential::Changed,
    Differential::Unknown,
    Differential::NotReached,
    Differential::NoDifference,
    Differential::Fixed,
    Differential::Same,
    Differential::Inert,
];

/// Comparisons that look alike.
struct Alike<'a> {
    outcome: Differential,
    stated: bool,
    comparisons: Vec<&'a Comparison>,
}

impl Alike<'_> {
    /// Class and sign of the verdict; `known` is what needs no look.
    fn look(&self) -> (&'static str, &'static str) {
        match self.outcome {
            Differential::Regressed => ("bad", "✗"),
            Differential::NotFixed if self.stated => ("known", "="),
            Differential::NotFixed => ("bad", "✗"),
            Differential::Changed | Differential::NoDifference | Differential::NotReached => {
                ("odd", "~")
            }
            Differential::Unknown => ("odd", "?"),
            Differential::Fixed => ("good", "✓"),
            Differential::Same | Differential::Inert => ("known", "="),
        }
    }

    fn meaning(&self) -> &'static str {
        differential::meaning(self.outcome, self.stated)
    }
}

/// The comparisons of a run that look alike, in the order of [`ORDER`].
fn alike(run: &RunResult) -> Vec<Alike<'_>> {
    let kinds = ORDER.into_iter().flat_map(|outcome| [(outcome, false), (outcome, true)]);
    let of = |(outcome, stated)| {
        let ours = |one: &&Comparison| {
            let is_stated = outcome == Differential::NotFixed && run.is_as_stated(one);
            one.outcome == outcome && is_stated == stated
        };
        Alike { outcome, stated, comparisons: run.comparisons.iter().filter(ours).collect() }
    };
    kinds.map(of).filter(|group| !group.comparisons.is_empty()).collect()
}

/// Title, totals and where to go.
pub(super) fn header(run: &RunResult, is_repeated: bool) -> Markup {
    let (totals, manifest) = (&run.totals, &run.manifest);
    let good = run.good() && !manifest.interrupted;
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
                @if run.nothing_reached() { " " span class="badge bad" { (Differential::NotReached) } }
                @if totals.flaky > 0 { " " span class="badge odd" { (totals.flaky) " flaky" } }
                @if totals.ran < totals.planned { " " span class="badge odd" { (totals.planned - totals.ran) " did not run" } }
                @if let Some(missing) = manifest.missing() { " " span class="badge bad" { "incomplete: " (missing) } }
                @if manifest.interrupted { " " span class="badge odd" { "interrupted" } }
            }
            p.when {
                "Run " code { (run.run) } ", " (conditions(manifest))
            }
            @if !good { (surprises(run)) }
            (known(run))
            nav aria-label="Parts of this report" {
                ul {
                    @if !run.comparisons.is_empty() { li { a href="#verdicts" { "Verdicts on the patch" } } }
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
    let faults = run.faults();
    html! {
        @if !faults.is_empty() {
            ul.surprises {
                @for Fault { identity, cells } in &faults {
                    li {
                        a href={ "#" (anchor(&cells[0].cell.id)) } { (cells[0].cell.id) }
                        " " (super::badge(cells[0])) ": " (cells[0].judgement().why)
                        @if cells.len() > 1 {
                            br; "The same fault, " code { (identity) } ", also in "
                            @for (at, cell) in cells[1..].iter().enumerate() {
                                @if at > 0 { ", " }
                                a href={ "#" (anchor(&cell.cell.id)) } { (cell.cell.id) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Known faults of the baseline: the cells in which they do not count, and entries that are stale.
fn known(run: &RunResult) -> Markup {
    let states = run.known();
    let told = |state: &&KnownState<'_>| !state.cells.is_empty() || state.stale.is_some();
    let states: Vec<&KnownState<'_>> = states.iter().filter(told).collect();
    html! {
        @if !states.is_empty() {
            p { "Known faults of the baseline:" }
            ul.surprises {
                @for KnownState { known, cells, stale } in states {
                    li {
                        code { (known.identity) } ": " (known.reason) " ("
                        a href=(known.link) { "link" } ")"
                        @if !cells.is_empty() {
                            "; does not count in "
                            @for (at, cell) in cells.iter().enumerate() {
                                @if at > 0 { ", " }
                                a href={ "#" (anchor(&cell.cell.id)) } { (cell.cell.id) }
                            }
                        }
                        @if let Some(stale) = stale {
                            " " span class="badge odd" { "stale entry: " (stale) }
                        }
                    }
                }
            }
        }
    }
}

/// Patched kernels compared with the baseline.
pub(super) fn verdicts(run: &RunResult) -> Markup {
    let groups = alike(run);
    html! {
        section id="verdicts" aria-labelledby="verdicts-title" {
            h2 id="verdicts-title" { "What the series changes" }
            @if groups.is_empty() {
                p { "Unknown: this run has no patched kernel to compare with a baseline." }
            }
            ul.tiles {
                @for group in &groups {
                    @let (class, sign) = group.look();
                    li class={ "tile " (class) } {
                        span.count { (group.comparisons.len()) }
                        span.word { span aria-hidden="true" { (sign) } " " (group.outcome) }
                        span.meaning { (group.meaning()) }
                    }
                }
            }
            @for group in &groups {
                @if group.look().0 == "known" {
                    // As many as there are scenarios, and each says that nothing happens.
                    details.more open[groups.len() == 1] {
                        summary {
                            (plural(group.comparisons.len(), "time")) " " (group.outcome) ": "
                            (group.meaning())
                        }
                        (table(run, group))
                    }
                } @else {
                    (table(run, group))
                }
            }
            (reached(run))
        }
    }
}

/// Function by cell.
fn reached(run: &RunResult) -> Markup {
    let (rows, reach) = (reach::rows(run), &run.manifest.reach);
    html! {
        @if !rows.is_empty() {
            h3 { "Where the changed functions ran" }
            table.sides {
                thead { tr { th scope="col" { "Function" } th scope="col" { "Cells" } } }
                tbody {
                    @for row in &rows {
                        tr {
                            th scope="row" { code { (row.function) } }
                            td {
                                @if row.nowhere { span class="badge odd" { (row.ran) } }
                                @else { (row.ran) }
                            }
                        }
                    }
                }
            }
        }
        @for remark in reach.iter().flat_map(|reach| &reach.remarks) { p { (remark) } }
    }
}

fn table(run: &RunResult, group: &Alike<'_>) -> Markup {
    let (class, sign) = group.look();
    html! {
        table.sides.blocks {
            caption.hidden { "Verdicts on the patch: " (group.outcome) }
            thead {
                tr {
                    th scope="col" { "Verdict" } th scope="col" { "Scenario" } th scope="col" { "Problem" }
                    th scope="col" { "Baseline" } th scope="col" { "This kernel" }
                }
            }
            tbody {
                @for one in &group.comparisons {
                    @let (key, problem) = (&one.cell, differential::problem(one));
                    tr {
                        td {
                            span class={ "badge " (class) } {
                                span aria-hidden="true" { (sign) } " " (one.outcome)
                            }
                        }
                        th scope="row" {
                            // The first of the cells that the verdict is on.
                            @match run.cells.iter().find(|cell| cell.cell.key == *key) {
                                Some(cell) => {
                                    a href={ "#" (anchor(&cell.cell.id)) } { (key.scenario) }
                                }
                                None => (key.scenario),
                            }
                            " " span.of { "cgroup " (key.cgroup) ", kernel " (key.kernel) ", policy " (key.policy) }
                        }
                        td data-label="Problem" { @if problem.is_empty() { "–" } @else { code { (problem) } } }
                        td data-label="Baseline" { (differential::side(one, &one.baseline)) }
                        td data-label="This kernel" { (differential::here(one)) }
                    }
                }
            }
        }
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
                        thead {
                            tr {
                                @for head in spread::HEAD {
                                    th scope="col" {
                                        @if head.is_empty() { "cgroup" } @else { (head) }
                                    }
                                }
                            }
                        }
                        tbody {
                            @for row in rows {
                                tr {
                                    @for (column, text) in row.iter().enumerate() {
                                        @if column == 0 { th scope="row" { (text) } }
                                        @else { td { (text) } }
                                    }
                                }
                            }
                        }
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
                    summary {
                        code { (name) } " "
                        span.of { (kernel.source) ", " (plural(kernel.patches.len(), "patch")) }
                    }
                    dl {
                        dt { "Toolchain" } dd { @for line in kernel.toolchain.lines() { (line) br; } }
                        @if !kernel.key.is_empty() { dt { "Build key" } dd { code { (kernel.key) } } }
                        dt { "SHA-256 of the image" } dd { code { (kernel.image_sha256) } }
                        @if !kernel.patches.is_empty() {
                            dt { "Patches" } dd { ol { @for patch in &kernel.patches { li { (patch) } } } }
                        }
                        @if !kernel.fuzz.is_empty() {
                            dt { "Accepted with --fuzz" } dd { ol { @for hunk in &kernel.fuzz { li { (hunk) } } } }
                        }
                    }
                }
            }
            dl.facts {
                dt { "Started" } dd { time datetime=(manifest.started_at) { (manifest.started_at) } }
                dt { "Host" }
                dd {
                    (host.system) ", " (plural(host.cpus, "CPU")) ", " (host.memory_mib) " MiB free"
                }
                dt { "QEMU" }
                dd {
                    (manifest.qemu) ", " (manifest.accelerator) ", waits stretched "
                    (plural(manifest.slowdown, "time"))
                }
                @if let Some(proof) = &manifest.kvm { dt { "KVM" } dd { (kvm_line(proof)) } }
                dt { "Seed" } dd { (manifest.seed) }
                dt { "Guest" } dd { "SHA-256 " code { (manifest.guest_sha256) } }
                dt { "Command" } dd { code { (manifest.command.join(" ")) } }
            }
        }
    }
}
