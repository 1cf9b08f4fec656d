// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask shell`: a shell in a guest, in the memcgs of a cell if one is named, with the cells
//! of its kernel as commands.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use protocol::{CellRequest, SHELL_CELL, SHELL_CELLS};

use super::bootable::{self, Bootable};
use super::run::Start;
use super::{Folders, inputs, past, repro, rig};
use crate::cli::{self, Places};
use crate::config::Config;
use crate::exit::{Exit, Fault};
use crate::plan::{self, Cell, Selection};
use crate::progress::note;
use crate::results::RunFolder;
use crate::vm::initramfs::{Node, Tree};
use crate::vm::{exec, guest_binary, terminal};

/// The kernel without a word.
const KERNEL: &str = "baseline";
/// The matrix whose cells the shell can run.
const MATRIX: &str = "full";

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] for a kernel, run or cell that is not there; whatever a build or QEMU can fail
/// with.
pub(crate) fn run(places: &Places, args: &cli::Shell) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    let config = inputs::read(&folders.configs)?;
    let start = Start::new(args.build.install)?;
    let stored = args.cell.as_ref().map(|part| -> anyhow::Result<_> {
        let run = RunFolder::open(&folders.results, &args.run)?;
        let cell = past::cell(&run, &past::one_cell(&run, part)?)?;
        Ok((run, cell))
    });
    let stored = stored.transpose()?;
    let (name, kernel) = match (&args.kernel, &stored) {
        (None, Some((run, cell))) => {
            (cell.key.kernel.clone(), repro::kernel(&folders, run, cell, None)?)
        }
        (name, _) => {
            let name = name.as_deref().unwrap_or(KERNEL).to_owned();
            let kernel = built(&folders, &config, &name, args)?;
            (name, kernel)
        }
    };
    let known = cells(&config, &name)?;
    let cell = stored.as_ref().map(|(_, cell)| cell);
    let shape = &cell.or(known.first()).context("no cell runs on this kernel")?.vm;
    let mut tree = exec::shell(args.build.install)?;
    let packed = known.iter().chain(cell).map(|cell| (&cell.id, &cell.request));
    for (id, request) in packed {
        tree.insert(format!("{SHELL_CELLS}/{id}.json"), json(request)?);
    }
    if let Some(cell) = cell {
        tree.insert(SHELL_CELL.to_owned(), json(&cell.request)?);
    }
    tree.extend(commands());
    let mut rig = rig::prepare(&folders, &kernel.bzimage, args.accel, &start.stop)?;
    let guest = &rig.binaries.guest;
    rig.rig.initramfs = guest_binary::pack_with(guest, &tree, &folders.cache)?;
    note(&format!("{name}: Ctrl-D ends the shell and the VM"));
    let words = terminal::for_shell(&rig.rig, "shell", shape, &kernel.bzimage, &environment())?;
    let scratch = tempfile::tempdir().context("making a scratch folder")?;
    terminal::run(&words, scratch.path(), &start.stop)
}

/// A kernel of `configs/kernels`, or the image that is given for it.
fn built(
    folders: &Folders,
    config: &Config,
    name: &String,
    args: &cli::Shell,
) -> anyhow::Result<Bootable> {
    if let Some(image) = &args.image {
        return bootable::foreign(image);
    }
    config.kernel(name)?;
    let names = BTreeSet::from([name]);
    let mut kernels =
        bootable::kernels(folders, config, &names, &BTreeMap::new(), &[], &args.build)?;
    kernels.remove(name).with_context(|| format!("no image of {name}"))
}

/// The cells of a kernel, if the configs know it: a user's series has only the cell of its run.
fn cells(config: &Config, kernel: &str) -> Result<Vec<Cell>, Fault> {
    if !config.kernels.contains_key(kernel) {
        return Ok(Vec::new());
    }
    let mut matrix = config.matrix(MATRIX)?.clone();
    (matrix.baseline, matrix.kernels) = (None, vec![kernel.to_owned()]);
    plan::plan(config, &matrix, &Selection { repetitions: Some(1), ..Selection::default() })
}

fn json(request: &CellRequest) -> anyhow::Result<Node> {
    Ok(Node::File(serde_json::to_vec_pretty(request)?))
}

/// Commands beside those of busybox.
fn commands() -> Tree {
    let enter = include_bytes!("shell/enter.sh").to_vec();
    Tree::from([
        ("/bin/memcg-guest".to_owned(), Node::Link("/init".to_owned())),
        ("/bin/enter".to_owned(), Node::Program(enter)),
    ])
}

/// What the shell must know of this terminal; the kernel hands such words to PID 1.
fn environment() -> Vec<String> {
    let fits = |term: &String| term.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let term = std::env::var("TERM").ok().filter(fits).map(|term| format!("TERM={term}"));
    let size = terminal_size::terminal_size()
        .map(|(columns, lines)| [format!("COLUMNS={}", columns.0), format!("LINES={}", lines.0)]);
    term.into_iter().chain(size.into_iter().flatten()).collect()
}
