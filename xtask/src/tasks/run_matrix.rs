// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask run-matrix`: plan, kernels, VMs, verdicts, results, report. The main job.

use super::left_open;
use super::parts::{self, Record, Work};
use super::past::Past;
use super::run::{Run, Spec, Start};
use super::{Folders, bootable, conclude, exec, print_ids, reach, rig, selection, user_series};
use crate::cli::{self, Places};
use crate::exit::Exit;
use crate::plan::Selection;
use crate::progress::note;
use crate::vm::guest_binary;

/// What the cells of a series may take by default, minutes.
const MINUTES: u32 = 3;

/// Whether cells are chosen for the series: the user named none.
fn chooses(args: &cli::RunMatrix) -> bool {
    let program = !args.exec.exec.is_empty();
    let named = program || args.matrix.is_some() || !args.select.filter.is_empty();
    !named && !args.rounds.shuffle && args.partition.partition.is_none()
}

/// In what a run of these arguments is less, or something else, than all of its matrix.
fn narrowed(args: &cli::RunMatrix) -> Vec<String> {
    let cli::RunMatrix { select, kernels, exec, vms, left_open, .. } = args;
    let open = [("--rerun", &left_open.rerun), ("--resume", &left_open.resume)];
    let of_run = |(word, run): (&str, &Option<String>)| Some(format!("{word}={}", run.as_ref()?));
    let mut narrowed: Vec<String> = open.into_iter().filter_map(of_run).collect();
    if narrowed.is_empty() {
        narrowed = parts::narrowed(&select.filter, selection(select).repetitions);
    }
    narrowed.extend(left_open.max_fail.map(|most| format!("--max-fail {most}")));
    let retries = left_open.retries;
    narrowed.extend((retries != 1).then(|| format!("--retries {retries}")));
    narrowed.extend(kernels.iter().map(|kernel| format!("kernel {kernel}")));
    narrowed.extend(exec.exec.first().map(|program| format!("program {program:?}")));
    narrowed.extend(vms.guests.images.iter().map(|(kernel, _)| format!("image of {kernel}")));
    narrowed
}

/// The arguments, with the series of the kernel tree that the command is called in, and the words
/// that would have said the same.
fn in_this_tree(
    folders: &Folders,
    args: &cli::RunMatrix,
) -> anyhow::Result<(cli::RunMatrix, Vec<String>)> {
    let mut args = args.clone();
    let named = [
        ("--kernel", !args.kernels.is_empty()),
        ("--image", !args.vms.guests.images.is_empty()),
        ("--partition", args.partition.partition.is_some()),
        ("--night", args.partition.night),
    ];
    let named = named.into_iter().find_map(|(option, given)| given.then_some(option));
    let (series, build) = (&args.user_series, &args.build);
    let mut words = Vec::new();
    if let Some((series, build)) = user_series::of_this_tree(folders, named, series, build)? {
        let base = series.base.clone().filter(|_| args.user_series.base.is_none());
        let said = [("--series", &series.series), ("--base", &base), ("--source", &build.source)];
        for (option, value) in said {
            words.extend(value.iter().flat_map(|value| [option.to_owned(), value.clone()]));
        }
        (args.user_series, args.build) = (series, build);
    }
    Ok((args, words))
}

/// Runs the command.
///
/// # Errors
/// Configuration, kernels and host, each with its code; what a cell does is no error.
pub(crate) fn run(places: &Places, args: &cli::RunMatrix) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    let (args, of_tree) = &in_this_tree(&folders, args)?;
    let (args, work, before) = &left_open::work(&folders, args)?;
    let Work { config, matrix, seed, cells, record, program } = work;
    if args.dry_run {
        return print_ids(cells);
    }
    let mut cells = cells.clone();
    let start = Start::new(args.build.install)?;
    let names = cells.iter().map(|cell| &cell.key.kernel).collect();
    let (keys, images) = (work.keys(), &args.vms.guests.images);
    let kernels = bootable::kernels(&folders, config, &names, &keys, images, &args.build)?;
    before.as_ref().map_or(Ok(()), |before| before.compare(&kernels))?;
    let results = work.results(&folders);
    let baseline = matrix.baseline.as_deref();
    let reach = reach::find(&folders, config, baseline, &kernels, &args.build);
    if let Some(reach) = reach.as_ref().filter(|_| chooses(args)) {
        let jobs = rig::jobs(args.vms.jobs, &cells)?;
        let budget_ms = u64::from(args.rounds.minutes.unwrap_or(MINUTES)) * 60_000 * jobs as u64;
        cells.extend(reach::choose(
            &folders,
            config,
            matrix,
            (reach, &kernels[&reach.baseline].note.key),
            &cells,
            &selection(&args.select),
            budget_ms,
        )?);
    }
    let cells = cells.as_slice();
    let spec = Spec::of(&args.vms, cells, &results, matrix, *seed)?;
    let mut run = Run::begin(start, &folders, config, kernels, spec)?;
    if let Some(program) = program {
        exec::keep(program, &run.folder)?;
        let guest = &run.ready.binaries.guest;
        run.ready.rig.initramfs = guest_binary::pack_with(guest, &program.tree, &folders.cache)?;
    }
    (run.unexpected_max, run.retries) = (args.left_open.max_fail, args.left_open.retries);
    run.asked(args.partition.night, narrowed(args), of_tree.clone())?;
    run.watch(reach)?;
    if let Some(record) = record {
        run.folder.write_json(parts::RECORD, record)?;
        run.past = Past::of_part(record.part());
    }
    let (ran, planned) = match args.rounds.shuffle {
        false => (run.cells(cells)?, cells.len()),
        true => {
            let once = Selection { repetitions: Some(1), ..selection(&args.select) };
            let ran = run.rounds(matrix, &once, &args.rounds)?;
            let planned = ran.len();
            (ran, planned)
        }
    };
    let (folder, result) = run.result(ran, planned)?;
    let exit = conclude::matrix(&folder, &folders.cache, &result)?;
    if let Some(Record { part, plan }) = record {
        note(&format!("part {part} of {}: `cargo xtask merge` joins all parts", plan.count()));
    }
    Ok(exit)
}
