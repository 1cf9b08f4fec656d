// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask repro`: one cell of an earlier run again, on the same image and with the same
//! requests; or stopped at its first instruction, for gdb.

mod replay;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use std::sync::Arc;

use anyhow::Context as _;
use nix::sys::stat::Mode;

use super::bootable::{self, Bootable};
use super::run::{Run, Spec, Start};
use super::{Folders, conclude, inputs, past, print_report, rig, shown, symbols};
use crate::cli::{self, AccelChoice, Places};
use crate::evidence::{Seen, store};
use crate::exit::{Exit, Fault};
use crate::host::file;
use crate::outcome::{CellResult, Manifest, RunResult};
use crate::plan::Cell;
use crate::progress::{note, print};
use crate::report;
use crate::results::RunFolder;
use crate::vm;
use crate::vm::rig::{Dumps, Job};
use crate::vm::terminal;

/// Folder of its run folders, below the results.
pub(super) const FOLDER: &str = "repro";
/// Beside a `vmlinux`: what gdb loads with it.
const SCRIPTS: &str = "vmlinux-gdb.py";

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] for a run, cell or kernel that is not there; whatever VMs can fail with.
pub(crate) fn run(places: &Places, args: &cli::Repro) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    if args.replay {
        return replay::run(&folders, args);
    }
    let earlier = RunFolder::open(&folders.results, &args.run)?;
    let mut cell = past::cell(&earlier, &past::one_cell(&earlier, &args.cell)?)?;
    // Cell and kernel are those of the seals.
    earlier.attempts(&cell.id).iter().try_for_each(|dir| earlier.check_seal(dir))?;
    if cell.request.program.is_some() {
        let what = format!("{}: the program of --exec is not run again by this command", cell.id);
        let hint = format!("`cargo xtask show {} --run {}` has the command", cell.id, args.run);
        return Err(Fault::new(Exit::Usage, what).hint(hint).into());
    }
    let kernel = kernel(&folders, &earlier, &cell, args.image.as_deref())?;
    let start = Start::new(false)?;
    if args.gdb {
        return debugged(&folders, args, &cell, &kernel, &start);
    }
    if args.record {
        // One CPU, and a guest's time that does not depend on the host's.
        (cell.vm.cpus, cell.vm.counted) = (1, true);
    }
    let cells = cell.repeated(args.times);
    let config = inputs::read(&folders.configs)?;
    let results = &folders.results.join(FOLDER);
    let spec = Spec {
        results,
        matrix: "repro",
        baseline: None,
        seed: 0,
        accel: if args.record { emulated(args.accel)? } else { args.accel },
        probe: &cell.key.kernel,
        jobs: rig::jobs(Some(args.jobs), &cells)?,
        snapshots: false,
    };
    let kernels = BTreeMap::from([(cell.key.kernel.clone(), kernel)]);
    let mut run = Run::begin(start, &folders, &config, kernels, spec)?;
    if args.dump {
        run.ready.rig.dumps = Arc::new(Dumps::new(args.times, true));
    }
    if args.record {
        run.ready.rig.accel = vm::Accel::Recording;
        run.manifest.accelerator = run.ready.rig.accel.to_string();
        run.folder.write_manifest(&run.manifest)?;
    }
    let mut first = run.first(&cells, None)?;
    let ran = cells.iter().filter_map(|cell| {
        let first = first.remove(&cell.id)?;
        Some(CellResult { cell: cell.clone(), first, again: None })
    });
    let (folder, result) = run.result(ran.collect(), cells.len())?;
    folder.write_result(&result)?;
    conclude::report(&folder, |place, style| {
        let each = report::repeated(&result.cells, style);
        format!("{each}evidence: {place}\n")
    })?;
    say_more(&folders, &folder, &result)?;
    Ok(conclude::exit(result.manifest.interrupted, result.totals.good()))
}

/// Prints what `show` says of a single attempt, and the script that runs the first.
fn say_more(folders: &Folders, folder: &RunFolder, result: &RunResult) -> anyhow::Result<()> {
    if let [only] = result.cells.as_slice() {
        let dir = folder.dir().join(&only.first.folder);
        let evidence = past::evidence(folder, &dir)?;
        let (run, place) = (&result.manifest, past::place(&dir, &only.cell.id));
        let series = folder.series();
        let (kernel, seen) = (&only.cell.key.kernel, Seen::of(&evidence));
        symbols::if_wanted(&folders.cache, run, kernel, &seen, |symbols| {
            print_report(|style| {
                report::show(run, only, &evidence, symbols, (&place, series.as_deref()), style)
            })
        })?;
    }
    if let Some(ran) = result.cells.first() {
        let script = folder.dir().join(&ran.first.folder).join(store::CMDLINE);
        let text = file::text(&script)?;
        let text = vm::cell::by_hand(&text).unwrap_or_default();
        print(format_args!("\nwithout this project (sh {}):\n{text}", shown(&script)))?;
    }
    Ok(())
}

