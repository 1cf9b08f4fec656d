// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask inject`: makes each charge of some system calls find its memcg at the limit, and
//! tabulates the outcome with and without the series.

use std::collections::{BTreeMap, BTreeSet};

use super::run::{Run, Spec, Start};
use super::{Folders, bootable, conclude, inputs};
use crate::cli::{self, Places};
use crate::config::MAINLINE;
use crate::evidence::Seen;
use crate::exit::{Exit, Fault};
use crate::plan::{self, BareCell};
use crate::progress::Step;
use crate::report::{self, InjectColumn, InjectResult};
use crate::verdict;
use crate::vm;
use crate::vm::cell::Begin;
use crate::vm::rig::Job;

/// Folder of its run folders, below the results.
pub(super) const FOLDER: &str = "inject";

/// Attempts at a cell: the emulator breaks about one boot in fifty.
const ATTEMPTS: u32 = 2;

/// Fails the charges, prints the table and keeps it with the evidence.
///
/// # Errors
/// As `run-matrix`; [`Exit::Unexpected`] when a cell proves nothing.
pub(crate) fn run(places: &Places, args: &cli::Inject) -> anyhow::Result<Exit> {
    let cli::Inject { matrix, kernels: only, guests, build } = args;
    let cli::Guests { accel, images } = guests;
    let folders = Folders::of(places)?;
    let config = inputs::read(&folders.configs)?;
    let cells = plan::inject_cells(&config, config.matrix(matrix)?, only)?;
    let names: BTreeSet<&String> = cells.iter().map(|cell| &cell.kernel).collect();
    let Some(probe) = names.first() else {
        let what = format!("matrix `{matrix}` has no kernels to run on");
        return Err(Fault::new(Exit::Usage, what).into());
    };
    let start = Start::new(build.install)?;
    let kernels = bootable::kernels(&folders, &config, &names, &BTreeMap::new(), images, build)?;
    let results = &folders.results.join(FOLDER);
    let (seed, accel, jobs, snapshots) = (0, *accel, 1, false);
    let spec = Spec { results, matrix, baseline: None, seed, accel, probe, jobs, snapshots };
    let run = Run::begin(start, &folders, &config, kernels, spec)?;
    let columns = columns(&run, &cells);
    // A run that was stopped is complete too, as far as it went: its manifest says so.
    let (folder, manifest) = run.finish()?;
    let columns = columns?;
    let result = InjectResult { manifest, columns };
    folder.write_result(&result)?;
    conclude::report(&folder, |place, _| {
        format!("{}\nkept in {place}\n", report::injected(&result.columns))
    })?;
    let explained =
        result.columns.iter().flat_map(|column| &column.sites).all(|site| site.explained);
    Ok(conclude::exit(false, explained))
}

/// What each cell shows.
///
/// # Errors
/// [`Exit::Interrupted`]; [`Exit::Unexpected`] when a cell proves nothing.
fn columns(run: &Run<'_>, cells: &[BareCell]) -> anyhow::Result<Vec<InjectColumn>> {
    let mut columns = Vec::new();
    let step = Step::begin("inject", Some(cells.len() as u64));
    for (at, cell) in cells.iter().enumerate() {
        step.at(at as u64, &cell.id);
        let policies = &run.config.kernel(&cell.kernel)?.policies;
        let policy = policies.iter().find(|policy| policy.name == cell.policy);
        let overcharges = policy.is_some_and(|policy| policy.expects_as != MAINLINE);
        let job =
            Job { id: &cell.id, vm: &cell.vm, request: &cell.request, deadline: cell.deadline };
        let mut sites = Err("no attempt".to_owned());
        for number in 1..=ATTEMPTS {
            let dir = run.folder.attempt(&cell.id, number);
            let begin = Begin::Boot(&run.kernels[&cell.kernel].bzimage);
            let evidence = vm::cell::run(&run.ready.rig, job, begin, &dir, &run.stop);
            sites = verdict::sites(&Seen::of(&evidence), overcharges);
            if sites.is_ok() || run.stop.asked() {
                break;
            }
        }
        if run.stop.asked() {
            return Err(Fault::new(Exit::Interrupted, "stopped").into());
        }
        let sites = sites.map_err(|why| {
            Fault::new(Exit::Unexpected, format!("{}: {why}", cell.id))
                .hint(format!("its evidence is in {}", run.folder.dir().display()))
        })?;
        let (kernel, policy) = (cell.kernel.clone(), cell.policy.clone());
        columns.push(InjectColumn { kernel, policy, sites });
    }
    step.end(&format!("{} cells", cells.len()));
    Ok(columns)
}
