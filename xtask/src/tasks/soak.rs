// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask soak`: every scenario of a matrix in random order, round after round, until time is up.
//!
//! Each cell has a kernel of its own, just booted: one that has warned once warns no more, and what
//! memory one cell keeps another would be blamed for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::run::{Run, Spec, Start};
use super::{Folders, bootable, conclude, inputs, selection};
use crate::cli::{self, Places};
use crate::evidence::store;
use crate::exit::Exit;
use crate::outcome::CellResult;
use crate::plan::{self, Selection};
use crate::progress::note;
use crate::report::{self, ConsoleFault};
use crate::results::RunFolder;
use crate::verdict::{Pace, by_emulator, findings};

/// Cells of a round that are begun together.
const SLICE: usize = 8;

/// Runs the command.
///
/// # Errors
/// As `run-matrix`; what a cell does is no error.
pub(crate) fn run(places: &Places, args: &cli::Soak) -> anyhow::Result<Exit> {
    let cli::Soak { kernels: names, minutes, cells: cells_max, matrix, select, vms, build } = args;
    let folders = Folders::of(places)?;
    let config = inputs::read(&folders.configs)?;
    let mut matrix = config.matrix(matrix)?.clone();
    names.iter().try_for_each(|name| config.kernel(name).map(drop))?;
    (matrix.kernels, matrix.baseline) = (names.clone(), None);
    let selection = Selection { repetitions: Some(1), ..selection(select) };
    let cells = plan::plan(&config, &matrix, &selection)?;
    let start = Start::new(build.install)?;
    let names: BTreeSet<&String> = names.iter().collect();
    let kernels =
        bootable::kernels(&folders, &config, &names, &BTreeMap::new(), &vms.images, build)?;
    let spec = Spec::of(vms, &cells, &folders.results, &matrix.name, selection.run_seed);
    let mut run = Run::begin(start, &folders, &config, kernels, spec)?;
    let until = Instant::now() + Duration::from_secs(u64::from(*minutes) * 60);
    let cells_max = cells_max.map_or(usize::MAX, |max| max as usize);
    let (mut planned, mut first, mut rounds) = (Vec::new(), BTreeMap::new(), 0);
    while Instant::now() < until && first.len() < cells_max && !run.stop.asked() {
        rounds += 1;
        let left_s = until.saturating_duration_since(Instant::now()).as_secs();
        note(&format!("round {rounds}, {} cells so far, {left_s} s left", first.len()));
        let mut round = plan::round(&config, &matrix, &selection, rounds)?;
        round.truncate(cells_max - first.len());
        // In slices, so that cells which run alone come between the others and not after them.
        for slice in round.chunks(SLICE) {
            first.extend(run.first(slice, Some(until))?);
        }
        planned.extend(round.into_iter().filter(|cell| first.contains_key(&cell.id)));
    }
    let ran = run.with_repetitions(&planned, first);
    let faults = console_faults(&run.folder, &ran, run.pace());
    let count = ran.len();
    let (folder, result) = run.result(&matrix, ran, count)?;
    folder.write_result(&result)?;
    conclude::report(&folder, |place, style| report::soak(&result, rounds, &faults, place, style))?;
    Ok(conclude::exit(result.manifest.interrupted, report::soaked(&result, &faults)))
}

/// Every fault on the consoles of all attempts, also of those whose verdict has another cause.
fn console_faults(folder: &RunFolder, ran: &[CellResult], pace: Pace) -> Vec<ConsoleFault> {
    let mut faults = Vec::new();
    for cell in ran {
        for attempt in std::iter::once(&cell.first).chain(&cell.again) {
            let evidence = store::load(&folder.dir().join(&attempt.folder));
            let console = evidence.as_ref().ok().map(|evidence| evidence.console.as_str());
            let titles = fault_titles(&attempt.folder, console, pace);
            faults.extend(
                titles.into_iter().map(|title| ConsoleFault { cell: cell.cell.id.clone(), title }),
            );
        }
    }
    faults
}

/// What one attempt's console shows, `None` where it cannot be read. A boot that the emulator broke
/// is no fault of the kernel: its cell counts as ERROR and runs again.
fn fault_titles(attempt: &str, console: Option<&str>, pace: Pace) -> Vec<String> {
    let Some(console) = console else {
        // A console that nobody can read is not a clean one.
        return vec![format!("{attempt}: the evidence cannot be read")];
    };
    let findings = findings(console);
    if by_emulator(&findings, pace) {
        return Vec::new();
    }
    findings.into_iter().map(|finding| finding.title).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMULATED: Pace = Pace { slowdown: 3 };
    const HARDWARE: Pace = Pace { slowdown: 1 };

    #[test]
    fn every_fault_of_a_console_counts_and_so_does_a_console_that_is_gone() {
        let warned = "[    1.0] BUG: sleeping function called from invalid context at mm/x.c:1\n";
        let title = "BUG: sleeping function called from invalid context at mm/x.c:1";
        assert_eq!(fault_titles("a", Some(warned), EMULATED), [title]);
        assert_eq!(fault_titles("a", Some("[    1.0] all is well\n"), EMULATED), [""; 0]);
        assert_eq!(fault_titles("a", None, EMULATED), ["a: the evidence cannot be read"]);
    }

    #[test]
    fn a_breakpoint_of_the_emulator_is_no_fault_of_the_kernel_and_on_hardware_it_is() {
        let broken = "[    0.2] Oops: int3: 0000 [#1] SMP NOPTI\n\
                      [    0.3] Kernel panic - not syncing: Fatal exception in interrupt\n";
        assert_eq!(fault_titles("a", Some(broken), EMULATED), [""; 0]);
        assert!(!fault_titles("a", Some(broken), HARDWARE).is_empty());
    }
}
