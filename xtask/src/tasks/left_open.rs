// SPDX-License-Identifier: MIT OR Apache-2.0
//! `run-matrix --rerun` and `--resume`: the arguments with the cells that an earlier run left open.

use std::collections::{BTreeMap, BTreeSet};

use super::bootable::Bootable;
use super::parts::Work;
use super::proven::judged_again;
use super::reach::FULL;
use super::{Folders, past};
use crate::cli;
use crate::exit::{self, Exit, Fault};
use crate::outcome::KernelNote;
use crate::plan::Cell;
use crate::progress::note;
use crate::results::RunFolder;
use crate::runs::{LeftOpen, left_open};
use crate::taxonomy::USER_SERIES;

/// The run that `--rerun` or `--resume` goes on from.
#[derive(Clone)]
pub(super) struct Before {
    run: String,
    kernels: BTreeMap<String, KernelNote>,
    /// Whether both are to be one run.
    resumed: bool,
}

impl Before {
    /// Compares the kernels of now with those of then. A rerun may be of a kernel that was fixed,
    /// but both halves of a resumed run must be of the same one.
    ///
    /// # Errors
    /// [`Exit::Usage`] for a resumed run with another kernel.
    pub(super) fn compare(&self, kernels: &BTreeMap<String, Bootable>) -> anyhow::Result<()> {
        for (name, kernel) in kernels {
            let Some(then) = self.kernels.get(name) else { continue };
            let now = &kernel.note;
            if then.identity() == now.identity() || then.image_sha256 == now.image_sha256 {
                continue;
            }
            let what = format!("kernel {name} is not that of run {}", self.run);
            if self.resumed {
                let hint = "give the --source, --series or --image of that run; `--rerun` takes \
                            another kernel";
                return Err(Fault::new(Exit::Usage, what).hint(hint).into());
            }
            note(&format!("note: {what}: it was {}, now {}", made_from(then), made_from(now)));
        }
        Ok(())
    }
}

/// Whether the run and the command are both of a series, or neither: else the cells of one would be
/// taken for those of the other.
fn same_kind(run: &str, was: bool, is: bool) -> Result<(), Fault> {
    let (what, hint) = match (was, is) {
        (true, false) => ("tested a series, and --series is missing", "name the patches again"),
        (false, true) => ("tested no series", "leave --series out, or name the run of a series"),
        _ => return Ok(()),
    };
    Err(Fault::new(Exit::Usage, format!("run {run} {what}")).hint(hint))
}

/// What a kernel was made from, in a few words.
fn made_from(KernelNote { source, patches, .. }: &KernelNote) -> String {
    match patches.len() {
        0 => source.clone(),
        many => format!("{source} with {}", crate::report::plural(many, "patch")),
    }
}

/// The arguments and their work; with `--rerun` or `--resume` those of the cells that the run left
/// open, in its matrix and with its seed, and that run.
///
/// # Errors
/// [`Exit::Usage`] for a run that is not there, left nothing open, or is of another matrix; as
/// [`Work::of`].
pub(super) fn work(
    folders: &Folders,
    args: &cli::RunMatrix,
) -> anyhow::Result<(cli::RunMatrix, Work, Option<Before>)> {
    let cli::LeftOpen { rerun, resume, .. } = &args.left_open;
    let (name, which) = match (rerun, resume) {
        (Some(run), _) => (run, LeftOpen::Unsettled),
        (None, Some(run)) => (run, LeftOpen::NotRun),
        (None, None) => return Ok((args.clone(), Work::of(folders, args)?, None)),
    };
    let run = RunFolder::open(&folders.results, name)?;
    // Of a run that was killed there is only the evidence.
    let result = if run.has_result() { past::claimed(&run)? } else { judged_again(&run)? };
    let planned = run.cells()?;
    let planned = planned.iter().map(|id| past::cell(&run, id));
    let planned = planned.collect::<anyhow::Result<Vec<Cell>>>()?;
    let ids = left_open(&result, &planned, which);
    if ids.is_empty() {
        let what = match which {
            LeftOpen::Unsettled => "every cell ran and was as expected at the first attempt",
            LeftOpen::NotRun => "every cell ran",
        };
        return Err(Fault::new(Exit::Usage, format!("run {}: {what}", run.id)).into());
    }
    note(&format!("of run {}: {}", run.id, crate::report::plural(ids.len(), "cell")));
    // Of one repetition the first has a number only where there are more.
    let numbered = planned.iter().any(|cell| cell.id_in_matrix() != cell.key.to_string());
    let repetitions = planned.iter().map(|cell| cell.repetition).max();
    let repetitions = repetitions.map(|most| if numbered { most.max(2) } else { most });
    let is_series = result.manifest.kernels.contains_key(USER_SERIES);
    same_kind(&run.id, is_series, args.user_series.series.is_some())?;
    let resumed = which == LeftOpen::NotRun;
    let kernels_then = result.manifest.kernels.clone();
    let before = Before { run: run.id.clone(), kernels: kernels_then, resumed };
    // The run may have named others than its matrix has.
    let kernels: BTreeSet<&String> = planned.iter().map(|cell| &cell.key.kernel).collect();
    let kernels: Vec<String> = kernels.into_iter().cloned().collect();
    let of_matrix = |matrix: &str| {
        let mut args = args.clone();
        args.matrix = Some(matrix.to_owned());
        args.select.filter.clone_from(&ids);
        let named = [&mut args.left_open.rerun, &mut args.left_open.resume];
        named.into_iter().flatten().for_each(|named| run.id.clone_into(named));
        if args.kernels.is_empty() && !is_series {
            args.kernels.clone_from(&kernels);
        }
        (args.select.repetitions, args.select.seed) = (repetitions, result.manifest.seed);
        Work::of(folders, &args).map(|work| (args, work, Some(before.clone())))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::run::result;

    #[test]
    fn a_run_of_a_series_goes_on_with_a_series_and_no_other_does() {
        assert!(same_kind("R", true, true).is_ok() && same_kind("R", false, false).is_ok());
        let refused = |was, is| same_kind("R", was, is).unwrap_err().what;
        assert_eq!(refused(true, false), "run R tested a series, and --series is missing");
        assert_eq!(refused(false, true), "run R tested no series");
    }

    #[test]
    fn a_resumed_run_has_one_kernel_and_a_rerun_may_have_a_mended_one() {
        let kernels = result(Vec::new()).manifest.kernels;
        let (name, then) = kernels.first_key_value().expect("a kernel");
        let compare = |resumed, change: fn(&mut KernelNote)| {
            let mut note = then.clone();
            change(&mut note);
            let before = Before { run: "R".to_owned(), kernels: kernels.clone(), resumed };
            let now = Bootable { bzimage: "bzImage".into(), note, _in_use: None };
            before.compare(&[(name.clone(), now)].into())
        };
        let other =
            |note: &mut KernelNote| (note.key, note.image_sha256) = ("x".into(), "1".into());
        let refused = compare(true, other).unwrap_err().to_string();
        assert_eq!(refused, format!("kernel {name} is not that of run R"));
        assert!(compare(false, other).is_ok(), "it is noted");
        assert!(compare(true, |_| {}).is_ok());
        assert!(compare(true, |note| note.image_sha256 = "1".into()).is_ok(), "built again");
        assert!(compare(true, |note| note.key.clear()).is_ok(), "the very image, given");
    }
}
