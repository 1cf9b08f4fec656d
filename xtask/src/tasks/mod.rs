// SPDX-License-Identifier: MIT OR Apache-2.0
//! One file per command: the order of steps, nothing else. The only room that knows both the rooms
//! that decide and the rooms that touch the world.

mod attempts;
pub(crate) mod bench;
pub(crate) mod bisect;
mod bootable;
mod boots;
pub(crate) mod build_kernel;
pub(crate) mod check_series;
pub(crate) mod command_line;
pub(crate) mod compare;
mod conclude;
pub(crate) mod cover_letter;
pub(crate) mod coverage;
pub(crate) mod digest;
pub(crate) mod doctor;
mod doctor_kvm;
mod exec;
pub(crate) mod export;
#[cfg(test)]
mod fuzz;
pub(crate) mod history;
mod html;
pub(crate) mod inject;
mod inputs;
pub(crate) mod inspect;
pub(crate) mod kselftest;
mod kvm_proof;
mod left_open;
pub(crate) mod list;
pub(crate) mod manual;
pub(crate) mod merge;
pub(crate) mod mutants;
mod nights;
mod parts;
mod past;
pub(crate) mod plan;
mod proven;
pub(crate) mod prune;
mod prune_cache;
mod reach;
pub(crate) mod reach_map;
pub(crate) mod report;
pub(crate) mod repro;
mod rig;
mod rounds;
mod run;
pub(crate) mod run_matrix;
mod running;
pub(crate) mod shell;
pub(crate) mod show;
mod symbols;
pub(crate) mod test;
pub(crate) mod tonight;
mod user_series;

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::chance;
use crate::cli::{self, Places};
use crate::exit::{Exit, Fault};
use crate::kernel::Cache;
use crate::plan::{Cell, Selection};
use crate::progress::{self, print};
use crate::report::Style;

/// The folders a task works with, all absolute.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    /// The checkout.
    pub(crate) workspace: PathBuf,
    /// Bases, kernels, fragments, scenarios, matrices.
    pub(crate) configs: PathBuf,
    /// Run folders.
    pub(crate) results: PathBuf,
    /// Sources, trees, images, tools, disks.
    pub(crate) cache: PathBuf,
}

impl Folders {
    /// The folders that were given, and defaults for the others.
    ///
    /// # Errors
    /// If neither command line nor environment names a cache, or there is no current folder.
    pub(crate) fn of(places: &Places) -> anyhow::Result<Self> {
        let workspace = workspace()?;
        let or = |given: &Option<PathBuf>, default: &str| match given {
            Some(path) => std::path::absolute(path),
            None => Ok(workspace.join(default)),
        };
        Ok(Self {
            configs: or(&places.configs, "configs")?,
            results: or(&places.results, "results")?,
            cache: match &places.cache {
                Some(path) if path.as_os_str().is_empty() => {
                    return Err(Fault::new(Exit::Usage, "--cache needs a folder")
                        .hint("only `cargo xtask prune` takes it without one")
                        .into());
                }
                Some(path) => std::path::absolute(path)?,
                None => {
                    let variable = |name| std::env::var_os(name);
                    Cache::default_root(variable("XDG_CACHE_HOME"), variable("HOME"))?
                }
            },
            workspace,
        })
    }
}

/// The checkout that this command is about.
fn workspace() -> Result<PathBuf, Fault> {
    let by_cargo = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = std::env::current_dir().unwrap_or_default();
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR"));
    checkout(by_cargo.as_deref(), &here, built_in).ok_or_else(|| {
        Fault::new(Exit::Usage, "the checkout that this program was built in is gone")
            .hint("call `cargo xtask` in a checkout")
    })
}

/// The checkout of the manifest that cargo names at run time. Where the program was called without
/// cargo, the one around the current folder. Only then the one it was built in, which may be
/// another: one that was copied, or shares its target folder.
fn checkout(by_cargo: Option<&Path>, here: &Path, built_in: &Path) -> Option<PathBuf> {
    let is_checkout = |place: &&Path| place.join("xtask/Cargo.toml").is_file();
    let around = || here.ancestors().find(is_checkout);
    let place = by_cargo.and_then(Path::parent).filter(is_checkout).or_else(around);
    place.or_else(|| built_in.parent().filter(is_checkout)).map(Path::to_owned)
}

/// Colours as `--color` says; else none with `NO_COLOR` (<https://no-color.org>), always with
/// `CLICOLOR_FORCE` (<https://bixense.com/clicolors>), or on a terminal. As wide as the terminal
/// is, or `COLUMNS` says; what goes elsewhere is not folded.
fn style(stream: impl IsTerminal + AsFd) -> Style {
    let variable = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    let usual = !variable("NO_COLOR") && (forced || stream.is_terminal());
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let found = || terminal_size::terminal_size_of(&stream).map(|(width, _)| width.0.into());
    let columns = said.or_else(found).filter(|columns| *columns > 0);
    Style { colour: progress::shown().colour.unwrap_or(usual), columns }
}

/// Prints a report, folded to the width that there is.
///
/// # Errors
/// A standard output that cannot be written to.
fn print_report(text: impl FnOnce(Style) -> String) -> anyhow::Result<()> {
    let style = style(std::io::stdout());
    print(style.folded(&text(style)))
}

/// A message for stderr, folded to the width that there is.
pub(crate) fn folded(text: &str) -> String {
    style(std::io::stderr()).folded(text)
}

/// A path below the current folder, relative to it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// Asks on the terminal whether these may go.
///
/// # Errors
/// [`Exit::Usage`] without one.
fn agreed(which: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        let what = format!("{which} would be removed, but there is no terminal to ask on");
        return Err(Fault::new(Exit::Usage, what).hint("--yes removes them").into());
    }
    print(format_args!("remove {which}? [y/N] "))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What `--dry-run` does: prints the cells and stops.
///
/// # Errors
/// A standard output that cannot be written to.
fn print_ids(cells: &[Cell]) -> anyhow::Result<Exit> {
    cells.iter().try_for_each(|cell| print(format_args!("{}\n", cell.id)))?;
    Ok(Exit::Ok)
}

/// The selection that a command line asks for.
fn selection(select: &cli::Select) -> Selection {
    let cli::Select { filter, repetitions, confidence, seed } = select;
    Selection {
        filters: filter.clone(),
        repetitions: repetitions.or(confidence.map(|percent| chance::repetitions(percent / 100.0))),
        run_seed: *seed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_about_the_checkout_it_is_called_in() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other, gone] = ["one", "other", "gone"].map(|name| folder.path().join(name));
        for place in [&one, &other] {
            std::fs::create_dir_all(place.join("xtask")).unwrap();
            std::fs::create_dir_all(place.join("docs")).unwrap();
            std::fs::write(place.join("xtask/Cargo.toml"), "").unwrap();
        }
        let built_in = one.join("xtask");
        let of = |by_cargo: Option<&Path>, here: &Path| {
            checkout(by_cargo.map(|it| it.join("xtask")).as_deref(), here, &built_in)
        };
        assert_eq!(of(Some(&other), folder.path()).as_ref(), Some(&other), "cargo says so");
        assert_eq!(of(None, &other.join("docs")).as_ref(), Some(&other), "without cargo");
        assert_eq!(of(Some(&gone), &other).as_ref(), Some(&other), "cargo of something else");
        assert_eq!(of(None, folder.path()).as_ref(), Some(&one), "called in no checkout");
        std::fs::remove_dir_all(&one).unwrap();
        assert_eq!(of(None, folder.path()), None);
    }
}
