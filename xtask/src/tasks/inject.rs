// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask inject`: each charge of some system calls is made to find its memcg at the limit, and
//! a table says what came of it with and without the series.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::rig;
use super::{Folders, bootable, inputs, stop_on_signals};
use crate::cli::{self, Places};
use crate::config::MAINLINE;
use crate::exit::{Exit, Fault};
use crate::plan;
use crate::progress::{Step, print};
use crate::report::{self, InjectColumn, InjectResult};
use crate::results::RunFolder;
use crate::verdict;
use crate::vm;
use crate::vm::cell::{Begin, Job};

/// Where under the results the table and its evidence are kept.
pub(super) const FOLDER: &str = "inject";

/// Attempts at a cell: an emulator breaks about one boot in fifty.
const ATTEMPTS: u32 = 2;

/// Fails the charges, prints the table and keeps it with the evidence.
///
/// # Errors
/// As `run-matrix`; [`Exit::Unexpected`] when a cell proves nothing.
pub(crate) fn run(places: &Places, args: &cli::Inject) -> anyhow::Result<Exit> {
    let cli::Inject { matrix, kernels: only, accel, build } = args;
    let folders = Folders::of(places)?;
    let config = inputs::read(&folders.configs)?;
    let cells = plan::inject_cells(&config, config.matrix(matrix)?, only)?;
    let names: BTreeSet<&String> = cells.iter().map(|cell| &cell.kernel).collect();
    let stop = stop_on_signals()?;
    rig::provide(build.install)?;
    let kernels = bootable::kernels(&folders, &config, &names, &[], build)?;
    let bzimages: BTreeMap<&String, &PathBuf> =
        kernels.iter().map(|(name, kernel)| (name, &kernel.bzimage)).collect();
    let first = bzimages.values().next().ok_or_else(|| {
        Fault::new(Exit::Usage, format!("matrix `{matrix}` has no kernels to try it on"))
    })?;
    let ready = rig::prepare(&folders, first, *accel, &stop)?;

    let started = jiff::Timestamp::now();
    let folder = RunFolder::begin(&folders.results.join(FOLDER), started)?;
    let manifest = bootable::manifest(&ready, &kernels, matrix, 0, 1, started)?;
    let mut result = InjectResult { manifest, columns: Vec::new() };
    let step = Step::begin("inject", Some(cells.len() as u64));
    for (at, cell) in cells.iter().enumerate() {
        step.at(at as u64, &cell.id);
        let policies = &config.kernel(&cell.kernel)?.policies;
        let policy = policies.iter().find(|policy| policy.name == cell.policy);
        let overcharges = policy.is_some_and(|policy| policy.expects_as != MAINLINE);
        let job =
            Job { id: &cell.id, vm: &cell.vm, request: &cell.request, deadline: cell.deadline };
        let mut sites = Err("no attempt".to_owned());
        for number in 1..=ATTEMPTS {
            let dir = folder.attempt(&cell.id, number);
            let begin = Begin::Boot(bzimages[&cell.kernel]);
            let evidence = vm::cell::run_job(&ready.rig, job, begin, &dir, &stop);
            sites = verdict::sites(&evidence, overcharges);
            if sites.is_ok() || stop.asked() {
                break;
            }
        }
        if stop.asked() {
            return Err(Fault::new(Exit::Interrupted, "stopped").into());
        }
        let sites = sites.map_err(|why| {
            Fault::new(Exit::Unexpected, format!("{}: {why}", cell.id))
                .hint(format!("its evidence is in {}", folder.dir().display()))
        })?;
        let (kernel, policy) = (cell.kernel.clone(), cell.policy.clone());
        result.columns.push(InjectColumn { kernel, policy, sites });
    }
    step.end(&format!("{} cells", cells.len()));
    let text = report::injected(&result.columns);
    folder.write_result(&result, &text)?;
    print(&text)?;
    print(format_args!("\nkept in {}\n", folder.dir().display()))?;
    let explained =
        result.columns.iter().flat_map(|column| &column.sites).all(|site| site.explained);
    Ok(if explained { Exit::Ok } else { Exit::Unexpected })
}
