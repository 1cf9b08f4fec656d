// SPDX-License-Identifier: MIT OR Apache-2.0
//! `run-matrix --rerun` and `--resume`: the arguments with the cells that an earlier run left open.

use std::collections::BTreeSet;

use super::parts::Work;
use super::reach::FULL;
use super::{Folders, past};
use crate::cli;
use crate::exit::{self, Exit, Fault};
use crate::plan::Cell;
use crate::progress::note;
use crate::results::RunFolder;
use crate::runs::{LeftOpen, left_open};
use crate::taxonomy::USER_SERIES;

/// The arguments and their work; with `--rerun` or `--resume` those of the cells that the run left
/// open, in its matrix and with its seed.
///
/// # Errors
/// [`Exit::Usage`] for a run that is not there, left nothing open, or is of another matrix; as
/// [`Work::of`].
pub(super) fn work(
    folders: &Folders,
    args: &cli::RunMatrix,
) -> anyhow::Result<(cli::RunMatrix, Work)> {
    let cli::LeftOpen { rerun, resume, .. } = &args.left_open;
    let (name, which) = match (rerun, resume) {
        (Some(run), _) => (run, LeftOpen::Unsettled),
        (None, Some(run)) => (run, LeftOpen::NotRun),
        (None, None) => return Ok((args.clone(), Work::of(folders, args)?)),
    };
    let run = RunFolder::open(&folders.results, name)?;
    let result = past::claimed(&run)?;
    let planned = run.cells()?;
    let planned = planned.iter().map(|id| past::cell(&run, id));
    let planned = planned.collect::<anyhow::Result<Vec<Cell>>>()?;
    let ids = left_open(&result, &planned, which);
    if ids.is_empty() {
        let what = match which {
            LeftOpen::Unsettled => "every cell ran and was as expected",
            LeftOpen::NotRun => "every cell ran",
        };
        return Err(Fault::new(Exit::Usage, format!("run {}: {what}", run.id)).into());
    }
    note(&format!("of run {}: {}", run.id, crate::report::plural(ids.len(), "cell")));
    let repetitions = planned.iter().map(|cell| cell.repetition).max();
    let is_series = result.manifest.kernels.contains_key(USER_SERIES);
    // The run may have named others than its matrix has.
    let kernels: BTreeSet<&String> = planned.iter().map(|cell| &cell.key.kernel).collect();
    let kernels: Vec<String> = kernels.into_iter().cloned().collect();
    let of_matrix = |matrix: &str| {
        let mut args = args.clone();
        args.matrix = Some(matrix.to_owned());
        args.select.filter.clone_from(&ids);
        if args.kernels.is_empty() && !is_series {
            args.kernels.clone_from(&kernels);
        }
        (args.select.repetitions, args.select.seed) = (repetitions, result.manifest.seed);
        Work::of(folders, &args).map(|work| (args, work))
    };
    let own = args.matrix.as_deref().unwrap_or(&result.manifest.matrix);
    let found = of_matrix(own);
    let unknown = |error: &anyhow::Error| {
        exit::fault_of(error).is_some_and(|fault| fault.exit == Exit::Usage)
    };
    if !found.as_ref().err().is_some_and(unknown) {
        return found;
    }
    // Cells that were chosen for a series are of the full matrix.
    if args.matrix.is_some() || !is_series {
        return found;
    }
    let full = FULL.iter().find_map(|(_, full)| of_matrix(full).ok());
    full.map_or(found, Ok)
}