/// The image that the cell ran on, or the one that was given.
pub(super) fn kernel(
    folders: &Folders,
    earlier: &RunFolder,
    cell: &Cell,
    image: Option<&Path>,
) -> anyhow::Result<Bootable> {
    if let Some(image) = image {
        return bootable::foreign(image);
    }
    let manifest: Manifest = earlier.read_manifest()?;
    let name = &cell.key.kernel;
    let note = manifest.kernels.get(name).ok_or_else(|| {
        Fault::new(Exit::Usage, format!("run {} does not say what kernel `{name}` is", earlier.id))
            .hint("give one with --image")
    })?;
    bootable::of_run(folders, earlier, name, note)
}

/// Only QEMU's emulation records.
fn emulated(asked: AccelChoice) -> Result<AccelChoice, Fault> {
    match asked {
        AccelChoice::Auto | AccelChoice::Tcg => Ok(AccelChoice::Tcg),
        AccelChoice::Kvm => {
            let what = "--record: QEMU cannot record under KVM";
            Err(Fault::new(Exit::Usage, what).hint("leave out --accel kvm"))
        }
    }
}

/// Runs the VM on this terminal until it ends. It waits for gdb, whose command line is printed.
fn debugged(
    folders: &Folders,
    args: &cli::Repro,
    cell: &Cell,
    kernel: &Bootable,
    start: &Start,
) -> anyhow::Result<Exit> {
    let rig = rig::prepare(folders, &kernel.bzimage, args.accel, &start.stop)?.rig;
    let scratch = tempfile::tempdir().context("making a scratch folder")?;
    let _port = port(scratch.path(), &cell.request).context("making the guest's port")?;
    // Not a TCP port: on a shared machine anyone could take the guest over.
    let socket = scratch.path().join("gdb");
    let at = socket.to_str().context("the scratch folder's path is not UTF-8")?;
    let words = terminal::for_gdb(&rig, &Job::of(cell), &kernel.bzimage, at)?;
    say_gdb(&kernel.bzimage, at, args.breakpoint.as_deref());
    terminal::run(&words, scratch.path(), &start.stop)
}

/// Prints the command line of gdb for the VM at this socket.
fn say_gdb(bzimage: &Path, at: &str, breakpoint: Option<&str>) {
    let mut gdb = format!("gdb -ex 'target remote {at}'");
    if let Some(function) = breakpoint {
        gdb.push_str(&format!(" -ex 'hbreak {function}' -ex continue"));
    }
    match vmlinux(bzimage) {
        Some(vmlinux) => {
            // The kernel's own commands (lx-ps, lx-dmesg), where CONFIG_GDB_SCRIPTS built them.
            if let Some(folder) = vmlinux.parent().filter(|it| it.join(SCRIPTS).exists()) {
                gdb.push_str(&format!(" -iex 'add-auto-load-safe-path {}'", folder.display()));
            }
            gdb.push_str(&format!(" {}", vmlinux.display()));
        }
        None => note("note: no vmlinux beside the image: gdb will know no names"),
    }
    note(&format!("the VM waits for gdb; Ctrl-C ends it. In a second terminal:\n  {gdb}"));
}

/// The `vmlinux` of an image: beside it, as in the cache, or at the root of its tree.
fn vmlinux(bzimage: &Path) -> Option<PathBuf> {
    let folders = [bzimage.parent(), bzimage.ancestors().nth(4)];
    folders.into_iter().flatten().map(|it| it.join("vmlinux")).find(|it| it.exists())
}

/// Makes the ends of the guest's port, with its request in one. Kept open, that is a port that
/// nobody has closed.
fn port(folder: &Path, request: &protocol::CellRequest) -> anyhow::Result<File> {
    let order = protocol::Order { wall_clock_us: None, nonce: 0, request: request.clone() };
    let path = folder.join("port.in");
    nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let mut fifo = File::options().read(true).write(true).open(&path)?;
    writeln!(fifo, "{}", serde_json::to_string(&order)?)?;
    File::create(folder.join("port.out"))?;
    Ok(fifo)
}
