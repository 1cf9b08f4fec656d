// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a run: its result, the reports in the run folder and on the terminal, the exit code.

use std::collections::BTreeSet;
use std::path::Path;

use super::{html, print_report, shown};
use crate::config::KnownFault;
use crate::evidence::store;
use crate::exit::Exit;
use crate::outcome::{
    Attempt, CellResult, Comparison, Differential, Judgement, Manifest, RunResult, SCHEMA_VERSION,
    Totals,
};
use crate::plan::CellKey;
use crate::progress::{self, Event};
use crate::report::{self, ConsoleFault, Style};
use crate::results::RunFolder;
use crate::verdict::{self, Judged, Pace, compare};

/// Everything that a run found; `planned` is the number of cells that were selected.
pub(super) fn result(
    run: &str,
    manifest: Manifest,
    mut cells: Vec<CellResult>,
    planned: usize,
) -> RunResult {
    verdict::excuse_consoles(&mut cells, manifest.baseline.as_deref());
    let mut comparisons = compared(&manifest, &cells, CellResult::judgement);
    let again = compared(&manifest, &cells, CellResult::looked_twice);
    for (one, again) in comparisons.iter_mut().zip(again) {
        if one.is_worse_by_numbers() && again.outcome != Differential::Regressed {
            one.is_not_worse_again();
        }
    }
    if let Some(reach) = &manifest.reach {
        verdict::reached(&mut comparisons, reach, &cells);
    }
    let known: Vec<&KnownFault> = manifest.holding().collect();
    verdict::excuse_rules(&mut cells, manifest.baseline.as_deref(), &known);
    RunResult {
        schema_version: SCHEMA_VERSION,
        run: run.to_owned(),
        totals: Totals::of(planned, &cells, &comparisons),
        manifest,
        cells,
        comparisons,
    }
}

/// All comparisons with the baseline, of the judgement of each patched cell that `which` says.
fn compared(
    manifest: &Manifest,
    cells: &[CellResult],
    which: impl Fn(&CellResult) -> &Judgement,
) -> Vec<Comparison> {
    let Some(baseline) = &manifest.baseline else { return Vec::new() };
    let judgement = |ran| match CellResult::kernel(ran) == baseline {
        true => ran.as_baseline(),
        false => which(ran),
    };
    let judged = cells.iter().map(|ran| Judged { cell: &ran.cell, judgement: judgement(ran) });
    let judged: Vec<Judged<'_>> = judged.collect();
    let names: BTreeSet<&String> = cells.iter().map(|ran| &ran.cell.key.scenario).collect();
    names.iter().flat_map(|name| compare(name, baseline, &judged)).collect()
}

/// Cells that are worse than the baseline, and only by numbers.
pub(super) fn worse_by_numbers(manifest: &Manifest, cells: &[CellResult]) -> BTreeSet<CellKey> {
    let found = compared(manifest, cells, CellResult::judgement).into_iter();
    found.filter(Comparison::is_worse_by_numbers).map(|one| one.cell).collect()
}

/// Stores and prints the result of a matrix; gives the exit code it means.
///
/// # Errors
/// A run folder or a standard output that cannot be written to.
pub(super) fn matrix(folder: &RunFolder, cache: &Path, result: &RunResult) -> anyhow::Result<Exit> {
    folder.write_result(result)?;
    html::write(folder, cache, result)?;
    let interrupted = result.manifest.interrupted;
    let exit = if result.cells.iter().any(|ran| ran.cell.round.is_some()) {
        let faults = console_faults(folder, result);
        report(folder, |place, style| report::soak(result, &faults, place, style))?;
        exit(interrupted, report::soaked(result, &faults))
    } else {
        report(folder, |place, style| report::run(result, place, style))?;
        match exit(interrupted, result.totals.good()) {
            Exit::Ok if result.nothing_reached() => Exit::NotReached,
            Exit::Unexpected if result.is_only_incomplete() => Exit::Incomplete,
            other => other,
        }
    };
    let file = |name: &str| folder.dir().join(name).display().to_string();
    progress::tell(&Event::RunEnded {
        run: &result.run,
        result: &file("result.json"),
        report: &file("report.html"),
        exit: exit as u8,
    });
    Ok(exit)
}

