// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask list`: cells of a matrix, scenarios, matrices, kernels, runs.

use super::{Folders, inputs, print_ids, proven, selection};
use crate::cli::{self, Listed, Places};
use crate::config::Config;
use crate::exit::Exit;
use crate::plan::{self, Selection};
use crate::progress::print;
use crate::report;
use crate::results::{self, RunFolder};

/// Runs the command.
///
/// # Errors
/// Configuration that does not parse; a results folder that cannot be read.
pub(crate) fn run(places: &Places, args: &cli::List) -> anyhow::Result<Exit> {
    let cli::List { what, matrix, select } = args;
    let folders = Folders::of(places)?;
    match what {
        Listed::Runs => runs(&folders)?,
        Listed::Cells => {
            let config = inputs::read(&folders.configs)?;
            print_ids(&plan::plan(&config, config.matrix(matrix)?, &selection(select))?)?;
        }
        Listed::Scenarios => {
            for scenario in inputs::read(&folders.configs)?.scenarios.values() {
                print(format_args!("{:20} {}\n", scenario.name, scenario.title))?;
            }
        }
        Listed::Matrices => matrices(&inputs::read(&folders.configs)?)?,
        Listed::Kernels => kernels(&inputs::read(&folders.configs)?)?,
    }
    Ok(Exit::Ok)
}

fn matrices(config: &Config) -> anyhow::Result<()> {
    for (name, matrix) in &config.matrices {
        let cells = plan::plan(config, matrix, &Selection::default())?.len();
        let kernels = matrix.kernels.join(", ");
        print(format_args!("{name:14} {:10} {kernels}\n", report::plural(cells, "cell")))?;
    }
    Ok(())
}

fn kernels(config: &Config) -> anyhow::Result<()> {
    for kernel in config.kernels.values() {
        let policies: Vec<&str> =
            kernel.policies.iter().map(|policy| policy.name.as_str()).collect();
        let series =
            kernel.series.as_ref().map_or("-".to_owned(), |path| path.display().to_string());
        print(format_args!(
            "{:26} {:6} {series:24} {}\n",
            kernel.name,
            kernel.base,
            policies.join(", ")
        ))?;
    }
    Ok(())
}

fn runs(folders: &Folders) -> anyhow::Result<()> {
    for name in results::runs(&folders.results)? {
        // A run of another version is listed too: the list is how it is found.
        match proven::proven(&RunFolder::open(&folders.results, &name)?) {
            Ok(result) => {
                let totals = &result.totals;
                let cells = match totals.ran == totals.planned {
                    true => totals.ran.to_string(),
                    false => format!("{} of {}", totals.ran, totals.planned),
                };
                let interrupted = if result.manifest.interrupted { ", interrupted" } else { "" };
                let missing =
                    result.manifest.missing().map_or(String::new(), |it| format!(", {it}"));
                let regressed = match totals.regressed {
                    0 => String::new(),
                    regressed => format!(", {regressed} REGRESSED"),
                };
                print(format_args!(
                    "{name:24} {:12} {cells} cells, {} as expected{regressed}{missing}{interrupted}\n",
                    result.manifest.matrix, totals.as_expected
                ))?;
            }
            Err(error) => print(format_args!("{name:24} {error:#}\n"))?,
        }
    }
    Ok(())
}
