// SPDX-License-Identifier: MIT OR Apache-2.0
//! One file a command: the order of steps, nothing else. The only room that knows both the rooms
//! that decide and the rooms that touch.

mod attempts;
pub(crate) mod bench;
mod bootable;
mod boots;
pub(crate) mod build_kernel;
pub(crate) mod check_series;
pub(crate) mod compare;
pub(crate) mod coverage;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod history;
pub(crate) mod inject;
mod inputs;
pub(crate) mod kselftest;
pub(crate) mod list;
pub(crate) mod merge;
pub(crate) mod mutants;
mod own;
mod parts;
mod past;
pub(crate) mod plan;
pub(crate) mod prune;
pub(crate) mod report;
mod rig;
pub(crate) mod run_matrix;
pub(crate) mod show;
pub(crate) mod soak;
pub(crate) mod test;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use crate::cli::Places;
use crate::exit::{Exit, Fault};
use crate::host::process;
use crate::kernel::Cache;
use crate::report::Style;
use crate::vm::Stop;

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
    /// Fills what was not given with the defaults.
    ///
    /// # Errors
    /// When no cache folder is given and the environment names none, or there is no current folder.
    pub(crate) fn of(places: &Places) -> anyhow::Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .map(Path::to_owned)
            .ok_or_else(|| Fault::new(Exit::Host, "the xtask crate has no folder above it"))?;
        let or = |given: &Option<PathBuf>, default: &str| match given {
            Some(path) => std::path::absolute(path),
            None => Ok(workspace.join(default)),
        };
        Ok(Self {
            configs: or(&places.configs, "configs")?,
            results: or(&places.results, "results")?,
            cache: match &places.cache {
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

/// The flag that SIGINT and SIGTERM set; programs that run meanwhile are ended when it is.
///
/// # Errors
/// When the signals cannot be caught.
fn stop_on_signals() -> anyhow::Result<Stop> {
    let stop = Stop::on_signals()?;
    let asked = stop.clone();
    process::obey(move || asked.asked());
    Ok(stop)
}

/// Colours for people at a terminal who did not refuse them (<https://no-color.org>).
fn style(stream: impl IsTerminal) -> Style {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Style { colour: stream.is_terminal() && !refused }
}
