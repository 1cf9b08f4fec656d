// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask inspect`: drgn on the dump of a guest's memory, with commands for memcgs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use super::{Folders, bootable, build_kernel, past, repro, shown, user_series};
use crate::cli::{self, Places};
use crate::evidence::store::MEMORY;
use crate::exit::{Exit, Fault};
use crate::host::process::die_with_harness;
use crate::kernel::{Cache, drgn, find_image};
use crate::outcome::Manifest;
use crate::plan::Cell;
use crate::progress::note;
use crate::results::RunFolder;

/// What drgn is started with.
const HELPERS: &str = include_str!("inspect/memcg.py");

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] without such a run, cell or dump; whatever compiling types can fail with.
pub(crate) fn run(places: &Places, args: &cli::Inspect) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    let (earlier, cell, dump) = dumped(&folders, args)?;
    let manifest: Manifest = earlier.read_manifest()?;
    let name = &cell.key.kernel;
    let known = manifest.kernels.get(name);
    let known = known.with_context(|| format!("the run does not say what kernel `{name}` is"))?;
    // The very image: another one has other addresses.
    let kernel = bootable::of_run(&folders, &earlier, name, known)?;
    if known.key.is_empty() {
        let what = format!("kernel `{name}` was given as an image: its structures are unknown");
        return Err(Fault::new(Exit::Usage, what).hint("run it as a kernel of its own").into());
    }
    let cache = Cache::open(&folders.cache)?;
    let (_, image) = find_image(&cache, &known.key).context("the image is gone")?;
    let (python, _used) = drgn::provide(&cache)?;
    let series = user_series::configured(&folders, &args.user_series, &args.build, "default")?;
    let source = args.build.source.as_deref();
    let types = build_kernel::types(&folders, &series.config, name, source, &known.key)?;
    note(&format!("{}: {}", cell.id, shown(&dump)));
    let scratch = tempfile::tempdir().context("making a scratch folder")?;
    let helpers = scratch.path().join("memcg.py");
    fs::write(&helpers, HELPERS)?;
    let mut command = Command::new(python);
    command.env_remove("PYTHONPATH").arg(helpers).arg(&dump);
    command.args(["vmlinux", "System.map"].map(|file| kernel.bzimage.with_file_name(file)));
    command.arg(types).arg(&image.version).args(&args.eval);
    die_with_harness(&mut command, nix::sys::signal::Signal::SIGTERM);
    match command.status().context("starting drgn")?.success() {
        true => Ok(Exit::Ok),
        false => Err(Fault::new(Exit::Unexpected, "drgn ended with an error: see above").into()),
    }
}

/// The run, the cell and the dump that are meant: of a run, or of `repro --dump`.
fn dumped(folders: &Folders, args: &cli::Inspect) -> anyhow::Result<(RunFolder, Cell, PathBuf)> {
    let mut missing = None;
    for results in [folders.results.join(repro::FOLDER), folders.results.clone()] {
        let Ok(run) = RunFolder::open(&results, &args.run) else { continue };
        let found = past::one_cell(&run, &args.cell);
        let id = match found {
            Ok(id) => id,
            Err(error) => {
                missing = missing.or(Some(error));
                continue;
            }
        };
        let newest = run.attempts(&id).into_iter().rfind(|dir| dir.join(MEMORY).exists());
        if let Some(dir) = newest {
            run.check_seal(&dir)?;
            let cell = past::cell(&run, &id)?;
            return Ok((run, cell, dir.join(MEMORY)));
        }
        let what = format!("{id} of run {} left no dump of its memory", run.id);
        let hint = format!("`cargo xtask repro {id} --dump` makes one");
        missing = Some(Fault::new(Exit::Usage, what).hint(hint).into());
    }
    Err(missing
        .unwrap_or_else(|| Fault::new(Exit::Usage, format!("there is no run {}", args.run)).into()))
}