/// Every fault on the consoles of all attempts, also of those whose verdict has another cause.
fn console_faults(folder: &RunFolder, result: &RunResult) -> Vec<ConsoleFault> {
    let mut faults = Vec::new();
    for ran in &result.cells {
        let pace = Pace::of(&result.manifest, &ran.cell.id);
        for Attempt { folder: place, .. } in std::iter::once(&ran.first).chain(&ran.again) {
            let dir = folder.dir().join(place);
            let titles = match folder.check_seal(&dir).and_then(|()| store::console(&dir)) {
                Ok(Some(console)) => verdict::console_faults(&console, pace),
                // A console that cannot be read is not a clean one.
                _ => vec![format!("{place}: the console cannot be read")],
            };
            let fault = |title| ConsoleFault { cell: ran.cell.id.clone(), title };
            faults.extend(titles.into_iter().map(fault));
        }
    }
    faults
}

/// Stores a report and prints it; `text` gets the path of the run folder as people read it. It
/// comes last: a folder with a report is whole.
///
/// # Errors
/// A run folder or a standard output that cannot be written to.
pub(super) fn report(
    folder: &RunFolder,
    text: impl Fn(&str, Style) -> String,
) -> anyhow::Result<()> {
    let place = shown(folder.dir());
    folder.write_report(&text(&place, Style::default()))?;
    print_report(|style| text(&place, style))
}

/// The exit code of a run: being stopped comes before what was found.
pub(super) fn exit(interrupted: bool, good: bool) -> Exit {
    match (interrupted, good) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Ok,
        (false, false) => Exit::Unexpected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::verdict::tests::run::{benches, cell, result};

    #[test]
    fn a_stated_number_has_to_be_worse_twice() {
        let [baseline, patched] = benches();
        let outcome = |looks: &[f64]| {
            let mut base = cell(&baseline);
            let (fact, comparison) = ("kills".into(), config::Comparison::Equal);
            base.cell.expect.facts = vec![config::Condition { fact, comparison, number: 0.0 }];
            let mut here = cell(&patched);
            here.cell.expect.or_better = true;
            for one in [&mut base, &mut here] {
                one.cell.note.problem.clear();
                one.first.judgement.verdict = crate::taxonomy::Verdict::Pass;
                one.first.judgement.breaks.clear();
                one.first.judgement.as_expected = true;
                one.first.judgement.facts.insert("kills".into(), 0.0);
            }
            let look = |kills: &f64| {
                let mut attempt = here.first.clone();
                attempt.judgement.facts.insert("kills".into(), *kills);
                attempt
            };
            let [first, again] = [looks.first().map(look), looks.get(1).map(look)];
            let here = CellResult { cell: here.cell.clone(), first: first.unwrap(), again };
            let manifest = result(vec![base.clone(), here.clone()]).manifest;
            let found = super::result("r", manifest, vec![base, here], 2).comparisons.remove(0);
            (found.outcome, found.differences.iter().any(|one| one.is_worse()))
        };
        assert_eq!(outcome(&[1.0]), (Differential::Regressed, true));
        assert_eq!(outcome(&[1.0, 1.0]), (Differential::Regressed, true));
        assert_eq!(outcome(&[1.0, 0.0]), (Differential::Changed, false));
    }

    #[test]
    fn every_console_fault_of_a_soak_counts_and_so_does_a_missing_console() {
        let results = tempfile::tempdir().unwrap();
        let folder = RunFolder::begin(results.path(), jiff::Timestamp::now()).unwrap();
        let [baseline, _] = benches();
        let mut result = result(vec![cell(&baseline)]);
        result.manifest.slowdown = 3;
        let place = result.cells[0].first.folder.clone();
        let shown = || -> Vec<String> {
            console_faults(&folder, &result).into_iter().map(|fault| fault.title).collect()
        };
        assert_eq!(shown(), [format!("{place}: the console cannot be read")]);
        folder.write_manifest(&result.manifest).unwrap();
        let show = |text| {
            folder.write_text(&format!("{place}/console.log"), text).unwrap();
            folder.seal(&folder.dir().join(&place)).unwrap();
        };
        show("[    1.0] BUG: sleeping function called from invalid context at mm/x.c:1\n");
        assert_eq!(shown(), ["BUG: sleeping function called from invalid context at mm/x.c:1"]);
        show("[    1.0] all is well\n");
        assert_eq!(shown(), [""; 0]);
        let by_emulator = "[    0.2] Oops: int3: 0000 [#1] SMP NOPTI\n\
                           [    0.2] Code: 24 00 eb <05> 5b 5d\n\
                           [    0.3] Kernel panic - not syncing: Fatal exception in interrupt\n";
        show(by_emulator);
        assert_eq!(shown(), [""; 0], "the emulator's breakpoint is no fault of the kernel");
        assert!(
            !verdict::console_faults(by_emulator, Pace { slowdown: 3, emulated: false }).is_empty()
        );
    }
}
